package threadlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// failing gives a hook that fails a method while its switch is on.
func failing(method string, err error) (*atomic.Bool, func(string) error) {
	var on atomic.Bool
	return &on, func(m string) error {
		if m == method && on.Load() {
			return err
		}
		return nil
	}
}

// While the outcome of a write is unknown its sender, and who comes after, are told to come again. The same
// batch is written until it is in, so that a retry finds it.
func TestUnknownOutcome(t *testing.T) {
	for name, applied := range map[string]bool{"it was applied": true, "it was not": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newTable()
				down, hook := failing("Write", errDown)
				if applied {
					q.lateWith(hook)
				} else {
					q.failWith(hook)
				}
				l := open(t, testConfig(), q)
				wantErr(t, "first send", send(l, in(0, 1)).Err, nil)
				down.Store(true)
				content := []byte("mine")
				m := in(0, 2)
				m.Content = content
				wantErr(t, "send with an unknown outcome", send(l, m).Err, store.ErrBusy)
				copy(content, "gone") // the entry is its caller's again
				wantErr(t, "send behind it", send(l, in(0, 3)).Err, store.ErrBusy)
				if n := l.unknown.Load(); n != 1 {
					t.Errorf("%d threads with an unknown outcome", n)
				}
				wantErr(t, "send to another thread", send(l, in(1, 1)).Err, store.ErrBusy)
				if h, err := l.Head(t.Context(), m.Thread); h != 1 || err != nil {
					t.Errorf("head %d, %v", h, err)
				}
				heads := make(chan uint64, 1)
				l.Mark(m.Thread, func(head uint64) { heads <- head })
				if h := <-heads; h != 1 {
					t.Errorf("mark at %d", h)
				}
				down.Store(false)
				time.Sleep(2 * time.Second) //nolint:forbidigo // a bubble's clock
				m.Content = []byte("mine")
				if e := send(l, m); e.Err != nil || !e.Duplicate || e.Seq != 2 {
					t.Errorf("retry: seq %d, duplicate %v, %v", e.Seq, e.Duplicate, e.Err)
				}
				if e := send(l, in(0, 3)); e.Err != nil || e.Duplicate || e.Seq != 3 {
					t.Errorf("retry of what waited: seq %d, duplicate %v, %v", e.Seq, e.Duplicate, e.Err)
				}
				if n := l.unknown.Load(); n != 0 {
					t.Errorf("%d threads with an unknown outcome in the end", n)
				}
				list, err := l.After(t.Context(), m.Thread, 0, 10)
				if err != nil || len(list) != 3 || string(list[1].Content) != "mine" || string(q.rows[m.Thread][1].Content) != "mine" {
					t.Errorf("the log holds %d messages, %v", len(list), err)
				}
			})
		})
	}
}

func TestRefusedWriteEndsTheTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTable()
		down, hook := failing("Write", fmt.Errorf("unavailable: %w", ErrRefused))
		q.failWith(hook)
		l := open(t, testConfig(), q)
		down.Store(true)
		wantErr(t, "refused send", send(l, in(0, 1)).Err, store.ErrBusy)
		if n := q.calls["Write"]; n != 0 || l.unknown.Load() != 0 {
			t.Errorf("%d writes, %d unknown", n, l.unknown.Load())
		}
		down.Store(false)
		if e := send(l, in(0, 2)); e.Err != nil || e.Seq != 1 {
			t.Errorf("next send: seq %d, %v", e.Seq, e.Err)
		}
	})
}

// After one unknown outcome a refusal does not say that nothing was written.
func TestRefusalAfterAnUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTable()
		var calls atomic.Int32
		q.failWith(func(m string) error {
			if m != "Write" {
				return nil
			}
			switch calls.Add(1) {
			case 1:
				return errDown
			case 2, 3:
				return ErrRefused
			}
			return nil
		})
		l := open(t, testConfig(), q)
		m := in(0, 1)
		wantErr(t, "send", send(l, m).Err, store.ErrBusy)
		time.Sleep(2 * time.Second) //nolint:forbidigo // a bubble's clock
		if e := send(l, m); !e.Duplicate || e.Seq != 1 || calls.Load() != 4 {
			t.Errorf("retry: seq %d, duplicate %v, %v after %d writes", e.Seq, e.Duplicate, e.Err, calls.Load())
		}
	})
}

func TestUnknownBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, cfg := newTable(), testConfig()
		cfg.UnknownThreads = 3
		down, hook := failing("Write", errDown)
		q.failWith(hook)
		l := open(t, cfg, q)
		down.Store(true)
		for slot := range 3 {
			wantErr(t, "send", send(l, in(slot, 1)).Err, store.ErrBusy)
		}
		q.mu.Lock()
		looked := q.calls["Lookup"]
		q.mu.Unlock()
		wantErr(t, "send over the budget", send(l, in(3, 1)).Err, store.ErrBusy)
		q.mu.Lock()
		if q.calls["Lookup"] != looked {
			t.Error("a send over the budget was tried")
		}
		q.mu.Unlock()
		down.Store(false)
		time.Sleep(2 * time.Second) //nolint:forbidigo // a bubble's clock
		wantErr(t, "send after it", send(l, in(3, 1)).Err, nil)
	})
}

func TestQueueBudgets(t *testing.T) {
	for name, edit := range map[string]func(*Config){
		"items":  func(cfg *Config) { cfg.QueueItems = 5 },
		"bytes":  func(cfg *Config) { cfg.QueueBytes = 5 * (256 + len("hello")) },
		"thread": func(cfg *Config) { cfg.ThreadItems = 4 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := testConfig()
				edit(&cfg)
				l := open(t, cfg, newTable())
				release := make(chan struct{})
				results := make(chan *store.Entry, 20)
				first := &store.Entry{Message: in(0, 1), Done: func(e *store.Entry) {
					<-release
					results <- e
				}}
				l.Append(first)
				synctest.Wait()
				for n := range 10 {
					l.Append(&store.Entry{Message: in(0, n+2), Done: func(e *store.Entry) { results <- e }})
				}
				busy := 0
				for range len(results) {
					e := <-results
					wantErr(t, "refused", e.Err, store.ErrBusy)
					busy++
				}
				close(release)
				for range 11 - busy {
					wantErr(t, "taken", (<-results).Err, nil)
				}
				if taken := 10 - busy; taken < 4 || taken > 5 {
					t.Errorf("%d waited", taken)
				}
				if n, size := l.budget.items.Load(), l.budget.bytes.Load(); n != 0 || size != 0 {
					t.Errorf("budget ends at %d, %d bytes", n, size)
				}
			})
		})
	}
}

// A store that does not answer refuses sends, and reads say that they may go well another time.
func TestOutage(t *testing.T) {
	for _, method := range []string{"Hint", "Indexed", "Rows", "Lookup", "Version"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newTable()
				down, hook := failing(method, errDown)
				q.failWith(hook)
				l := open(t, testConfig(), q)
				down.Store(true)
				m := in(0, 1)
				wantErr(t, "send", send(l, m).Err, store.ErrBusy)
				marked := make(chan uint64, 1)
				l.Mark(m.Thread, func(head uint64) { marked <- head })
				_, err := l.Head(t.Context(), in(1, 1).Thread)
				if method != "Lookup" {
					wantErr(t, "head of a thread that is not in memory", err, store.ErrBusy)
				}
				time.Sleep(5 * time.Second) //nolint:forbidigo // a bubble's clock
				down.Store(false)
				<-marked
				time.Sleep(2 * time.Second) //nolint:forbidigo // a bubble's clock
				if e := send(l, m); e.Err != nil || e.Seq != 1 {
					t.Errorf("retry: seq %d, %v", e.Seq, e.Err)
				}
			})
		})
	}
}

// Work off the path is repeated until it is done.
func TestOffThePathRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, cfg := newTable(), testConfig()
		var failures atomic.Int32
		q.failWith(func(m string) error {
			if (m == "Index" || m == "SetIndexed" || m == "SetBucket") && failures.Add(1)%3 != 0 {
				return errDown
			}
			return nil
		})
		var told atomic.Int32
		cfg.Recent = func(_ context.Context, list []Recent) error {
			if told.Add(1)%3 != 0 {
				return errDown
			}
			if len(list) != 1 || list[0].Last.Seq != 40 || list[0].Last.Text != "hello" || !list[0].Group() {
				t.Errorf("told of %+v", list)
			}
			return nil
		}
		l := open(t, cfg, q)
		l.shape.bucketBits = 4
		q.bits = 4
		for n := range 40 {
			if e := send(l, in(0, n+1)); e.Err != nil || e.Seq != uint64(n+1) {
				t.Fatalf("send %d: seq %d, %v", n, e.Seq, e.Err)
			}
		}
		time.Sleep(10 * time.Second) //nolint:forbidigo // a bubble's clock
		thread := in(0, 1).Thread
		q.mu.Lock()
		if len(q.ids) != 40 || q.indexed[bucketKey{thread, 2}] != 40 || q.indexed[bucketKey{thread, 1}] != 32 || q.hints[thread].Bucket != 2 {
			t.Errorf("%d ids, indexed %v, hint %+v", len(q.ids), q.indexed, q.hints[thread])
		}
		q.mu.Unlock()
		if l.ids.len() != 0 || l.lives.Load() != 0 || told.Load() != 3 {
			t.Errorf("%d ids in memory, %d things under way, told %d times", l.ids.len(), l.lives.Load(), told.Load())
		}
	})
}

// Close waits for what is on its way, but not for ever.
func TestCloseInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTable()
		l := open(t, testConfig(), q)
		wantErr(t, "send", send(l, in(0, 1)).Err, nil)
		gate := make(chan struct{})
		q.failWith(func(m string) error {
			if m == "Write" {
				<-gate
				return context.Canceled
			}
			return nil
		})
		context.AfterFunc(l.ctx, func() { close(gate) }) // as a driver's call ends with its context
		results := make(chan error, 2)
		for n := range 2 {
			l.Append(&store.Entry{Message: in(0, n+2), Done: func(e *store.Entry) { results <- e.Err }})
		}
		start := time.Now()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d != l.cfg.CloseTimeout {
			t.Errorf("close took %v", d)
		}
		for range 2 {
			wantErr(t, "what was on its way", <-results, store.ErrClosed)
		}
		if n := l.budget.items.Load(); n != 0 {
			t.Errorf("budget ends at %d", n)
		}
	})
}

// A direct thread's rows are in before seq 1 is acked, and written again where a former owner may not have.
func TestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTable()
		down, hook := failing("First", errDown)
		q.failWith(hook)
		l := open(t, testConfig(), q)
		a, b := id.User{ID: id.ID{9}}, id.User{ID: id.ID{3}}
		m := store.Message{ID: id.Message{ID: id.ID{1}}, Thread: id.Direct(a, b), Sender: a, Receiver: b, Sent: 77, Content: []byte("hi")}
		down.Store(true)
		wantErr(t, "send", send(l, m).Err, store.ErrBusy)
		if h, err := l.Head(t.Context(), m.Thread); h != 0 || err != nil {
			t.Errorf("head %d, %v before the rows are in", h, err)
		}
		down.Store(false)
		next := open(t, func() Config { c := testConfig(); c.TakeOver = true; return c }(), q)
		if e := send(next, m); e.Err != nil || !e.Duplicate || e.Seq != 1 {
			t.Errorf("retry at the next owner: %+v", e)
		}
		if f := q.firsts[m.Thread]; f != (First{Thread: m.Thread, A: b, B: a, Created: 77}) {
			t.Errorf("first rows %+v", f)
		}
	})
}

// The next owner writes what may not be final again under its own epoch.
func TestRewrite(t *testing.T) {
	q := newTable()
	q.bits = 3
	thread := in(0, 1).Thread
	var rows []Row
	for n := range 11 {
		m := in(0, n+1)
		m.Seq = uint64(n + 1)
		rows = append(rows, Row{Term{Epoch: 1}, m})
	}
	late := in(0, 99)
	late.Seq = 12
	q.rows[thread] = append(rows, Row{Term{}, late}) // left by an owner before
	q.indexed[bucketKey{thread, 0}] = 8
	q.slots.Version = 4
	var order []uint64
	l, err := try(t, testConfig(), q)
	if err != nil {
		t.Fatal(err)
	}
	l.shape.bucketBits, l.shape.rewrite = 3, 2
	q.wrote = func(under Term, list []store.Message) {
		if under != (Term{5, 11}) {
			t.Errorf("written under %+v", under)
		}
		for i := range list {
			order = append(order, list[i].Seq)
		}
	}
	if h, err := l.Head(t.Context(), thread); h != 11 || err != nil {
		t.Fatalf("head %d, %v", h, err)
	}
	if want := []uint64{9, 10, 11}; !slices.Equal(order, want) {
		t.Errorf("written again in the order %v, want %v", order, want)
	}
	if e := send(l, late); e.Err != nil || e.Duplicate || e.Seq != 12 {
		t.Errorf("what was left above the end: seq %d, %v", e.Seq, e.Err)
	}
}

func TestHigherEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, cfg := newTable(), testConfig()
		told := 0
		cfg.Deposed = func(error) { told++ }
		l := open(t, cfg, q)
		steal(q, allSlots()...)
		m := in(0, 1)
		m.Seq = 1
		if err := q.Write(t.Context(), m.Thread, 0, Term{Epoch: 2}, []store.Message{m}); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "send", send(l, in(0, 2)).Err, store.ErrDeposed)
		if told != 1 || q.calls["Version"] != 0 {
			t.Errorf("deposed %d times, %d fence reads", told, q.calls["Version"])
		}
	})
}

// A store that lost what it had acknowledged is not written to as if the log ended there.
func TestLostRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTable()
		thread := in(0, 1).Thread
		q.indexed[bucketKey{thread, 0}] = 7
		l := open(t, testConfig(), q)
		wantErr(t, "send", send(l, in(0, 1)).Err, store.ErrBusy)
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.calls["Write"] != 0 {
			t.Error("it was written to")
		}
	})
}

func TestLookupsAndFencesAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, cfg := newTable(), testConfig()
		cfg.LookupCalls, cfg.FenceCalls = 1, 1
		l := open(t, cfg, q)
		const n = 40
		for slot := range n {
			wantErr(t, "first send", send(l, in(slot, 1)).Err, nil)
		}
		gates := map[string]chan struct{}{"Lookup": make(chan struct{}), "Version": make(chan struct{})}
		q.failWith(func(m string) error {
			if gate := gates[m]; gate != nil {
				<-gate
			}
			return nil
		})
		q.mu.Lock()
		clear(q.calls)
		q.mu.Unlock()
		results := make(chan error, n)
		for slot := range n {
			l.Append(&store.Entry{Message: in(slot, 2), Done: func(e *store.Entry) { results <- e.Err }})
		}
		synctest.Wait()
		close(gates["Lookup"])
		synctest.Wait()
		close(gates["Version"])
		for range n {
			wantErr(t, "send", <-results, nil)
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.calls["Lookup"] > 3 || q.calls["Version"] > 3 || q.calls["Write"] != n {
			t.Errorf("%d threads took %v", n, q.calls)
		}
	})
}

func TestEviction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, cfg := newTable(), testConfig()
		cfg.Threads = shardCount
		l := open(t, cfg, q)
		const threads = 500
		for n := range threads {
			m := in(n, 1)
			m.ID.ID[4] = byte(n >> 8)
			m.Thread.ID[13], m.Thread.ID[14] = byte(n), byte(n>>8)
			wantErr(t, "send", send(l, m).Err, nil)
			time.Sleep(time.Second) //nolint:forbidigo // a bubble's clock
		}
		n := 0
		for i := range l.shards {
			n += len(l.shards[i].threads)
			if len(l.shards[i].threads) != len(l.shards[i].order) {
				t.Error("a shard's map and order differ")
			}
		}
		if n > 2*shardCount {
			t.Errorf("%d threads in memory", n)
		}
		again := in(0, 1)
		again.Thread.ID[13], again.Thread.ID[14] = 0, 0
		if e := send(l, again); !e.Duplicate || e.Seq != 1 {
			t.Errorf("retry in a thread that had left memory: %+v", e)
		}
	})
}

func TestWorkersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, cfg := newTable(), testConfig()
		cfg.Workers = 5
		var now, most atomic.Int32
		q.failWith(func(m string) error {
			if m == "Write" {
				n := now.Add(1)
				defer now.Add(-1)
				if n > most.Load() {
					most.Store(n)
				}
				time.Sleep(time.Millisecond) //nolint:forbidigo // a bubble's clock
			}
			return nil
		})
		l := open(t, cfg, q)
		results := make(chan error, 200)
		for slot := range 200 {
			l.Append(&store.Entry{Message: in(slot, 1), Done: func(e *store.Entry) { results <- e.Err }})
		}
		for range 200 {
			wantErr(t, "send", <-results, nil)
		}
		if n := most.Load(); n != 5 {
			t.Errorf("%d writes at once", n)
		}
		time.Sleep(time.Second) //nolint:forbidigo // a bubble's clock
		synctest.Wait()
		if running, waiting := l.run.load(); running != 0 || waiting != 0 {
			t.Errorf("%d goroutines, %d jobs with nothing to do", running, waiting)
		}
	})
}

func TestReadsEndWithTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTable()
		gate := make(chan struct{})
		q.failWith(func(m string) error {
			if m == "Hint" {
				<-gate
			}
			return nil
		})
		l := open(t, testConfig(), q)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := l.Head(ctx, in(0, 1).Thread)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("head: %v", err)
		}
		close(gate)
	})
}
