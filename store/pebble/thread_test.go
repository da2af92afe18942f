package pebble

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// TestThreadsInMemoryAreBounded writes to many more threads than memory may know, twice.
func TestThreadsInMemoryAreBounded(t *testing.T) {
	t.Parallel()
	const threads, limit = 2000, 50
	cfg := small(vfs.NewMem())
	cfg.Threads, cfg.Committers, cfg.Pace = limit, 2, 0
	s := open(t, cfg)
	people := make([]id.User, threads)
	for i := range people {
		people[i] = id.NewUser()
	}
	for round := range 3 {
		for _, u := range people {
			if e := add(s.Log(), direct(u, u)).must(t); e.Seq != uint64(round)+1 {
				t.Fatalf("seq = %d in round %d", e.Seq, round)
			}
		}
		check(t, s.Settle()) // dirty threads are needed until then
		for _, c := range s.committers {
			c.mu.Lock()
			for range 10 * threads {
				c.evict()
			}
			n := len(c.threads)
			c.mu.Unlock()
			if n >= limit/2 {
				t.Fatalf("%d threads of at most %d in memory", n, limit/2)
			}
		}
	}
}

// TestAcquireRaces loads, writes, reads and evicts the same few threads from many goroutines.
func TestAcquireRaces(t *testing.T) {
	t.Parallel()
	cfg := small(vfs.NewMem())
	cfg.Threads, cfg.HotBytes, cfg.Committers, cfg.Pace = 1, 0, 2, 0
	s := open(t, cfg)
	people := make([]id.User, 6)
	for i := range people {
		people[i] = id.NewUser()
	}
	var wait sync.WaitGroup
	for range 4 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			floor := map[id.Thread]uint64{}
			for i := range 400 {
				m := direct(people[i%len(people)], people[i%len(people)])
				e := <-add(s.Log(), m)
				if e.Err != nil || e.Seq <= floor[m.Thread] {
					t.Errorf("seq %d after %d: %v", e.Seq, floor[m.Thread], e.Err)
				}
				floor[m.Thread] = e.Seq
				marked := make(chan uint64, 1)
				s.Log().Mark(m.Thread, func(head uint64) { marked <- head })
				head, err := s.Log().Head(context.Background(), m.Thread)
				if at := <-marked; err != nil || at < e.Seq || head < e.Seq {
					t.Errorf("acked %d, mark at %d, head %d: %v", e.Seq, at, head, err)
				}
			}
		}()
	}
	wait.Wait()
	total := uint64(0)
	for _, u := range people {
		total += value(s.Log().Head(t.Context(), id.Direct(u, u)))(t)
	}
	if total != 1600 {
		t.Fatalf("the heads add up to %d", total)
	}
}

// TestLoadMeetsEviction lets a thread be loaded, written to and evicted while another reads its head: the
// other must not believe what it read.
func TestLoadMeetsEviction(t *testing.T) {
	t.Parallel()
	cfg := small(vfs.NewMem())
	cfg.Threads, cfg.Committers = 1, 1
	var s *Store
	a, b := id.NewUser(), id.NewUser()
	m := direct(a, a)
	var met atomic.Bool
	cfg.faults.loading = func() {
		if met.Swap(true) {
			return
		}
		add(s.Log(), m).must(t)
		add(s.Log(), direct(a, a)).must(t)
		check(t, s.Settle())
		for {
			if _, there := s.committers[0].peek(m.Thread); !there {
				return
			}
			add(s.Log(), direct(b, id.NewUser())).must(t) // needs the room
		}
	}
	s = open(t, cfg)
	marked := make(chan uint64, 1)
	s.Log().Mark(m.Thread, func(head uint64) { marked <- head })
	if head := <-marked; head != 2 {
		t.Fatalf("mark at %d", head)
	}
	if e := add(s.Log(), direct(a, a)).must(t); e.Seq != 3 {
		t.Fatalf("seq = %d", e.Seq)
	}
}

// TestOrderIsRepaired loses power before the order of threads was flushed.
func TestOrderIsRepaired(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	cfg := small(fs)
	cfg.RecencyEvery = time.Hour // never by itself
	s := open(t, cfg)
	u := id.NewUser()
	peers := make([]id.User, 20)
	send := func(i int, at int64) {
		m := direct(u, peers[i])
		m.Sent = at
		add(s.Log(), m).must(t)
	}
	order := func(s *Store) (list []id.User) {
		of, _, err := s.Threads().ByUser(t.Context(), u, nil, 100)
		check(t, err)
		for _, v := range of {
			list = append(list, v.Peer)
		}
		return list
	}
	for i := range peers {
		peers[i] = id.NewUser()
		send(i, int64(i))
	}
	want := slices.Clone(peers)
	slices.Reverse(want)
	if got := order(s); !slices.Equal(got, want) {
		t.Fatal("the first messages are listed in their write")
	}
	for _, flush := range []bool{false, true} {
		for i := range peers {
			if i%3 == 0 {
				send(i, int64(1000+i))
			}
		}
		if got := order(s); !flush && !slices.Equal(got, want) {
			t.Fatal("the order moved before a flush: this test tests nothing")
		}
		if flush {
			check(t, s.Settle())
		}
		moved := order(open(t, small(fs.CrashClone(vfs.CrashCloneCfg{}))))
		wanted := slices.Clone(peers)
		slices.SortFunc(wanted, func(a, b id.User) int {
			rank := func(u id.User) int {
				i := slices.Index(peers, u)
				if i%3 == 0 {
					return -1000 - i
				}
				return -i
			}
			return rank(a) - rank(b)
		})
		if !slices.Equal(moved, wanted) {
			t.Fatalf("after a power loss (flushed %v) the order does not follow the log", flush)
		}
	}
	// A flush leaves nothing behind to repair.
	check(t, s.Settle())
	check(t, s.scan([]byte{tableLagging}, []byte{tableLagging + 1}, func(_, _ []byte) (bool, error) {
		t.Fatal("a lagging row is left")
		return false, nil
	}))
}

// TestFlushKeepsWhatIsOnItsWay flushes the order while a message of a thread is applied and not durable:
// the thread stays named, and a power loss right after the sync is repaired.
func TestFlushKeepsWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	gate := newGateFS(fs)
	cfg := small(gate)
	cfg.RecencyEvery, cfg.Inflight = time.Hour, 3
	applied := make(chan int, 100)
	cfg.faults.applied = func(n int) { applied <- n }
	s := open(t, cfg)
	a, b, c := id.NewUser(), id.NewUser(), id.NewUser()
	send := func(to id.User, at int64) appended {
		m := direct(a, to)
		m.Sent = at
		done := add(s.Log(), m)
		<-applied
		return done
	}
	send(b, 1).must(t)
	send(c, 2).must(t)
	send(b, 3).must(t) // b's thread is dirty and named
	gate.set(true, nil)
	late := send(b, 5) // under the mark that a flush would take away
	flushed := make(chan error, 1)
	go func() { flushed <- s.flushRecency() }()
	check(t, <-flushed) // does not wait for a sync
	gate.set(false, nil)
	late.must(t)
	send(c, 4).must(t) // syncs all before it
	clone := open(t, small(fs.CrashClone(vfs.CrashCloneCfg{})))
	list, _, err := clone.Threads().ByUser(t.Context(), a, nil, 10)
	check(t, err)
	if len(list) != 2 || list[0].Peer != b || list[0].Last.Sent != 5 {
		t.Fatalf("listed %+v", list)
	}
	check(t, s.Settle())
	check(t, s.Settle())
	check(t, s.scan([]byte{tableLagging}, []byte{tableLagging + 1}, func(_, _ []byte) (bool, error) {
		t.Fatal("a lagging row is left")
		return false, nil
	}))
}

// TestOrderSurvivesGroupDelete deletes groups while the order is flushed: none comes back.
func TestOrderSurvivesGroupDelete(t *testing.T) {
	t.Parallel()
	cfg := small(vfs.NewMem())
	cfg.Pace = 0
	s := open(t, cfg)
	u := id.NewUser()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				if err := s.Settle(); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	var groups []id.Thread
	for range 200 {
		g := store.Group{ID: id.NewGroup()}
		groups = append(groups, g.ID)
		check(t, s.Groups().Create(t.Context(), g, []store.Member{{User: u}}))
		m := direct(u, u)
		m.Thread, m.Receiver = g.ID, id.User{}
		add(s.Log(), m).must(t)
		check(t, s.Groups().Delete(t.Context(), g.ID))
	}
	close(stop)
	<-stopped
	check(t, s.Settle())
	for _, g := range groups {
		if _, found, err := s.threadRow(g); err != nil || found {
			t.Fatalf("the row of a deleted group is there: %v", err)
		}
	}
}

// BenchmarkByUser lists the newest fifty of a user's threads.
func BenchmarkByUser(b *testing.B) {
	cfg := Default()
	cfg.Dir, cfg.Fatal = b.TempDir(), nil
	s := open(b, cfg)
	u := id.NewUser()
	const direct5000 = 5000
	done := make(chan struct{}, direct5000)
	for i := range direct5000 {
		m := direct(u, id.NewUser())
		m.Sent = int64(i)
		s.Log().Append(&store.Entry{Message: m, Done: func(*store.Entry) { done <- struct{}{} }})
	}
	for range direct5000 {
		<-done
	}
	check(b, s.db.Flush())
	b.ReportAllocs()
	for b.Loop() {
		list, _, err := s.Threads().ByUser(b.Context(), u, nil, 50)
		if err != nil || len(list) != 50 {
			b.Fatalf("%d threads, %v", len(list), err)
		}
	}
}

// BenchmarkRegister creates users from many goroutines, as a load tool does.
func BenchmarkRegister(b *testing.B) {
	cfg := Default()
	cfg.Dir, cfg.Fatal = b.TempDir(), nil
	s := open(b, cfg)
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			u := id.NewUser()
			if err := s.Users().Create(b.Context(), store.User{ID: u, Phone: u.String()}); err != nil {
				b.Error(err)
			}
		}
	})
}
