package pebble

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/storetest"
)

// gateFS is a file system whose syncs of the write-ahead log a test holds up, or lets fail.
type gateFS struct {
	vfs.FS
	mu     sync.Mutex
	open   sync.Cond
	closed bool
	err    error
}

func newGateFS(fs vfs.FS) *gateFS {
	g := &gateFS{FS: fs}
	g.open.L = &g.mu
	return g
}

// set closes or opens the gate, and makes syncs fail from now on where err is given.
func (g *gateFS) set(closed bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed, g.err = closed, err
	g.open.Broadcast()
}

func (g *gateFS) pass() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.closed {
		g.open.Wait()
	}
	return g.err
}

func (g *gateFS) wrap(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return &gateFile{f, g}, nil
}

func (g *gateFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := g.FS.Create(name, c)
	return g.wrap(name, f, err)
}

func (g *gateFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := g.FS.ReuseForWrite(old, name, c)
	return g.wrap(name, f, err)
}

type gateFile struct {
	vfs.File
	gate *gateFS
}

func (f *gateFile) Sync() error {
	if err := f.gate.pass(); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *gateFile) SyncData() error {
	if err := f.gate.pass(); err != nil {
		return err
	}
	return f.File.SyncData()
}

func (f *gateFile) SyncTo(n int64) (bool, error) {
	if err := f.gate.pass(); err != nil {
		return false, err
	}
	return f.File.SyncTo(n)
}

func direct(a, b id.User) store.Message {
	return store.Message{
		ID: id.Message{ID: id.NewGroup().ID}, Thread: id.Direct(a, b), Sender: a, Receiver: b,
		Sent: 1_700_000_000_000, Content: []byte("hello"), ClientID: []byte("c"),
	}
}

// appended is an Append that a test waits for.
type appended chan *store.Entry

func add(log store.Log, m store.Message) appended {
	done := make(appended, 1)
	log.Append(&store.Entry{Message: m, Done: func(e *store.Entry) { done <- e }})
	return done
}

// must waits for a first result.
func (a appended) must(t testing.TB) *store.Entry {
	t.Helper()
	e := <-a
	if e.Err != nil || e.Duplicate {
		t.Fatalf("append: %v, duplicate %v", e.Err, e.Duplicate)
	}
	return e
}

// shown gives all ways in which a reader can see a message that stands at seq.
func shown(t *testing.T, s *Store, m *store.Message, seq uint64) []string {
	t.Helper()
	ctx := t.Context()
	var ways []string
	note := func(way string, seen bool, err error) {
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("%s: %v", way, err)
		}
		if seen {
			ways = append(ways, way)
		}
	}
	after, err := s.Log().After(ctx, m.Thread, seq-1, 10)
	note("After", len(after) > 0, err)
	before, err := s.Log().Before(ctx, m.Thread, 0, 10)
	note("Before", len(before) > 0 && before[len(before)-1].Seq >= seq, err)
	head, err := s.Log().Head(ctx, m.Thread)
	note("Head", head >= seq, err)
	_, err = s.Log().Find(ctx, m.ID)
	note("Find", err == nil, err)
	row, err := s.Threads().Get(ctx, m.Thread)
	note("Threads.Get", err == nil && row.Head >= seq, err)
	list, _, err := s.Threads().ByUser(ctx, m.Sender, nil, 10)
	note("ByUser", len(list) > 0 && list[0].Head >= seq, err)
	return ways
}

// TestReadersSeeOnlyDurable holds a sync up and looks at the message that waits for it in all ways.
func TestReadersSeeOnlyDurable(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit    func(*Config)
		noticed bool
	}{
		"hot":       {func(*Config) {}, false},
		"no window": {func(c *Config) { c.HotBytes = 1 }, false},
		"clip off":  {func(c *Config) { c.HotBytes, c.faults.clipOff = 1, true }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gate := newGateFS(vfs.NewMem())
			cfg := small(gate)
			c.edit(&cfg)
			applied := make(chan int, 100)
			cfg.faults.applied = func(n int) { applied <- n }
			s := open(t, cfg)
			a, b := id.NewUser(), id.NewUser()
			for seq, m := range []store.Message{direct(a, b), direct(a, b), direct(b, a)} {
				gate.set(true, nil)
				done := add(s.Log(), m)
				<-applied
				ways := shown(t, s, &m, uint64(seq)+1)
				if len(done) > 0 {
					t.Fatal("acked before it was synced")
				}
				if c.noticed != (len(ways) > 0) {
					t.Errorf("message %d is shown by %v before it is durable", seq+1, ways)
				}
				gate.set(false, nil)
				done.must(t)
				if ways := shown(t, s, &m, uint64(seq)+1); len(ways) != 6 {
					t.Errorf("message %d is shown only by %v when it is durable", seq+1, ways)
				}
			}
		})
	}
}

// TestJoinsUnsynced sends a message again while the first is applied and not synced: both are answered
// after the sync, alike, and a mark in between has the right head.
func TestJoinsUnsynced(t *testing.T) {
	t.Parallel()
	gate := newGateFS(vfs.NewMem())
	cfg := small(gate)
	applied := make(chan int, 100)
	cfg.faults.applied = func(n int) { applied <- n }
	s := open(t, cfg)
	m := direct(id.NewUser(), id.NewUser())
	gate.set(true, nil)
	first := add(s.Log(), m)
	<-applied
	again := add(s.Log(), m)
	other := m
	other.Content = []byte("other")
	conflict := add(s.Log(), other)
	heads := make(chan uint64, 1)
	s.Log().Mark(m.Thread, func(head uint64) { heads <- head })
	if len(first)+len(again)+len(conflict)+len(heads) > 0 {
		t.Fatal("answered before the sync")
	}
	gate.set(false, nil)
	if e := first.must(t); e.Seq != 1 {
		t.Fatalf("seq = %d", e.Seq)
	}
	if e := <-again; e.Err != nil || !e.Duplicate || e.Seq != 1 {
		t.Fatalf("retry: %+v", e)
	}
	if e := <-conflict; !errors.Is(e.Err, store.ErrConflict) {
		t.Fatalf("conflict: %v", e.Err)
	}
	if h := <-heads; h != 1 {
		t.Fatalf("mark at %d", h)
	}
}

// TestSyncFails makes a sync fail: the failure is reported, nothing of that write or after it is acked,
// and a new process finds the log as it was acked.
func TestSyncFails(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	gate := newGateFS(fs)
	cfg := small(gate)
	applied := make(chan int, 100)
	fatal := make(chan error, 10)
	cfg.faults.applied = func(n int) { applied <- n }
	cfg.Fatal = func(err error) { fatal <- err }
	s := open(t, cfg)
	history := storetest.NewHistory(true)
	a, b := id.NewUser(), id.NewUser()
	kept := direct(a, b)
	history.Sent(kept)
	history.Acked(add(s.Log(), kept).must(t).Message, false, true)
	<-applied
	gate.set(true, nil)
	var lost []appended
	for range 2 { // two groups in flight
		lost = append(lost, add(s.Log(), direct(a, b)))
		<-applied
	}
	waiting := add(s.Log(), direct(b, a))
	gate.set(false, errors.New("input/output error"))
	<-fatal
	if e := <-add(s.Log(), direct(a, b)); !errors.Is(e.Err, store.ErrClosed) {
		t.Fatalf("append after the failure: %v", e.Err)
	}
	if s.Healthy() == nil {
		t.Fatal("healthy after the failure")
	}
	if err := s.Users().Create(t.Context(), store.User{ID: a, Phone: "+1"}); !errors.Is(err, store.ErrClosed) {
		t.Fatalf("another write after the failure: %v", err)
	}
	clone := fs.CrashClone(vfs.CrashCloneCfg{})
	_ = s.Close() // of what is broken; it must only return
	for _, done := range append(lost, waiting) {
		if len(done) > 0 {
			t.Fatalf("answered after the failure: %+v", <-done)
		}
	}
	again := open(t, small(clone))
	found, err := history.Check(func(thread id.Thread, after uint64) ([]store.Message, error) {
		return again.Log().After(t.Context(), thread, after, 100)
	})
	if err != nil || len(found) > 0 {
		t.Fatalf("%v, %v", found, err)
	}
}

// tableGate is a file system on which the making of tables to take in waits while closed is held.
type tableGate struct {
	vfs.FS
	closed *sync.Mutex
}

func newTableGate(fs vfs.FS) tableGate { return tableGate{fs, &sync.Mutex{}} }

func (g tableGate) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if c == "pebble-ingestion" {
		g.closed.Lock()
		defer g.closed.Unlock()
	}
	return g.FS.Create(name, c)
}
