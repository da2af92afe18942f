package cassandra

import (
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/cassandra/threadlog"
	"github.com/tolkflip/tolkflip/store/storetest"
)

func direct(from, to id.User, n int) store.Message {
	c := []byte("c-" + strconv.Itoa(n))
	return store.Message{
		ID: id.ClientMessage(from, c), Thread: id.Direct(from, to), Sender: from, Receiver: to,
		Sent: time.Now().UnixMilli(), ClientID: c, Content: []byte("message " + strconv.Itoa(n)), Language: []byte("en"),
	}
}

// try appends m and waits for its outcome.
func try(l store.Log, m store.Message) *store.Entry {
	done := make(chan *store.Entry, 1)
	l.Append(&store.Entry{Message: m, Done: func(e *store.Entry) { done <- e }})
	return <-done
}

// send appends m, again while the store is busy, and fails the test on anything else.
func send(t testing.TB, l store.Log, m store.Message) *store.Entry {
	t.Helper()
	for {
		e := try(l, m)
		if e.Err == nil {
			return e
		}
		if !errors.Is(e.Err, store.ErrBusy) {
			t.Fatal(e.Err)
		}
		pause()
	}
}

// pause is for loops that wait for what no channel tells.
func pause() { <-time.After(2 * time.Millisecond) }

// eventually waits until ok; the test binary's own time-out ends one that never becomes true.
func eventually(ok func() bool) {
	for !ok() {
		pause()
	}
}

// fill sends n messages of a, at most window at once.
func fill(t testing.TB, l store.Log, a, b id.User, n, window int) {
	t.Helper()
	slots := make(chan struct{}, window)
	for i := range n {
		slots <- struct{}{}
		l.Append(&store.Entry{Message: direct(a, b, i), Done: func(e *store.Entry) {
			if e.Err != nil || e.Duplicate {
				t.Errorf("message: %v, duplicate %v", e.Err, e.Duplicate)
			}
			<-slots
		}})
	}
	for range window {
		slots <- struct{}{}
	}
}

// buckets fills a thread beyond one bucket, and has a node that knows nothing of it page through it.
func buckets(t *testing.T, s *shared) {
	const n = 1<<threadlog.BucketBits + 3700
	cfg := s.config()
	first, err := Open(t.Context(), cfg, silent(), nil)
	if err != nil {
		t.Fatal(err)
	}
	a, b := id.NewUser(), id.NewUser()
	thread := id.Direct(a, b)
	fill(t, first.Log(), a, b, n, 1000)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := open(t, cfg)
	l := second.Log()
	if h, err := l.Head(t.Context(), thread); err != nil || h != n {
		t.Fatalf("head %d, %v; want %d", h, err, n)
	}
	seq := uint64(0)
	for seq < n {
		page, err := l.After(t.Context(), thread, seq, 200)
		if err != nil || len(page) == 0 {
			t.Fatalf("after %d: %d messages, %v", seq, len(page), err)
		}
		for _, m := range page {
			if seq++; m.Seq != seq {
				t.Fatalf("seq %d, want %d", m.Seq, seq)
			}
		}
	}
	for seq++; seq > 1; {
		page, err := l.Before(t.Context(), thread, seq, 200)
		if err != nil || len(page) == 0 {
			t.Fatalf("before %d: %d messages, %v", seq, len(page), err)
		}
		for _, m := range slices.Backward(page) {
			if seq--; m.Seq != seq {
				t.Fatalf("seq %d, want %d", m.Seq, seq)
			}
		}
	}
	for _, i := range []int{0, 1, 9999, 1 << threadlog.BucketBits, n - 1} {
		if e := send(t, l, direct(a, b, i)); !e.Duplicate {
			t.Errorf("retry of message %d: seq %d", i, e.Seq)
		}
	}
	if e := send(t, l, direct(a, b, n)); e.Seq != n+1 {
		t.Errorf("the next message has seq %d", e.Seq)
	}
}

// takeOver has a second node take the log from one that lives and writes.
func takeOver(t *testing.T, s *shared) {
	history := storetest.NewHistory(true)
	cfg := s.config()
	deposed := make(chan error, 1)
	cfg.Deposed = func(err error) { deposed <- err }
	first := open(t, cfg)
	a, b := id.NewUser(), id.NewUser()
	outcomes := make(chan error, 4000)
	sendAll := func(l store.Log, from, to int) {
		for i := from; i < to; i++ {
			m := direct(a, b, i)
			history.Sent(m)
			l.Append(&store.Entry{Message: m, Done: func(e *store.Entry) {
				if e.Err == nil {
					history.Acked(e.Message, e.Duplicate, false)
				}
				outcomes <- e.Err
			}})
		}
	}
	sendAll(first.Log(), 0, 500)
	for range 500 {
		if err := <-outcomes; err != nil {
			t.Fatal(err)
		}
	}
	sendAll(first.Log(), 500, 1500) // on their way while they are deposed
	next := s.config()
	next.logName, next.TakeOver = cfg.logName, true
	second := open(t, next)
	sendAll(second.Log(), 0, 2000) // retries among them
	for range 3000 {
		if err := <-outcomes; err != nil && !errors.Is(err, store.ErrDeposed) && !errors.Is(err, store.ErrBusy) {
			t.Fatal(err)
		}
	}
	if err := <-deposed; !errors.Is(err, store.ErrDeposed) {
		t.Fatal(err)
	}
	if err := first.Healthy(); !errors.Is(err, store.ErrDeposed) {
		t.Fatalf("the first is healthy: %v", err)
	}
	if e := try(first.Log(), direct(a, b, 5000)); !errors.Is(e.Err, store.ErrDeposed) {
		t.Fatalf("the first took a message: %v", e.Err)
	}
	found, err := history.CheckLog(second.Log(), func(th id.Thread, after uint64) ([]store.Message, error) {
		return second.Log().After(t.Context(), th, after, 500)
	}, func(m id.Message) (store.Message, error) { return second.Log().Find(t.Context(), m) })
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		t.Error(v)
	}
}

// statementsOfMessage counts what a message costs, alone and among others.
func statementsOfMessage(t *testing.T, s *shared) {
	var seen statements
	cfg := s.config()
	cfg.observe = seen.observe
	cfg.Log.RecentEvery, cfg.Log.IndexEvery = time.Hour, time.Hour // what is off the path stays away
	cfg.ProbeEvery, cfg.Log.Beat = time.Hour, time.Hour
	st := open(t, cfg)
	a, b := id.NewUser(), id.NewUser()
	seen.take()
	send(t, st.Log(), direct(a, b, 0))
	t.Logf("the first message of a thread: %d statements: %q", len(seen.take()), "activation, fence, look-up, rows of the thread, message, fence")
	for i := 1; i < 4; i++ {
		send(t, st.Log(), direct(a, b, i))
		if got, want := seen.take(), []string{selectID, insertRow, selectVersion}; !slices.Equal(got, want) {
			t.Fatalf("a message alone: %q, want %q", got, want)
		}
	}
	const n = 900
	fill(t, st.Log(), id.NewUser(), b, n, n)
	per := float64(len(seen.take())) / n
	t.Logf("%d messages at once in one thread: %.3f statements a message", n, per)
	if per > 0.5 {
		t.Errorf("%.3f statements a message of a thread in which %d wait", per, n)
	}
}

// logMute has the network lose answers while messages are written: nothing that is acked may be lost, and
// nothing comes twice.
func logMute(t *testing.T, s *shared) {
	wires := newNetwork()
	var seen statements
	cfg := s.config()
	cfg.dialer, cfg.observe, cfg.Timeout = wires, seen.observe, time.Second
	st := open(t, cfg)
	history := storetest.NewHistory(true)
	people := make([]id.User, 6)
	for i := range people {
		people[i] = id.NewUser()
	}
	const n = 300
	for round := range 3 {
		first := direct(people[0], people[1], -1-round) // waits until there are connections again
		history.Sent(first)
		e := send(t, st.Log(), first)
		history.Acked(e.Message, e.Duplicate, true)
		done := make(chan struct{}, n)
		for i := range n {
			m := direct(people[i%len(people)], people[(i+1)%len(people)], round*n+i)
			history.Sent(m)
			st.Log().Append(&store.Entry{Message: m, Done: func(e *store.Entry) {
				if e.Err == nil {
					history.Acked(e.Message, e.Duplicate, true)
				} else if !errors.Is(e.Err, store.ErrBusy) {
					t.Error(e.Err)
				}
				done <- struct{}{}
			}})
			if i == n/3 {
				wires.become(mute)
			}
		}
		seen.fails(3)
		wires.become(fine)
		for range n {
			<-done
		}
	}
	sent, acked := history.Size()
	t.Logf("%d sent, %d acked", sent, acked)
	var found []storetest.Violation
	eventually(func() bool { // until the driver is connected again and what was unknown is settled
		var err error
		found, err = history.Check(func(th id.Thread, after uint64) ([]store.Message, error) {
			return st.Log().After(t.Context(), th, after, 500)
		})
		return err == nil
	})
	for _, v := range found {
		t.Error(v)
	}
	for _, th := range history.Threads() {
		h, err := st.Log().Head(t.Context(), th)
		if err != nil || h == 0 {
			t.Errorf("thread %s: head %d, %v", th, h, err)
		}
	}
}
