package cassandra

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/gocql/gocql"
)

// admin is a connection to the cluster outside of any keyspace, to look at it and to change schemas.
type admin struct {
	cfg     *Config
	log     *slog.Logger
	session *gocql.Session
	nodes   map[string]int // by data centre
	dc      string
}

// schemaTimeout bounds one change of the schema: all nodes have to hear of it.
const schemaTimeout = 30 * time.Second

func openAdmin(ctx context.Context, cfg *Config, log *slog.Logger) (*admin, error) {
	g, err := cfg.cluster(log)
	if err != nil {
		return nil, err
	}
	g.NumConns = 1
	g.Timeout, g.WriteTimeout = schemaTimeout, schemaTimeout
	g.PoolConfig.HostSelectionPolicy = gocql.RoundRobinHostPolicy()
	s, err := cfg.session(ctx, g)
	if err != nil {
		return nil, err
	}
	a := &admin{cfg: cfg, log: log, session: s}
	if err := a.look(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return a, nil
}

func (a *admin) close() { a.session.Close() }

// look finds the data centres and settles which one is ours.
func (a *admin) look(ctx context.Context) error {
	a.nodes = map[string]int{}
	var dc string
	if err := a.session.Query("SELECT data_center FROM system.local WHERE key = 'local'").WithContext(ctx).Scan(&dc); err != nil {
		return mapped(ctx, "read the data centre", err)
	}
	a.nodes[dc]++
	a.dc = dc
	it := a.session.Query("SELECT data_center FROM system.peers").WithContext(ctx).Iter()
	for it.Scan(&dc) {
		a.nodes[dc]++
	}
	if err := it.Close(); err != nil {
		return mapped(ctx, "read the data centres", err)
	}
	if a.cfg.DC == "" {
		return nil
	}
	a.dc = a.cfg.DC
	if a.nodes[a.dc] == 0 {
		var names []string
		for n := range a.nodes {
			names = append(names, n)
		}
		slices.Sort(names)
		return fmt.Errorf("cassandra: there is no data centre %q (dc in the address); the cluster has %s",
			a.dc, strings.Join(names, ", "))
	}
	return nil
}

// errNoKeyspace is the absence of the keyspace.
var errNoKeyspace = errors.New("no keyspace")

// replicas reads how many replicas the keyspace has in our data centre, and in all.
func (a *admin) replicas(ctx context.Context) (here, all int, err error) {
	replication := map[string]string{}
	err = a.session.Query("SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?", a.cfg.Keyspace).
		WithContext(ctx).Scan(&replication)
	if errors.Is(err, gocql.ErrNotFound) {
		return 0, 0, errNoKeyspace
	}
	if err != nil {
		return 0, 0, mapped(ctx, "read the keyspace", err)
	}
	for k, v := range replication {
		n := 0
		if _, err := fmt.Sscan(v, &n); err != nil {
			continue // the class
		}
		all += n
		if k == a.dc || k == "replication_factor" {
			here = n
		}
	}
	if here == 0 {
		return 0, all, fmt.Errorf("cassandra: the keyspace %s has no replicas in the data centre %s: change its replication, or dc in the address",
			a.cfg.Keyspace, a.dc)
	}
	return here, all, nil
}

// makeKeyspace makes the keyspace where it is not there.
func (a *admin) makeKeyspace(ctx context.Context) error {
	if _, _, err := a.replicas(ctx); !errors.Is(err, errNoKeyspace) {
		return err
	}
	rf := a.cfg.RF
	if rf == 0 {
		rf = min(3, a.nodes[a.dc])
	}
	if rf > a.nodes[a.dc] {
		return fmt.Errorf("cassandra: %d replicas were asked for (rf in the address), and the data centre %s has %d nodes", rf, a.dc, a.nodes[a.dc])
	}
	cql := fmt.Sprintf("CREATE KEYSPACE IF NOT EXISTS %s WITH replication = {'class': 'NetworkTopologyStrategy', '%s': %d}",
		a.cfg.Keyspace, strings.ReplaceAll(a.dc, "'", "''"), rf)
	if err := a.change(ctx, cql); err != nil {
		return fmt.Errorf("make the keyspace %s: %w", a.cfg.Keyspace, err)
	}
	a.log.Info("keyspace made", slog.String("keyspace", a.cfg.Keyspace), slog.String("dc", a.dc), slog.Int("replicas", rf))
	return nil
}

// change does one change of the schema; it may be done again, and is, where it is not known to be done.
func (a *admin) change(ctx context.Context, cql string) error {
	var err error
	for range 3 {
		if err = a.session.Query(cql).WithContext(ctx).Exec(); err == nil || !causeOf(err).retryable() {
			break
		}
	}
	return mapped(ctx, "change the schema", err)
}

// createTable makes the statement for one of tables. The table's id is derived from its name: nodes that
// are asked at once to make a table would otherwise give it two ids.
func createTable(t string) string {
	return "CREATE TABLE IF NOT EXISTS %[1]s." + t + " WITH id = '" + tableID + "'"
}

// tableID stands where inKeyspace puts a table's id.
const tableID = "%[2]s"

// inKeyspace completes a migration's statement.
func inKeyspace(cql, keyspace string) string {
	name, _, _ := strings.Cut(cql, "(")
	sum := sha256.Sum256([]byte(fmt.Sprintf(name, keyspace)))
	var u gocql.UUID
	copy(u[:], sum[:])
	u[6], u[8] = u[6]&0x0f|0x10, u[8]&0x3f|0x80 // a table's id has to look like a time UUID
	if !strings.Contains(cql, tableID) {
		return fmt.Sprintf(cql, keyspace)
	}
	return fmt.Sprintf(cql, keyspace, u.String())
}

// The table of versions is all one partition; lock is held by who changes the schema, and frees itself.
const (
	versionsTable = `schema_versions (part text, version int, name text, applied bigint, lock uuid static, PRIMARY KEY (part, version))`
	lockSeconds   = 60
)

// version reads the schema's version, 0 where there is none.
func (a *admin) version(ctx context.Context) (int, error) {
	n := 0
	err := a.session.Query("SELECT count(*) FROM system_schema.tables WHERE keyspace_name = ? AND table_name = 'schema_versions'",
		a.cfg.Keyspace).WithContext(ctx).Scan(&n)
	if err != nil || n == 0 {
		return 0, mapped(ctx, "look for the schema", err)
	}
	var v *int
	err = a.session.Query("SELECT max(version) FROM " + a.cfg.Keyspace + ".schema_versions WHERE part = 'tolkflip'").
		WithContext(ctx).Scan(&v)
	if err != nil {
		return 0, mapped(ctx, "read the schema's version", err)
	}
	if v == nil {
		return 0, nil
	}
	return *v, nil
}

// errNewer refuses a schema that this program does not know.
func (a *admin) errNewer(v int) error {
	return fmt.Errorf("cassandra: the schema of keyspace %s is of version %d, made by a later version of the program; this one knows %d",
		a.cfg.Keyspace, v, len(migrations()))
}

// check fails where the schema is not of this program's version.
func (a *admin) check(ctx context.Context) error {
	_, _, err := a.replicas(ctx)
	if errors.Is(err, errNoKeyspace) {
		return fmt.Errorf("cassandra: the keyspace %s does not exist: run tolkflip migrate, or allow it to be made at start", a.cfg.Keyspace)
	}
	if err != nil {
		return err
	}
	v, err := a.version(ctx)
	switch want := len(migrations()); {
	case err != nil:
		return err
	case v > want:
		return a.errNewer(v)
	case v < want:
		return fmt.Errorf("cassandra: the schema of keyspace %s is of version %d, version %d is needed: run tolkflip migrate, or allow it at start",
			a.cfg.Keyspace, v, want)
	}
	return nil
}

// migrate brings the schema up to date. Any number of programs may do so at once.
func (a *admin) migrate(ctx context.Context) error {
	switch v, err := a.version(ctx); {
	case err != nil:
		return err
	case v > len(migrations()):
		return a.errNewer(v)
	case v == len(migrations()):
		return nil
	}
	if err := a.change(ctx, inKeyspace(createTable(versionsTable), a.cfg.Keyspace)); err != nil {
		return err
	}
	me := gocql.UUIDFromTime(a.cfg.Now())
	held, err := a.lock(ctx, me)
	if err != nil || !held {
		return err
	}
	defer a.unlock(me) //nolint:contextcheck // it must be given back also when ctx is over
	v, err := a.version(ctx)
	if err != nil {
		return err
	}
	kept := time.Now()
	for ; v < len(migrations()); v++ {
		m := migrations()[v]
		for _, cql := range m.statements {
			if time.Since(kept) > lockSeconds*time.Second/6 {
				if err := a.extend(ctx, me); err != nil {
					return err
				}
				kept = time.Now()
			}
			if err := a.change(ctx, inKeyspace(cql, a.cfg.Keyspace)); err != nil {
				return fmt.Errorf("schema version %d: %w", v+1, err)
			}
		}
		err := a.session.Query("INSERT INTO "+a.cfg.Keyspace+".schema_versions (part, version, name, applied) VALUES ('tolkflip', ?, ?, ?)",
			v+1, m.name, a.cfg.Now().UnixMilli()).WithContext(ctx).Exec()
		if err != nil {
			return mapped(ctx, "note the schema's version", err)
		}
		a.log.Info("schema changed", slog.String("keyspace", a.cfg.Keyspace), slog.Int("version", v+1), slog.String("to", m.name))
	}
	return nil
}

// lock waits for the right to change the schema. held is false where another did the work meanwhile.
func (a *admin) lock(ctx context.Context, me gocql.UUID) (held bool, err error) {
	cql := fmt.Sprintf("UPDATE %s.schema_versions USING TTL %d SET lock = ? WHERE part = 'tolkflip' IF lock IN (null, ?)", a.cfg.Keyspace, lockSeconds)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		applied, err := a.session.Query(cql, me, me).WithContext(ctx).MapScanCAS(map[string]any{})
		if err == nil && applied {
			return true, nil
		}
		if err != nil && !causeOf(err).retryable() {
			return false, mapped(ctx, "lock the schema", err)
		}
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("wait for another program that changes the schema: %w", ctx.Err())
		case <-tick.C:
		}
		if v, err := a.version(ctx); err == nil && v >= len(migrations()) {
			return false, nil
		}
	}
}

// extend keeps the lock.
func (a *admin) extend(ctx context.Context, me gocql.UUID) error {
	cql := fmt.Sprintf("UPDATE %s.schema_versions USING TTL %d SET lock = ? WHERE part = 'tolkflip' IF lock = ?", a.cfg.Keyspace, lockSeconds)
	var err error
	for range 3 {
		var applied bool
		applied, err = a.session.Query(cql, me, me).WithContext(ctx).MapScanCAS(map[string]any{})
		if err == nil && !applied {
			return errors.New("cassandra: another program took over changing the schema; try again")
		}
		if err == nil || !causeOf(err).retryable() {
			break
		}
	}
	return mapped(ctx, "keep the lock of the schema", err)
}

// unlock gives the lock back; where that fails it frees itself.
func (a *admin) unlock(me gocql.UUID) {
	cql := "UPDATE " + a.cfg.Keyspace + ".schema_versions SET lock = null WHERE part = 'tolkflip' IF lock = ?"
	_, err := a.session.Query(cql, me).MapScanCAS(map[string]any{})
	if err != nil {
		a.log.Warn("the lock of the schema was not given back, it frees itself", slog.Int("seconds", lockSeconds), slog.String("error", explain(err)))
	}
}

// Migrate makes the keyspace where it is not there, and brings the schema up to date.
func Migrate(ctx context.Context, cfg Config, log *slog.Logger) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	a, err := openAdmin(ctx, &cfg, log)
	if err != nil {
		return err
	}
	defer a.close()
	if err := a.makeKeyspace(ctx); err != nil {
		return err
	}
	return a.migrate(ctx)
}
