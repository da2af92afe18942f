package floor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/tolkflip/tolkflip/bench/floor"
	"github.com/tolkflip/tolkflip/bench/users"
	"github.com/tolkflip/tolkflip/proto/ws"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The worker pool that gnet imports starts these for the life of the process.
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"))
}

const secret = "0123456789abcdef0123456789abcdef"

// serve runs a server for the test.
func serve(t *testing.T, c floor.Config) netip.AddrPort {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan netip.AddrPort, 1), make(chan error, 1)
	go func() { ended <- floor.Serve(ctx, c, func(a netip.AddrPort) { ready <- a }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", c.Kind, err)
		}
	})
	select {
	case a := <-ready:
		return a
	case err := <-ended:
		ended <- nil
		t.Fatalf("%s did not start: %v", c.Kind, err)
		return netip.AddrPort{}
	}
}

// conn is a client that reads frame by frame.
type conn struct {
	net.Conn
	t    *testing.T
	rest []byte
}

// dial connects and authenticates.
func dial(t *testing.T, a netip.AddrPort, token string) *conn {
	t.Helper()
	c := upgrade(t, a)
	c.frame(fmt.Sprintf(`{"action":"authenticate","token":"%s"}`, token))
	if got := c.next(); !strings.Contains(got, `"authenticated"`) {
		t.Fatalf("authenticate was answered by %s", got)
	}
	return c
}

func upgrade(t *testing.T, a netip.AddrPort) *conn {
	t.Helper()
	nc, err := net.Dial("tcp", a.String())
	if err != nil {
		t.Fatal(err)
	}
	c := &conn{Conn: nc, t: t}
	t.Cleanup(func() { _ = nc.Close() })
	c.send("GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	for !bytes.Contains(c.rest, []byte("\r\n\r\n")) {
		c.more()
	}
	head, rest, _ := bytes.Cut(c.rest, []byte("\r\n\r\n"))
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101")) || !bytes.Contains(head, []byte("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")) {
		t.Fatalf("the upgrade was answered by %q", head)
	}
	c.rest = rest
	return c
}

func (c *conn) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.t.Fatal(err)
	}
}

func (c *conn) frame(s string) {
	c.t.Helper()
	c.send(string(ws.AppendMaskedFrame(nil, ws.Text, true, [4]byte{1, 2, 3, 4}, []byte(s))))
}

func (c *conn) more() {
	c.t.Helper()
	b := make([]byte, 1<<16)
	n, err := c.Read(b)
	if err != nil {
		c.t.Fatal(err)
	}
	c.rest = append(c.rest, b[:n]...)
}

// next is the payload of the next frame.
func (c *conn) next() string {
	c.t.Helper()
	for {
		if h, n, s := ws.ParseHeader(c.rest); s == ws.Ready && len(c.rest) >= n+int(h.Length) {
			p := string(c.rest[n : n+int(h.Length)])
			c.rest = c.rest[n+int(h.Length):]
			return p
		}
		c.more()
	}
}

func TestFloorsBroadcastInBatches(t *testing.T) {
	t.Parallel()
	for _, kind := range []floor.Kind{floor.Epoll, floor.Gnet} {
		for _, size := range []int{60, 127, 130, 450, 70_000} {
			t.Run(fmt.Sprint(kind, size), func(t *testing.T) {
				t.Parallel()
				a := serve(t, floor.Config{Kind: kind, Batch: 3, Frame: size})
				sender, first, second := dial(t, a, "any"), dial(t, a, "any"), dial(t, a, "any")
				one := string(ws.AppendMaskedFrame(nil, ws.Text, true, [4]byte{}, []byte(`{"action":"send_message"}`)))
				sender.send(one + one + one[:5]) // a frame may come in pieces
				for range 2 {
					if got := sender.next(); !strings.Contains(got, "message_sent") {
						t.Fatalf("the sender got %s", got)
					}
				}
				sender.send(one[5:])
				_ = sender.next()
				for _, c := range []*conn{first, second} {
					for range 3 {
						got := c.next()
						if frame := ws.AppendFrame(nil, ws.Text, []byte(got)); len(frame) != size || !strings.Contains(got, "new_message") || !json.Valid([]byte(got)) {
							t.Fatalf("a frame of %d bytes, want %d: %.80s", len(frame), size, got)
						}
					}
				}
			})
		}
	}
}

func TestFloorsEcho(t *testing.T) {
	t.Parallel()
	for _, kind := range []floor.Kind{floor.Epoll, floor.Gnet} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			c := dial(t, serve(t, floor.Config{Kind: kind, Echo: true}), "any")
			c.send("hello")
			for len(c.rest) < 5 {
				c.more()
			}
			if string(c.rest) != "hello" {
				t.Errorf("echo of hello is %q", c.rest)
			}
		})
	}
}

func TestHubRoutes(t *testing.T) {
	t.Parallel()
	a := serve(t, floor.Config{Kind: floor.Hub, Secret: []byte(secret)})
	people, err := users.NewMint([]byte(secret)).Nobody(3)
	if err != nil {
		t.Fatal(err)
	}
	var all []*conn
	for _, p := range people {
		all = append(all, dial(t, a, p.Token))
	}
	all[0].frame(fmt.Sprintf(`{"action":"send_message","receiverId":"%s","content":"hi","clientMessageId":"c1"}`, people[1].ID))
	if got := all[0].next(); !strings.Contains(got, `"message_sent"`) || !strings.Contains(got, `"c1"`) {
		t.Errorf("the sender got %s", got)
	}
	if got := all[1].next(); !strings.Contains(got, `"new_message"`) || !strings.Contains(got, `"hi"`) || !strings.Contains(got, people[0].ID.String()) {
		t.Errorf("the receiver got %s", got)
	}
	all[1].frame(`{"action":"send_message","threadId":"g","content":"all"}`)
	if got := all[1].next(); !strings.Contains(got, `"message_sent"`) {
		t.Errorf("the sender got %s", got)
	}
	for _, i := range []int{0, 2} {
		if got := all[i].next(); !strings.Contains(got, `"all"`) {
			t.Errorf("member %d got %s", i, got)
		}
	}
	all[2].frame(`{"action":"ping","ref":"00ff"}`)
	if got := all[2].next(); got != `{"type":"pong","ref":"00ff"}` {
		t.Errorf("ping was answered by %s", got)
	}
}

func TestHubRefusesAStrangersToken(t *testing.T) {
	t.Parallel()
	a := serve(t, floor.Config{Kind: floor.Hub, Secret: []byte(secret)})
	c := upgrade(t, a)
	c.frame(`{"action":"authenticate","token":"` + string(users.NewMint([]byte("another secret of 32 bytes or so")).Stranger()) + `"}`)
	if b, _ := io.ReadAll(c); !bytes.Contains(append(c.rest, b...), []byte("invalid_token")) {
		t.Errorf("the answer is %q", b)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []floor.Config{
		{}, {Kind: "x"}, {Kind: floor.Epoll}, {Kind: floor.Gnet, Batch: 1, Frame: 10}, {Kind: floor.Epoll, Frame: 200}, {Kind: floor.Hub},
	} {
		if c.Validate() == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

func TestRunChild(t *testing.T) {
	t.Parallel()
	stdin, config := io.Pipe()
	out, stdout := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- floor.RunChild(t.Context(), stdin, stdout) }()
	if err := json.NewEncoder(config).Encode(floor.Config{Kind: floor.Epoll, Echo: true}); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, err := out.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	a, err := netip.ParseAddrPort(strings.TrimSpace(strings.TrimPrefix(string(b[:n]), "ready ")))
	if err != nil {
		t.Fatal(err)
	}
	dial(t, a, "any")
	if err := config.Close(); err != nil { // the parent is gone
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	if err := floor.RunChild(t.Context(), strings.NewReader("not a config"), io.Discard); err == nil {
		t.Error("a config that is none was accepted")
	}
}
