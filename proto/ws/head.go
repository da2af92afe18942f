package ws

import (
	"bytes"
)

// MaxHead is the longest HTTP head that is read, in bytes, its blank line included.
const MaxHead = 8 << 10

// Head is the head of an HTTP/1 request. All slices alias the bytes that were parsed. A header that did not
// come is nil.
type Head struct {
	Size   int    // bytes of the head, its blank line included; the body or the frames follow
	Method []byte // never empty
	Target []byte // as it came
	Path   []byte // of Target, without the query, not decoded
	Query  []byte // of Target, without the question mark, not decoded
	Minor  uint8  // HTTP/1.0 or 1.1
	Close  bool   // the client wants the connection to end after the answer

	Host          []byte
	Origin        []byte
	Authorization []byte
	Cookie        []byte // the first Cookie header
	ContentType   []byte
	UserAgent     []byte
	Forwarded     []byte // the last X-Forwarded-For header: what the nearest proxy wrote; to be believed only from a trusted one
	ContentLength int64  // -1 when none came
	Chunked       bool   // the body is chunked; ContentLength is then -1

	Key       []byte // Sec-WebSocket-Key
	Version   []byte // Sec-WebSocket-Version
	Protocols []byte // the first Sec-WebSocket-Protocol header; see Offers for the meaning of all of them

	upgrade   bool // Connection: upgrade
	closing   bool // Connection: close
	keepAlive bool // Connection: keep-alive
	websocket bool // Upgrade: websocket
	json      bool // ProtocolJSON was offered
	repeated  bool // a Sec-WebSocket header came twice that may come once
	hostSeen  bool // a Host header came
}

// WebSocket reports whether the request asks to become a WebSocket, rightly or not: see [Head.Refuse].
func (h *Head) WebSocket() bool { return h.websocket && (h.upgrade || h.Key != nil) }

// ParseHead reads an HTTP/1 request's head from b, which holds all unread bytes of the connection, into h.
// It returns NeedMore, Ready (h.Size bytes of b are the head), TooLarge when no blank line ends within
// MaxHead bytes (431), or Malformed (400).
//
// The same bytes may be handed on to an HTTP server, so what two parsers could read differently is refused:
// a line that does not end in CR LF, a continued header line, a space before the colon, control characters
// (TAB in a value is fine), a Host missing from HTTP/1.1 or coming twice, a Content-Length that is not
// digits or comes twice, a Transfer-Encoding that is not "chunked" once, comes beside a Content-Length or
// in HTTP/1.0. A request that asks for a WebSocket may have no body.
func ParseHead(b []byte, h *Head) Status {
	window := b[:min(len(b), MaxHead)]
	end := bytes.Index(window, blankLine)
	if end < 0 {
		switch {
		case !plausible(window):
			return Malformed
		case len(b) >= MaxHead:
			return TooLarge
		default:
			return NeedMore
		}
	}
	*h = Head{Size: end + len(blankLine), ContentLength: -1}
	rest, ok := h.requestLine(b[:end+2])
	if !ok {
		return Malformed
	}
	for len(rest) > 0 {
		var name, value []byte
		if name, value, rest, ok = headerLine(rest); !ok || !h.set(name, value) {
			return Malformed
		}
	}
	if !h.consistent() {
		return Malformed
	}
	return Ready
}

//nolint:gochecknoglobals // a constant that Go has no constant form for
var blankLine = []byte("\r\n\r\n")

// plausible reports whether an unfinished head can still become right: it starts as a method does and
// every line so far ends in CR LF. It keeps TLS hellos and bare line feeds from waiting for the deadline.
func plausible(b []byte) bool {
	for i, c := range b[:min(len(b), 16)] {
		if c == ' ' && i > 0 {
			break
		}
		if !tokenChar[c] {
			return false
		}
	}
	for rest := b; ; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			return true
		}
		if i == 0 || rest[i-1] != '\r' {
			return false
		}
		rest = rest[i+1:]
	}
}

// requestLine reads "METHOD SP target SP HTTP/1.x CR LF" and gives what follows it.
func (h *Head) requestLine(b []byte) (rest []byte, ok bool) {
	end := bytes.IndexByte(b, '\n')
	if end < 1 || b[end-1] != '\r' {
		return nil, false
	}
	line, rest := b[:end-1], b[end+1:]
	i := bytes.IndexByte(line, ' ')
	if i < 1 || !isToken(line[:i]) {
		return nil, false
	}
	h.Method, line = line[:i], line[i+1:]
	i = len(line) - len(" HTTP/1.1")
	if i < 1 || string(line[i:i+8]) != " HTTP/1." {
		return nil, false
	}
	switch line[i+8] {
	case '0':
	case '1':
		h.Minor = 1
	default:
		return nil, false
	}
	h.Target = line[:i]
	for _, c := range h.Target {
		if c <= ' ' || c == 0x7f {
			return nil, false
		}
	}
	h.splitTarget()
	return rest, true
}

// splitTarget sets Path and Query, and Host from the absolute form (RFC 9112, section 3.2.2).
func (h *Head) splitTarget() {
	h.Path = h.Target
	if i := bytes.IndexByte(h.Path, '?'); i >= 0 {
		h.Path, h.Query = h.Path[:i], h.Path[i+1:]
	}
	if len(h.Path) == 0 || h.Path[0] == '/' {
		return
	}
	i := bytes.Index(h.Path, []byte("://"))
	if i < 0 {
		return
	}
	authority := h.Path[i+3:]
	h.Path = authority[len(authority):]
	if i = bytes.IndexByte(authority, '/'); i >= 0 {
		authority, h.Path = authority[:i], authority[i:]
	}
	h.Host = authority
}

// headerLine reads one "name: value CR LF" and gives what follows it. The value has no white space around.
func headerLine(b []byte) (name, value, rest []byte, ok bool) {
	end := bytes.IndexByte(b, '\n')
	if end < 1 || b[end-1] != '\r' {
		return nil, nil, nil, false
	}
	line, rest := b[:end-1], b[end+1:]
	colon := bytes.IndexByte(line, ':')
	if colon < 1 || !isToken(line[:colon]) {
		return nil, nil, nil, false
	}
	value = trim(line[colon+1:])
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return nil, nil, nil, false
		}
	}
	return line[:colon], value, rest, true
}

// set takes one header in and reports whether it may stand where it stands.
func (h *Head) set(name, value []byte) bool {
	switch {
	case equalFold(name, "host"):
		return h.setHost(value)
	case equalFold(name, "connection"):
		h.upgrade = h.upgrade || hasToken(value, "upgrade")
		h.closing = h.closing || hasToken(value, "close")
		h.keepAlive = h.keepAlive || hasToken(value, "keep-alive")
	case equalFold(name, "upgrade"):
		h.websocket = h.websocket || hasToken(value, "websocket")
	case equalFold(name, "content-length"):
		return h.setLength(value)
	case equalFold(name, "transfer-encoding"):
		if h.Chunked || h.Minor == 0 || !equalFold(value, "chunked") {
			return false
		}
		h.Chunked = true
	case equalFold(name, "origin"):
		h.Origin = value
	case equalFold(name, "authorization"):
		h.Authorization = value
	case equalFold(name, "cookie"):
		if h.Cookie == nil {
			h.Cookie = value
		}
	case equalFold(name, "content-type"):
		h.ContentType = value
	case equalFold(name, "user-agent"):
		h.UserAgent = value
	case equalFold(name, "x-forwarded-for"):
		h.Forwarded = value
	case len(name) > 14 && equalFold(name[:14], "sec-websocket-"):
		h.setSocket(name[14:], value)
	}
	return true
}

func (h *Head) setSocket(name, value []byte) {
	switch {
	case equalFold(name, "key"):
		h.repeated = h.repeated || h.Key != nil
		h.Key = value
	case equalFold(name, "version"):
		h.repeated = h.repeated || h.Version != nil
		h.Version = value
	case equalFold(name, "protocol"):
		if h.Protocols == nil {
			h.Protocols = value
		}
		h.json = h.json || hasExactToken(value, ProtocolJSON)
	}
}

// setHost refuses a second Host. An authority in the target wins over the header.
func (h *Head) setHost(value []byte) bool {
	if h.hostSeen {
		return false
	}
	h.hostSeen = true
	if h.Host == nil {
		h.Host = value
	}
	return true
}

func (h *Head) setLength(value []byte) bool {
	if h.ContentLength >= 0 || len(value) == 0 || len(value) > 18 {
		return false
	}
	var n int64
	for _, c := range value {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int64(c-'0')
	}
	h.ContentLength = n
	return true
}

// consistent checks and sets what can only be told of a whole head.
func (h *Head) consistent() bool {
	h.Close = h.closing || h.Minor == 0 && !h.keepAlive
	if h.Minor == 1 && !h.hostSeen {
		return false
	}
	if h.Chunked && h.ContentLength >= 0 {
		return false
	}
	return !h.WebSocket() || !h.Chunked && h.ContentLength <= 0
}
