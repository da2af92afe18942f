package httpapi

import (
	"bufio"
	"context"
	"io"
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// A client that is refused while it sends hears of it only if somebody goes on reading: a connection that
// is closed with bytes unread is reset, and the reset overtakes the reply. So the reply is sent, our half
// closed, and what still comes is read away, for a while.
const (
	lingerFor  = 3 * time.Second
	lingerMost = 256 // connections at once; one more is closed at once
	// unreadKept is how much of a body fasthttp reads away by itself, to keep the connection.
	unreadKept = 256 << 10
)

// settle decides, once the reply stands, what becomes of a body that was not read to its end.
func (r *Request) settle() {
	if r.rc.Hijacked() || r.rc.RequestBodyStream() == nil && r.body == nil {
		return
	}
	var read int64
	if r.body != nil {
		if r.body.err == io.EOF || r.body.err == errSlow || r.body.err == ErrCut { //nolint:errorlint // as they were set
			return
		}
		read = r.body.n
	}
	declared := int64(r.rc.Request.Header.ContentLength())
	if declared >= 0 && declared-read <= unreadKept {
		return
	}
	r.rc.SetConnectionClose()
	r.rc.HijackSetNoResponse(true) // fasthttp would close behind its own reply
	r.rc.Hijack(func(c net.Conn) {
		stays, end := r.api.lingers.begin(), lingerCut
		if stays {
			defer r.api.lingers.end()
		} else {
			end = lingerFull
		}
		defer func() { r.api.metrics.lingers[end].Inc() }()
		if c.SetWriteDeadline(time.Now().Add(r.api.cfg.WriteTimeout)) != nil {
			return
		}
		w := bufio.NewWriter(c)
		if r.rc.Response.Write(w) != nil || w.Flush() != nil {
			return
		}
		if stays {
			end = linger(r.api.base, c)
		}
	})
}

// lingers counts the connections that are read away.
type lingers struct {
	mu     sync.Mutex
	n      int
	closed bool
	wg     sync.WaitGroup
}

// begin reports whether one more may linger.
func (l *lingers) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.n == lingerMost {
		return false
	}
	l.n++
	l.wg.Add(1)
	return true
}

func (l *lingers) end() {
	l.mu.Lock()
	l.n--
	l.mu.Unlock()
	l.wg.Done()
}

// close lets no more begin and waits for those that did.
func (l *lingers) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.wg.Wait()
}

// linger reads away what comes until the peer is done, the time is over or ctx ends.
func linger(ctx context.Context, c net.Conn) lingerEnd {
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cut)
		_ = c.SetReadDeadline(time.Unix(1, 0)) // fails only where the connection is gone
	})
	defer func() {
		if !stop() { // it has begun, and c is another's once we return
			<-cut
		}
	}()
	if c.SetReadDeadline(time.Now().Add(lingerFor)) != nil || ctx.Err() != nil {
		return lingerCut
	}
	raw := c
	for {
		u, ok := raw.(interface{ UnsafeConn() net.Conn })
		if !ok {
			break
		}
		raw = u.UnsafeConn()
	}
	if half, ok := raw.(interface{ CloseWrite() error }); ok {
		if half.CloseWrite() != nil {
			return lingerCut
		}
	}
	if _, err := io.Copy(io.Discard, c); err != nil { // the deadline, or a reset
		return lingerCut
	}
	return lingerDone
}

// expect answers "Expect: 100-continue": who may not send, or too much, is told before sending.
func (s *Server) expect(rc *fasthttp.RequestCtx) int {
	r := s.begin(rc)
	r.asking = true
	defer func() {
		if r.asking { // refused, or a panic: this was the request's end
			s.end(r, recover())
		}
	}()
	s.router.Handler(rc)
	if r.refused || r.route == nil {
		return rc.Response.StatusCode()
	}
	r.asking = false
	return fasthttp.StatusContinue
}
