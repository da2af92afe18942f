package conn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	errorx "github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"

	"github.com/tolkflip/tolkflip/proto/ws"
	"github.com/tolkflip/tolkflip/router"
)

const (
	readBytes     = 64 << 10  // one read
	mergeBytes    = 64 << 10  // one merged write
	mergeBelow    = 16 << 10  // a frame of this size or more is written from where it is
	placesAPass   = 4096      // deliveries that one pass puts in their places, about; a broadcast is not split
	answersAPass  = 256       // connections with an answer among their output that one pass writes to
	copiesAPass   = 64        // connections with nothing but what many get, when few wait with an answer
	copiesAtLeast = 16        // of those, places that answers leave
	bytesAPass    = 256 << 10 // after so many bytes a pass writes to no further connection
	bulkAbove     = 16        // connections of one delivery above which other output passes it
	expiresAPass  = 128       // deadlines that one pass acts on
	keepItems     = 1 << 15   // places of an inbox that are kept when it is empty
	looksAPass    = 4096      // slots of the wheel that one pass files again, places of a line that it looks at
)

// loop is one event loop: a goroutine, an epoll instance and everything about the connections that it
// owns. Nothing in it may wait. All fields but inbox belong to that goroutine.
type loop struct {
	server *Server
	index  int
	mark   uint32 // low byte of the keys of slots that are this loop's
	poll   *netpoll.Poller
	door   int // eventfd, edge-triggered: its counter is never read
	timer  int // timerfd
	inbox  inbox

	slots *table
	sides sides
	wheel wheel
	now   uint32 // tick

	urgent     line   // connections with output that nobody tried to write yet: an answer among it
	dirty      line   // the same, only what many others get as well
	items      []item // taken out of the inbox
	itemAt     int    // first of them that is not in its place
	placed     int    // deliveries of this pass
	buf        []byte // what was read last
	scratch    []byte // what is written next, when several frames are merged
	head       ws.Head
	orphans    []*feed                // feeds of connections that are gone, until their feeders know
	attachment netpoll.PollAttachment // the poller's argument, which it does not keep
	fresh      ws.State               // for connections that are not inside a message
	stopping   bool
	stats      loopStats
}

func newLoop(s *Server, index int) (l *loop, err error) {
	l = &loop{
		server: s, index: index, mark: uint32(index + 1), door: -1, timer: -1,
		slots: s.slots, wheel: wheel{slots: s.slots}, urgent: line{in: inUrgent}, dirty: line{in: inDirty},
		buf: make([]byte, readBytes), scratch: make([]byte, 0, mergeBytes),
	}
	defer func() {
		if err != nil {
			l.free()
		}
	}()
	if l.poll, err = netpoll.OpenPoller(); err != nil {
		return l, fmt.Errorf("open the poller of loop %d: %w", index, err)
	}
	if l.door, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return l, fmt.Errorf("eventfd: %w", err)
	}
	// Edge-triggered: every ring is an event of its own, and nobody has to read the counter back.
	if err = l.poll.AddRead(&netpoll.PollAttachment{FD: l.door}, true); err != nil {
		return l, err
	}
	if l.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return l, fmt.Errorf("timerfd: %w", err)
	}
	if !s.config.manual {
		every := unix.NsecToTimespec(int64(s.config.tick))
		if err = unix.TimerfdSettime(l.timer, 0, &unix.ItimerSpec{Interval: every, Value: every}, nil); err != nil {
			return l, fmt.Errorf("timerfd: %w", err)
		}
	}
	return l, l.poll.AddRead(&netpoll.PollAttachment{FD: l.timer}, false)
}

// free closes what newLoop opened. Nobody may ring any more: the doorbell's number may soon be another
// file's.
func (l *loop) free() {
	for l.inbox.ringers.Load() > 0 {
		runtime.Gosched()
	}
	if l.poll != nil {
		_ = l.poll.Close() // both descriptors are ours alone: nothing to do about an error
	}
	for _, fd := range []int{l.door, l.timer} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// run is the loop's goroutine.
func (l *loop) run() error {
	err := l.poll.Polling(l.event)
	if errors.Is(err, errorx.ErrEngineShutdown) {
		return nil
	}
	return fmt.Errorf("loop %d: %w", l.index, err)
}

// event is the poller's callback: one descriptor that is ready.
func (l *loop) event(fd int, ev netpoll.IOEvent, _ netpoll.IOFlags) error {
	switch fd {
	case l.door:
		l.pass()
		if l.stopping {
			return errorx.ErrEngineShutdown
		}
	case l.timer:
		l.expired()
	default:
		l.ready(fd, ev)
	}
	return nil
}

// ready serves a connection. The event may be an old one, of a connection that an earlier event of the
// same batch closed; its descriptor may already be another connection's. The slot's key tells whether it
// is one of this loop, and then there is at worst nothing to read.
func (l *loop) ready(fd int, ev netpoll.IOEvent) {
	s := l.slots.find(uint32(fd))
	if s == nil {
		return
	}
	key := s.key.Load()
	if key&0xff != l.mark {
		return
	}
	defer l.guard(fd, key)
	if !s.has(linked) {
		l.greet(fd, s)
	}
	if s.has(wantWrite) && ev&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		l.flush(fd, s)
	}
	if ev&^unix.EPOLLOUT == 0 || s.key.Load() != key || s.has(noRead) {
		return
	}
	n, errno := readNow(fd, l.buf)
	switch {
	case n > 0:
		l.stats.reads.add(1)
		l.stats.bytesIn.add(int64(n))
		s.last = l.now
		l.input(fd, s, l.buf[:n])
	case n == 0:
		l.drop(fd, s, closedByPeer)
	case errno != unix.EAGAIN && errno != unix.EINTR:
		l.drop(fd, s, closedByError)
	}
}

// guard keeps a panic from ending the loop: the connection that it happened on is cut.
func (l *loop) guard(fd int, key uint32) {
	cause := recover()
	if cause == nil {
		return
	}
	l.server.panicked("loop", cause, debug.Stack())
	if s := l.slots.find(uint32(fd)); s != nil && s.key.Load() == key {
		l.drop(fd, s, closedByPanic)
	}
}

// find is the slot that c names, or nil when that connection is gone.
func (l *loop) find(c router.Conn) *slot {
	s := l.slots.find(c.Slot())
	if s == nil || s.key.Load() != c.Generation()<<8|l.mark {
		return nil
	}
	return s
}

// name is the Conn of a slot.
func (l *loop) name(fd int, s *slot) router.Conn {
	return router.MakeConn(uint8(l.index), s.dialect, s.key.Load()>>8, uint32(fd))
}

// pass is one answer to the doorbell: what other goroutines put in is put in its place, as much as fits
// into a pass, then a bounded number of connections is written to. What is left comes with the next
// event, after the sockets.
func (l *loop) pass() {
	began := time.Now()
	l.placed = 0
	for more := l.refill(); more && l.placed < placesAPass; more = l.itemAt < len(l.items) {
		l.itemAt = l.apply(l.items, l.itemAt)
	}
	l.flushDirty()
	late := l.expire()
	l.stats.passes.add(1)
	l.stats.passNanos.add(int64(time.Since(began)))
	if l.inbox.rest(late || l.itemAt < len(l.items) || !l.urgent.empty() || !l.dirty.empty()) {
		l.ring()
		// A loop that is always busy gives its processor up between two passes. Else the workers and the
		// log wait for the scheduler to take it away, up to 10 ms each time.
		runtime.Gosched()
	}
}

// refill takes what is in the inbox when all that was taken before is in its place, and reports whether
// there is something to place.
func (l *loop) refill() bool {
	if l.itemAt < len(l.items) {
		return true
	}
	clear(l.items)
	spare := l.items
	if cap(spare) > keepItems {
		spare = nil
	}
	l.items, l.itemAt = l.inbox.take(spare), 0
	return len(l.items) > 0
}

// apply does items from the i-th on, as many as fit into the pass. A panic skips the item that it happened in.
func (l *loop) apply(items []item, i int) (next int) {
	next = i
	defer func() {
		if cause := recover(); cause != nil {
			l.server.panicked("loop", cause, debug.Stack())
			if s := l.find(items[next].conn); s != nil {
				l.drop(int(items[next].conn.Slot()), s, closedByPanic)
			}
			next++
		}
	}()
	for ; next < len(items) && l.placed < placesAPass; next++ {
		it := &items[next]
		l.placed++
		if it.do != nil {
			it.do.apply(l, it.conn, it.frame)
			continue
		}
		l.deliver(it.conn, it.frame)
	}
	return next
}

// deliver puts a frame into the outbound list of c, with its reference.
func (l *loop) deliver(c router.Conn, f *frame) {
	s := l.find(c)
	if s == nil || s.has(isClosing) {
		l.stats.dropped[dropGone].add(1)
		l.server.frames.release(f, 1)
		return
	}
	l.enqueue(int(c.Slot()), s, f, false)
}

// ring wakes the loop.
func (l *loop) ring() {
	// An eventfd fails only when its counter is full, and then it has rung.
	_, _ = writeNow(l.door, l.server.one[:])
}

// wake is ring for another goroutine, which an inbox told to.
func (l *loop) wake() {
	l.ring()
	l.inbox.ringers.Add(-1)
}

// expired answers the timer.
func (l *loop) expired() {
	var b [8]byte
	if n, err := unix.Read(l.timer, b[:]); err != nil || n != len(b) {
		return
	}
	l.tick(uint32(binary.NativeEndian.Uint64(b[:])))
}

// tick moves the clock and does what waits for it.
func (l *loop) tick(n uint32) {
	l.now += n
	l.sides.trim()
	l.stats.sides.n.Store(int64(l.sides.inUse))
	l.pass()
}

// greet begins the deadlines of a new connection.
func (l *loop) greet(fd int, s *slot) {
	s.last, s.mark, s.leaked = l.now, l.now, l.now
	l.schedule(fd, s)
}

// greeting has a loop greet a connection that sends nothing.
type greeting struct{}

func (greeting) apply(l *loop, c router.Conn, _ *frame) {
	if s := l.find(c); s != nil && !s.has(linked) {
		l.greet(int(c.Slot()), s)
	}
}

// schedule files a slot in the wheel under its deadline.
func (l *loop) schedule(fd int, s *slot) {
	due, _ := l.deadline(s)
	l.wheel.link(fd, s, due)
}
