package router

import (
	"math/bits"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router/internal/offheap"
)

// multimap maps users to any number of values each: connections in one use, rooms in another. Open
// addressing with linear probing; a user's values stand in one probe run, the oldest first. Deletion
// moves later entries back, so there are no tombstones and a run never grows stale. Not safe for
// concurrent use. The zero value is empty.
type multimap[V ~uint64] struct {
	slots offheap.Slice[entry[V]]
	used  int
}

// entry is one value of one user: 24 bytes, no pointer. A zero value marks a free slot.
type entry[V ~uint64] struct {
	user  id.User
	value V
}

const minSlots = 8

// home is the slot where the run of a user with hash h starts: the hash's lower half scaled to the
// number of slots, which therefore need not be a power of two.
func home(h uint64, slots int) int {
	return int(uint64(uint32(h)) * uint64(slots) >> 32)
}

// add puts v behind the user's other values. It does not look for an equal one.
func (m *multimap[V]) add(h uint64, u id.User, v V, k hasher) {
	n := len(m.slots.Items)
	if (m.used+1)*4 > n*3 {
		m.resize(max(minSlots, n+n/2), k)
	}
	m.put(h, u, v)
	m.used++
}

func (m *multimap[V]) put(h uint64, u id.User, v V) {
	s := m.slots.Items
	i := home(h, len(s))
	for s[i].value != 0 {
		if i++; i == len(s) {
			i = 0
		}
	}
	s[i] = entry[V]{u, v}
}

// get appends the user's values to dst, the oldest first.
func (m *multimap[V]) get(dst []V, h uint64, u id.User) []V {
	s := m.slots.Items
	if len(s) == 0 {
		return dst
	}
	for i := home(h, len(s)); s[i].value != 0; {
		if s[i].user == u {
			dst = append(dst, s[i].value)
		}
		if i++; i == len(s) {
			i = 0
		}
	}
	return dst
}

// count is the number of the user's values, and whether v is one of them.
func (m *multimap[V]) count(h uint64, u id.User, v V) (n int, has bool) {
	s := m.slots.Items
	if len(s) == 0 {
		return 0, false
	}
	for i := home(h, len(s)); s[i].value != 0; {
		if s[i].user == u {
			n++
			has = has || s[i].value == v
		}
		if i++; i == len(s) {
			i = 0
		}
	}
	return n, has
}

// first is the user's oldest value, or 0.
func (m *multimap[V]) first(h uint64, u id.User) V {
	s := m.slots.Items
	if len(s) == 0 {
		return 0
	}
	for i := home(h, len(s)); s[i].value != 0; {
		if s[i].user == u {
			return s[i].value
		}
		if i++; i == len(s) {
			i = 0
		}
	}
	return 0
}

// has reports whether the user has any value.
func (m *multimap[V]) has(h uint64, u id.User) bool { return m.first(h, u) != 0 }

// remove takes one value of a user out and reports whether it was there.
func (m *multimap[V]) remove(h uint64, u id.User, v V, k hasher) bool {
	s := m.slots.Items
	if len(s) == 0 {
		return false
	}
	i := home(h, len(s))
	for s[i].value != v || s[i].user != u {
		if s[i].value == 0 {
			return false
		}
		if i++; i == len(s) {
			i = 0
		}
	}
	m.close(i, k)
	m.used--
	if n := len(s); n > minSlots && m.used*4 < n {
		m.resize(m.used*8/5, k)
	}
	return true
}

// close frees slot i and moves back those behind it that would not be found any more. Entries of one
// home keep their order.
func (m *multimap[V]) close(i int, k hasher) {
	s := m.slots.Items
	for j := i; ; {
		if j++; j == len(s) {
			j = 0
		}
		if s[j].value == 0 {
			break
		}
		at := home(k.hash(s[j].user), len(s))
		// Entry j may fill the gap unless its home lies behind the gap, in (i, j] around the end.
		if i < j && (at <= i || at > j) || i > j && at <= i && at > j {
			s[i] = s[j]
			i = j
		}
	}
	s[i] = entry[V]{}
}

// resize moves everything to n slots (0 when nothing is left). It starts behind a free slot, so that no
// run is cut in two and the order within each is kept.
func (m *multimap[V]) resize(n int, k hasher) {
	old := m.slots
	m.slots = offheap.Slice[entry[V]]{}
	if m.used > 0 || n >= minSlots {
		m.slots = offheap.Make[entry[V]](max(n, minSlots))
	}
	s := old.Items
	start := 0
	for start < len(s) && s[start].value != 0 {
		start++
	}
	for i := range s {
		if e := &s[(start+i)%len(s)]; e.value != 0 {
			m.put(k.hash(e.user), e.user, e.value)
		}
	}
	old.Free()
}

// hasher holds two secret words: user ids come from tokens, and a table that somebody can fill with
// collisions on purpose is a weak spot.
type hasher struct{ a, b uint64 }

// hash folds the 128 bits of an id (the multiplication of wyhash).
func (k hasher) hash(u id.User) uint64 {
	b := &u.ID
	lo := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
	hi := uint64(b[8]) | uint64(b[9])<<8 | uint64(b[10])<<16 | uint64(b[11])<<24 |
		uint64(b[12])<<32 | uint64(b[13])<<40 | uint64(b[14])<<48 | uint64(b[15])<<56
	h, l := bits.Mul64(lo^k.a, hi^k.b)
	h, l = bits.Mul64(h^l^k.b, 0x9e3779b97f4a7c15)
	return h ^ l
}
