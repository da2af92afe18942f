package conn

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/tolkflip/tolkflip/proto/ws"
)

// handed is a connection on its way to an HTTP server: the descriptor is its only owner's.
type handed struct {
	fd   int
	peer netip.AddrPort
	read []byte // what was read from it
}

// refuse answers 503 and closes.
func (h handed) refuse(message string) {
	answer(h.fd, 503, message)
	_ = unix.Close(h.fd) // nothing could be done about an error
}

// answer refuses a request on a socket that is about to be closed. What the client has sent is read, so
// that the kernel does not follow the reply with a reset that overtakes it. It does not wait: whoever sends
// more gets that reset.
func answer(fd, status int, message string) {
	var b [4 << 10]byte
	// None of these has a failure that changes what is to be done next.
	_, _ = unix.Write(fd, ws.AppendRefusal(b[:0], status, message))
	_ = unix.Shutdown(fd, unix.SHUT_WR)
	for range 16 {
		if n, err := unix.Read(fd, b[:]); n <= 0 || err != nil {
			return
		}
	}
}

// httpListener is a port's net.Listener for an HTTP server: it accepts what the loops hand over. The
// sockets in it and those that it gave out and that are not closed yet count against one budget of the
// server's.
type httpListener struct {
	server *Server
	addr   net.Addr
	queue  chan handed
	done   chan struct{}
	mu     struct {
		sync.Mutex
		closed bool
	}
}

const httpQueue = 1024 // sockets that wait for Accept at one port

func newHTTPListener(s *Server, addr net.Addr) *httpListener {
	return &httpListener{server: s, addr: addr, queue: make(chan handed, httpQueue), done: make(chan struct{})}
}

// offer queues a connection, unless the budget is spent or the listener closed. It does not block.
func (l *httpListener) offer(h handed) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return false
	}
	if l.server.withHTTP.Add(1) <= int64(l.server.config.HTTPConnections) {
		select {
		case l.queue <- h:
			return true
		default:
		}
	}
	l.server.withHTTP.Add(-1)
	return false
}

// Accept waits for the next connection. A connection that cannot be made for want of descriptors is
// answered with 503, and the next one waited for.
func (l *httpListener) Accept() (net.Conn, error) {
	for {
		select {
		case h := <-l.queue:
			c, err := l.open(h)
			if err == nil {
				return c, nil
			}
			l.server.withHTTP.Add(-1)
			l.server.complain(&l.server.stats.refused[refusedHandOver], "hand a connection to the HTTP server", err)
			l.server.stats.refused[refusedHandOver].Add(1)
		case <-l.done:
			return nil, net.ErrClosed
		}
	}
}

// open makes a net.Conn of a descriptor, which it consumes in every case.
func (l *httpListener) open(h handed) (net.Conn, error) {
	f := os.NewFile(uintptr(h.fd), "tcp")
	c, err := net.FileConn(f) // duplicates the descriptor
	if err != nil {
		if raw, rawErr := f.SyscallConn(); rawErr == nil {
			// Control fails only when the file is closed.
			_ = raw.Control(func(fd uintptr) { answer(int(fd), 503, "out of file descriptors") })
		}
	}
	if closeErr := f.Close(); err == nil && closeErr != nil {
		_ = c.Close() // the first error is the one to report
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("duplicate a socket: %w", err)
	}
	return &httpConn{Conn: c, server: l.server, peer: net.TCPAddrFromAddrPort(h.peer), read: h.read}, nil
}

// Close ends Accept and closes what nobody accepted.
func (l *httpListener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return nil
	}
	l.mu.closed = true
	close(l.done)
	for {
		select {
		case h := <-l.queue:
			l.server.withHTTP.Add(-1)
			h.refuse("shutting down")
		default:
			return nil
		}
	}
}

// Addr is the port's address.
func (l *httpListener) Addr() net.Addr { return l.addr }

// httpConn is a handed-over connection: what the loop had read comes first, the peer is who connected.
type httpConn struct {
	net.Conn
	server *Server
	peer   net.Addr
	read   []byte // owned by the one who reads
	once   sync.Once
}

// Read gives what the loop had read, then what comes.
func (c *httpConn) Read(b []byte) (int, error) {
	if len(c.read) > 0 {
		n := copy(b, c.read)
		if c.read = c.read[n:]; len(c.read) == 0 {
			c.read = nil
		}
		return n, nil
	}
	return c.Conn.Read(b)
}

// RemoteAddr is the client's address.
func (c *httpConn) RemoteAddr() net.Addr { return c.peer }

// Close closes the connection and takes it off the budget.
func (c *httpConn) Close() error {
	c.once.Do(func() { c.server.withHTTP.Add(-1) })
	return c.Conn.Close()
}

// UnsafeConn is the connection below, without what was read before it: for Adopt.
func (c *httpConn) UnsafeConn() net.Conn { return c.Conn }
