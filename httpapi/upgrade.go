package httpapi

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/tolkflip/tolkflip/proto"
)

// isUpgrade reports whether the request asks for a WebSocket on one of the service's socket paths. The
// first request of a connection never comes here: the engine takes it before HTTP sees it.
func (s *Server) isUpgrade(rc *fasthttp.RequestCtx) bool {
	return rc.IsGet() && s.sockets[string(rc.Path())] && rc.Request.Header.ConnectionUpgrade() &&
		bytes.EqualFold(rc.Request.Header.Peek("Upgrade"), []byte("websocket"))
}

// upgrade hands the connection over, with the head as it came and whatever was read behind it.
func (s *Server) upgrade(r *Request) {
	if s.api.deps.Upgrade == nil {
		r.fail(Refuse(501, proto.Internal, "WebSocket is not available on this port"))
		return
	}
	head := r.rc.Request.Header.AppendBytes(nil)
	r.rc.HijackSetNoResponse(true)
	r.rc.Hijack(func(c net.Conn) {
		raw := c
		if u, ok := c.(interface{ UnsafeConn() net.Conn }); ok {
			raw = u.UnsafeConn()
		}
		head = append(head, unread(c)...)
		if err := s.api.deps.Upgrade(raw, s.service.Name, head); err != nil {
			s.api.metrics.refuse(refusedUpgrade)
			s.api.log.Debug("hand a socket over", slog.String("id", r.id), slog.Any("error", err))
			_ = c.SetWriteDeadline(time.Now().Add(time.Second)) // the write fails if the connection is gone
			_, _ = io.WriteString(c, overloaded())              // nobody is left to tell
		}
	})
}

// unread gives what the server had read of the connection and not used. A deadline in the past keeps
// the connection itself from being read.
func unread(c net.Conn) []byte {
	if c.SetReadDeadline(time.Unix(1, 0)) != nil {
		return nil
	}
	rest, _ := io.ReadAll(c) // ends with the deadline's error
	_ = c.SetReadDeadline(time.Time{})
	return rest
}

// compress packs a large reply for those who accept gzip.
func (r *Request) compress() {
	if r.rc.Response.IsBodyStream() || r.rc.Hijacked() {
		return
	}
	body := r.rc.Response.Body()
	if len(body) <= r.api.cfg.CompressAbove {
		return
	}
	h := &r.rc.Response.Header
	if len(h.ContentEncoding()) > 0 {
		return
	}
	h.Add("Vary", "Accept-Encoding")
	if !r.rc.Request.Header.HasAcceptEncoding("gzip") {
		return
	}
	packed := fasthttp.AppendGzipBytesLevel(nil, body, fasthttp.CompressBestSpeed)
	h.SetContentEncoding("gzip")
	h.Set("Content-Length", strconv.Itoa(len(packed)))
	r.rc.Response.SetBodyRaw(packed)
}
