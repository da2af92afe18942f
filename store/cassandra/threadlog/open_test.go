package threadlog

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

var errDown = errors.New("down")

// try opens a log and closes it at the test's end if it was opened.
func try(t testing.TB, cfg Config, q Quorum) (*Log, error) {
	t.Helper()
	l, err := Open(context.Background(), cfg, q, slog.New(slog.DiscardHandler), nil)
	if err == nil {
		t.Cleanup(func() { _ = l.Close() })
	}
	return l, err
}

func TestOpenRefusesBesideALivingNode(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	other := Member{Node: Node{7}, Address: "host-7:/data", PID: 77, Beat: now.UnixMilli() - 14_999}
	for name, c := range map[string]struct {
		edit    func(*Config, *Member)
		refused bool
	}{
		"a fresh beat":      {func(*Config, *Member) {}, true},
		"a beat to come":    {func(_ *Config, m *Member) { m.Beat += 60_000 }, true},
		"a stale beat":      {func(_ *Config, m *Member) { m.Beat-- }, false},
		"its own beat":      {func(cfg *Config, m *Member) { m.Node = cfg.Node }, false},
		"told to take over": {func(cfg *Config, _ *Member) { cfg.TakeOver = true }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q, cfg, m := newTable(), testConfig(), other
			cfg.Now = func() time.Time { return now }
			c.edit(&cfg, &m)
			q.nodes[m.Node] = m
			_, err := try(t, cfg, q)
			var inUse *InUseError
			if errors.As(err, &inUse) != c.refused || err != nil && !c.refused {
				t.Fatalf("open: %v", err)
			}
			if !c.refused {
				return
			}
			if inUse.Node != m.Node || !strings.Contains(err.Error(), m.Node.String()) || !strings.Contains(err.Error(), m.Address) {
				t.Errorf("the error does not name the other node: %v", err)
			}
			if q.slots.Version != 0 || len(q.nodes) != 1 {
				t.Error("a refused open took slots or left a beat")
			}
		})
	}
}

func TestOpenTakesAgainAfterAnUnknownOutcome(t *testing.T) {
	for name, applied := range map[string]bool{"it was applied": true, "it was not": false} {
		t.Run(name, func(t *testing.T) {
			q := newTable()
			var takes atomic.Int32
			hook := func(method string) error {
				if method == "Take" && takes.Add(1) == 1 {
					return errDown
				}
				return nil
			}
			if applied {
				q.lateWith(hook)
			} else {
				q.failWith(hook)
			}
			l, err := try(t, testConfig(), q)
			if err != nil {
				t.Fatal(err)
			}
			if takes.Load() != 2 || l.version.Load() != q.slots.Version || int64(l.epochs[5].Load()) != q.slots.Version {
				t.Errorf("%d takes, version %d, epoch %d, stored %d", takes.Load(), l.version.Load(), l.epochs[5].Load(), q.slots.Version)
			}
		})
	}
}

func TestOpenGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, method := range []string{"Nodes", "Beat", "Slots", "Take"} {
			q := newTable()
			q.failWith(func(m string) error {
				if m == method {
					return errDown
				}
				return nil
			})
			if _, err := try(t, testConfig(), q); !errors.Is(err, errDown) {
				t.Errorf("%s fails: open says %v", method, err)
			}
		}
		q := newTable()
		q.slots.Version = maxEpoch
		if _, err := try(t, testConfig(), q); err == nil {
			t.Error("an epoch that no timestamp holds was taken")
		}
	})
}

func TestCloseLeaves(t *testing.T) {
	q := newTable()
	l, err := try(t, testConfig(), q)
	if err != nil {
		t.Fatal(err)
	}
	if len(q.nodes) != 1 {
		t.Fatalf("%d nodes beat", len(q.nodes))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if len(q.nodes) != 0 {
		t.Error("a closed log's beat stays")
	}
}

func TestBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTable()
		l, err := try(t, testConfig(), q)
		if err != nil {
			t.Fatal(err)
		}
		first, _ := q.beats(l.cfg.Node)
		time.Sleep(21 * time.Second) //nolint:forbidigo // a bubble's clock
		synctest.Wait()
		at, n := q.beats(l.cfg.Node)
		if n != 5 {
			t.Errorf("%d beats in 21 s", n)
		}
		if at != first+20_000 {
			t.Errorf("the beat of 20 s says %d ms", at-first)
		}
	})
}

// steal gives slots to another node, as its Take would.
func steal(q *table, slots ...int) {
	_ = q.do(context.Background(), "Take", func() {
		q.slots.Version++
		for _, i := range slots {
			q.slots.Owner[i], q.slots.Epoch[i] = Node{9}, uint32(q.slots.Version)
		}
	})
}

func allSlots() []int {
	list := make([]int, SlotCount)
	for i := range list {
		list[i] = i
	}
	return list
}

// send appends a message and waits for its outcome.
func send(l *Log, m store.Message) *store.Entry {
	done := make(chan *store.Entry, 1)
	l.Append(&store.Entry{Message: m, Done: func(e *store.Entry) { done <- e }})
	return <-done
}

// in makes a message of the group in a slot.
func in(slot, n int) store.Message {
	return store.Message{
		ID: id.Message{ID: id.ID{1, byte(slot), byte(n), byte(n >> 8)}}, Thread: id.Thread{ID: id.ID{1, 15: byte(slot)}},
		Sender: id.User{ID: id.ID{1}}, Content: []byte("hello"), Sent: int64(n),
	}
}

func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestDeposed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, cfg := newTable(), testConfig()
		var told []error
		cfg.Deposed = func(err error) { told = append(told, err) }
		l, err := try(t, cfg, q)
		if err != nil {
			t.Fatal(err)
		}
		for slot := range 3 {
			wantErr(t, "first send", send(l, in(slot, 1)).Err, nil)
		}
		steal(q, allSlots()...)
		e := send(l, in(0, 2)) // written, but not fenced
		wantErr(t, "send of a deposed owner", e.Err, store.ErrDeposed)
		if len(told) != 1 || !errors.Is(told[0], store.ErrDeposed) || !strings.Contains(told[0].Error(), Node{9}.String()) {
			t.Fatalf("Deposed was told %v", told)
		}
		wantErr(t, "send to another thread", send(l, in(1, 2)).Err, store.ErrDeposed)
		wantErr(t, "retry of an acked message", send(l, in(2, 1)).Err, store.ErrDeposed)
		_, err = l.Head(t.Context(), in(2, 1).Thread)
		wantErr(t, "head", err, store.ErrDeposed)
		_, err = l.Find(t.Context(), in(2, 1).ID)
		wantErr(t, "find", err, store.ErrDeposed)
		l.Mark(in(1, 1).Thread, func(head uint64) {
			if head != 0 {
				t.Errorf("mark at %d", head)
			}
		})
		time.Sleep(time.Minute) //nolint:forbidigo // a bubble's clock
		synctest.Wait()
		if len(told) != 1 {
			t.Errorf("Deposed was told %d times", len(told))
		}
		if err := l.Close(); err != nil || len(q.nodes) != 0 {
			t.Errorf("close: %v, %d beats stay", err, len(q.nodes))
		}
	})
}

// A node that nobody sends through finds out by its beat.
func TestDeposedWhileIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, cfg := newTable(), testConfig()
		told := false
		cfg.Deposed = func(error) { told = true }
		if _, err := try(t, cfg, q); err != nil {
			t.Fatal(err)
		}
		steal(q, allSlots()...)
		time.Sleep(cfg.Beat + time.Second) //nolint:forbidigo // a bubble's clock
		synctest.Wait()
		if !told {
			t.Error("an idle node does not notice that it was deposed")
		}
	})
}

func TestDeposedOfOneSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, cfg := newTable(), testConfig()
		cfg.Deposed = func(err error) { t.Errorf("deposed from all: %v", err) }
		l, err := try(t, cfg, q)
		if err != nil {
			t.Fatal(err)
		}
		for slot := range 3 {
			wantErr(t, "first send", send(l, in(slot, 1)).Err, nil)
		}
		steal(q, 1)
		wantErr(t, "send in the lost slot", send(l, in(1, 2)).Err, store.ErrDeposed)
		wantErr(t, "another", send(l, in(1, 3)).Err, store.ErrDeposed)
		_, err = l.Head(t.Context(), in(1, 1).Thread)
		wantErr(t, "head in the lost slot", err, store.ErrDeposed)
		for _, slot := range []int{0, 2} {
			if e := send(l, in(slot, 2)); e.Err != nil || e.Seq != 2 {
				t.Errorf("send in slot %d: seq %d, %v", slot, e.Seq, e.Err)
			}
		}
	})
}
