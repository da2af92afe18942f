package httpapi

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/tolkflip/tolkflip/proto"
)

// Body is a request's body as it comes in, for a route that streams it. A read fails once the body is over
// its limit, comes too slowly or ends early; those errors are the client's, and a handler may return them.
type Body struct {
	r        *Request
	from     io.Reader // absent where the request has no body
	conn     net.Conn
	declared int64 // -1 where the client did not say
	limit    int64
	n        int64
	waited   time.Duration // in all reads
	err      error
	release  func() bool // ends the watch over the server's end
}

// Declared is the length that the client gave, or -1.
func (b *Body) Declared() int64 { return b.declared }

// Err is what ended the reading before the body's end, if anything did. A store that read the body may
// have wrapped it beyond recognition.
func (b *Body) Err() error {
	if errors.Is(b.err, io.EOF) {
		return nil
	}
	return b.err
}

// Read waits for more of the body, as long as its pace allows.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.from == nil {
		b.err = io.EOF
		return 0, io.EOF
	}
	if most := b.limit - b.n + 1; int64(len(p)) > most { // one byte more tells that it is too large
		p = p[:most]
	}
	began := time.Now()
	if b.conn != nil {
		err := b.conn.SetReadDeadline(began.Add(b.r.api.cfg.patience(b.waited, b.n)))
		if err != nil || b.r.api.base.Err() != nil {
			b.err = ErrCut
			return 0, ErrCut
		}
	}
	n, err := b.from.Read(p)
	b.waited += time.Since(began)
	b.n += int64(n)
	if b.n > b.limit {
		n -= int(b.n - b.limit)
		b.err = b.r.tooLarge()
		return n, b.err
	}
	b.err = b.judge(err)
	return n, b.err
}

// judge gives the error of a read as clients read it.
func (b *Body) judge(err error) error {
	var late interface{ Timeout() bool }
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF):
		if b.declared >= 0 && b.n < b.declared {
			return ErrCut
		}
		return io.EOF
	case errors.As(err, &late) && late.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		b.r.api.metrics.refuse(refusedSlow)
		return errSlow
	default:
		b.r.api.metrics.refuse(refusedMalformed)
		return ErrCut
	}
}

// What a body was refused for. The connection is closed behind these.
var (
	errSlow = Refuse(fasthttp.StatusRequestTimeout, proto.Invalid, "Request timeout")
	// ErrCut is of a body that ended before its end: mostly the client is gone.
	ErrCut = Refuse(fasthttp.StatusBadRequest, proto.Invalid, "Bad request")
)

// patience is how long the next byte may take to come, or to go, of a body of which n did after waiting so
// long for the peer in all: StreamSilence, and no longer than keeps the average above StreamRate, once the
// first StreamSilence is used up. Who sends a byte now and then holds its place no longer than who sends
// nothing. What we spend ourselves, waiting for a store, does not count.
func (c *Config) patience(waited time.Duration, n int64) time.Duration {
	left := c.StreamSilence + time.Duration(float64(n)/float64(c.StreamRate)*float64(time.Second)) - waited
	return min(left, c.StreamSilence)
}

// Stream gives the body of a route that streams. It may be called once. What the handler leaves unread is
// read away, or the connection is closed.
func (r *Request) Stream() *Body {
	b := r.open(r.route.Stream)
	if b.conn != nil {
		b.release = context.AfterFunc(r.api.base, func() { _ = b.conn.SetReadDeadline(time.Unix(1, 0)) }) // fails only where it is gone
	}
	r.body = b
	return b
}

func (r *Request) open(limit int64) *Body {
	b := &Body{r: r, from: r.rc.RequestBodyStream(), conn: r.rc.Conn(), declared: -1, limit: limit}
	if n := r.rc.Request.Header.ContentLength(); n >= 0 {
		b.declared = int64(n)
	}
	return b
}

// limitBody refuses a body by its declared length, before any of it is read.
func (r *Request) limitBody() error {
	limit := int64(r.api.cfg.MaxBody)
	if r.route.Stream > 0 {
		limit = r.route.Stream
	}
	if int64(r.rc.Request.Header.ContentLength()) > limit {
		return r.tooLarge()
	}
	return nil
}

func (r *Request) tooLarge() error {
	r.api.metrics.refuse(refusedBody)
	text := textTooLarge
	if r.route != nil && r.route.TooLarge != "" {
		text = r.route.TooLarge
	}
	return Refuse(fasthttp.StatusRequestEntityTooLarge, proto.Invalid, text)
}

// readBody takes the whole body of a route that does not stream into memory. The deadline of its arrival
// was set with the end of the head.
func (r *Request) readBody() error {
	stream := r.rc.RequestBodyStream()
	if stream == nil {
		return nil
	}
	b := r.open(int64(r.api.cfg.MaxBody))
	b.conn = nil // it keeps that deadline
	r.body = b
	kept := bodies.Get().(*[]byte) //nolint:forcetypeassert // New makes nothing else
	r.kept = kept
	buf := (*kept)[:0]
	if want := b.declared + 1; int64(cap(buf)) < want {
		buf = make([]byte, 0, want)
	}
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := b.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err != nil {
			*kept = buf[:0]
			if err := b.Err(); err != nil {
				return err
			}
			*kept = buf
			r.rc.Request.SetBodyRaw(buf)
			return nil
		}
	}
}

// releaseBody gives back what reading the body took.
func (r *Request) releaseBody() {
	if r.body != nil && r.body.release != nil {
		r.body.release()
	}
	if r.kept == nil {
		return
	}
	r.rc.Request.SetBodyRaw(nil)
	if cap(*r.kept) > maxKept {
		*r.kept = nil
	}
	bodies.Put(r.kept)
	r.kept = nil
}

var bodies = sync.Pool{New: func() any { return new([]byte) }} //nolint:gochecknoglobals // a pool
