package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/store/cassandra"
	"github.com/tolkflip/tolkflip/store/pebble"
)

// migrateCommand makes a keyspace ready, and moves a stopped installation into it.
type migrateCommand struct {
	From   string `placeholder:"pebble:DIR" help:"The stopped installation to move, such as pebble:/var/lib/tolkflip/store. It stays as it is; the files of --blob stay where they are."`
	To     string `placeholder:"URL" help:"Keyspace to move to. Default: --store."`
	Store  string `placeholder:"URL" help:"Keyspace whose tables are made, or brought up to this version: cassandra://[user@]host,host/keyspace. Password: TOLKFLIP_STORE_PASSWORD."`
	Config string `placeholder:"FILE" help:"YAML file with the settings of serve."`
}

// Run is the command.
func (c *migrateCommand) Run(p *program, s *settings) error {
	to := c.To
	if to == "" {
		to = c.Store
	}
	scheme, _ := split(to)
	switch {
	case c.To != "" && c.From == "":
		return usageError{errors.New("--to: goes with --from")}
	case to == "":
		return usageError{errors.New("--store cassandra://… is wanted, or --from and --to")}
	case scheme != cassandra.Scheme:
		return usageError{fmt.Errorf("--store: %q: only cassandra:// has a schema and can be moved to", scheme+":")}
	}
	if err := checkStore(to); err != nil {
		return usageError{fmt.Errorf("--store: %w", err)}
	}
	log := slog.New(slog.NewTextHandler(p.stderr, nil))
	if c.From != "" {
		return c.move(p, s, to, log)
	}
	cfg, err := cassandra.ParseURL(to)
	if err != nil {
		return usageError{err}
	}
	cfg.Password = s.secrets["store-password"]
	if err := cassandra.Migrate(p.ctx, cfg, log); err != nil { // it logs each version that it applies
		return trouble("store", to, err)
	}
	_, err = fmt.Fprintf(p.stdout, "the schema of keyspace %s is up to date\n", cfg.Keyspace)
	return err
}

// move moves all that c.From holds, and compares.
func (c *migrateCommand) move(p *program, s *settings, to string, log *slog.Logger) (err error) {
	scheme, dir := split(c.From)
	if scheme != "pebble" || dir == "" {
		return usageError{errors.New("--from: pebble:DIR is wanted")}
	}
	if _, err := os.Stat(dir); err != nil {
		return usageError{fmt.Errorf("--from: %w", err)}
	}
	source := pebble.Default()
	source.Dir, source.FilterBytes = dir, 0 // nothing is written, so nothing is looked up
	from, err := pebble.Open(source, log.With("part", "from"), prometheus.NewRegistry())
	var held *pebble.ErrInUse
	if errors.As(err, &held) {
		return inUseError{"--from: " + err.Error() + "; stop that server first"}
	} else if err != nil {
		return trouble("from", c.From, err)
	}
	defer func() { err = errors.Join(err, from.Close()) }()

	cfg, err := cassandra.ParseURL(to)
	if err != nil {
		return usageError{err}
	}
	cfg.Password = s.secrets["store-password"]
	path, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	cfg.Node, cfg.Address, cfg.PID = movingNode(host, path), host+": tolkflip migrate --from pebble:"+path, os.Getpid()
	cfg.Log.Import, cfg.Log.CloseTimeout = true, time.Hour // it ends when every id is written
	began := time.Now()
	m, err := moveInto(p.ctx, cfg, from, p.stderr, log)
	if err != nil {
		return storeTrouble(to, fmt.Errorf("%w; what was moved stays there: run the same command again, and it goes on", err))
	}
	return m.report(p.ctx, p.stdout, cfg, time.Since(began), log)
}

// movingNode is who moves a store: always the same for one, so that a run which was killed is not in the
// way of the next, and never the node that serves it.
func movingNode(host, path string) (n [16]byte) {
	sum := sha256.Sum256([]byte("tolkflip migrate\x00" + host + "\x00" + path))
	copy(n[:], sum[:])
	n[6], n[8] = n[6]&0x0f|0x80, n[8]&0x3f|0x80 // a UUID of version 8
	return n
}

// moveInto moves everything and waits until it is durable.
func moveInto(ctx context.Context, cfg cassandra.Config, from *pebble.Store, progress io.Writer, log *slog.Logger) (_ *mover, err error) {
	to, err := cassandra.Open(ctx, cfg, log.With("part", "to"), prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	m := newMover(from, to)
	return m, m.run(ctx, progress)
}

// margin is how long sessions and revocations must live on for the comparison: it takes a while.
const margin = 30 * time.Minute

// report compares what the store has with what the keyspace holds now.
func (m *mover) report(ctx context.Context, w io.Writer, cfg cassandra.Config, took time.Duration, log *slog.Logger) error {
	after := time.Now().Add(margin).UnixMilli()
	if err := m.recount(ctx, after); err != nil {
		return err
	}
	there, err := cassandra.Count(ctx, cfg, after, log)
	if err != nil {
		return fmt.Errorf("count what is there now: %w", err)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "\tread\tthere\t") // what fails shows at Flush
	var differ error
	for k := range kinds {
		read, holds := m.read[k].Load(), there[k.String()]
		_, _ = fmt.Fprintf(table, "%s\t%d\t%d\t\n", k, read, holds)
		if read != holds {
			differ = errors.Join(differ, fmt.Errorf("%s: %d were read and %d are there", k, read, holds))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if differ != nil {
		return fmt.Errorf("the counts differ: was the keyspace empty, and is the old installation unchanged? %w", differ)
	}
	moved := m.moved[messages].Load()
	_, err = fmt.Fprintf(w, "moved in %v; %d messages, %.0f/s\n", took.Round(time.Millisecond), moved, float64(moved)/m.took[messages].Seconds())
	return err
}
