package client

import (
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/tolkflip/tolkflip/bench/raw"
	"golang.org/x/sys/unix"
)

// Ports of one source address towards one destination run short from about 14,000 on, and connect slows
// to a crawl; so each source address gets this many connections.
const perSource = 5000

var errEOF = fmt.Errorf("closed by the server: %w", io.EOF)

// Conn is one connection. The exported fields are the scenario's.
type Conn struct {
	ID     int    // which one it is, counted over the scenario; decides its source address
	Count  uint32 // of the scenario
	Pongs  uint8  // pings that were answered, up to 255
	Ready  bool   // authenticated
	Skim   bool   // count messages, do not look into them
	stage  stage
	opened bool
	dirty  bool
	// blocked: the kernel took no more, an EPOLLOUT edge follows. hold: do not read. paused: an edge came meanwhile.
	blocked, hold, paused bool

	fd         int32
	generation int32
	skip       int // bytes of a skimmed frame that are still to come
	loop       *Loop
	protocol   Protocol
	in         []byte // came and was not used; nil when there is none
	out        []byte // to be written; nil when there is none
}

// Dial begins to connect. On the loop's thread.
func (l *Loop) Dial(to netip.AddrPort, id int, p Protocol) (*Conn, error) {
	fd, err := unix.Socket(family(to.Addr()), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	c := &Conn{ID: id, fd: int32(fd), loop: l, protocol: p}
	if err := c.dial(to); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	for fd >= len(l.conns) {
		l.conns = append(l.conns, nil)
	}
	l.conns[fd] = c
	l.open++
	return c, nil
}

func (c *Conn) dial(to netip.AddrPort) error {
	l, fd := c.loop, int(c.fd)
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("set no delay: %w", err)
	}
	if from, ok := Source(to.Addr(), c.ID); ok {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return fmt.Errorf("set late port: %w", err)
		}
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: from.As4()}); err != nil {
			return fmt.Errorf("bind to %s: %w", from, err)
		}
	}
	if err := unix.Connect(fd, sockaddr(to)); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return fmt.Errorf("connect: %w", err)
	}
	l.generation++
	c.generation = l.generation
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: c.fd, Pad: c.generation}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

// Source is the source address of connection number id: the kernel's choice for the first few thousand and
// for a server elsewhere, then 127.1.0.1 and on.
func Source(to netip.Addr, id int) (netip.Addr, bool) {
	if block := id / perSource; block > 0 && to.Is4() && to.IsLoopback() {
		return netip.AddrFrom4([4]byte{127, 1, byte(block >> 8), byte(block)}), true
	}
	return netip.Addr{}, false
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// connected finds out how a connect ended.
func (c *Conn) connected() error {
	code, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if code != 0 {
		return fmt.Errorf("connect: %w", unix.Errno(code))
	}
	c.opened = true
	c.protocol.Opened(c)
	return nil
}

// take hands bytes to the protocol, in front of them what it left before, and keeps what it leaves now.
func (c *Conn) take(b []byte) {
	if c.in != nil {
		b = append(c.in, b...)
	}
	used := c.protocol.Received(c, b)
	switch rest := b[min(used, len(b)):]; {
	case c.fd < 0:
	case len(rest) == 0:
		if c.in != nil {
			c.loop.release(c.in)
			c.in = nil
		}
	case c.in == nil:
		c.in = append(c.loop.buffer(), rest...)
	default:
		c.in = append(b[:0], rest...)
	}
}

// Buffer is the connection's output to append to; hand the result to Write. It goes out at the end of the loop's pass.
func (c *Conn) Buffer() []byte {
	if c.out == nil {
		return c.loop.buffer()
	}
	return c.out
}

// Write takes over what Buffer gave, with more appended.
func (c *Conn) Write(out []byte) {
	if c.fd < 0 {
		return
	}
	c.out = out
	if !c.blocked {
		c.loop.mark(c)
	}
}

// Unsent is how many bytes wait to be written.
func (c *Conn) Unsent() int { return len(c.out) }

func (c *Conn) flush() {
	at := 0
	for c.fd >= 0 && at < len(c.out) {
		n, errno := raw.Write(c.fd, c.out[at:])
		switch {
		case errno == unix.EAGAIN:
			c.blocked = true
			c.out = c.out[:copy(c.out, c.out[at:])]
			return
		case errno == unix.EINTR:
		case errno != 0:
			c.fail(errno)
			return
		default:
			at += n
		}
	}
	if c.out != nil {
		c.loop.release(c.out)
		c.out = nil
	}
}

// Hold stops reading, or goes on with it.
func (c *Conn) Hold(on bool) {
	c.hold = on
	if !on && c.paused {
		c.paused = false
		c.loop.read(c, true)
	}
}

// Fail ends the connection for a reason of the protocol's; Protocol.Closed is told.
func (c *Conn) Fail(err error) { c.fail(err) }

func (c *Conn) fail(err error) {
	if c.fd < 0 {
		return
	}
	c.Close()
	c.protocol.Closed(c, err)
}

// Gone reports whether the connection has ended.
func (c *Conn) Gone() bool { return c.fd < 0 }

// Close resets the connection: no port stays in TIME_WAIT, so that run after run can be made.
func (c *Conn) Close() {
	if c.fd < 0 {
		return
	}
	_ = unix.SetsockoptLinger(int(c.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	_ = unix.Close(int(c.fd))
	c.loop.conns[c.fd] = nil
	c.loop.open--
	c.fd, c.Ready = -1, false
	c.in, c.out = nil, nil
}
