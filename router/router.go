package router

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
)

const (
	shardCount = 256

	// maxPerUser bounds the connections of one user. All of them stand in one probe run, so it bounds
	// what an attach costs the user's neighbours, too. Beyond it the user's oldest connection is closed:
	// more often than not it is one that the client has given up already.
	maxPerUser = 256

	// maxPooled is the largest list that goes back to a pool, in connections (512 KiB).
	maxPooled = 64 << 10

	closeToken   = 4401
	closeTooMany = 4429
)

// Observer is told of users who come and go. Both methods are called outside the router's locks, from
// whoever attached or detached, possibly a loop: they are cheap and never block. Two calls about one
// user may arrive in the wrong order when a user comes and goes at the same moment on two threads: they
// are hints, and Online is the truth.
type Observer interface {
	// Connected says that u has one more connection; first, that it had none before.
	Connected(u id.User, first bool)
	// Disconnected says that c is gone; last, that its user has none left.
	Disconnected(c Caller, last bool)
}

// Router is the table of who is connected where. Its methods may be called from many goroutines at once.
type Router struct {
	// Fixed after construction.
	sink    Sink
	keys    hasher
	metrics *metrics
	lists   sync.Pool // *[]Conn

	// Fixed before the first Attach.
	observers []Observer
	rooms     *Rooms // nil = no groups

	gate   atomic.Pointer[Gate] // asked by Attach; nil = nobody is
	users  atomic.Int64         // with at least one connection
	conns  atomic.Int64
	shards [shardCount]shard
}

// shard is a 256th of the users.
type shard struct {
	mu    sync.Mutex // held for a probe run, or the growth of one shard
	conns multimap[Conn]
	rooms multimap[roomRef] // the rooms in memory that a user is a member of
	_     [64]byte          // the next shard's lock is on another cache line
}

// New makes an empty Router over sink. Its metrics go into reg.
func New(sink Sink, reg prometheus.Registerer) *Router {
	r := &Router{
		sink:  sink,
		keys:  hasher{rand.Uint64() | 1, rand.Uint64() | 1},
		lists: sync.Pool{New: func() any { l := make([]Conn, 0, 64); return &l }},
	}
	r.metrics = newMetrics(reg, r)
	return r
}

// Observe adds an observer. It must be called before the first Attach.
func (r *Router) Observe(o Observer) { r.observers = append(r.observers, o) }

func (r *Router) shard(u id.User) (*shard, uint64) {
	h := r.keys.hash(u)
	return &r.shards[h>>56], h
}

// Attach adds an authenticated connection to the table and to the rooms in memory that its user is in.
// It reads no store. A second Attach of one connection changes nothing. Whoever attaches a connection
// that was closed meanwhile must still Detach it afterwards.
func (r *Router) Attach(c Caller) {
	s, h := r.shard(c.User)
	var crowd []Conn
	s.mu.Lock()
	n, has := s.conns.count(h, c.User, c.Conn)
	if has {
		s.mu.Unlock()
		return
	}
	if n >= maxPerUser {
		crowd = s.conns.get(nil, h, c.User)
	}
	s.conns.add(h, c.User, c.Conn, r.keys)
	r.eachRoom(s, h, c.User, func(m *room) { m.add(c.Conn) })
	s.mu.Unlock()

	r.conns.Add(1)
	if n == 0 {
		r.users.Add(1)
	}
	for _, o := range r.observers {
		o.Connected(c.User, n == 0)
	}
	// After the connection stands in the table: a session that is revoked between the check of its token
	// and here is seen either by whoever revokes it or by us.
	if g := r.gate.Load(); g != nil && !g.live(c) {
		r.sink.Close(c.Conn, closeToken, "token revoked")
	}
	if n >= maxPerUser { // those before this one are being closed already
		r.metrics.crowded.Inc()
		r.sink.Close(crowd[n-maxPerUser], closeTooMany, "too many connections of one user")
	}
}

// Enter reports whether the session of c may still act. If so, a revocation of it does not return before
// Leave: what happens in between is short, and waits for nothing. Both together take 0.1 us.
func (r *Router) Enter(c Caller) (p Passage, ok bool) {
	g := r.gate.Load()
	if g == nil {
		return Passage{}, true
	}
	p.held = g.pass(c.User)
	p.held.RLock()
	if !g.live(c) {
		p.Leave()
		return Passage{}, false
	}
	return p, true
}

// Passage is what Enter gave.
type Passage struct{ held *pass }

// Leave ends it, once.
func (p Passage) Leave() {
	if p.held != nil {
		p.held.RUnlock()
	}
}

// Detach takes a connection out of the table and the rooms. It may be called on a loop: it takes only
// locks that are held for a few microseconds. A second Detach changes nothing.
func (r *Router) Detach(c Caller) {
	s, h := r.shard(c.User)
	s.mu.Lock()
	if !s.conns.remove(h, c.User, c.Conn, r.keys) {
		s.mu.Unlock()
		return
	}
	last := !s.conns.has(h, c.User)
	r.eachRoom(s, h, c.User, func(m *room) { m.drop(c.Conn) })
	s.mu.Unlock()

	r.conns.Add(-1)
	if last {
		r.users.Add(-1)
	}
	for _, o := range r.observers {
		o.Disconnected(c, last)
	}
}

// Attached reports whether c stands in the table: what is kept for a connection beside it must be given
// up when it does not any more.
func (r *Router) Attached(c Caller) bool {
	s, h := r.shard(c.User)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, has := s.conns.count(h, c.User, c.Conn)
	return has
}

// Deliver sends ev to all connections of users, save except, with one call of the Sink, and gives the
// number of users who are connected (by any connection, except too). The users must differ from each
// other. It allocates nothing once the pool is warm, and never blocks.
func (r *Router) Deliver(users []id.User, except Conn, ev proto.Event) (online int) {
	list := r.lists.Get().(*[]Conn)
	to := (*list)[:0]
	for _, u := range users {
		n := len(to)
		to = r.Connections(to, u)
		if len(to) > n {
			online++
		}
	}
	if len(to) > 0 {
		r.sink.Deliver(to, except, ev)
		r.metrics.deliveries.Add(float64(len(to)))
	}
	if cap(to) <= maxPooled {
		*list = to
		r.lists.Put(list)
	}
	return online
}

// Connections appends a user's connections to dst, the oldest first.
func (r *Router) Connections(dst []Conn, u id.User) []Conn {
	s, h := r.shard(u)
	s.mu.Lock()
	dst = s.conns.get(dst, h, u)
	s.mu.Unlock()
	return dst
}

// Online reports whether the user has a connection.
func (r *Router) Online(u id.User) bool {
	s, h := r.shard(u)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns.has(h, u)
}

// Counts gives the number of connected users and of their connections.
func (r *Router) Counts() (users, conns int) {
	return int(r.users.Load()), int(r.conns.Load())
}

// Sink gives the loops that the router delivers to.
func (r *Router) Sink() Sink { return r.sink }

// CloseUser closes all connections of a user.
func (r *Router) CloseUser(u id.User, code uint16, reason string) {
	for _, c := range r.Connections(nil, u) {
		r.sink.Close(c, code, reason)
	}
}

// CloseSession closes the connections of one of a user's sessions.
func (r *Router) CloseSession(u id.User, s id.Session, code uint16, reason string) {
	for _, c := range r.Connections(nil, u) {
		r.sink.CloseSession(c, s, code, reason)
	}
}
