package conn

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tolkflip/tolkflip/router"
)

// ErrShutDown is what a server that was shut down answers.
var ErrShutDown = errors.New("conn: the server is shut down")

// Adopt makes a WebSocket of a connection that an HTTP server had: head is the request's head as it came
// on the wire, with whatever the server has read behind it. The socket is duplicated: the caller closes c
// afterwards, in every case. The handshake is answered by a loop after Adopt has returned; with an error
// nothing was or will be sent.
func (s *Server) Adopt(c net.Conn, port string, head []byte) error {
	index := s.portIndex(port)
	if index < 0 {
		return fmt.Errorf("conn: adopt: no port %q", port)
	}
	peer, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return fmt.Errorf("conn: adopt: %T is no TCP address", c.RemoteAddr())
	}
	sc, head, err := unwrap(c, append([]byte(nil), head...))
	if err != nil {
		return err
	}
	fd, err := duplicate(sc)
	if err != nil {
		return fmt.Errorf("conn: adopt: %w", err)
	}
	if why := s.adopt(fd, uint8(index), peer.AddrPort(), head); why != notRefused {
		_ = unix.Close(fd) // nothing was done with it
		s.stats.refused[why].Add(1)
		return fmt.Errorf("conn: adopt: refused: %s", why)
	}
	return nil
}

// adopt gives a socket with what was read from it to a loop. When it is refused it stays the caller's.
func (s *Server) adopt(fd int, port uint8, peer netip.AddrPort, read []byte) refusal {
	s.seating.RLock()
	defer s.seating.RUnlock()
	_, c, why := s.seat(fd, port, peer, isAdopted)
	if why == notRefused && !s.must(c, nil, &adopted{read}) {
		s.unseat(fd)
		why = refusedStopping
	}
	return why
}

// unwrap finds the socket below the wrappers that HTTP servers put around it, and adds to head what they
// have read and not given out.
func unwrap(c net.Conn, head []byte) (syscall.Conn, []byte, error) {
	for {
		if sc, ok := c.(syscall.Conn); ok {
			return sc, head, nil
		}
		w, ok := c.(interface{ UnsafeConn() net.Conn })
		if !ok {
			return nil, nil, fmt.Errorf("conn: adopt: %T has no socket", c)
		}
		// A read whose deadline is over gives what is buffered, and else does not reach the socket.
		if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil {
			return nil, nil, fmt.Errorf("conn: adopt: set a deadline: %w", err)
		}
		var b [4 << 10]byte
		for {
			n, err := c.Read(b[:])
			head = append(head, b[:n]...)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return nil, nil, fmt.Errorf("conn: adopt: take the buffered bytes: %w", err)
			}
			if len(head) > maxAdopted {
				return nil, nil, fmt.Errorf("conn: adopt: more than %d bytes are buffered", maxAdopted)
			}
		}
		c = w.UnsafeConn()
	}
}

// maxAdopted is how many bytes may have been read before a connection is adopted.
const maxAdopted = 64 << 10

// duplicate gives a descriptor of its own to the socket of sc.
func duplicate(sc syscall.Conn) (fd int, err error) {
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("get the socket: %w", err)
	}
	var dupErr error
	if err := raw.Control(func(from uintptr) {
		fd, dupErr = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return -1, fmt.Errorf("get the socket: %w", err)
	}
	if dupErr != nil {
		return -1, fmt.Errorf("duplicate a socket: %w", dupErr)
	}
	return fd, nil
}

// adopted hands the bytes that were read before to the loop, and only then lets it read more.
type adopted struct{ read []byte }

func (a *adopted) apply(l *loop, c router.Conn, _ *frame) {
	s := l.find(c)
	if s == nil {
		return
	}
	fd := int(c.Slot())
	l.attachment.FD = fd
	if err := l.poll.AddRead(&l.attachment, false); err != nil {
		l.server.log.Error("register a connection with epoll", "error", err)
		l.drop(fd, s, closedByError)
		return
	}
	l.greet(fd, s)
	l.input(fd, s, a.read)
}
