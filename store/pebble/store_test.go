package pebble

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	good := Default()
	good.Dir = "x"
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*Config){
		"no directory":     func(c *Config) { c.Dir = "" },
		"no queue":         func(c *Config) { c.QueueItems = 0 },
		"no committer":     func(c *Config) { c.Committers = 0 },
		"many committers":  func(c *Config) { c.Committers = 65 },
		"groups too large": func(c *Config) { c.GroupMessages = maxGroup + 1 },
		"no clock":         func(c *Config) { c.Now = nil },
		"negative pace":    func(c *Config) { c.Pace = -1 },
	} {
		cfg := good
		edit(&cfg)
		if cfg.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := Open(cfg, silent(), nil); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

// TestInUse opens a directory twice: the second is told who has it, and may have it after the first.
func TestInUse(t *testing.T) {
	t.Parallel()
	cfg := small(nil)
	cfg.Dir = filepath.Join(t.TempDir(), "a", "store")
	first := open(t, cfg)
	_, err := Open(cfg, silent(), nil)
	var inUse *ErrInUse
	if !errors.As(err, &inUse) || inUse.PID != os.Getpid() || inUse.Dir != cfg.Dir {
		t.Fatalf("second Open: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, cfg)
	held, err := os.ReadFile(filepath.Join(cfg.Dir, lockName))
	if err != nil || string(held) != strconv.Itoa(os.Getpid())+"\n" {
		t.Fatalf("lock says %q, %v", held, err)
	}
}

// TestFailedOpenLetsGo looks whether an Open that fails late gives the directory back.
func TestFailedOpenLetsGo(t *testing.T) {
	t.Parallel()
	cfg := small(nil)
	cfg.Dir = t.TempDir()
	s := open(t, cfg)
	if err := s.db.Set([]byte{tableLayout}, []byte{layoutVersion + 1}, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var inUse *ErrInUse
		if _, err := Open(cfg, silent(), nil); err == nil || errors.As(err, &inUse) {
			t.Fatalf("a store of a later version: %v", err)
		}
	}
}

// TestReopen writes one of everything, and finds it after Close and after a power loss.
func TestReopen(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]bool{"closed": false, "power lost": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			fs := vfs.NewCrashableMem()
			s := open(t, small(fs))
			a, b := id.NewUser(), id.NewUser()
			user := store.User{ID: a, Phone: "+15550001", Name: "A"}
			now := time.Now().UnixMilli()
			session := store.Session{ID: id.NewSession(), User: a, Device: "d", Created: now, Expires: now + 1e6}
			revocation := store.Revocation{User: b, At: now, Expires: now + 1e6}
			group := store.Group{ID: id.NewGroup(), Name: "G", Members: 1}
			upload := store.Media{ID: id.NewMedia(), Owner: a, Name: "n.png", Type: "image/png", Size: 5, Key: "k"}
			device := store.Device{User: a, Token: "t", Platform: "ios", Added: 1}
			yes := true
			settings := store.ThreadSettings{ShowOriginal: true, DetectEmotion: true}
			check(t, s.Users().Create(ctx, user))
			_, err := s.Sessions().Open(ctx, session, 20)
			check(t, err)
			check(t, s.Sessions().Revoke(ctx, revocation))
			check(t, s.Groups().Create(ctx, group, []store.Member{{User: a}}))
			check(t, s.Devices().Put(ctx, device))
			check(t, s.Media().Put(ctx, upload))
			_, err = s.Threads().SetSettings(ctx, group.ID, a, store.ThreadSettingsPatch{DetectEmotion: &yes})
			check(t, err)
			m := direct(a, b)
			add(s.Log(), m).must(t)
			cursor := store.Cursor{Delivered: 3, Read: 2}
			_, _, err = s.Cursors().Advance(ctx, m.Thread, a, cursor)
			check(t, err)
			check(t, s.Users().Seen(ctx, map[id.User]int64{a: 77}))
			if lose {
				check(t, s.Settle()) // of what may be lost for a second
				fs = fs.CrashClone(vfs.CrashCloneCfg{})
			} else {
				check(t, s.Close())
			}
			user.LastActive = 77
			r := open(t, small(fs))
			same(t, "user", value(r.Users().ByPhone(ctx, user.Phone))(t).Name, user.Name)
			same(t, "active", value(r.Users().Get(ctx, a))(t).LastActive, 77)
			same(t, "session", value(r.Sessions().Get(ctx, a, session.ID))(t), session)
			var revocations []store.Revocation
			check(t, r.Sessions().Revocations(ctx, now, func(v store.Revocation) { revocations = append(revocations, v) }))
			same(t, "revocation", revocations[0], revocation)
			same(t, "group", value(r.Groups().Get(ctx, group.ID))(t).Members, 1)
			same(t, "member", value(r.Members().GroupsOf(ctx, a, id.Thread{}, 5))(t)[0], group.ID)
			same(t, "media", value(r.Media().Get(ctx, upload.ID))(t), upload)
			same(t, "device", value(r.Devices().List(ctx, a))(t)[0], device)
			same(t, "settings", value(r.Threads().Settings(ctx, group.ID, a))(t), settings)
			same(t, "cursor", value(r.Cursors().Of(ctx, a, []id.Thread{m.Thread}))(t)[0], cursor)
			same(t, "head", value(r.Log().Head(ctx, m.Thread))(t), 1)
			same(t, "thread", value(r.Threads().Get(ctx, m.Thread))(t).Last.Text, "hello")
			same(t, "retry", (<-add(r.Log(), m)).Duplicate, true)
		})
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func value[V any](v V, err error) func(testing.TB) V {
	return func(t testing.TB) V {
		t.Helper()
		check(t, err)
		return v
	}
}

func same[V comparable](t testing.TB, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Fatalf("%s = %+v, want %+v", what, got, want)
	}
}

// calls are all methods of a store, by name; writes are refused while the disk is full.
func calls(t *testing.T, s *Store) (reads, writes map[string]error) {
	t.Helper()
	ctx := t.Context()
	u, thread, session := id.NewUser(), id.NewGroup(), id.NewSession()
	second := func(_ any, err error) error { return err }
	third := func(_, _ any, err error) error { return err }
	opened := store.Session{ID: session, User: u, Expires: 1 << 60}
	reads = map[string]error{
		"Users.Get":            second(s.Users().Get(ctx, u)),
		"Users.ByPhone":        second(s.Users().ByPhone(ctx, "+1")),
		"Sessions.Get":         second(s.Sessions().Get(ctx, u, session)),
		"Sessions.List":        second(s.Sessions().List(ctx, u)),
		"Sessions.Revocations": s.Sessions().Revocations(ctx, 0, func(store.Revocation) {}),
		"Threads.Get":          second(s.Threads().Get(ctx, thread)),
		"Threads.ByUser":       third(s.Threads().ByUser(ctx, u, nil, 5)),
		"Threads.Peers":        second(s.Threads().Peers(ctx, u, 5)),
		"Threads.Settings":     second(s.Threads().Settings(ctx, thread, u)),
		"Cursors.Of":           second(s.Cursors().Of(ctx, u, []id.Thread{thread})),
		"Cursors.In":           second(s.Cursors().In(ctx, thread, 5)),
		"Groups.Get":           second(s.Groups().Get(ctx, thread)),
		"Members.Get":          second(s.Members().Get(ctx, thread, u)),
		"Members.List":         second(s.Members().List(ctx, thread, id.User{}, 5)),
		"Members.GroupsOf":     second(s.Members().GroupsOf(ctx, u, id.Thread{}, 5)),
		"Devices.List":         second(s.Devices().List(ctx, u)),
		"Log.After":            second(s.Log().After(ctx, thread, 0, 5)),
		"Log.Before":           second(s.Log().Before(ctx, thread, 0, 5)),
		"Log.Head":             second(s.Log().Head(ctx, thread)),
		"Log.Find":             second(s.Log().Find(ctx, id.Message(thread))),
	}
	writes = map[string]error{
		"Users.Create":        s.Users().Create(ctx, store.User{ID: u, Phone: u.String()}),
		"Users.Update":        second(s.Users().Update(ctx, id.NewUser(), store.UserPatch{})),
		"Users.Seen":          s.Users().Seen(ctx, map[id.User]int64{u: 1}),
		"Sessions.Open":       second(s.Sessions().Open(ctx, opened, 5)),
		"Sessions.Rotate":     s.Sessions().Rotate(ctx, u, id.NewSession(), [16]byte{}, [16]byte{}),
		"Sessions.Revoke":     s.Sessions().Revoke(ctx, store.Revocation{User: u, Expires: 1 << 60}),
		"Threads.SetSettings": second(s.Threads().SetSettings(ctx, thread, u, store.ThreadSettingsPatch{})),
		"Cursors.Advance":     third(s.Cursors().Advance(ctx, thread, u, store.Cursor{Read: 1})),
		"Groups.Create":       s.Groups().Create(ctx, store.Group{ID: thread}, nil),
		"Groups.Update":       second(s.Groups().Update(ctx, id.NewGroup(), store.GroupPatch{})),
		"Groups.Delete":       s.Groups().Delete(ctx, id.NewGroup()),
		"Members.Add":         s.Members().Add(ctx, store.Member{Group: id.NewGroup(), User: u}),
		"Members.Remove":      s.Members().Remove(ctx, id.NewGroup(), u),
		"Members.SetRole":     s.Members().SetRole(ctx, id.NewGroup(), u, store.Admin),
		"Devices.Put":         s.Devices().Put(ctx, store.Device{User: u, Token: u.String()}),
		"Devices.Remove":      s.Devices().Remove(ctx, u, "x"),
		"Log.Append":          (<-add(s.Log(), direct(u, u))).Err,
	}
	return reads, writes
}

func TestEverythingIsClosedAfterClose(t *testing.T) {
	t.Parallel()
	s := open(t, small(vfs.NewMem()))
	check(t, s.Close())
	reads, writes := calls(t, s)
	for _, set := range []map[string]error{reads, writes} {
		for name, err := range set {
			if !errors.Is(err, store.ErrClosed) {
				t.Errorf("%s after Close: %v", name, err)
			}
		}
	}
	if err := s.Checkpoint("copy"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Checkpoint after Close: %v", err)
	}
}

// TestDiskFull takes free space away and gives it back.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	var free atomic.Uint64
	const total = 100 << 30 // 2 % are 2 GiB
	free.Store(total)
	cfg := small(vfs.NewMem())
	cfg.DiskEvery = time.Hour // the test looks itself
	cfg.FreeBytes = func() (uint64, uint64, error) { return free.Load(), total, nil }
	reg := prometheus.NewRegistry()
	s, err := Open(cfg, silent(), reg)
	check(t, err)
	defer s.Close()
	kept := direct(id.NewUser(), id.NewUser())
	add(s.Log(), kept).must(t)
	for _, c := range []struct {
		free uint64
		full bool
	}{{2<<30 - 1, true}, {1, true}, {2 << 30, false}, {0, true}, {total, false}} {
		free.Store(c.free)
		s.checkDisk()
		if (s.Healthy() != nil) != c.full {
			t.Fatalf("with %d bytes free: %v", c.free, s.Healthy())
		}
		reads, writes := calls(t, s)
		for name, err := range writes {
			if errors.Is(err, store.ErrBusy) != c.full {
				t.Errorf("%s with %d bytes free: %v", name, c.free, err)
			}
		}
		for name, err := range reads {
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s with %d bytes free: %v", name, c.free, err)
			}
		}
		same(t, "head", value(s.Log().Head(t.Context(), kept.Thread))(t), 1)
		same(t, "find", value(s.Log().Find(t.Context(), kept.ID))(t).Seq, 1)
	}
	families, err := reg.Gather()
	check(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "tolkflip_store_refused_total" && m.GetLabel()[0].GetValue() == "disk" {
				same(t, "refused", m.GetCounter().GetValue(), 3*17)
				return
			}
		}
	}
	t.Fatal("refusals are not counted")
}

// TestSmallDisk is refused by the absolute limit.
func TestSmallDisk(t *testing.T) {
	t.Parallel()
	cfg := small(vfs.NewMem())
	cfg.FreeBytes = func() (uint64, uint64, error) { return 256<<20 - 1, 1 << 30, nil }
	if s := open(t, cfg); s.Healthy() == nil {
		t.Fatal("healthy with less than 256 MiB free")
	}
}

// TestQueueBudgets holds a sync up, fills the queue and looks at what is refused.
func TestQueueBudgets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit func(*Config)
		fits int
		size int
	}{
		"items": {func(c *Config) { c.QueueItems = 7 }, 7, 10},
		"bytes": {func(c *Config) { c.QueueBytes = 7 * (1000 + 256 + 1) }, 7, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gate := newGateFS(vfs.NewMem())
			cfg := small(gate)
			applied := make(chan int, 100)
			cfg.faults.applied = func(n int) { applied <- n }
			cfg.Committers, cfg.Inflight = 1, 1
			c.edit(&cfg)
			s := open(t, cfg)
			u := id.NewUser()
			message := func() store.Message {
				m := direct(u, u)
				m.Content = make([]byte, c.size)
				return m
			}
			gate.set(true, nil)
			all := []appended{add(s.Log(), message())}
			<-applied // the committer has no second group: what comes now waits
			for range c.fits {
				all = append(all, add(s.Log(), message()))
			}
			if e := <-add(s.Log(), message()); !errors.Is(e.Err, store.ErrBusy) {
				t.Fatalf("over the budget: %v", e.Err)
			}
			marked := make(chan uint64, 1)
			s.Log().Mark(id.Direct(u, u), func(head uint64) { marked <- head })
			gate.set(false, nil)
			for i, done := range all {
				same(t, "seq", done.must(t).Seq, uint64(i)+1)
			}
			same(t, "mark", <-marked, uint64(len(all)))
			add(s.Log(), message()).must(t)
		})
	}
}

// TestCheckpoint copies a store while it is written to.
func TestCheckpoint(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := open(t, small(fs))
	u := id.NewUser()
	thread := direct(u, u).Thread
	const before = 300
	for range before {
		add(s.Log(), direct(u, u)).must(t)
	}
	_, _, err := s.Cursors().Advance(t.Context(), thread, u, store.Cursor{Read: 5})
	check(t, err)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				<-add(s.Log(), direct(u, u))
			}
		}
	}()
	check(t, s.Checkpoint("copy"))
	close(stop)
	<-stopped
	if err := s.Checkpoint("copy"); err == nil {
		t.Fatal("a checkpoint overwrote another")
	}
	cfg := small(fs)
	cfg.Dir = "copy"
	r := open(t, cfg)
	head := value(r.Log().Head(t.Context(), thread))(t)
	if head < before {
		t.Fatalf("the copy ends at %d", head)
	}
	for seq := uint64(0); seq < head; seq++ {
		page := value(r.Log().After(t.Context(), thread, seq, 1))(t)
		same(t, "seq", page[0].Seq, seq+1)
	}
	same(t, "cursor", value(r.Cursors().Of(t.Context(), u, []id.Thread{thread}))(t)[0].Read, 5)
	same(t, "next", add(r.Log(), direct(u, u)).must(t).Seq, head+1)
}

// TestRevocationsAreSwept looks at what is left in the table.
func TestRevocationsAreSwept(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_700_000_000_000)
	cfg := small(vfs.NewMem())
	cfg.Now = func() time.Time { return now }
	s := open(t, cfg)
	at := now.UnixMilli()
	for _, expires := range []int64{at - 1, at, at + 1, at + 1000} {
		check(t, s.Sessions().Revoke(t.Context(), store.Revocation{User: id.NewUser(), At: at, Expires: expires}))
	}
	left := func() (n int) {
		check(t, s.scan([]byte{tableRevocations}, []byte{tableRevocations + 1}, func(_, _ []byte) (bool, error) {
			n++
			return true, nil
		}))
		return n
	}
	same(t, "before", left(), 4)
	check(t, s.sweepRevocations())
	same(t, "after", left(), 2)
}
