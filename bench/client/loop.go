package client

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"github.com/tolkflip/tolkflip/bench/raw"
	"golang.org/x/sys/unix"
)

const (
	readSize  = 256 << 10
	eventsMax = 512
	keepOut   = 64 << 10 // output buffers up to this size are kept for reuse
	keepFree  = 1024     // so many of them
)

// Protocol is what is spoken on a connection. It is called on the loop's thread.
type Protocol interface {
	// Opened is told once the connection stands; it may write.
	Opened(c *Conn)
	// Received gets what has come and has not been used, and returns how many bytes it used. b is valid until it returns.
	Received(c *Conn, b []byte) (used int)
	// Closed is told once when the other side closed or the connection failed, and not after Conn.Close.
	Closed(c *Conn, err error)
}

// Ticker is work that is due at a time. It is called after every pass with the loop's clock, and returns when it
// wants to be called next at the latest; Never means after the next event.
type Ticker func(now int64) (next int64)

// Never is no time at all.
const Never = int64(1<<63 - 1)

// Loop is one epoll instance and its thread.
type Loop struct {
	epoll, bell int
	tick        Ticker
	conns       []*Conn // by descriptor
	open        int
	generation  int32 // of the newest connection: a descriptor that is used again has another
	events      []unix.EpollEvent
	buf         []byte
	dirty       []*Conn
	free        [][]byte
	zero        time.Time
	done        chan struct{}
	stopping    bool

	mu struct {
		sync.Mutex
		tasks  []func()
		closed bool
	}
}

// NewLoop starts a loop. zero is the beginning of its clock, which loops of one run share. The loop lives
// until Close.
func NewLoop(zero time.Time) (*Loop, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err == nil {
		err = unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, bell, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(bell)})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("epoll doorbell: %w", err), unix.Close(ep))
	}
	l := &Loop{
		epoll: ep, bell: bell, zero: zero,
		events: make([]unix.EpollEvent, eventsMax),
		buf:    make([]byte, readSize),
		done:   make(chan struct{}),
	}
	go l.run()
	return l, nil
}

// Now is the loop's clock: nanoseconds since its zero.
func (l *Loop) Now() int64 { return int64(time.Since(l.zero)) }

// Open is how many connections are held.
func (l *Loop) Open() int { return l.open }

// Tick sets the work that is due at a time; nil = none.
func (l *Loop) Tick(t Ticker) { l.tick = t }

// Do runs f on the loop's thread, soon. After Close it does nothing.
func (l *Loop) Do(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return // and the doorbell's descriptor may be somebody else's
	}
	l.mu.tasks = append(l.mu.tasks, f)
	var one [8]byte
	one[0] = 1
	_, _ = unix.Write(l.bell, one[:]) // a full counter has rung already
}

// Call runs f on the loop's thread and waits for it. ok is false when the loop has been closed.
func (l *Loop) Call(f func()) (ok bool) {
	ran := make(chan struct{})
	l.Do(func() { f(); close(ran) })
	select {
	case <-ran:
		return true
	case <-l.done:
		return false
	}
}

// Close resets all connections and ends the loop. It waits for the thread.
func (l *Loop) Close() {
	l.Do(func() { l.stopping = true })
	<-l.done
}

func (l *Loop) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(l.done)
	next := Never
	for !l.stopping {
		n, err := l.wait(next)
		if err != nil && !errors.Is(err, unix.EINTR) {
			break
		}
		for i := range n {
			l.event(&l.events[i])
		}
		next = Never
		if l.tick != nil {
			next = l.tick(l.Now())
		}
		l.flush()
	}
	l.mu.Lock()
	l.mu.closed = true
	l.mu.Unlock()
	for _, c := range l.conns {
		if c != nil {
			c.Close()
		}
	}
	_ = unix.Close(l.bell)
	_ = unix.Close(l.epoll)
}

// wait is epoll_pwait2, whose time-out has the precision that a schedule needs.
func (l *Loop) wait(next int64) (int, error) {
	var timeout *unix.Timespec
	if next != Never {
		t := unix.NsecToTimespec(max(next-l.Now(), 0))
		timeout = &t
	}
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(l.epoll), uintptr(unsafe.Pointer(&l.events[0])),
		uintptr(len(l.events)), uintptr(unsafe.Pointer(timeout)), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func (l *Loop) event(ev *unix.EpollEvent) {
	fd := int(ev.Fd)
	if fd == l.bell {
		l.tasks()
		return
	}
	if fd >= len(l.conns) || l.conns[fd] == nil || l.conns[fd].generation != ev.Pad {
		return // closed earlier in this pass
	}
	c := l.conns[fd]
	if !c.opened {
		if err := c.connected(); err != nil {
			c.fail(err)
			return
		}
		if !c.opened {
			return
		}
	}
	if ev.Events&unix.EPOLLOUT != 0 && c.blocked {
		c.blocked = false
		l.mark(c)
	}
	if ev.Events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.paused = c.hold
		if !c.hold {
			l.read(c, ev.Events&^(unix.EPOLLIN|unix.EPOLLOUT) != 0)
		}
	}
}

func (l *Loop) tasks() {
	var b [8]byte
	_, _ = unix.Read(l.bell, b[:])
	l.mu.Lock()
	tasks := l.mu.tasks
	l.mu.tasks = nil
	l.mu.Unlock()
	for _, f := range tasks {
		f()
	}
}

// read takes what has come, until the socket has no more. A short read says so as well as EAGAIN does, unless the end of the
// stream may be behind it.
func (l *Loop) read(c *Conn, end bool) {
	for c.fd >= 0 {
		n, errno := raw.Read(c.fd, l.buf)
		switch {
		case errno == unix.EAGAIN:
			return
		case errno == unix.EINTR:
			continue
		case errno != 0:
			c.fail(errno)
			return
		case n == 0:
			c.fail(errEOF)
			return
		}
		c.take(l.buf[:n])
		if n < len(l.buf) && !end {
			return
		}
	}
}

func (l *Loop) mark(c *Conn) {
	if !c.dirty {
		c.dirty = true
		l.dirty = append(l.dirty, c)
	}
}

func (l *Loop) flush() {
	for i := 0; i < len(l.dirty); i++ { // a connection that fails may make others dirty
		c := l.dirty[i]
		c.dirty = false
		c.flush()
	}
	clear(l.dirty)
	l.dirty = l.dirty[:0]
}

// buffer gives an empty output buffer.
func (l *Loop) buffer() []byte {
	if n := len(l.free); n > 0 {
		b := l.free[n-1]
		l.free = l.free[:n-1]
		return b
	}
	return make([]byte, 0, 1<<10)
}

func (l *Loop) release(b []byte) {
	if cap(b) <= keepOut && len(l.free) < keepFree {
		l.free = append(l.free, b[:0])
	}
}
