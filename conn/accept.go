package conn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"
)

// Port is one address that the server listens on.
type Port struct {
	Name    string   // what HTTP and Adopt call it
	Addr    string   // host:port; port 0 takes a free one
	Sockets []string // paths at which a WebSocket handshake is answered
}

// port is a Port with its listening socket.
type port struct {
	name    string
	sockets []string
	fd      int
	http    *httpListener
}

// listen opens a listening socket. It is made by net, which knows names, both families and SO_REUSEADDR,
// and then taken from it, since net's own accept loop has no way to go on without descriptors. Multipath
// TCP, net's default, is off: nothing of ours speaks it, so there is nothing to gain.
func listen(addr string) (fd int, at net.Addr, err error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(context.Background(), "tcp", addr) // a listening socket opens at once or not at all
	if err != nil {
		return -1, nil, fmt.Errorf("conn: %w", err)
	}
	sc, ok := ln.(syscall.Conn)
	if !ok {
		_ = ln.Close() // the type is the error
		return -1, nil, fmt.Errorf("conn: %T has no socket", ln)
	}
	fd, err = duplicate(sc)
	at = ln.Addr()
	if closeErr := ln.Close(); err == nil && closeErr != nil {
		_ = unix.Close(fd) // the first error is the one to report
		err = closeErr
	}
	if err == nil {
		if err = prepare(fd); err != nil {
			_ = unix.Close(fd) // the first error is the one to report
		}
	}
	if err != nil {
		return -1, nil, fmt.Errorf("conn: listen on %s: %w", addr, err)
	}
	return fd, at, nil
}

// prepare sets what net leaves out: accepted sockets inherit TCP_NODELAY from their listener, which saves
// a system call for each.
func prepare(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("set TCP_NODELAY: %w", err)
	}
	return unix.Listen(fd, backlog)
}

// backlog is how many connections may wait to be accepted; the kernel takes less when somaxconn is less.
const backlog = 65535

// acceptor accepts on all ports: one goroutine, parked in the runtime's poller on an epoll instance of
// its own, so that waiting holds neither a thread nor a processor.
type acceptor struct {
	server *Server
	epoll  *os.File
	raw    syscall.RawConn
	spare  int // descriptor to let go when none is left, so that clients can be told; -1 = lost
	stop   chan struct{}
	ended  chan struct{}
	byFD   map[int]uint8 // port of a listening socket

	attachment netpoll.PollAttachment // the poller's argument, which it does not keep
}

const (
	acceptsATurn = 64 // connections of one port before another has its turn
	minBackOff   = 5 * time.Millisecond
	maxBackOff   = time.Second
)

func newAcceptor(s *Server) (*acceptor, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("conn: epoll_create1: %w", err)
	}
	a := &acceptor{server: s, stop: make(chan struct{}), ended: make(chan struct{}), byFD: make(map[int]uint8)}
	for i, p := range s.ports {
		a.byFD[p.fd] = uint8(i)
		ev := unix.EpollEvent{Fd: int32(p.fd), Events: unix.EPOLLIN}
		if err := unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, p.fd, &ev); err != nil {
			_ = unix.Close(fd) // the first error is the one to report
			return nil, fmt.Errorf("conn: epoll_ctl: %w", err)
		}
	}
	// With O_NONBLOCK set, os registers the epoll descriptor with the runtime's poller.
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("conn: fcntl: %w", err)
	}
	a.epoll = os.NewFile(uintptr(fd), "epoll")
	if a.raw, err = a.epoll.SyscallConn(); err != nil {
		_ = a.epoll.Close()
		return nil, fmt.Errorf("conn: watch the listening sockets: %w", err)
	}
	a.reopenSpare()
	return a, nil
}

// run accepts until close.
func (a *acceptor) run() {
	defer close(a.ended)
	events := make([]unix.EpollEvent, 32)
	wait := minBackOff
	for {
		n := 0
		if err := a.raw.Read(func(fd uintptr) bool {
			n, _ = unix.EpollWait(int(fd), events, 0) // an error is no event
			return n > 0
		}); err != nil {
			return
		}
		short := false
		for _, ev := range events[:n] {
			select {
			case <-a.stop:
				return
			default:
			}
			short = !a.accept(int(ev.Fd)) || short
		}
		if !short {
			wait = minBackOff
			continue
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-a.stop:
			t.Stop()
			return
		}
		wait = min(2*wait, maxBackOff)
	}
}

// accept takes a turn of connections of one port. It reports false when the system is short of something.
func (a *acceptor) accept(listener int) bool {
	for range acceptsATurn {
		fd, sa, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
			a.seat(fd, a.byFD[listener], peerOf(sa))
		case errors.Is(err, unix.EAGAIN):
			return true
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
			a.server.stats.acceptErrors.Add(1)
			if !a.sayFull(listener) {
				return false
			}
		case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
			a.server.stats.acceptErrors.Add(1)
			return false
		default: // a connection that was gone before it was accepted
			a.server.stats.acceptErrors.Add(1)
		}
	}
	return true
}

// sayFull spends the spare descriptor on telling one client that there is no room. It reports false
// when it could not.
func (a *acceptor) sayFull(listener int) bool {
	if a.spare < 0 {
		a.reopenSpare()
		return false
	}
	_ = unix.Close(a.spare) // it is /dev/null
	a.spare = -1
	fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err == nil {
		a.server.refuse(fd, refusedDescriptors)
	}
	a.reopenSpare()
	return err == nil && a.spare >= 0
}

func (a *acceptor) reopenSpare() {
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		fd = -1
	}
	a.spare = fd
}

// seat gives an accepted socket to a loop, or refuses it.
func (a *acceptor) seat(fd int, port uint8, peer netip.AddrPort) {
	s := a.server
	l, c, why := s.seat(fd, port, peer, 0)
	if why != notRefused {
		s.refuse(fd, why)
		return
	}
	a.attachment.FD = fd
	if err := l.poll.AddRead(&a.attachment, false); err != nil {
		s.unseat(fd)
		s.complain(&s.stats.refused[refusedEpoll], "register a connection with epoll", err)
		s.refuse(fd, refusedEpoll)
		return
	}
	s.stats.accepted.Add(1)
	l.inbox.note(item{conn: c, do: greeting{}})
}

// close ends run and closes the listening sockets.
func (a *acceptor) close() {
	close(a.stop)
	_ = a.epoll.Close() // wakes run; the descriptor is ours alone
	<-a.ended
	if a.spare >= 0 {
		_ = unix.Close(a.spare)
	}
}

// peerOf is the address of whoever connected.
func peerOf(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	default:
		return netip.AddrPort{}
	}
}
