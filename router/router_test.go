package router_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/router/internal/fake"
)

// started gives a router over fake loops that run.
func started(t *testing.T, loops int) (*router.Router, *fake.Loops) {
	t.Helper()
	l := fake.New(loops)
	l.Start()
	t.Cleanup(l.Stop)
	return router.New(l, prometheus.NewRegistry()), l
}

// attached opens and attaches n connections of a user.
func attached(r *router.Router, l *fake.Loops, u id.User, slots ...uint32) []router.Caller {
	var list []router.Caller
	for _, s := range slots {
		c := l.Caller(s, u)
		r.Attach(c)
		list = append(list, c)
	}
	return list
}

// count gives the number of frames of each connection.
func count(l *fake.Loops, list ...router.Caller) []int {
	l.Idle()
	var n []int
	for _, c := range list {
		n = append(n, len(l.Take(c.Conn)))
	}
	return n
}

func TestDeliver(t *testing.T) {
	t.Parallel()
	r, l := started(t, 3)
	ann, bob, eve := id.NewUser(), id.NewUser(), id.NewUser()
	a := attached(r, l, ann, 1, 2, 3)
	b := attached(r, l, bob, 4)
	all := slices.Concat(a, b)

	if n := r.Deliver([]id.User{ann, bob, eve}, a[1].Conn, &proto.Pong{}); n != 2 {
		t.Errorf("%d users online, want 2", n)
	}
	if got := count(l, all...); !slices.Equal(got, []int{1, 0, 1, 1}) {
		t.Errorf("frames %v", got)
	}
	if n := r.Deliver([]id.User{ann}, 0, &proto.Pong{}); n != 1 {
		t.Errorf("%d users online, want 1", n)
	}
	if got := count(l, all...); !slices.Equal(got, []int{1, 1, 1, 0}) {
		t.Errorf("frames %v", got)
	}
	if n := r.Deliver([]id.User{eve}, 0, &proto.Pong{}); n != 0 {
		t.Errorf("%d users online, want 0", n)
	}
	r.Detach(a[0])
	r.Detach(a[0]) // changes nothing
	r.Attach(a[1]) // nor does this
	if got := r.Connections(nil, ann); !slices.Equal(got, []router.Conn{a[1].Conn, a[2].Conn}) {
		t.Errorf("connections %v", got)
	}
	if users, conns := r.Counts(); users != 2 || conns != 3 {
		t.Errorf("counts %d users %d connections, want 2 and 3", users, conns)
	}
	if !r.Attached(a[1]) || r.Attached(a[0]) || !r.Online(ann) || r.Online(eve) {
		t.Error("the table is wrong about who is there")
	}
}

// seen is an Observer that writes down what it is told.
type seen struct {
	mu   sync.Mutex
	list []string
}

func (s *seen) note(what string, flag bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if flag {
		what += "!"
	}
	s.list = append(s.list, what)
}

func (s *seen) Connected(_ id.User, first bool)         { s.note("in", first) }
func (s *seen) Disconnected(_ router.Caller, last bool) { s.note("out", last) }

func TestObserver(t *testing.T) {
	t.Parallel()
	r, l := started(t, 1)
	o := &seen{}
	r.Observe(o)
	u := id.NewUser()
	c := attached(r, l, u, 1, 2)
	r.Attach(c[0])
	r.Detach(c[1])
	r.Detach(c[1])
	r.Detach(c[0])
	r.Attach(c[0])
	want := []string{"in!", "in", "out", "out!", "in!"}
	if !slices.Equal(o.list, want) {
		t.Errorf("told %v, want %v", o.list, want)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	r, l := started(t, 2)
	u := id.NewUser()
	c := attached(r, l, u, 1, 2, 3)
	r.CloseSession(u, c[1].Session, 4401, "over")
	l.Idle()
	if l.Closed(c[0].Conn) != nil || l.Closed(c[2].Conn) != nil {
		t.Error("another session was closed")
	}
	if got := l.Closed(c[1].Conn); got == nil || *got != (fake.Closing{Code: 4401, Reason: "over"}) {
		t.Errorf("the session was closed with %v", got)
	}
	r.CloseUser(u, 4401, "all over")
	l.Idle()
	for _, o := range []router.Caller{c[0], c[2]} {
		if got := l.Closed(o.Conn); got == nil || got.Code != 4401 {
			t.Errorf("closed with %v", got)
		}
	}
}

// TestCrowd opens more connections of one user than one may have: the oldest go, one each.
func TestCrowd(t *testing.T) {
	t.Parallel()
	r, l := started(t, 2)
	u := id.NewUser()
	var list []router.Caller
	for i := range uint32(256 + 3) {
		list = append(list, attached(r, l, u, i+1)...)
	}
	l.Idle()
	for i, c := range list {
		if got := l.Closed(c.Conn); (got != nil) != (i < 3) {
			t.Fatalf("connection %d: closed %v", i, got)
		} else if got != nil && got.Code != 4429 {
			t.Fatalf("closed with %v", got)
		}
	}
}

// TestAttachConcurrently has many goroutines come and go; afterwards the table must be exact.
func TestAttachConcurrently(t *testing.T) {
	t.Parallel()
	r, l := started(t, 4)
	users := make([]id.User, 40)
	for i := range users {
		users[i] = id.NewUser()
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 400 {
				c := l.Caller(uint32(1+g*1000+i), users[(g*7+i)%len(users)])
				r.Attach(c)
				r.Deliver(users[:3], c.Conn, &proto.Pong{})
				if i%8 != 0 {
					r.Detach(c)
				}
			}
		})
	}
	wg.Wait()
	if _, conns := r.Counts(); conns != 8*50 {
		t.Errorf("%d connections, want %d", conns, 8*50)
	}
	n := 0
	for _, u := range users {
		n += len(r.Connections(nil, u))
	}
	if n != 8*50 {
		t.Errorf("%d connections in the table, want %d", n, 8*50)
	}
}
