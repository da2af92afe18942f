package conn

import (
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/action"
	"github.com/tolkflip/tolkflip/proto/ws"
)

// dialect is one way to write requests and events as bytes. A connection speaks exactly one; its index in
// Server.dialects is part of the connection's name, so that a sender encodes each event once per dialect
// and never looks at a slot. Implementations are stateless and may be called from any goroutine.
type dialect interface {
	// decode reads one message into r, which aliases b. The error is a *proto.Error for the client; r's
	// Action and Ref are set as far as they were understood.
	decode(b []byte, r *proto.Request) error
	// append adds the event's payload, without a frame header.
	append(dst []byte, ev proto.Event) []byte
	// op is the kind of WebSocket message that carries it, both ways.
	op() ws.Op
}

// maxDialects is how many fit a router.Conn.
const maxDialects = 16

// actionJSON is the JSON dialect of the product, index 0.
type actionJSON struct{}

func (actionJSON) decode(b []byte, r *proto.Request) error { return action.Decode(b, r) }

func (actionJSON) append(dst []byte, ev proto.Event) []byte { return action.Append(dst, ev) }

func (actionJSON) op() ws.Op { return ws.Text }
