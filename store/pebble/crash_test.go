package pebble

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/storetest"
)

// storm is senders and readers on a store whose file system can be cloned as a power loss would leave it.
type storm struct {
	t       *testing.T
	fs      *vfs.MemFS
	s       *Store
	history *storetest.History
	seed    uint64
	people  []id.User
	threads []store.Message // models: thread, sender, receiver

	mu      sync.Mutex
	moved   sync.Cond // acks, quota or stopped changed
	acks    int
	quota   int // sends that are allowed, so that nothing is sent while a clone is verified
	stopped bool

	wait sync.WaitGroup
}

const stormWindow = 64 // in flight, a sender

func crashConfig(fs vfs.FS, seed uint64) Config {
	cfg := small(fs)
	cfg.MemTableBytes = 256 << 10 // flushes and compactions meet the crashes too
	cfg.Committers = 1 + int(seed%4)
	cfg.Pace = time.Duration(seed/4%2) * 100 * time.Microsecond
	cfg.HotBytes, cfg.Threads = 1<<20, 8
	cfg.GroupMessages = 40
	// Crashes meet the journal long, short and being filed, as tables and as rows.
	cfg.FileEvery = []time.Duration{time.Millisecond, 5 * time.Millisecond, time.Hour}[seed%3]
	cfg.FileTables = []int{1, 32, 1 << 20}[seed/3%3]
	cfg.FileMessages = []int{16, 256, 1 << 20}[seed/9%3]
	return cfg
}

func newStorm(t *testing.T, seed uint64, edit func(*Config)) *storm {
	w := &storm{t: t, fs: vfs.NewCrashableMem(), history: storetest.NewHistory(true), seed: seed}
	w.moved.L = &w.mu
	cfg := crashConfig(w.fs, seed)
	edit(&cfg)
	w.s = open(t, cfg)
	for range 5 {
		w.people = append(w.people, id.NewUser())
	}
	for i, a := range w.people {
		w.threads = append(w.threads, store.Message{Thread: id.NewGroup(), Sender: a})
		for _, b := range w.people[i:] {
			w.threads = append(w.threads, store.Message{Thread: id.Direct(a, b), Sender: a, Receiver: b})
		}
	}
	for i := range 4 {
		w.wait.Add(1)
		go w.send(rand.New(rand.NewPCG(seed, uint64(i))))
	}
	w.wait.Add(1)
	go w.read(rand.New(rand.NewPCG(seed, 99)))
	return w
}

// send sends new messages and, now and then, an old one again.
func (w *storm) send(rng *rand.Rand) {
	defer w.wait.Done()
	window := make(chan struct{}, stormWindow)
	var mine []store.Message
	for w.may() {
		window <- struct{}{}
		m := w.threads[rng.IntN(len(w.threads))]
		if len(mine) > 0 && rng.IntN(8) == 0 {
			m = mine[rng.IntN(len(mine))]
		} else {
			m.ID = id.Message{ID: id.NewGroup().ID}
			m.Content = fmt.Appendf(nil, "%0*d", 1+rng.IntN(400), rng.Uint64())
			mine = append(mine, m)
			w.history.Sent(m)
		}
		m.Sent = 1_700_000_000_000 + rng.Int64N(1000)
		w.s.Log().Append(&store.Entry{Message: m, Done: func(e *store.Entry) {
			if e.Err != nil {
				w.t.Errorf("append: %v", e.Err)
			} else {
				w.history.Acked(e.Message, e.Duplicate, true)
			}
			w.mu.Lock()
			w.acks++
			w.moved.Broadcast()
			w.mu.Unlock()
			<-window
		}})
	}
	for range stormWindow {
		window <- struct{}{} // all are answered
	}
}

// may waits until one more send is allowed, and is false at the end.
func (w *storm) may() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.quota == 0 && !w.stopped {
		w.moved.Wait()
	}
	w.quota--
	return !w.stopped
}

// read reads the tails of threads while they grow.
func (w *storm) read(rng *rand.Rand) {
	defer w.wait.Done()
	at := map[id.Thread]uint64{}
	for i, acks := 0, 0; ; i++ {
		w.mu.Lock()
		for w.acks == acks && !w.stopped {
			w.moved.Wait()
		}
		acks = w.acks
		stopped := w.stopped
		w.mu.Unlock()
		if stopped {
			return
		}
		t := w.threads[rng.IntN(len(w.threads))].Thread
		page, err := w.s.Log().After(context.Background(), t, at[t], 50)
		if err != nil {
			w.t.Errorf("read: %v", err)
			return
		}
		w.history.Shown(page...)
		if len(page) > 0 {
			at[t] = page[len(page)-1].Seq
		}
		if i%50 == 0 {
			if err := w.s.Settle(); err != nil {
				w.t.Errorf("settle: %v", err)
			}
		}
	}
}

// crash clones the disk after so many more acks, and gives what was told until then.
func (w *storm) crash(rng *rand.Rand, acks int) (*vfs.MemFS, *storetest.History) {
	w.mu.Lock()
	w.quota = acks + 100
	w.moved.Broadcast()
	for until := w.acks + acks; w.acks < until; {
		w.moved.Wait()
	}
	w.mu.Unlock()
	cut := w.history.Cut()
	clone := w.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(5) * 25, RNG: rng})
	cut.SentAll(w.history)
	return clone, cut
}

func (w *storm) end() {
	w.mu.Lock()
	w.stopped = true
	w.moved.Broadcast()
	w.mu.Unlock()
	w.wait.Wait()
}

// verify opens a clone and gives what it does not honour.
func (w *storm) verify(clone *vfs.MemFS, cut *storetest.History) []storetest.Violation {
	s := open(w.t, crashConfig(clone, w.seed))
	defer s.Close()
	w.verifyOrder(s)
	return w.verifyLog(s, cut)
}

// verifyLog gives what an opened clone's log does not honour.
func (w *storm) verifyLog(s *Store, cut *storetest.History) []storetest.Violation {
	log := s.Log()
	read := func(t id.Thread, after uint64) ([]store.Message, error) {
		return log.After(context.Background(), t, after, 1000)
	}
	found, err := cut.CheckLog(log, read, func(m id.Message) (store.Message, error) { return log.Find(context.Background(), m) })
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// verifyOrder checks that the lists of threads follow the log, as they are found and with what it holds.
func (w *storm) verifyOrder(s *Store) {
	for _, u := range w.people {
		list, _, err := s.Threads().ByUser(context.Background(), u, nil, 100)
		if err != nil {
			w.t.Fatal(err)
		}
		if !slices.IsSortedFunc(list, func(a, b store.ThreadOf) int { return int(b.Last.Sent - a.Last.Sent) }) {
			w.t.Error("a user's list of threads does not follow the log")
		}
		there := map[id.Thread]bool{}
		for _, of := range list {
			there[of.ID] = true
			if of.Head == 0 || of.Head != of.Last.Seq {
				w.t.Errorf("listed with head %d, newest message %d", of.Head, of.Last.Seq)
			}
		}
		for _, m := range w.threads {
			head, err := s.Log().Head(context.Background(), m.Thread)
			if err != nil {
				w.t.Fatal(err)
			}
			mine := m.Receiver == u || m.Sender == u && !m.Receiver.IsZero()
			if mine && there[m.Thread] != (head > 0) {
				w.t.Errorf("thread with head %d listed: %v", head, there[m.Thread])
			}
		}
	}
}

// TestCrash clones the disk of a busy store at random instants, as a power loss would leave it, and opens
// each clone.
func TestCrash(t *testing.T) {
	t.Parallel()
	const storms, clones = 8, 8
	for i := range storms {
		seed := uint64(time.Now().UnixNano())&^7 + uint64(i)
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			w := newStorm(t, seed, func(*Config) {})
			rng := rand.New(rand.NewPCG(seed, 1000))
			for range clones {
				clone, cut := w.crash(rng, 1+rng.IntN(150))
				if found := w.verify(clone, cut); len(found) > 0 {
					t.Errorf("%d violations, the first: %v", len(found), found[0])
				}
			}
			w.end()
			sent, acked := w.history.Size()
			t.Logf("%d messages sent, %d acked, %d clones", sent, acked, clones)
		})
	}
}

// TestCrashIsNoticed breaks the store on purpose: the checker of TestCrash must say so.
func TestCrashIsNoticed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit func(*Config)
		want []storetest.Kind
	}{
		"sync off":       {func(c *Config) { c.faults.noSync = true }, []storetest.Kind{storetest.Lost}},
		"dedup off":      {func(c *Config) { c.faults.noDedup = true }, []storetest.Kind{storetest.Copied, storetest.Twice}},
		"a seq left out": {func(c *Config) { c.faults.skip = oneIn(100) }, []storetest.Kind{storetest.Hole}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			w := newStorm(t, seed, c.edit)
			rng := rand.New(rand.NewPCG(seed, 1000))
			seen := map[storetest.Kind]bool{}
			for range 6 {
				clone, cut := w.crash(rng, 200)
				s := open(t, crashConfig(clone, seed))
				for _, v := range w.verifyLog(s, cut) {
					seen[v.Kind] = true
				}
			}
			w.end()
			for _, k := range c.want {
				if !seen[k] {
					t.Errorf("the checker did not notice: %s (it found %v)", k, seen)
				}
			}
		})
	}
}

// oneIn is true once in n calls. It is called by several committers.
func oneIn(n int) func() bool {
	var mu sync.Mutex
	calls := 0
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		calls++
		return calls%n == 0
	}
}
