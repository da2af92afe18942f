package presence

import (
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
)

// perChunk is the items of a fifo that are allocated at once.
const perChunk = 512

// fifo is a queue in chunks: no push ever copies what waits, since loops push and must not wait.
type fifo[T any] struct {
	chunks [][]T
	first  int // in chunks[0]
	n      int
}

func (q *fifo[T]) push(v T) {
	last := len(q.chunks) - 1
	if last < 0 || len(q.chunks[last]) == perChunk {
		q.chunks = append(q.chunks, make([]T, 0, perChunk))
		last++
	}
	q.chunks[last] = append(q.chunks[last], v)
	q.n++
}

// peek gives the first item; there must be one.
func (q *fifo[T]) peek() T { return q.chunks[0][q.first] }

// pop takes the first item off; there must be one.
func (q *fifo[T]) pop() T {
	v := q.peek()
	q.first++
	q.n--
	switch {
	case q.n == 0:
		*q = fifo[T]{}
	case q.first == perChunk:
		q.chunks[0] = nil
		q.chunks = q.chunks[1:]
		q.first = 0
	}
	return v
}

// ring is a bounded queue of users, each in it once.
type ring struct {
	max    int
	waits  fifo[id.User]
	queued map[id.User]struct{}
}

func newRing(max int) ring { return ring{max: max, queued: make(map[id.User]struct{})} }

func (r *ring) len() int { return r.waits.n }

// push reports whether u is in the queue now.
func (r *ring) push(u id.User) bool {
	if _, in := r.queued[u]; in {
		return true
	}
	if r.waits.n >= r.max {
		return false
	}
	r.queued[u] = struct{}{}
	r.waits.push(u)
	return true
}

func (r *ring) pop() (u id.User, ok bool) {
	if r.waits.n == 0 {
		return u, false
	}
	u = r.waits.pop()
	delete(r.queued, u)
	if r.waits.n == 0 { // a storm may be over: a map does not shrink by itself
		r.queued = make(map[id.User]struct{})
	}
	return u, true
}

// delay is a bounded queue of users who are due after the same time each, so that the order of arrival is
// the order in which they are due, and no timer is needed for any of them. Pushing one again within a
// sixteenth of that time changes nothing, so that nobody fills the queue alone.
type delay struct {
	max   int
	after time.Duration
	waits fifo[due]
	at    map[id.User]state // the latest of each; waits may have earlier ones
}

type due struct {
	user id.User
	at   int64 // Unix milliseconds
}

type state struct {
	at      int64
	dropped bool
}

func newDelay(max int, after time.Duration) delay {
	return delay{max: max, after: after, at: make(map[id.User]state)}
}

func (d *delay) len() int { return len(d.at) }

func (d *delay) has(u id.User) bool {
	s, in := d.at[u]
	return in && !s.dropped
}

// push makes u due d.after from now, also when it waits already, and reports whether there was a place.
func (d *delay) push(u id.User, now time.Time) bool {
	at := now.Add(d.after).UnixMilli()
	if s, in := d.at[u]; in && at-s.at < d.after.Milliseconds()/16 {
		d.at[u] = state{at: s.at}
		return true
	}
	if d.waits.n >= d.max {
		return false
	}
	d.at[u] = state{at: at}
	d.waits.push(due{u, at})
	return true
}

// drop makes u not wait any more.
func (d *delay) drop(u id.User) {
	if s, in := d.at[u]; in {
		s.dropped = true
		d.at[u] = s
	}
}

// pop gives a user who is due.
func (d *delay) pop(now time.Time) (u id.User, ok bool) {
	for d.waits.n > 0 && d.waits.peek().at <= now.UnixMilli() {
		w := d.waits.pop()
		latest := d.at[w.user]
		if latest.at != w.at {
			continue
		}
		delete(d.at, w.user)
		if len(d.at) == 0 {
			d.at = make(map[id.User]state)
		}
		if !latest.dropped {
			return w.user, true
		}
	}
	return u, false
}
