package floor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"

	"github.com/tolkflip/tolkflip/bench/raw"
	"golang.org/x/sys/unix"
)

// epollServer is one thread. Members are sent to in turn, as often as it takes: a full socket is waited
// for, as a blocking send would.
type epollServer struct {
	answers
	config          Config
	listener, epoll int
	stop            int // an eventfd
	peers           []peer
	members         []int32
	pending         int
	buf             []byte
}

func serveEpoll(ctx context.Context, c Config, ready func(netip.AddrPort)) error {
	s := &epollServer{answers: newAnswers(c), config: c, buf: make([]byte, 64<<10)}
	addr, err := s.open()
	if err != nil {
		return errors.Join(fmt.Errorf("epoll server: %w", err), s.close())
	}
	done := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-ctx.Done():
			_, _ = unix.Write(s.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		case <-done:
		}
	}()
	ready(addr)
	err = s.run()
	close(done)
	<-stopped
	return errors.Join(err, s.close())
}

func (s *epollServer) open() (addr netip.AddrPort, err error) {
	if s.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return addr, err
	}
	if s.stop, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return addr, err
	}
	s.listener, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return addr, err
	}
	if err = unix.Bind(s.listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return addr, err
	}
	if err = unix.Listen(s.listener, 65535); err != nil {
		return addr, err
	}
	for _, fd := range []int{s.listener, s.stop} {
		if err = s.add(fd, unix.EPOLLIN); err != nil {
			return addr, err
		}
	}
	sa, err := unix.Getsockname(s.listener)
	if err != nil {
		return addr, err
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(sa.(*unix.SockaddrInet4).Port)), nil
}

func (s *epollServer) add(fd int, events uint32) error {
	return unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

func (s *epollServer) close() error {
	for fd, p := range s.peers {
		if p.stage > 0 {
			_ = unix.Close(fd)
		}
	}
	return errors.Join(unix.Close(s.listener), unix.Close(s.stop), unix.Close(s.epoll))
}

func (s *epollServer) run() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	events := make([]unix.EpollEvent, 512)
	for {
		n, err := unix.EpollWait(s.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		for _, ev := range events[:max(n, 0)] {
			switch fd := ev.Fd; int(fd) {
			case s.stop:
				return nil
			case s.listener:
				s.accept()
			default:
				s.read(fd, ev.Events&^unix.EPOLLIN != 0)
			}
		}
	}
}

func (s *epollServer) accept() {
	for {
		fd, _, err := unix.Accept4(s.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		for fd >= len(s.peers) {
			s.peers = append(s.peers, peer{})
		}
		s.peers[fd] = peer{stage: 1}
		if s.add(fd, unix.EPOLLIN|unix.EPOLLET) != nil {
			_ = unix.Close(fd)
		}
	}
}

// read takes what has come; end says that the end of the stream may be behind it.
func (s *epollServer) read(fd int32, end bool) {
	for {
		n, errno := raw.Read(fd, s.buf)
		if errno == unix.EAGAIN {
			return
		}
		if errno != 0 || n == 0 {
			s.drop(fd)
			return
		}
		s.act(fd, s.buf[:n])
		if s.peers[fd].stage == 0 || n < len(s.buf) && !end {
			return
		}
	}
}

// act makes the next step of a connection's: two answers, then its bytes back or a message to all others.
func (s *epollServer) act(fd int32, b []byte) {
	p := &s.peers[fd]
	switch {
	case p.stage == 1:
		if bytes.HasSuffix(b, []byte("\r\n\r\n")) {
			p.stage = 2
			s.write(fd, s.upgraded)
		}
	case p.stage == 2:
		p.stage, p.member = 3, true
		s.members = append(s.members, fd)
		s.write(fd, s.authenticated)
	case s.config.Echo:
		s.write(fd, b)
	default:
		s.leave(fd)
		count := p.frames(b)
		for range count {
			s.write(fd, s.acked)
		}
		s.pending += count
		for s.pending >= s.config.Batch {
			s.pending -= s.config.Batch
			for _, m := range s.members {
				s.write(m, s.broadcast)
			}
		}
	}
}

// write puts out all of b.
func (s *epollServer) write(fd int32, b []byte) {
	for len(b) > 0 {
		n, errno := raw.Write(fd, b)
		switch errno {
		case 0:
			b = b[n:]
		case unix.EAGAIN:
			_, _ = unix.Poll([]unix.PollFd{{Fd: fd, Events: unix.POLLOUT}}, -1)
		default:
			return // it is gone: the next read says so
		}
	}
}

// leave takes a connection out of those that a broadcast goes to.
func (s *epollServer) leave(fd int32) {
	if !s.peers[fd].member {
		return
	}
	s.peers[fd].member = false
	for i, m := range s.members {
		if m == fd {
			s.members[i] = s.members[len(s.members)-1]
			s.members = s.members[:len(s.members)-1]
			return
		}
	}
}

// drop closes a connection. Leaving the members is linear, which only a broadcast's members pay.
func (s *epollServer) drop(fd int32) {
	s.leave(fd)
	s.peers[fd] = peer{}
	_ = unix.Close(int(fd))
}
