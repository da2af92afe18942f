package httpapi

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/tolkflip/tolkflip/proto"
)

// fasthttp is the server below one port.
func (a *API) fasthttp(s *Server) *fasthttp.Server {
	return &fasthttp.Server{
		Handler:      s.serve,
		ErrorHandler: s.unreadable,
		HeaderReceived: func(*fasthttp.RequestHeader) fasthttp.RequestConfig {
			// The body is read behind the door of its route. fasthttp reads one byte ahead, never none.
			return fasthttp.RequestConfig{ReadTimeout: a.cfg.BodyTimeout, MaxRequestBodySize: 1}
		},
		ExpectHandler: s.expect,
		ConnState: func(_ net.Conn, st fasthttp.ConnState) {
			switch st {
			case fasthttp.StateNew:
				a.open.Add(1)
				a.metrics.connections.Inc()
			case fasthttp.StateClosed, fasthttp.StateHijacked:
				a.open.Add(-1)
				a.metrics.connections.Dec()
			default:
			}
		},
		ReadTimeout:                  a.cfg.HeaderTimeout,
		WriteTimeout:                 a.cfg.WriteTimeout,
		IdleTimeout:                  a.cfg.IdleTimeout,
		ReadBufferSize:               a.cfg.ReadBuffer,
		StreamRequestBody:            true,
		Concurrency:                  a.cfg.MaxConnections + 1, // bounded refuses earlier, in JSON
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		CloseOnShutdown:              true,
		SecureErrorLogMessage:        true,
		Logger:                       quiet{a.log},
	}
}

// quiet passes fasthttp's own few messages on at debug level: they are about peers that went away.
type quiet struct{ log *slog.Logger }

// Printf logs one message.
func (q quiet) Printf(format string, args ...any) {
	q.log.Debug("fasthttp", slog.String("message", fmt.Sprintf(format, args...)))
}

// begin makes the Request of what fasthttp has read; a second call for the same request gives the first.
func (s *Server) begin(rc *fasthttp.RequestCtx) *Request {
	if r, ok := rc.UserValue(requestKey).(*Request); ok {
		return r
	}
	s.api.metrics.inFlight.Inc()
	r := &Request{rc: rc, api: s.api, start: time.Now(), id: requestID(rc.Request.Header.Peek("X-Request-Id"))}
	rc.SetUserValue(requestKey, r)
	s.api.writeHeaders(rc, r.id)
	return r
}

// serve is the way of every request that could be read.
func (s *Server) serve(rc *fasthttp.RequestCtx) {
	r := s.begin(rc)
	defer func() { s.end(r, recover()) }()
	switch {
	case rc.IsOptions():
		s.options(rc)
	case s.isUpgrade(rc):
		s.upgrade(r)
	default:
		s.router.Handler(rc)
	}
}

// end ends every request: it turns a panic, p, into a 500, compresses, and counts.
func (s *Server) end(r *Request, p any) {
	if p != nil {
		s.api.metrics.panics.Inc()
		s.api.log.Error("panic in a handler", slog.String("id", r.id), slog.String("route", r.route.name()),
			slog.String("panic", describe(p)), slog.String("stack", string(debug.Stack())))
		r.rc.Response.ResetBody()
		r.Reply(500, Problem{Error: r.route.failed(), Code: proto.Internal.String(), RequestID: r.id})
	}
	r.compress()
	r.settle()
	r.releaseBody()
	m := r.route
	if m == nil {
		m = s.other
	}
	s.api.metrics.inFlight.Dec()
	m.counts.observe(r.rc.Response.StatusCode(), time.Since(r.start))
}

// describe gives an error's text, and only the type of anything else: that may hold a user's data.
func describe(p any) string {
	if err, ok := p.(error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", p)
}

// unreadable answers a request that could not be read. The connection is closed behind it.
func (s *Server) unreadable(rc *fasthttp.RequestCtx, err error) {
	out := refusal{status: 400, text: "Bad request", code: proto.Invalid}
	var small *fasthttp.ErrSmallBuffer
	var late net.Error
	switch {
	case errors.As(err, &small):
		out = refusal{status: 431, text: "Request head too large", code: proto.Invalid}
		s.api.metrics.refuse(refusedHead)
	case errors.As(err, &late) && late.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		out = refusal{status: 408, text: "Request timeout", code: proto.Invalid}
		s.api.metrics.refuse(refusedSlow)
	default:
		s.api.metrics.refuse(refusedMalformed)
	}
	r := &Request{rc: rc, api: s.api, id: requestID(nil)}
	rc.Response.Reset()
	s.api.writeHeaders(rc, r.id)
	r.Reply(out.status, Problem{Error: out.text, Code: out.code.String()})
	s.other.counts.observe(out.status, 0)
}

// options answers OPTIONS: a preflight, or the question which methods a path has.
func (s *Server) options(rc *fasthttp.RequestCtx) {
	var allow []string
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		if h, _ := s.router.Lookup(m, string(rc.URI().PathOriginal()), rc); h != nil {
			allow = append(allow, m)
		}
	}
	preflight := s.api.cors.preflight(rc)
	if len(allow) == 0 && !preflight {
		s.notFound(rc)
		return
	}
	if len(allow) > 0 {
		rc.Response.Header.Set("Allow", strings.Join(append(allow, "OPTIONS"), ", "))
	}
	rc.SetStatusCode(fasthttp.StatusNoContent)
}

// bounded refuses connections over the limit with a ready-made answer.
type bounded struct {
	net.Listener
	api  *API
	once sync.Once
}

// Close closes the listener the first time, and is nil after that.
func (b *bounded) Close() (err error) {
	b.once.Do(func() { err = b.Listener.Close() })
	return err
}

// overloaded is what one reads whose connection is not taken.
func overloaded() string {
	const body = `{"success":false,"error":"` + textBusy + `","code":"busy"}`
	return "HTTP/1.1 503 Service Unavailable\r\nContent-Type: " + jsonType + "\r\nContent-Length: " + strconv.Itoa(len(body)) +
		"\r\nRetry-After: 1\r\nConnection: close\r\n\r\n" + body
}

// Accept gives the next connection that may be served.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil || b.api.open.Load() < int64(b.api.cfg.MaxConnections) {
			return c, err
		}
		b.api.metrics.refuse(refusedConnections)
		_ = c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)) // the next write fails if it is gone
		_, _ = io.WriteString(c, overloaded())                         // it is refused either way
		_ = c.Close()
	}
}
