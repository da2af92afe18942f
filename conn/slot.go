package conn

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
)

const (
	chunkSlots = 1024
	maxSlots   = 1 << 28 // what router.Conn can name
	maxLoops   = 250
)

// slot is one open socket, all of it while it is idle. It has no pointers and lives outside the Go heap,
// so that a million of them neither make work for the collector nor count for GOGC.
//
// Whoever opens a socket (the acceptor, Adopt) fills the slot and then stores key; from then on all but
// key belongs to the loop that key names, until that loop stores a key without a loop and closes the file
// descriptor.
type slot struct {
	key atomic.Uint32 // generation<<8 | loop+1; the low byte is 0 while the slot is not in use

	flags   flags
	user    id.User
	session id.Session
	peer    [16]byte // client address, IPv4 as mapped IPv6
	expires uint32   // tick at which the token expires
	last    uint32   // tick of the last byte that was received
	mark    uint32   // tick at which the present wait began: see loop.deadline
	leaked  uint32   // tick of level
	bucket  uint32   // of the wheel, when flags has linked
	next    int32    // in the wheel's bucket: slot + 1, 0 = none
	prev    int32
	side    uint32 // index in the loop's side table; 0 = the connection is idle
	remote  uint16 // client port
	level   uint16 // messages lately, for the rate budget
	port    uint8  // index of the listener
	dialect uint8
}

// flags is the state of a slot.
type flags uint32

const (
	isSocket  flags = 1 << iota // speaks WebSocket; else its request's head is awaited
	isAuthed                    // user and session are set, the router knows it
	isPinged                    // mark is when a ping was sent
	isClosing                   // our close frame is queued or sent; mark is when that was
	isDeaf                      // what comes in is not parsed any more
	peerClose                   // the peer's close frame was read
	wantWrite                   // registered for EPOLLOUT: the kernel's buffer is full
	noRead                      // not registered for EPOLLIN: over a budget
	linked                      // in the wheel
	counted                     // in the table of connections by address
	isAdopted                   // came through Adopt
	inUrgent                    // has a place in the loop's urgent line
	inDirty                     // has a place in the loop's dirty line
)

func (s *slot) has(f flags) bool { return s.flags&f != 0 }

// address is the client's address and port.
func (s *slot) address() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(s.peer).Unmap(), s.remote)
}

// table holds the slots, indexed by file descriptor, in chunks that are mapped when the first of their
// descriptors appears. Descriptors are the lowest that are free, so the chunks fill from below. Chunks are
// never unmapped while the server lives: the generations in them must not be forgotten.
type table struct {
	chunks []atomic.Pointer[chunk]
	mapped atomic.Int64 // chunks
}

type chunk [chunkSlots]slot

const chunkBytes = int(unsafe.Sizeof(chunk{}))

// newTable makes a table for descriptors below limit.
func newTable(limit uint64) *table {
	limit = min(limit, maxSlots)
	return &table{chunks: make([]atomic.Pointer[chunk], (limit+chunkSlots-1)/chunkSlots)}
}

// at is the slot of a descriptor that was opened with open.
func (t *table) at(fd int) *slot {
	return &t.chunks[fd/chunkSlots].Load()[fd%chunkSlots]
}

// find is the slot of any number, or nil when nothing was ever opened near it.
func (t *table) find(fd uint32) *slot {
	if int(fd/chunkSlots) >= len(t.chunks) {
		return nil
	}
	c := t.chunks[fd/chunkSlots].Load()
	if c == nil {
		return nil
	}
	return &c[fd%chunkSlots]
}

// limit is the first descriptor that has no place.
func (t *table) limit() int { return len(t.chunks) * chunkSlots }

// open finds or maps the slot of a new descriptor.
func (t *table) open(fd int) (*slot, error) {
	if fd >= t.limit() {
		return nil, fmt.Errorf("descriptor %d is beyond the connection table's %d", fd, t.limit())
	}
	p := &t.chunks[fd/chunkSlots]
	c := p.Load()
	if c == nil {
		b, err := unix.Mmap(-1, 0, chunkBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			return nil, fmt.Errorf("map a chunk of the connection table: %w", err)
		}
		c = (*chunk)(unsafe.Pointer(unsafe.SliceData(b)))
		if p.CompareAndSwap(nil, c) {
			t.mapped.Add(1)
		} else {
			unmap(c)
			c = p.Load()
		}
	}
	return &c[fd%chunkSlots], nil
}

// free unmaps everything. Nobody may use the table any more.
func (t *table) free() {
	for i := range t.chunks {
		if c := t.chunks[i].Swap(nil); c != nil {
			unmap(c)
		}
	}
}

func unmap(c *chunk) {
	// The arguments are those of the mapping, so that there is nothing that could fail.
	_ = unix.Munmap(unsafe.Slice((*byte)(unsafe.Pointer(c)), chunkBytes))
}

// claim makes an unused slot that of a new connection of loop and gives the connection's name. The
// caller fills the slot, and then stores the key it got.
func (s *slot) claim(fd, loop int) (key uint32, c router.Conn) {
	gen := (s.key.Load()>>8 + 1) & (1<<24 - 1)
	if gen == 0 {
		gen = 1
	}
	return gen<<8 | uint32(loop+1), router.MakeConn(uint8(loop), 0, gen, uint32(fd))
}

// retire makes the slot match no Conn any more.
func (s *slot) retire() { s.key.Store(s.key.Load() &^ 0xff) }

// matches reports whether the slot is still what c names. The dialect is not compared: it is decided
// after a connection was named.
func (s *slot) matches(c router.Conn) bool {
	return s.key.Load() == c.Generation()<<8|uint32(c.Loop()+1)
}
