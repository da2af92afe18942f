package cassandra

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/gocql/gocql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/scylladb/gocqlx/v2"

	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/cassandra/threadlog"
)

// Store is a connection to a keyspace. Its accessors give views of it.
type Store struct {
	// Fixed after Open.
	cfg      Config
	log      *slog.Logger
	metrics  *metrics
	session  gocqlx.Session
	again    again
	hosts    *hosts
	stripes  *stripes
	messages *threadlog.Log
	cursors  *cursorCache
	recency  *recency
	health   *health
	buckets  revokedBuckets

	// life is held for reading by every call, and for writing by Close.
	life   sync.RWMutex
	closed bool

	deposed atomic.Bool
	stop    chan struct{}  // ends the background goroutines
	workers sync.WaitGroup // them
}

// Open connects to cfg.Keyspace, brings its schema up to date where that is allowed, and takes the log. It
// fails with *ErrInUse when another node has it and seems to live. A failure to connect names each host, why
// it failed and what to check. ctx bounds the opening.
func Open(ctx context.Context, cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.logName == "" {
		cfg.logName = "main"
	}
	if err := prepare(ctx, &cfg, log); err != nil {
		return nil, err
	}
	s := &Store{
		cfg: cfg, log: log, metrics: newMetrics(), again: again{times: 2}, stripes: newStripes(),
		stop: make(chan struct{}),
	}
	s.health = newHealth(s)
	s.cursors = newCursorCache(s)
	s.recency = newRecency(cfg.Recency)
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	if err := s.openLog(ctx, reg); err != nil {
		s.session.Close()
		return nil, err
	}
	for _, f := range []func(){s.cursors.run, s.health.run} {
		s.workers.Go(f)
	}
	s.metrics.register(reg, s)
	return s, nil
}

// prepare looks at the cluster, and makes what may be made. It settles cfg.DC.
func prepare(ctx context.Context, cfg *Config, log *slog.Logger) error {
	a, err := openAdmin(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer a.close()
	cfg.DC = a.dc
	if cfg.MakeKeyspace {
		if err := a.makeKeyspace(ctx); err != nil {
			return err
		}
	}
	if cfg.Migrate {
		if _, _, err := a.replicas(ctx); !errors.Is(err, errNoKeyspace) {
			if err != nil {
				return err
			}
			if err := a.migrate(ctx); err != nil {
				return err
			}
		}
	}
	if err := a.check(ctx); err != nil {
		return err
	}
	a.warn(ctx)
	return nil
}

// warn tells the operator of settings under which an acked message can be lost.
func (a *admin) warn(ctx context.Context) {
	here, _, err := a.replicas(ctx)
	if err != nil {
		return
	}
	var mode string
	if err := a.session.Query("SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'").WithContext(ctx).Scan(&mode); err != nil {
		return // Scylla, and Cassandra before 4.0, do not say
	}
	if mode == "periodic" && here < 3 {
		a.log.Warn("Cassandra acknowledges writes before they are on disk: with fewer than three replicas a crash of one node loses acknowledged messages; set commitlog_sync to batch or group",
			slog.String("commitlog_sync", mode), slog.Int("replicas", here), slog.String("keyspace", a.cfg.Keyspace))
	}
}

// connect opens the session that everything uses.
func (s *Store) connect(ctx context.Context) error {
	g, err := s.cfg.cluster(s.log)
	if err != nil {
		return err
	}
	g.Keyspace = s.cfg.Keyspace
	inner := gocql.RoundRobinHostPolicy()
	if s.cfg.Consistency == Local {
		// A statement at LOCAL_QUORUM asks the data centre of whoever coordinates it: that must be ours.
		g.HostFilter = gocql.DataCentreHostFilter(s.cfg.DC)
	} else {
		inner = gocql.DCAwareRoundRobinPolicy(s.cfg.DC)
	}
	s.hosts = newHosts(gocql.TokenAwareHostPolicy(inner, gocql.ShuffleReplicas()), s.cfg.Now)
	g.PoolConfig.HostSelectionPolicy = s.hosts
	w := watcher{s}
	g.QueryObserver, g.BatchObserver = w, w
	session, err := s.cfg.session(ctx, g)
	if err != nil {
		return err
	}
	s.session = gocqlx.NewSession(session)
	return nil
}

// serialConsistency is that of conditions.
func (s *Store) serialConsistency() gocql.SerialConsistency {
	if s.cfg.Consistency == Global {
		return gocql.Serial
	}
	return gocql.LocalSerial
}

// openLog takes the log.
func (s *Store) openLog(ctx context.Context, reg prometheus.Registerer) error {
	c := s.cfg.Log
	c.Node, c.Address, c.PID, c.TakeOver, c.Now = s.cfg.Node, s.cfg.Address, s.cfg.PID, s.cfg.TakeOver, s.cfg.Now
	c.Recent = s.recent
	c.Deposed = func(err error) {
		s.deposed.Store(true)
		if s.cfg.Deposed != nil {
			s.cfg.Deposed(err)
		}
	}
	l, err := threadlog.Open(ctx, c, quorum{s}, s.log, reg)
	var other *threadlog.InUseError
	if errors.As(err, &other) {
		return &ErrInUse{Keyspace: s.cfg.Keyspace, Node: other.Node.String(), Address: other.Address, PID: other.PID, Age: other.Age}
	}
	if err != nil {
		return fmt.Errorf("open the log in keyspace %s: %w", s.cfg.Keyspace, err)
	}
	s.messages = l
	return nil
}

// Close writes and acks what is on its way in the log, flushes what is kept in memory, and disconnects.
// Calls that come later fail with ErrClosed.
func (s *Store) Close() error {
	err := s.messages.Close()
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	close(s.stop)
	s.workers.Wait()
	err = errors.Join(err, s.cursors.flush())
	s.session.Close()
	return err
}

// Healthy says why the store cannot be written, and is nil when it can.
func (s *Store) Healthy() error {
	if s.deposed.Load() {
		return fmt.Errorf("cassandra: %w of keyspace %s", store.ErrDeposed, s.cfg.Keyspace)
	}
	return s.health.err()
}

// Users gives the people.
func (s *Store) Users() store.Users { return users{s} }

// Sessions gives the logins.
func (s *Store) Sessions() store.Sessions { return sessions{s} }

// Threads gives the conversations.
func (s *Store) Threads() store.Threads { return threads{s} }

// Cursors gives the members' positions.
func (s *Store) Cursors() store.Cursors { return s.cursors }

// Groups gives the groups.
func (s *Store) Groups() store.Groups { return groups{s} }

// Members gives who is in which group.
func (s *Store) Members() store.Members { return members{s} }

// Devices gives the push tokens.
func (s *Store) Devices() store.Devices { return devices{s} }

// Media gives the records of files.
func (s *Store) Media() store.MediaRecords { return media{s} }

// Log gives the threads' messages.
func (s *Store) Log() store.Log { return s.messages }
