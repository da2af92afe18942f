package client

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/tolkflip/tolkflip/proto/ws"
	"golang.org/x/sys/unix"
)

const accepted = "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + handshakeAccept + "\r\n\r\n"

// seen writes down what a scenario is told.
type seen struct{ log []string }

func (s *seen) Ready(c *Conn)                 { s.log = append(s.log, "ready") }
func (s *seen) Frame(_ *Conn, payload []byte) { s.log = append(s.log, string(payload)) }
func (s *seen) Gone(_ *Conn, err error)       { s.log = append(s.log, "gone: "+err.Error()) }

// parked is a connection that is not connected: what is written stays in out.
func parked(t *testing.T, p Protocol) *Conn {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	l := &Loop{conns: make([]*Conn, fd+1)}
	c := &Conn{ID: 3, fd: int32(fd), loop: l, protocol: p, opened: true}
	l.conns[fd] = c
	t.Cleanup(c.Close)
	return c
}

func text(s string) string { return string(ws.AppendFrame(nil, ws.Text, []byte(s))) }

func TestWebSocketReadsAnySplit(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	stream := accepted + text(`{"type":"authenticated"}`) + text("one") + string(ws.AppendFrame(nil, ws.Ping, []byte("p"))) + text(long) + text("")
	want := []string{"ready", "one", long, ""}
	for split := range len(stream) + 1 {
		for _, step := range []int{1, 7, len(stream)} {
			got := &seen{}
			c := parked(t, NewWebSocket(netip.AddrPort{}, "/ws", func(*Conn) []byte { return []byte("t") }, got))
			feed(c, stream[:split], step)
			feed(c, stream[split:], step)
			if !reflect.DeepEqual(got.log, want) {
				t.Fatalf("split at %d, in steps of %d: %q", split, step, got.log)
			}
			if c.Pongs != 1 || c.in != nil {
				t.Fatalf("split at %d: %d pongs, %d bytes left", split, c.Pongs, len(c.in))
			}
			c.Close()
		}
	}
}

func feed(c *Conn, s string, step int) {
	for len(s) > 0 {
		n := min(step, len(s))
		c.take([]byte(s[:n]))
		s = s[n:]
	}
}

func TestWebSocketSkimsAnySplit(t *testing.T) {
	t.Parallel()
	long, short := strings.Repeat("x", 300), "small"
	stream := text(long) + text(short) + string(ws.AppendFrame(nil, ws.Ping, []byte("p"))) + text(long) + text(strings.Repeat("y", 70_000))
	size := int64(2*(4+300) + 10 + 70_000)
	for step := 1; step < len(stream); step = step*3 + 1 {
		got := &seen{}
		w := NewWebSocket(netip.AddrPort{}, "/ws", nil, got)
		w.MinMessage = 200
		c := parked(t, w)
		c.stage, c.Skim = talking, true
		feed(c, stream, step)
		if w.Frames != 4 || w.Messages != 3 || w.Bytes != size || c.Count != 3 || c.Pongs != 1 || c.skip != 0 || len(got.log) > 0 {
			t.Errorf("steps of %d: %d frames, %d messages, %d bytes (want %d), %d counted, %d pongs, %d to skip, %q",
				step, w.Frames, w.Messages, w.Bytes, size, c.Count, c.Pongs, c.skip, got.log)
		}
	}
}

func TestWebSocketEnds(t *testing.T) {
	t.Parallel()
	closing := string(ws.AppendFrame(nil, ws.Close, []byte{0x11, 0x3d})) // 4413
	for _, c := range []struct {
		stream string
		want   string
	}{
		{"HTTP/1.1 503 Service Unavailable\r\n\r\n", "refused: HTTP/1.1 503 Service Unavailable"},
		{"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: no\r\n\r\n", "the answer to the upgrade has a wrong Sec-WebSocket-Accept"},
		{strings.Repeat("x", maxHead+1), "the answer to the upgrade has no end"},
		{accepted + text(`{"type":"auth_error","error":"token_expired"}`), "refused: token_expired"},
		{accepted + closing, "closed by the server with code 4413"},
		{accepted + "\x01\x01a", "the server sent a frame that is not a server's"},
		{accepted + "\x81\x81mask", "the server sent a frame that is not a server's"},
		{accepted + "\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", "the server sent a frame that is not a server's"},
	} {
		got := &seen{}
		conn := parked(t, NewWebSocket(netip.AddrPort{}, "/ws", func(*Conn) []byte { return nil }, got))
		feed(conn, c.stream, len(c.stream))
		if want := []string{"gone: " + c.want}; !reflect.DeepEqual(got.log, want) {
			t.Errorf("%.60q: %q, want %q", c.stream, got.log, want)
		}
	}
}

func TestErrorsCanBeTold(t *testing.T) {
	t.Parallel()
	var closed *CloseError
	if !errors.As(fmt.Errorf("x: %w", &CloseError{Code: 1001}), &closed) || closed.Code != 1001 {
		t.Error("a CloseError is lost in wrapping")
	}
}
