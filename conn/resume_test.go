package conn

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/proto/ws"
	"github.com/tolkflip/tolkflip/router"
)

// fakeFeeder is a Feeder of functions; it fails the test when two methods run at once.
type fakeFeeder struct {
	t        *testing.T
	busy     sync.Mutex
	next     func() bool
	released chan string
	gone     chan struct{}
}

func newFeeder(t *testing.T, next func() bool) *fakeFeeder {
	return &fakeFeeder{t: t, next: next, released: make(chan string, 100), gone: make(chan struct{}, 100)}
}

func (f *fakeFeeder) alone() func() {
	if !f.busy.TryLock() {
		f.t.Error("two methods of a feeder at once")
		return func() {}
	}
	return f.busy.Unlock
}

func (f *fakeFeeder) Next() bool { defer f.alone()(); return f.next() }
func (f *fakeFeeder) Released(t id.Thread, ok bool) {
	defer f.alone()()
	f.released <- fmt.Sprint(t.ID[15], ok)
}
func (f *fakeFeeder) Gone() { defer f.alone()(); f.gone <- struct{}{} }

// seqs reads n new messages and checks their threads and seqs.
func (p *peer) seqs(want ...string) {
	p.t.Helper()
	for _, w := range want {
		m := p.expect("new_message")
		if got := fmt.Sprint(m["content"]); got != w {
			p.t.Fatalf("got %s, want %s", got, w)
		}
	}
}

func msg(t byte, seq uint64) string { return fmt.Sprint(t, ".", seq) }

func TestResumeOrder(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil)
	p, c := r.login(1)
	live := func(t byte, seq uint64) {
		r.Deliver([]router.Conn{c}, 0, newMessage(thread(t), seq, msg(t, seq)))
	}
	r.Hold(c, []id.Thread{thread(1), thread(2)})
	live(1, 6)
	live(3, 1) // not held
	live(2, 8)
	r.Multicast(byLoop(r, []router.Conn{c}), 0, newMessage(thread(1), 7, msg(1, 7)))
	p.seqs("3.1")

	page := uint64(3)
	f := newFeeder(t, nil)
	f.next = func() bool {
		page++
		r.Backfill(c, newMessage(thread(1), page, msg(1, page)))
		return page < 6
	}
	r.Feed(c, f)
	p.seqs("1.4", "1.5", "1.6")
	live(1, 8)
	r.Release(c, thread(1), 6, f)
	if got := <-f.released; got != "1 true" {
		t.Fatal(got)
	}
	p.seqs("1.7", "1.8") // 6 was in the backfill
	live(1, 9)
	p.seqs("1.9")
	live(2, 9)
	r.Release(c, thread(2), 7, f)
	p.seqs("2.8", "2.9")
	r.Release(c, thread(4), 0, f) // was never held
	if a, b := <-f.released, <-f.released; a != "2 true" || b != "4 true" {
		t.Fatal(a, b)
	}
	r.settled()
	r.look(c, func(_ *loop, s *slot) {
		if s.side != 0 {
			t.Error("the connection is still busy")
		}
	})
}

func TestHoldOverflow(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil)
	p, c := r.login(1)
	to := []router.Conn{c}
	f := newFeeder(t, nil)
	r.Hold(c, []id.Thread{thread(1), thread(2)})
	for i := range uint64(holdItems + 3) {
		r.Deliver(to, 0, newMessage(thread(1), i, msg(1, i)))
	}
	for i := range uint64(9) { // over 256 KiB
		r.Deliver(to, 0, newMessage(thread(2), i, strings.Repeat("x", 32<<10)))
	}
	r.Release(c, thread(1), 0, f)
	r.Release(c, thread(2), 0, f)
	if a, b := <-f.released, <-f.released; a != "1 false" || b != "2 false" {
		t.Fatal(a, b)
	}
	// Still held, and what comes now is kept.
	r.Deliver(to, 0, newMessage(thread(1), 300, msg(1, 300)))
	r.Backfill(c, newMessage(thread(1), 299, msg(1, 299)))
	r.Release(c, thread(1), 299, f)
	r.Release(c, thread(2), 9, f)
	if a, b := <-f.released, <-f.released; a != "1 true" || b != "2 true" {
		t.Fatal(a, b)
	}
	p.seqs("1.299", "1.300")
	if n := r.dropped(int(dropHold)); n != holdItems+3+9 {
		t.Errorf("%d events were dropped", n)
	}
}

func TestFeedWaitsForTheReader(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil)
	p, c := r.login(1)
	const pages = 160
	content := strings.Repeat("x", 64<<10)
	calls := make(chan int, pages)
	n := 0
	f := newFeeder(t, nil)
	f.next = func() bool {
		n++
		calls <- n
		r.Backfill(c, newMessage(thread(1), uint64(n), content))
		return n < pages
	}
	r.Feed(c, f)
	r.until("blocked", func() bool {
		blocked := false
		r.look(c, func(l *loop, s *slot) {
			if s.side == 0 {
				return
			}
			d := l.sides.all[s.side]
			if d.size > feedBelow+70<<10 {
				t.Errorf("%d bytes wait", d.size)
			}
			blocked = s.has(wantWrite) && d.size >= feedBelow && !d.resume.feeds[0].running
		})
		return blocked
	})
	if len(calls) == pages {
		t.Fatal("all was fed at once")
	}
	second := newFeeder(t, func() bool { calls <- -1; return false })
	r.Feed(c, second)
	for want := range pages {
		if m := p.expect("new_message"); m["seq"] != float64(want+1) {
			t.Fatalf("got %v", m["seq"])
		}
	}
	for want := range pages {
		if got := <-calls; got != want+1 {
			t.Fatalf("call %d, want %d", got, want+1)
		}
	}
	if got := <-calls; got != -1 {
		t.Fatalf("call %d, want that of the second feeder", got)
	}
}

func TestCloseInTheMiddleOfAResume(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil)
	p, c := r.login(1)
	enter, leave := make(chan struct{}), make(chan struct{})
	f := newFeeder(t, nil)
	f.next = func() bool {
		enter <- struct{}{}
		<-leave
		r.Backfill(c, newMessage(thread(1), 1, "late"))
		r.Release(c, thread(1), 1, f)
		return true
	}
	waiting := newFeeder(t, func() bool { t.Error("asked for more"); return false })
	r.Hold(c, []id.Thread{thread(1)})
	r.Deliver([]router.Conn{c}, 0, newMessage(thread(1), 2, "held"))
	r.Feed(c, f)
	<-enter
	r.Feed(c, waiting)
	r.Close(c, ws.CloseGoingAway, "")
	p.expectAnswer(ws.CloseGoingAway)
	<-waiting.gone
	close(leave)
	<-f.gone
	r.settled()
	r.settled()
	if len(f.gone) > 0 || len(waiting.gone) > 0 || len(f.released) > 0 {
		t.Error("told again")
	}
	r.Release(c, thread(1), 2, f)
	<-f.gone
	r.Feed(c, f)
	<-f.gone
	p.Close()
	r.until("forgotten", func() bool {
		left := 0
		r.look(c, func(l *loop, _ *slot) { left = len(l.orphans) + l.sides.inUse })
		return left == 0
	})
}

func TestPanicInAFeeder(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil)
	p, c := r.login(1)
	f := newFeeder(t, func() bool { panic("boom") })
	r.Feed(c, f)
	p.expectClose(ws.CloseInternal)
	<-r.rules.detached
	if r.Stats().Panics != 1 {
		t.Errorf("%d panics", r.Stats().Panics)
	}
}
