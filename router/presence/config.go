package presence

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/store"
)

// Config bounds what is kept and told.
type Config struct {
	Debounce   time.Duration // after the last connection, until the user is offline
	Lease      time.Duration // how long one who is set online over REST stays so without a connection
	Flush      time.Duration // between two writes of last-seen times
	Rate       int           // changes told a second
	Queue      int           // changes that wait to be told
	Lingering  int           // users in Debounce; who finds no place is offline at once
	Leases     int           // users with a Lease
	Wishes     int           // users who set a state
	Seen       int           // last-seen times that wait to be written
	Threads    int           // of a user, the most recent, whose people are told
	SmallGroup int           // members up to which a group's people are told
	Told       int           // people told of one change
	Watches    int           // of one connection
	Checks     int           // watchers outside of Threads who are looked up for one change
}

// Default is a Config for most servers.
func Default() Config {
	return Config{
		Debounce:   15 * time.Second,
		Lease:      5 * time.Minute,
		Flush:      10 * time.Second,
		Rate:       1000,
		Queue:      64 << 10,
		Lingering:  256 << 10,
		Leases:     64 << 10,
		Wishes:     1 << 20,
		Seen:       128 << 10,
		Threads:    200,
		SmallGroup: 500,
		Told:       5000,
		Watches:    proto.MaxWatch,
		Checks:     1000,
	}
}

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	for _, f := range []struct {
		name  string
		value int
		max   int
	}{
		{"Debounce", int(c.Debounce), 0},
		{"Lease", int(c.Lease), 0},
		{"Flush", int(c.Flush), 0},
		{"Rate", c.Rate, 0},
		{"Queue", c.Queue, 0},
		{"Lingering", c.Lingering, 0},
		{"Leases", c.Leases, 0},
		{"Wishes", c.Wishes, 0},
		{"Seen", c.Seen, 0},
		{"Threads", c.Threads, 0},
		{"SmallGroup", c.SmallGroup, 0},
		{"Told", c.Told, 0},
		{"Watches", c.Watches, maxWatches},
		{"Checks", c.Checks, 0},
	} {
		if f.value < 1 {
			return fmt.Errorf("presence: %s is %d, want at least 1", f.name, f.value)
		}
		if f.max > 0 && f.value > f.max {
			return fmt.Errorf("presence: %s is %d, want at most %d", f.name, f.value, f.max)
		}
	}
	return nil
}

// Stores are what presence reads, and where it keeps when people were last seen.
type Stores struct {
	Users   store.Users
	Threads store.Threads
	Members store.Members
}

// Service knows who is there. Its methods may be called from many goroutines at once. Run must be
// running for changes to be told.
type Service struct {
	// Fixed after construction.
	cfg     Config
	router  *router.Router
	store   Stores
	log     *slog.Logger
	metrics *metrics
	now     func() time.Time
	kick    chan struct{}   // capacity 1: there is something to do
	base    context.Context //nolint:containedctx // sockets have none: stores bound their own waiting

	shared *pairs
	graph  graph

	// What observers and REST leave for Run. The lock is held for a few map operations.
	in struct {
		sync.Mutex
		closed  fifo[router.Conn] // connections whose watches end: those closed since the last pass
		changes ring              // users whose state changed
		linger  delay             // users without a connection who are still shown
		leases  delay             // users shown without a connection
		wishes  map[id.User]wish
		seen    map[id.User]int64 // Unix milliseconds
		writing map[id.User]int64 // what seen was; being written, and not changed any more
	}

	// Owned by Run.
	people  []id.User
	conns   []router.Conn
	flushed time.Time
	tokens  float64
	earned  time.Time
	failing bool // the last read of the store failed, and was logged
}

// New makes the Service and observes r. It must be called before r's first Attach.
func New(cfg Config, r *router.Router, st Stores, log *slog.Logger, reg prometheus.Registerer) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Service{
		cfg:    cfg,
		router: r,
		store:  st,
		log:    log,
		now:    time.Now,
		kick:   make(chan struct{}, 1),
		base:   context.Background(),
		shared: newPairs(),
	}
	s.graph.seed = [2]uint64{rand.Uint64() | 1, rand.Uint64() | 1}
	s.in.changes = newRing(cfg.Queue)
	s.in.linger = newDelay(cfg.Lingering, cfg.Debounce)
	s.in.leases = newDelay(cfg.Leases, cfg.Lease)
	s.in.wishes = make(map[id.User]wish)
	s.in.seen = make(map[id.User]int64)
	s.metrics = newMetrics(reg, s)
	r.Observe(s)
	return s, nil
}
