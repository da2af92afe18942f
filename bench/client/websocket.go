package client

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"

	"github.com/tolkflip/tolkflip/bench/dialect"
	"github.com/tolkflip/tolkflip/proto/ws"
)

// The handshake's key is the same for all connections, and so is the answer to it (RFC 6455, section 1.3).
const (
	handshakeKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	handshakeAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
	maxHead         = 8 << 10
	maxFrame        = 4 << 20
)

// stage is how far a WebSocket has come.
type stage uint8

const (
	upgrading stage = iota
	authenticating
	talking
)

// Events is what a scenario is told of its WebSockets. It is called on the loop's thread.
type Events interface {
	Ready(c *Conn)                 // authenticated
	Frame(c *Conn, payload []byte) // a text frame after that; valid until it returns
	Gone(c *Conn, err error)       // refused, closed or failed: *CloseError, *RefusedError or what the kernel says
}

// WebSocket is the action protocol's side of a connection: upgrade, authenticate as the first action, answer pings, hand on
// text frames. One value serves all connections of one loop that go to one server.
type WebSocket struct {
	Token  func(c *Conn) []byte // of the user that the connection is for; nil = nothing is authenticated
	Events Events
	// MinMessage is the payload size from which a frame counts as a message on a connection that is skimmed.
	MinMessage int

	// Frames, Messages and Bytes count what came on skimmed connections: all frames, those that count as messages, and
	// the bytes of the latter with their headers.
	Frames, Messages, Bytes int64

	request []byte
	payload []byte // scratch
}

// CloseError is a close frame of the server's.
type CloseError struct{ Code uint16 }

func (e *CloseError) Error() string { return fmt.Sprintf("closed by the server with code %d", e.Code) }

// RefusedError is an answer to the upgrade or to the token that says no.
type RefusedError struct{ Answer string }

func (e *RefusedError) Error() string { return "refused: " + e.Answer }

// NewWebSocket speaks to a server at the host and path.
func NewWebSocket(host netip.AddrPort, path string, token func(c *Conn) []byte, ev Events) *WebSocket {
	return &WebSocket{
		Token: token, Events: ev,
		request: fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n", path, host, handshakeKey),
	}
}

// Opened sends the upgrade.
func (w *WebSocket) Opened(c *Conn) { c.Write(append(c.Buffer(), w.request...)) }

// Closed hands on the end.
func (w *WebSocket) Closed(c *Conn, err error) { w.Events.Gone(c, err) }

// Received reads the answer to the upgrade, then frames.
func (w *WebSocket) Received(c *Conn, b []byte) (used int) {
	if c.stage == upgrading {
		n, err := upgraded(b)
		if err != nil {
			c.Fail(err)
			return len(b)
		}
		if n == 0 {
			return 0
		}
		used = n
		w.authenticate(c)
	}
	for used < len(b) && !c.Gone() {
		if c.skip > 0 {
			n := min(c.skip, len(b)-used)
			c.skip -= n
			used += n
			continue
		}
		n := w.frame(c, b[used:])
		if n == 0 {
			break
		}
		used += n
	}
	return used
}

// upgraded looks for the end of a 101's head; 0 = not there yet.
func upgraded(b []byte) (n int, err error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	switch {
	case end < 0 && len(b) > maxHead:
		return 0, errors.New("the answer to the upgrade has no end")
	case end < 0:
		return 0, nil
	case !bytes.HasPrefix(b, []byte("HTTP/1.1 101")):
		line, _, _ := bytes.Cut(b[:end], []byte("\r\n"))
		return 0, &RefusedError{Answer: string(line)}
	case !bytes.Contains(b[:end], []byte(handshakeAccept)):
		return 0, errors.New("the answer to the upgrade has a wrong Sec-WebSocket-Accept")
	}
	return end + 4, nil
}

func (w *WebSocket) authenticate(c *Conn) {
	if w.Token == nil {
		c.stage, c.Ready = talking, true
		w.Events.Ready(c)
		return
	}
	c.stage = authenticating
	w.payload = dialect.AppendAuthenticate(w.payload[:0], w.Token(c))
	w.Send(c, w.payload)
}

// frame reads one frame and gives its size; 0 = it is not whole yet. Of a skimmed frame the header is enough.
func (w *WebSocket) frame(c *Conn, b []byte) int {
	h, n, s := ws.ParseHeader(b)
	if s == ws.NeedMore {
		return 0
	}
	if s != ws.Ready || h.Masked || !h.Fin || h.Length > maxFrame {
		c.Fail(errors.New("the server sent a frame that is not a server's"))
		return len(b)
	}
	size := n + int(h.Length)
	if c.Skim && h.Op == ws.Text {
		w.Frames++
		if int(h.Length) >= w.MinMessage {
			c.Count++
			w.Messages++
			w.Bytes += int64(size)
		}
		c.skip = max(size-len(b), 0)
		return size - c.skip
	}
	if size > len(b) {
		return 0
	}
	w.whole(c, h.Op, b[n:size])
	return size
}

func (w *WebSocket) whole(c *Conn, op ws.Op, payload []byte) {
	switch op {
	case ws.Text, ws.Binary:
		if c.stage == talking {
			w.Events.Frame(c, payload)
			return
		}
		switch dialect.KindOf(payload) {
		case dialect.Authenticated:
			c.stage, c.Ready = talking, true
			w.Events.Ready(c)
		case dialect.AuthError:
			reason, _ := dialect.Text(payload, `"error":"`)
			c.Fail(&RefusedError{Answer: string(reason)})
		default:
		}
	case ws.Ping:
		c.Write(ws.AppendMaskedFrame(c.Buffer(), ws.Pong, true, w.mask(c), payload))
		if c.Pongs < 255 {
			c.Pongs++
		}
	case ws.Close:
		code, _, _ := ws.ParseClose(payload) // 0 when there is none
		c.Fail(&CloseError{Code: code})
	default: // a pong
	}
}

// Send writes a text frame.
func (w *WebSocket) Send(c *Conn, payload []byte) {
	c.Write(ws.AppendMaskedFrame(c.Buffer(), ws.Text, true, w.mask(c), payload))
}

// mask differs by connection; it costs the server the same whatever it is.
func (w *WebSocket) mask(c *Conn) [4]byte {
	m := uint32(c.ID)*2654435761 | 1
	return [4]byte{byte(m), byte(m >> 8), byte(m >> 16), byte(m >> 24)}
}
