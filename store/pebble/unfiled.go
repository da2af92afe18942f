package pebble

import (
	"bytes"
	"encoding/binary"

	"github.com/tolkflip/tolkflip/proto/id"
)

// unfiled is a generation of messages that stand in the journal and not yet in their tables. A committer has
// one that grows and at most one that is being filed; an emptied one is used again. Values are kept in chunks
// without pointers, ids are found by open addressing. The shard's lock guards the one that grows; one that is
// being filed does not change.
type unfiled struct {
	entries     []unfiledEntry
	index       []uint32 // by id: number of the entry + 1
	chunks      [][]byte // of values; the first `full` are, the next one is filled
	full        int
	bytes       int    // of values
	first, last uint64 // rows of the journal
}

type unfiledEntry struct {
	thread *thread
	id     id.Message
	seq    uint64
	value  []byte
}

// unfiledValue is a message that the tables do not have yet, where its thread keeps it.
type unfiledValue struct {
	seq   uint64
	value []byte
}

const unfiledChunk = 256 << 10

// add takes a message and gives the copy of its value that it keeps.
func (u *unfiled) add(th *thread, m id.Message, seq uint64, value []byte) []byte {
	value = u.keep(value)
	u.entries = append(u.entries, unfiledEntry{thread: th, id: m, seq: seq, value: value})
	u.bytes += len(value)
	if 2*len(u.entries) > len(u.index) {
		u.index = make([]uint32, max(1024, 2*len(u.index)))
		for i := range u.entries {
			u.note(i)
		}
		return value
	}
	u.note(len(u.entries) - 1)
	return value
}

func (u *unfiled) keep(value []byte) []byte {
	if len(value) > unfiledChunk/4 {
		return bytes.Clone(value)
	}
	if u.full < len(u.chunks) && len(u.chunks[u.full])+len(value) > unfiledChunk {
		u.full++
	}
	if u.full == len(u.chunks) {
		u.chunks = append(u.chunks, make([]byte, 0, unfiledChunk))
	}
	c := &u.chunks[u.full]
	at := len(*c)
	*c = append(*c, value...)
	return (*c)[at:len(*c):len(*c)]
}

// note files the i-th entry under its id. Of two with the same id the first is found.
func (u *unfiled) note(i int) {
	for at := slotOf(u.entries[i].id); ; at++ {
		slot := &u.index[at&uint32(len(u.index)-1)]
		if *slot == 0 {
			*slot = uint32(i + 1)
			return
		}
	}
}

// find gives the entry with an id, or nil.
func (u *unfiled) find(m id.Message) *unfiledEntry {
	if u == nil || len(u.entries) == 0 {
		return nil
	}
	for at := slotOf(m); ; at++ {
		i := u.index[at&uint32(len(u.index)-1)]
		if i == 0 {
			return nil
		}
		if e := &u.entries[i-1]; e.id == m {
			return e
		}
	}
}

// slotOf is where an id is looked for first: ids are hashed or random in their last bytes.
func slotOf(m id.Message) uint32 { return binary.LittleEndian.Uint32(m.ID[12:]) }

// reset empties it for the next generation. The memory of a much larger one is given up.
func (u *unfiled) reset() {
	if len(u.entries) < cap(u.entries)/8 && cap(u.entries) > 1024 {
		*u = unfiled{}
		return
	}
	clear(u.entries)
	clear(u.index)
	for i := range u.chunks {
		u.chunks[i] = u.chunks[i][:0]
	}
	u.entries, u.full, u.bytes, u.first, u.last = u.entries[:0], 0, 0, 0, 0
}

// remember keeps a message that the tables do not have yet. The shard's lock is held.
func (th *thread) remember(seq uint64, value []byte) {
	if len(th.unfiled) == 0 {
		th.pins++
	}
	th.unfiled = append(th.unfiled, unfiledValue{seq, value})
}

// forget drops what was filed, up to seq. The shard's lock is held.
func (th *thread) forget(seq uint64) {
	n := 0
	for n < len(th.unfiled) && th.unfiled[n].seq <= seq {
		n++
	}
	if n == 0 {
		return
	}
	left := copy(th.unfiled, th.unfiled[n:])
	clear(th.unfiled[left:])
	th.unfiled = th.unfiled[:left]
	if left > 0 {
		return
	}
	th.pins--
	if cap(th.unfiled) > keepUnfiled {
		th.unfiled = nil
	}
}

// keepUnfiled is how many places a thread keeps for its next messages.
const keepUnfiled = 8

// unfiledFrom is the first seq that the tables do not have, or the highest of all where they have everything.
// The shard's lock is held.
func (th *thread) unfiledFrom() uint64 {
	if len(th.unfiled) == 0 {
		return 1<<64 - 1
	}
	return th.unfiled[0].seq
}

// unfiledAfter adds what is unfiled, durable and above after, in rising order. The shard's lock is held.
func (th *thread) unfiledAfter(p *page, durable, after uint64) {
	for i := range th.unfiled {
		v := &th.unfiled[i]
		if v.seq > after && (v.seq > durable || !p.add(v.seq, v.value)) {
			return
		}
	}
}

// unfiledBefore adds what is unfiled, durable and below before, in falling order, and reports whether all of
// it fit. The shard's lock is held.
func (th *thread) unfiledBefore(p *page, durable, before uint64) bool {
	for i := len(th.unfiled) - 1; i >= 0; i-- {
		v := &th.unfiled[i]
		if v.seq < before && v.seq <= durable && !p.add(v.seq, v.value) {
			return false
		}
	}
	return true
}

// unfiledByID calls see with the message of an id, where it is not in the tables yet, while it cannot change.
func (s *Store) unfiledByID(m id.Message, see func(e *unfiledEntry, durable uint64)) bool {
	for _, c := range s.committers {
		c.mu.RLock()
		e := c.filing.find(m) // the older generation
		if e == nil {
			e = c.growing.find(m)
		}
		if e != nil {
			see(e, s.clip(e.thread))
			c.mu.RUnlock()
			return true
		}
		c.mu.RUnlock()
	}
	return false
}
