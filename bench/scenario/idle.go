package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tolkflip/tolkflip/bench/floor"
	"github.com/tolkflip/tolkflip/bench/probe"
	"github.com/tolkflip/tolkflip/bench/report"
	"github.com/tolkflip/tolkflip/bench/target"
)

// IdleConfig is connections that do nothing. What a connection costs is the difference between the last level and the first of a
// fresh server's first ascent, after every connection was pinged and answered.
type IdleConfig struct {
	Options  `json:"-"`
	Target   string        `json:"target"`
	Levels   []int         `json:"levels"`
	First    int           `json:"warm_up_connections"` // opened and closed before
	Threads  int           `json:"threads"`             // direct threads of each user; with --spawn they are made by a server before
	Watches  int           `json:"watches"`
	Pings    int           `json:"pings"`     // that each connection must have answered
	PingWait time.Duration `json:"ping_wait"` // how long to wait for them
	Settle   time.Duration `json:"settle"`    // after a level, instead of pings when there are none
	Runs     int           `json:"runs"`      // each with a fresh server
	Strange  bool          `json:"strangers"` // users who need not exist: no threads, no watches
	Each     int           `json:"connections_a_process,omitempty"`

	// After the ascent: so many connections that send, and so many HTTP connections that are kept open. 0 = none.
	Sending   int `json:"sending,omitempty"`
	KeepAlive int `json:"keep_alive,omitempty"`
}

// DefaultIdle is the first ascent to 15,000.
func DefaultIdle() IdleConfig {
	return IdleConfig{
		Target: Ours, Levels: []int{5000, 10000, 15000}, First: 500, Threads: 10, Watches: 8,
		Pings: 2, PingWait: 2 * time.Minute, Settle: 2 * time.Second, Runs: 3,
	}
}

// Validate checks it.
func (c IdleConfig) Validate() error {
	switch {
	case len(c.Levels) < 2 || !slices.IsSorted(c.Levels) || c.Levels[0] < 1 || c.Levels[0] == c.Levels[len(c.Levels)-1]:
		return errors.New("--levels must be at least two, rising")
	case c.Runs < 1 || c.Runs > 1 && c.Target == Ours && c.Spawn == "":
		return errors.New("--runs needs a fresh server for each: use --spawn, or one run")
	case c.Threads < 0 || c.Threads%2 != 0 || c.Watches < 0 || c.Pings < 0 || c.Pings > 255:
		return errors.New("--threads must be even; --watches and --pings must not be negative")
	case c.Sending < 0 || c.Sending%2 != 0 || c.Sending/2 < c.Loops && c.Sending > 0 || c.KeepAlive < 0:
		return errors.New("--sending must be even, --sending and --keep-alive must not be negative")
	case c.Strange && c.Target == Ours && c.Spawn == "" && c.SecretFile == "":
		return errors.New("--strangers needs --jwt-secret-file, to sign their tokens")
	}
	return c.Options.Validate(c.Target == Ours)
}

// IdleLevel is a number of connections and what the server needs for it.
type IdleLevel struct {
	Connections int           `json:"connections"`
	What        string        `json:"what,omitempty"` // they do, if they are not idle sockets
	Memory      probe.Memory  `json:"memory"`
	Heap        target.Heap   `json:"heap"`
	Routed      float64       `json:"routed"` // as the server counts
	Holding     Holding       `json:"holding"`
	Opened      float64       `json:"opened_s"`
	CPU         probe.Reading `json:"cpu_idle"` // while waiting for pings
}

// IdleRun is one ascent.
type IdleRun struct {
	Base    IdleLevel   `json:"base"` // after the warm-up, without connections
	Levels  []IdleLevel `json:"levels"`
	Busier  []IdleLevel `json:"busier,omitempty"`       // after the ascent
	Bytes   float64     `json:"rss_bytes_a_connection"` // last level less the first
	Objects float64     `json:"heap_objects_a_connection"`
}

// IdleResult is all ascents.
type IdleResult struct {
	Target  string    `json:"target"`
	Runs    []IdleRun `json:"runs"`
	Bytes   float64   `json:"median_rss_bytes_a_connection"`
	Objects float64   `json:"median_heap_objects_a_connection"`
}

// RunIdle makes the ascents.
func RunIdle(ctx context.Context, c IdleConfig) (*IdleResult, error) {
	if c.Spawn != "" && c.Data == "" {
		dir, err := os.MkdirTemp("", "tolkbench-")
		if err != nil {
			return nil, fmt.Errorf("data directory: %w", err)
		}
		defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory that stays is seen
		c.Data = filepath.Join(dir, "data")
		if c.Users == "" {
			c.Users = filepath.Join(dir, "users")
		}
	}
	if c.Spawn != "" && !c.Strange && c.Target == Ours {
		if err := c.prepare(ctx); err != nil {
			return nil, err
		}
	}
	r := &IdleResult{Target: c.Target}
	for i := range c.Runs {
		c.say("ascent %d of %d", i+1, c.Runs)
		s, err := c.Open(ctx, c.Target, floor.Config{Echo: true})
		if err != nil {
			return r, err
		}
		run, err := c.ascend(ctx, s)
		r.Runs = append(r.Runs, run)
		if err = errors.Join(err, s.Close()); err != nil {
			return r, err
		}
	}
	r.Bytes = medianOf(r.Runs, func(i IdleRun) float64 { return i.Bytes })
	r.Objects = medianOf(r.Runs, func(i IdleRun) float64 { return i.Objects })
	return r, nil
}

// prepare makes users and threads with a server that ends before the first measurement.
func (c IdleConfig) prepare(ctx context.Context) error {
	s, err := c.Open(ctx, Ours, floor.Config{})
	if err != nil {
		return err
	}
	people, err := s.People(ctx, c.Levels[len(c.Levels)-1])
	if err == nil {
		began := time.Now()
		err = befriend(ctx, s, people, c.Threads, c.Loops)
		c.say("made %d threads a user in %.1f s", c.Threads, time.Since(began).Seconds())
	}
	return errors.Join(err, s.Close())
}

// Prepare registers n users and makes direct threads between them, for runs against a server that is started again afterwards.
func Prepare(ctx context.Context, o Options, n, threads int) error {
	c := IdleConfig{Options: o, Levels: []int{n}, Threads: threads}
	return c.prepare(ctx)
}

func (c IdleConfig) ascend(ctx context.Context, s *Subject) (IdleRun, error) {
	var run IdleRun
	config := HolderConfig{Addr: s.Addr, Path: s.Path, Loops: c.Loops, InFlight: connectInFlight, Watches: c.Watches, Pings: c.Pings}
	top := c.Levels[len(c.Levels)-1]
	var err error
	switch {
	case s.Server == nil:
		config.People, err = s.Mint.Nobody(top)
	case c.Strange:
		config.Nobody, config.Secret = top, s.Mint.Secret()
	default:
		config.People, err = s.People(ctx, top)
	}
	if err != nil {
		return run, err
	}
	if err := c.warmUp(ctx, config); err != nil {
		return run, err
	}
	if run.Base, err = c.read(ctx, s, 0, Holding{}); err != nil {
		return run, err
	}
	each := c.Each
	if each == 0 {
		each = perProcess()
	}
	h, err := hold(ctx, config, each)
	if err != nil {
		return run, err
	}
	for _, n := range c.Levels {
		l, err := c.level(ctx, s, h, n)
		run.Levels = append(run.Levels, l)
		if err != nil {
			return run, errors.Join(err, h.close())
		}
	}
	low, high := run.Levels[0], run.Levels[len(run.Levels)-1]
	between := float64(high.Connections - low.Connections)
	run.Bytes = float64(high.Memory.RSS-low.Memory.RSS) / between
	run.Objects = (float64(high.Heap.Objects) - float64(low.Heap.Objects)) / between
	if err := h.close(); err != nil {
		return run, err
	}
	run.Busier, err = c.busier(ctx, s)
	return run, err
}

func (c IdleConfig) warmUp(ctx context.Context, config HolderConfig) error {
	if c.First == 0 {
		return nil
	}
	if config.Nobody > 0 {
		config.Nobody = min(c.First, config.Nobody)
	} else {
		config.People = config.People[:min(c.First, len(config.People))]
	}
	h, err := newHolder(config)
	if err != nil {
		return err
	}
	err = h.open(ctx, config.count())
	return errors.Join(err, h.close(), wait(ctx, c.Settle))
}

// level opens connections up to n, waits until all have answered their pings, and reads what the server needs.
func (c IdleConfig) level(ctx context.Context, s *Subject, h *holders, n int) (IdleLevel, error) {
	began := time.Now()
	if err := h.open(ctx, n); err != nil {
		return IdleLevel{Connections: n}, err
	}
	opened := time.Since(began).Seconds()
	if err := wait(ctx, c.Settle); err != nil {
		return IdleLevel{Connections: n}, err
	}
	meter := probe.Start(s.PID)
	held, err := c.answered(ctx, h, n)
	if err != nil {
		return IdleLevel{Connections: n, Holding: held}, err
	}
	reading := meter.Read()
	l, err := c.read(ctx, s, n, held)
	l.Opened, l.CPU = opened, reading
	c.say("%d connections: RSS %.1f MB, %d pongs", n, float64(l.Memory.RSS)/(1<<20), held.Pongs)
	return l, err
}

func (c IdleConfig) answered(ctx context.Context, h *holders, n int) (Holding, error) {
	deadline := time.Now().Add(c.PingWait)
	for {
		held, err := h.state()
		switch {
		case err != nil:
			return held, err
		case held.Gone > 0:
			return held, &report.BrokenError{Reason: fmt.Sprintf("%d idle connections were lost: %s", held.Gone, held.Why)}
		case held.Answered >= n:
			return held, nil
		case time.Now().After(deadline):
			return held, fmt.Errorf("only %d of %d connections were pinged %d times in %s", held.Answered, n, c.Pings, c.PingWait)
		}
		if err := wait(ctx, time.Second); err != nil {
			return held, err
		}
	}
}

// read has the server collect its garbage and takes its memory.
func (c IdleConfig) read(ctx context.Context, s *Subject, n int, held Holding) (IdleLevel, error) {
	l := IdleLevel{Connections: n, Holding: held}
	var err error
	if s.Server != nil && s.Server.Control != "" {
		if l.Heap, err = s.Server.Collect(ctx); err != nil {
			return l, err
		}
	}
	if s.PID != 0 {
		if l.Memory, err = probe.MemoryOf(s.PID); err != nil {
			return l, err
		}
	}
	if s.Server != nil {
		m, err := s.Server.Metrics(ctx)
		if err != nil {
			return l, err
		}
		l.Routed = m["tolkflip_router_connections"]
		if s.Server.Control == "" {
			l.Heap = target.Heap{
				Objects: uint64(m["go_memstats_heap_objects"]), Alloc: uint64(m["go_memstats_heap_alloc_bytes"]), Goroutines: int(m["go_goroutines"]),
			}
		}
	}
	return l, nil
}

// Tables shows the ascents.
func (r *IdleResult) Tables() []report.Table {
	t := report.Table{
		Title: r.Target + ": idle connections, authenticated; memory after a collection",
		Head:  []string{"run", "connections", "RSS MB", "anonymous MB", "heap objects", "goroutines", "routed", "answered", "pongs", "presence", "opened s", "idle cores"},
	}
	for i := range r.Runs {
		run := &r.Runs[i]
		for _, l := range slices.Concat([]IdleLevel{run.Base}, run.Levels, run.Busier) {
			t.Rows = append(t.Rows, []string{
				fmt.Sprint(i + 1), strings.TrimSpace(report.Count(int64(l.Connections)) + " " + l.What), report.Number(float64(l.Memory.RSS) / (1 << 20)), report.Number(float64(l.Memory.Anonymous) / (1 << 20)),
				known(l.Heap.Objects, report.Count(int64(l.Heap.Objects))), known(l.Heap.Objects, fmt.Sprint(l.Heap.Goroutines)),
				known(l.Heap.Objects, report.Count(int64(l.Routed))),
				report.Count(int64(l.Holding.Answered)), report.Count(l.Holding.Pongs), report.Count(l.Holding.Presence),
				fmt.Sprintf("%.1f", l.Opened), fmt.Sprintf("%.3f", l.CPU.Server),
			})
		}
		t.Notes = append(t.Notes, fmt.Sprintf("run %d: %s bytes and %s heap objects a connection", i+1, report.Number(run.Bytes), report.Number(run.Objects)))
	}
	if len(r.Runs) > 1 {
		t.Notes = append(t.Notes, fmt.Sprintf("median: %s bytes and %s heap objects a connection", report.Number(r.Bytes), report.Number(r.Objects)))
	}
	return []report.Table{t}
}

// known is a figure, or a dash for a target that does not tell it.
func known(objects uint64, figure string) string {
	if objects == 0 {
		return "-"
	}
	return figure
}
