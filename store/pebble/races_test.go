package pebble

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// signed is a message whose content proves itself.
func signed(u id.User, n int) store.Message {
	m := direct(u, u)
	m.Content = fmt.Appendf(nil, "%d of %s %0*d ", n, m.Thread, n%700, n)
	m.Content = fmt.Appendf(m.Content, "%08x", crc32.ChecksumIEEE(m.Content))
	return m
}

// whole reports whether a message is as signed made it.
func whole(m *store.Message) bool {
	n := len(m.Content) - 8
	return n > 0 && fmt.Sprintf("%08x", crc32.ChecksumIEEE(m.Content[:n])) == string(m.Content[n:]) && string(m.ClientID) == "c"
}

// TestWindowEvictionMeetsReads: readers go through threads while the window of newest messages, which is far
// smaller than they are, moves on below them. Every page is without a hole, and stays what it was.
func TestWindowEvictionMeetsReads(t *testing.T) {
	t.Parallel()
	cfg := small(vfs.NewMem())
	cfg.HotBytes, cfg.Committers, cfg.Pace = 16<<10, 2, 0
	s := open(t, cfg)
	people := make([]id.User, 6)
	for i := range people {
		people[i] = id.NewUser()
		add(s.Log(), signed(people[i], 0)).must(t)
	}
	var writers, readers sync.WaitGroup
	var over atomic.Bool
	for w := range 3 {
		writers.Go(func() {
			for n := range 600 {
				if e := <-add(s.Log(), signed(people[(w+3*n)%len(people)], n)); e.Err != nil {
					t.Errorf("append: %v", e.Err)
				}
			}
		})
	}
	for r := range 4 {
		readers.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(r)))
			var kept []store.Message
			for last := false; !last && !t.Failed(); {
				last = over.Load() // once more when all is written
				kept = readPage(t, s, people[random.IntN(len(people))], random, kept)
			}
		})
	}
	writers.Wait()
	over.Store(true)
	readers.Wait()
}

// readPage reads somewhere in a person's thread, checks what it gets, and looks again at what an
// earlier call got.
func readPage(t *testing.T, s *Store, u id.User, random *rand.Rand, kept []store.Message) []store.Message {
	thread := id.Direct(u, u)
	head, err := s.Log().Head(context.Background(), thread)
	if err != nil || head == 0 {
		t.Errorf("head %d: %v", head, err)
		return nil
	}
	near := uint64(random.IntN(int(min(head, 40)))) // mostly where the window ends
	if random.IntN(4) == 0 {
		near = uint64(random.Int64N(int64(head)))
	}
	limit := 1 + random.IntN(60)
	var list []store.Message
	first := head - near
	if random.IntN(2) == 0 {
		list, err = s.Log().After(context.Background(), thread, first-1, limit)
	} else {
		if list, err = s.Log().Before(context.Background(), thread, first+1, limit); len(list) > 0 {
			first = first + 1 - uint64(len(list))
		}
		if want := min(uint64(limit), head-near); uint64(len(list)) != want {
			t.Errorf("%d messages up to %d, want %d", len(list), head-near, want)
		}
	}
	if err != nil || len(list) == 0 {
		t.Errorf("%d messages at %d of %d: %v", len(list), first, head, err)
	}
	for i := range list {
		if m := &list[i]; m.Seq != first+uint64(i) || m.Thread != thread || m.Sender != u || !whole(m) {
			t.Errorf("seq %d, want %d; whole %v", m.Seq, first+uint64(i), whole(m))
			break
		}
	}
	for i := range kept {
		if !whole(&kept[i]) {
			t.Errorf("what was read before has changed: seq %d", kept[i].Seq)
			break
		}
	}
	return list
}

// asked is one Append, and how often its Done was called.
type asked struct {
	store.Entry
	done atomic.Int32
}

// TestCloseWithAppendsInFlight closes a store at a random moment while many append to it, some of whose
// messages wait for a sync: the Done of each is called exactly once, before Close has returned if Append had
// been called before Close, and what was acked is there when the store is opened again.
func TestCloseWithAppendsInFlight(t *testing.T) {
	t.Parallel()
	for round := range 8 {
		closeInFlight(t, round)
		if t.Failed() {
			return
		}
	}
}

func closeInFlight(t *testing.T, round int) {
	t.Helper()
	random := rand.New(rand.NewPCG(7, uint64(round)))
	gate := newGateFS(vfs.NewMem())
	cfg := small(gate)
	cfg.Committers, cfg.QueueItems = 2, 64
	cfg.Fatal = func(err error) { t.Errorf("fatal: %v", err) }
	s, err := Open(cfg, silent(), nil)
	if err != nil {
		t.Fatal(err)
	}
	people := []id.User{id.NewUser(), id.NewUser(), id.NewUser()}
	var all [4][400]asked
	var appending sync.WaitGroup
	began := make(chan struct{}, 1<<16)
	early := make(chan struct{}) // closed when Close is about to be called
	var before [4]atomic.Int32   // how many of all were asked for by then
	for g := range all {
		appending.Go(func() {
			for n := range all[g] {
				a := &all[g][n]
				a.Message = signed(people[(g+n)%len(people)], n)
				a.Done = func(*store.Entry) { a.done.Add(1) }
				s.Log().Append(&a.Entry)
				select {
				case <-early:
				default:
					before[g].Store(int32(n + 1))
				}
				began <- struct{}{}
			}
		})
	}
	hold := random.IntN(600)
	for n := range 100 + random.IntN(1200) {
		if n == hold {
			gate.set(true, nil) // what comes now waits for its sync
		}
		<-began
	}
	close(early)
	closing := make(chan error, 1)
	go func() { closing <- s.Close() }()
	gate.set(false, nil)
	if err := <-closing; err != nil {
		t.Errorf("close: %v", err)
	}
	for g := range all {
		for n := range before[g].Load() {
			if n := all[g][n].done.Load(); n != 1 {
				t.Errorf("round %d: Close has returned, and Done was called %d times", round, n)
				return
			}
		}
	}
	appending.Wait()
	acked := 0
	again := open(t, cfg)
	seen := map[id.Thread]map[uint64]bool{}
	for g := range all {
		for n := range all[g] {
			a := &all[g][n]
			if n := a.done.Load(); n != 1 {
				t.Errorf("round %d: Done was called %d times", round, n)
				return
			}
			if a.Err != nil {
				if !errors.Is(a.Err, store.ErrClosed) && !errors.Is(a.Err, store.ErrBusy) {
					t.Errorf("refused with %v", a.Err)
				}
				continue
			}
			acked++
			if seen[a.Thread] == nil {
				seen[a.Thread] = map[uint64]bool{}
			}
			if seen[a.Thread][a.Seq] {
				t.Errorf("seq %d twice", a.Seq)
			}
			seen[a.Thread][a.Seq] = true
			if m := value(again.Log().Find(t.Context(), a.ID))(t); m.Seq != a.Seq || !whole(&m) {
				t.Errorf("acked as %d, found at %d", a.Seq, m.Seq)
			}
		}
	}
	for thread, seqs := range seen {
		head := value(again.Log().Head(t.Context(), thread))(t)
		if uint64(len(seqs)) > head {
			t.Errorf("%d acked, the head is %d", len(seqs), head)
		}
	}
	if acked == 0 {
		t.Errorf("round %d: nothing was acked", round)
	}
}
