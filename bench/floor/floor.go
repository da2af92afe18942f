// Package floor holds the servers that ours is held against, each a process of its own so that its CPU and
// memory are its own:
//
//	epoll  one thread, epoll, plain system calls: what the kernel alone costs. It answers by fixed bytes and looks at nothing.
//	gnet   the same on gnet.Run, with AsyncWrite to every connection of a broadcast
//	hub    a chat hub as a good program on gorilla/websocket is written: two goroutines a connection, a buffered channel in
//	       between, a map of users. It checks the token, acknowledges at once and stores nothing.
//
// All three speak the WebSocket handshake and the frames of the action protocol as far as the generator looks at them, so that
// the generator's side is the same code whatever it measures.
package floor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/tolkflip/tolkflip/proto/ws"
)

// Kind is which server.
type Kind string

// The kinds.
const (
	Epoll Kind = "epoll"
	Gnet  Kind = "gnet"
	Hub   Kind = "hub"
)

// Config is what a server does. Echo and Batch are for epoll and gnet.
type Config struct {
	Kind  Kind `json:"kind"`
	Echo  bool `json:"echo"`  // authenticated connections get their bytes back; else what they send is sent to all others
	Batch int  `json:"batch"` // messages that one write to a connection carries; so many are waited for
	Frame int  `json:"frame"` // size of a message's frame in bytes, with its header
	// Secret signs the tokens that the hub accepts.
	Secret []byte `json:"secret,omitempty"`
}

// Validate checks it.
func (c Config) Validate() error {
	switch c.Kind {
	case Epoll, Gnet:
		if !c.Echo && (c.Batch < 1 || c.Frame < len(messageLead)+8) {
			return errors.New("floor: batch must be at least 1 and a frame large enough for a message")
		}
	case Hub:
		if len(c.Secret) == 0 {
			return errors.New("floor: the hub needs a secret")
		}
	default:
		return fmt.Errorf("floor: unknown kind %q", c.Kind)
	}
	return nil
}

// Serve runs a server on a free port of 127.0.0.1 until ctx ends. ready is told the address.
func Serve(ctx context.Context, c Config, ready func(netip.AddrPort)) error {
	if err := c.Validate(); err != nil {
		return err
	}
	switch c.Kind {
	case Gnet:
		return serveGnet(ctx, c, ready)
	case Hub:
		return serveHub(ctx, c, ready)
	default:
		return serveEpoll(ctx, c, ready)
	}
}

const (
	upgraded = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
	authenticated = `{"type":"authenticated","success":true,"userId":"00000000-0000-4000-8000-000000000000",` +
		`"sessionId":"00000000-0000-4000-8000-000000000000"}`
	acked       = `{"type":"message_sent","status":"sent"}`
	messageLead = `{"type":"new_message","content":"`
)

// answers are the fixed bytes of epoll and gnet.
type answers struct{ upgraded, authenticated, acked, broadcast []byte }

func newAnswers(c Config) answers {
	a := answers{
		upgraded:      []byte(upgraded),
		authenticated: ws.AppendFrame(nil, ws.Text, []byte(authenticated)),
		acked:         ws.AppendFrame(nil, ws.Text, []byte(acked)),
	}
	if c.Echo {
		return a
	}
	one := messageFrame(c.Frame)
	for range c.Batch {
		a.broadcast = append(a.broadcast, one...)
	}
	return a
}

// messageFrame is a new_message whose frame has the size. There are no frames of 128 and 129 bytes: they become 126 and 127.
func messageFrame(size int) []byte {
	payload := size - 2
	if payload > 125 {
		payload = size - 4
	}
	if payload > 1<<16-1 {
		payload = size - 10
	}
	body := []byte(messageLead)
	for len(body) < payload-2 {
		body = append(body, 'x')
	}
	return ws.AppendFrame(nil, ws.Text, append(body, `"}`...))
}

// peer is a connection's progress through the two round trips, and what is left of a frame that is not whole.
type peer struct {
	stage  uint8 // 0 not open, 1 connected, 2 upgraded, 3 authenticated
	member bool  // broadcasts go to it: it has sent no message itself
	rest   []byte
}

// frames counts the whole frames in what came and keeps the rest.
func (p *peer) frames(b []byte) (count int) {
	if len(p.rest) > 0 {
		b = append(p.rest, b...)
	}
	for {
		size, ok := ws.FrameSize(b)
		if !ok || size > len(b) {
			p.rest = append(p.rest[:0], b...)
			return count
		}
		b = b[size:]
		count++
	}
}
