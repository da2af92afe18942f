package router

import (
	"context"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
)

// Room is a group that is kept in memory until Release. The zero Room is none.
type Room struct{ m *room }

// Release lets the room be forgotten when it is not used any more. It is called once for every room
// that Get or Peek gave, and never blocks.
func (r Room) Release() { r.m.rooms.unpin(r.m) }

// Has reports whether u is a member.
func (r Room) Has(u id.User) bool {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	_, in := slices.BinarySearchFunc(r.m.mu.members, u, compareUsers)
	return in
}

// Size is the number of members, connected or not.
func (r Room) Size() int { return r.m.size() }

// AppendMembers adds the members to dst, save one.
func (r Room) AppendMembers(dst []id.User, except id.User) []id.User {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	for _, u := range r.m.mu.members {
		if u != except {
			dst = append(dst, u)
		}
	}
	return dst
}

// Multicast sends ev to the connections of all members, save one connection. It never blocks and
// allocates nothing unless somebody came or went since the last call.
func (r Room) Multicast(except Conn, ev proto.Event) {
	lists, n := r.m.publish()
	if n == 0 {
		return
	}
	router := r.m.rooms.router
	router.sink.Multicast(lists, except, ev)
	router.metrics.multicast.Add(float64(n))
}

// room is one group in memory.
type room struct {
	// Fixed after construction.
	rooms *Rooms
	group id.Thread
	ref   roomRef
	turn  chan struct{} // one token: held while the members are read from the store

	stale atomic.Bool // the members are still to be read; changed by whoever has the turn

	// Guarded by rooms.mu.
	pins int
	used time.Time

	mu struct {
		sync.Mutex
		members []id.User // sorted
		lists   [][]Conn  // by loop; the arrays behind are only ever appended to
		gone    [][]Conn  // by loop: still in lists, to be swept out before the next send
		dirty   bool      // lists differ from shared
		shared  [][]Conn  // what the Sink was given: never changed
		n       int       // connections in shared
	}
}

// begin takes the room's turn, end gives it back.
func (m *room) begin(ctx context.Context) error {
	select {
	case m.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *room) end() { <-m.turn }

func (m *room) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mu.members)
}

func (m *room) everybody() []id.User { return Room{m}.AppendMembers(nil, id.User{}) }

// enter notes a member, and reports whether it is a new one.
func (m *room) enter(u id.User) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, in := slices.BinarySearchFunc(m.mu.members, u, compareUsers)
	if !in {
		m.mu.members = slices.Insert(m.mu.members, at, u)
	}
	return !in
}

// leave is the opposite of enter.
func (m *room) leave(u id.User) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, in := slices.BinarySearchFunc(m.mu.members, u, compareUsers)
	if in {
		m.mu.members = slices.Delete(m.mu.members, at, at+1)
	}
	return in
}

// add puts a connection behind the others. The lock of its user's shard is held.
func (m *room) add(c Conn) {
	m.mu.Lock()
	l := c.Loop()
	m.mu.lists[l] = append(m.mu.lists[l], c)
	m.mu.dirty = true
	m.mu.Unlock()
}

// drop notes that a connection must not be sent to any more. The lock of its user's shard is held.
func (m *room) drop(c Conn) {
	m.mu.Lock()
	l := c.Loop()
	m.mu.gone[l] = append(m.mu.gone[l], c)
	m.mu.dirty = true
	if len(m.mu.gone[l]) > len(m.mu.lists[l])/2+64 { // nobody sends: keep the notes from piling up
		m.sweep(l)
	}
	m.mu.Unlock()
}

// sweep takes those who are gone out of one loop's list. m.mu is held.
func (m *room) sweep(loop int) {
	m.mu.lists[loop] = without(m.mu.lists[loop], m.mu.gone[loop])
	if m.mu.gone[loop] = m.mu.gone[loop][:0]; cap(m.mu.gone[loop]) > 64 {
		m.mu.gone[loop] = nil
	}
}

// publish gives the lists as they are now, for ever.
func (m *room) publish() (lists [][]Conn, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.mu.dirty {
		return m.mu.shared, m.mu.n
	}
	m.mu.n = 0
	for l := range m.mu.lists {
		if len(m.mu.gone[l]) > 0 {
			m.sweep(l)
		}
		m.mu.n += len(m.mu.lists[l])
	}
	m.mu.shared = slices.Clone(m.mu.lists)
	m.mu.dirty = false
	return m.mu.shared, m.mu.n
}

// without gives a new list of what is in list and not in gone, in the same order, in one pass.
func without(list, gone []Conn) []Conn {
	left := make([]Conn, 0, max(0, len(list)-len(gone)))
	if len(gone) <= 8 {
		for _, c := range list {
			if !slices.Contains(gone, c) {
				left = append(left, c)
			}
		}
		return left
	}
	width := bits.Len(uint(2 * len(gone)))
	set := make([]Conn, 1<<width) // open addressing; 0 is free
	at := func(c Conn) int { return int(uint64(c) * 0x9e3779b97f4a7c15 >> (64 - width)) }
	for _, c := range gone {
		i := at(c)
		for set[i] != 0 {
			i = (i + 1) & (len(set) - 1)
		}
		set[i] = c
	}
	for _, c := range list {
		i := at(c)
		for set[i] != 0 && set[i] != c {
			i = (i + 1) & (len(set) - 1)
		}
		if set[i] == 0 {
			left = append(left, c)
		}
	}
	return left
}
