package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"
)

// chatters are pairs of people who write to each other without pause, while something else goes on.
type chatters struct {
	running sync.WaitGroup
	cancel  context.CancelFunc
	sent    atomic.Int64
}

// startChatters registers and connects n pairs. Each waits for its message to arrive before it writes the next.
func startChatters(t *testing.T, s *testServer, numbers *phones, n int) *chatters {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &chatters{cancel: cancel}
	for range n {
		a := must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "a"))
		b := must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "b"))
		from := must[*socket](t, "connect")(connect(t.Context(), s.URL, a.Token, nil))
		to := must[*socket](t, "connect")(connect(t.Context(), s.URL, b.Token, nil))
		c.running.Go(func() {
			defer from.close()
			defer to.close()
			for i := 1; ctx.Err() == nil; i++ {
				f, err := from.deliver(map[string]any{"action": "send_message", "receiverId": b.ID, "content": fmt.Sprint(i), "clientMessageId": fmt.Sprint(i)})
				if err != nil || f.Seq != uint64(i) {
					t.Errorf("chatter: message %d was acked as %+v: %v", i, f, err)
					return
				}
				if f, _, err := to.until("new_message"); err != nil || f.Seq != uint64(i) || f.Content != fmt.Sprint(i) {
					t.Errorf("chatter: message %d arrived as %+v: %v", i, f, err)
					return
				}
				c.sent.Add(1)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		c.running.Wait()
	})
	return c
}

// TestAbuse does to a server what clients should not, while pairs chat unharmed.
func TestAbuse(t *testing.T) { onStacks(t, testAbuse) }

func testAbuse(t *testing.T, on stack) {
	s := startOn(t, on, nil)
	var numbers phones
	c := startChatters(t, s, &numbers, 10)
	a := must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "abuser"))
	b := must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "other"))
	for _, abuse := range []struct {
		name string
		do   func(t *testing.T, s *testServer, a, b person)
	}{
		{"a reader that stops", abuseSlowReader},
		{"a flood of sends", abuseFlood},
		{"half-open handshakes", abuseHalfOpen},
		{"one-byte frames", abuseTinyFrames},
		{"an endless message", abuseEndless},
		{"pipelined requests", abusePipelined},
		{"a body that does not come", abuseSlowBody},
	} {
		before := c.sent.Load()
		t.Run(abuse.name, func(t *testing.T) { abuse.do(t, s, a, b) })
		for want := before + 10; c.sent.Load() < want && !t.Failed(); { // every abuse is survived by the chat
			if status, _, err := call(t.Context(), "GET", s.URL+"/health", "", nil); err != nil || status != 200 {
				t.Fatalf("health: %d %v", status, err)
			}
		}
	}
	c.cancel()
	c.running.Wait()
	t.Logf("%d messages meanwhile", c.sent.Load())
}

func abuseSlowReader(t *testing.T, s *testServer, a, b person) {
	victim := must[*socket](t, "connect")(connect(t.Context(), s.URL, b.Token, nil))
	defer victim.close()
	from := must[*socket](t, "connect")(connect(t.Context(), s.URL, a.Token, nil))
	defer from.close()
	content := strings.Repeat("x", 60<<10)
	before := s.metric(t, "tolkflip_conn_closed_total", "slow")
	for i := 0; s.metric(t, "tolkflip_conn_closed_total", "slow") == before; i++ {
		if i == 500 {
			t.Fatal("30 MB wait for a client that reads nothing")
		}
		if _, err := from.deliver(map[string]any{"action": "send_message", "receiverId": b.ID, "content": content}); err != nil {
			t.Fatal(err)
		}
	}
	for { // what was in the kernel's buffers comes, and then why it ends
		_, err := victim.receive()
		var c closed
		if errors.As(err, &c) {
			if c.code != 4413 {
				t.Errorf("closed with %d, want 4413", c.code)
			}
			return
		}
		if err != nil {
			return // the close frame found no room: the connection is cut
		}
	}
}

func abuseFlood(t *testing.T, s *testServer, a, b person) {
	const n = 3000
	sock := must[*socket](t, "connect")(connect(t.Context(), s.URL, a.Token, nil))
	defer sock.close()
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := range n {
			if err := sock.send(map[string]any{"action": "send_message", "receiverId": b.ID, "content": "flood", "clientMessageId": fmt.Sprint("flood ", i)}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	last := uint64(0)
	for i := range n {
		f, err := sock.answered()
		if err != nil {
			t.Fatal(err)
		}
		if f.Type == "message_error" && f.Retryable {
			continue
		}
		if f.ClientMessageID != fmt.Sprint("flood ", i) || f.Seq <= last {
			t.Fatalf("the %dth ack is for %q at %d, after %d", i, f.ClientMessageID, f.Seq, last)
		}
		last = f.Seq
	}
	writing.Wait()
}

func abuseHalfOpen(t *testing.T, s *testServer, _, _ person) {
	address := strings.TrimPrefix(s.URL, "http://")
	for range 1000 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: webso"); err != nil {
			t.Fatal(err)
		}
	}
}

func abuseTinyFrames(t *testing.T, s *testServer, a, b person) {
	sock := must[*socket](t, "connect")(connect(t.Context(), s.URL, a.Token, nil))
	defer sock.close()
	text := fmt.Sprintf(`{"action":"send_message","receiverId":%q,"content":"in pieces","clientMessageId":"pieces"}`, b.ID)
	for i := range text {
		op := ws.OpContinuation
		if i == 0 {
			op = ws.OpText
		}
		f := ws.MaskFrame(ws.NewFrame(op, i == len(text)-1, []byte{text[i]}))
		var wire bytes.Buffer
		if err := ws.WriteFrame(&wire, f); err != nil {
			t.Fatal(err)
		}
		for _, one := range wire.Bytes() {
			if _, err := sock.conn.Write([]byte{one}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if f, _, err := sock.until("message_sent"); err != nil || f.ClientMessageID != "pieces" {
		t.Errorf("%+v %v", f, err)
	}
}

func abuseEndless(t *testing.T, s *testServer, a, _ person) {
	sock := must[*socket](t, "connect")(connect(t.Context(), s.URL, a.Token, nil))
	defer sock.close()
	piece := bytes.Repeat([]byte("x"), 32<<10)
	op := ws.OpText
	for range 40 { // 1.25 MiB, without an end
		if err := ws.WriteFrame(sock.conn, ws.MaskFrame(ws.NewFrame(op, false, piece))); err != nil {
			break // closed already
		}
		op = ws.OpContinuation
	}
	_, err := sock.receive()
	var c closed
	if !errors.As(err, &c) || c.code != ws.StatusMessageTooBig {
		t.Errorf("%v, want a close with 1009", err)
	}
}

func abusePipelined(t *testing.T, s *testServer, _, _ person) {
	const n = 200
	c := must[net.Conn](t, "dial")(net.Dial("tcp", strings.TrimPrefix(s.URL, "http://")))
	defer c.Close()
	var writing sync.WaitGroup
	writing.Go(func() {
		if _, err := io.WriteString(c, strings.Repeat("GET /health HTTP/1.1\r\nHost: x\r\n\r\n", n)); err != nil {
			t.Error(err)
		}
	})
	r := bufio.NewReader(c)
	for i := range n {
		reply, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("answer %d of %d: %v", i, n, err)
		}
		if _, err := io.Copy(io.Discard, reply.Body); err != nil || reply.StatusCode != 200 {
			t.Fatalf("answer %d of %d: %d %v", i, n, reply.StatusCode, err)
		}
	}
	writing.Wait()
}

func abuseSlowBody(t *testing.T, s *testServer, _, _ person) {
	for range 50 {
		c := must[net.Conn](t, "dial")(net.Dial("tcp", strings.TrimPrefix(s.URL, "http://")))
		t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, "POST /api/auth/request-code HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
	}
}

// metric sums the series of a counter or gauge that have a label of the given value.
func (s *testServer) metric(t *testing.T, name, label string) float64 {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum, found := 0.0, false
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetValue() == label {
					sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
					found = true
				}
			}
		}
	}
	if !found {
		t.Fatalf("there is no metric %s with %s", name, label)
	}
	return sum
}
