package presence

import (
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
)

// ring is a bounded queue of users, each in it once. It holds memory for what waits, not for its bound.
type ring struct {
	max    int
	waits  []id.User
	first  int
	queued map[id.User]struct{}
}

func newRing(max int) ring { return ring{max: max, queued: make(map[id.User]struct{})} }

func (r *ring) len() int { return len(r.waits) - r.first }

// push reports whether u is in the queue now.
func (r *ring) push(u id.User) bool {
	if _, in := r.queued[u]; in {
		return true
	}
	if r.len() >= r.max {
		return false
	}
	r.queued[u] = struct{}{}
	r.waits = append(r.waits, u)
	return true
}

func (r *ring) pop() (u id.User, ok bool) {
	if r.len() == 0 {
		return u, false
	}
	u = r.waits[r.first]
	r.first++
	delete(r.queued, u)
	if r.len() == 0 { // a storm is over: its memory goes
		*r = newRing(r.max)
	} else if r.first >= 1024 && r.first > len(r.waits)/2 {
		r.waits = append(r.waits[:0:0], r.waits[r.first:]...)
		r.first = 0
	}
	return u, true
}

// delay is a bounded queue of users who are due after the same time each, so that the order of arrival is
// the order in which they are due, and no timer is needed for any of them.
type delay struct {
	max   int
	after time.Duration
	waits []due
	first int
	at    map[id.User]int64 // the latest due time of each; waits may have earlier ones
}

type due struct {
	user id.User
	at   int64 // Unix milliseconds
}

func newDelay(max int, after time.Duration) delay {
	return delay{max: max, after: after, at: make(map[id.User]int64)}
}

func (d *delay) len() int { return len(d.at) }

func (d *delay) has(u id.User) bool {
	_, in := d.at[u]
	return in
}

// push makes u due d.after from now, also when it waits already, and reports whether there was a place.
func (d *delay) push(u id.User, now time.Time) bool {
	if len(d.waits)-d.first >= d.max {
		return false
	}
	at := now.Add(d.after).UnixMilli()
	d.at[u] = at
	d.waits = append(d.waits, due{u, at})
	return true
}

// drop makes u not wait any more.
func (d *delay) drop(u id.User) { delete(d.at, u) }

// pop gives a user who is due.
func (d *delay) pop(now time.Time) (u id.User, ok bool) {
	for d.first < len(d.waits) {
		w := d.waits[d.first]
		if w.at > now.UnixMilli() {
			return u, false
		}
		d.first++
		latest, in := d.at[w.user]
		if in && latest == w.at {
			delete(d.at, w.user)
			u, ok = w.user, true
		}
		if d.first == len(d.waits) {
			*d = newDelay(d.max, d.after)
		} else if d.first >= 1024 && d.first > len(d.waits)/2 {
			d.waits = append(d.waits[:0:0], d.waits[d.first:]...)
			d.first = 0
		}
		if ok {
			return u, true
		}
	}
	return u, false
}
