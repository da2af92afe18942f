package conn

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/proto/ws"
	"github.com/tolkflip/tolkflip/router"
)

func TestBrokenProtocol(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.MessageBytes = 1000 }, nil)
	big := strings.Repeat("x", 600)
	header := func(b ...byte) string { return string(b) }
	for _, c := range []struct {
		name, in string
		code     uint16
	}{
		{"unmasked", string(ws.AppendFrame(nil, ws.Text, []byte("x"))), ws.CloseProtocol},
		{"reserved opcode", header(0x83, 0x80, 0, 0, 0, 0), ws.CloseProtocol},
		{"reserved bit", header(0xC1, 0x80, 0, 0, 0, 0), ws.CloseProtocol},
		{"continuation of nothing", masked(ws.Continuation, true, "x"), ws.CloseProtocol},
		{"long ping", header(0x89, 0xFE, 0, 126), ws.CloseProtocol},
		{"not UTF-8", masked(ws.Text, true, "\xff"), ws.CloseNotUTF8},
		{"not UTF-8 over two", masked(ws.Text, false, "\xc3") + masked(ws.Continuation, true, "x"), ws.CloseNotUTF8},
		{"declared too long", header(0x81, 0xFF, 0, 0, 0, 0, 0, 16, 0, 0, 1, 2, 3, 4), ws.CloseTooBig},
		{"fragments too long", masked(ws.Text, false, big) + header(0x80, 0xFE, 2, 88, 1, 2, 3, 4), ws.CloseTooBig},
		{"binary", masked(ws.Binary, true, "{}"), ws.CloseProtocol},
		{"the start of binary", masked(ws.Binary, false, "{}"), ws.CloseProtocol},
		{"bad close", masked(ws.Close, true, "\x03\xed"), ws.CloseProtocol},
	} {
		p, _ := r.login(1)
		p.write(c.in)
		p.expectAnswer(c.code)
		p.write(strings.Repeat("still sending ", 1000)) // is read and thrown away, so that no reset overtakes the close
		p.Conn.(*net.TCPConn).CloseWrite()
		p.expectEnd()
		if d := <-r.rules.detached; d.User != user(1) {
			t.Errorf("%s: detached %v", c.name, d)
		}
	}
}

func TestSlowReader(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.OutboundBytes = 128 << 10 }, nil)
	p, c := r.login(1)
	ev := newMessage(thread(1), 1, strings.Repeat("x", 32<<10))
	var sent int
	r.until("slow", func() bool {
		r.Deliver([]router.Conn{c}, 0, ev)
		sent++
		return r.Stats().Slow == 1
	})
	<-r.rules.detached
	r.look(c, func(l *loop, s *slot) {
		if d := l.sides.all[s.side]; len(d.out)-d.head > 2 || d.size > 64<<10 {
			t.Errorf("%d frames, %d bytes are still kept", len(d.out)-d.head, d.size)
		}
	})
	r.Deliver([]router.Conn{c}, 0, ev) // dropped
	got := 0
	for {
		op, b, err := p.tryFrame()
		if err != nil {
			t.Fatalf("after %d frames of %d: %v", got, sent, err)
		}
		if op == ws.Close {
			if code, _, _ := ws.ParseClose(b); code != ws.CloseSlow {
				t.Fatalf("closed with %d", code)
			}
			break
		}
		got++
	}
	if got == 0 || got >= sent {
		t.Errorf("read %d frames of %d", got, sent)
	}
	p.Close()
	r.until("gone", func() bool { return r.open.Load() == 0 })
	r.look(c, func(l *loop, _ *slot) {
		if l.sides.inUse != 0 {
			t.Errorf("%d sides in use", l.sides.inUse)
		}
	})
}

// A burst over the budget does no harm to a client that reads.
func TestBurstToAReader(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.OutboundBytes = 64 << 10 }, nil)
	p, c := r.login(1)
	const n = 40
	content := strings.Repeat("x", 4<<10)
	for i := range n {
		r.Deliver([]router.Conn{c}, 0, newMessage(thread(1), uint64(i), content))
	}
	for i := range n {
		if m := p.expect("new_message"); m["seq"] != float64(i) {
			t.Fatalf("got seq %v, want %d", m["seq"], i)
		}
	}
}

func TestReadingPausesForSendsInFlight(t *testing.T) {
	t.Parallel()
	var started atomic.Int64
	callers := make(chan router.Caller, 1000)
	r := start(t, func(c *Config) { c.SendsInFlight, c.MailboxMessages = 8, 16 }, func(f *fakeRules) {
		f.send = func(c router.Caller, _ *proto.Request) {
			started.Add(1)
			callers <- c
		}
	})
	p, c := r.login(1)
	msg := masked(ws.Text, true, fmt.Sprintf(`{"action":"send_message","receiverId":"%s","content":"x"}`, user(2)))
	const n = 100
	p.write(strings.Repeat(msg, n))
	r.until("8 started", func() bool { return started.Load() == 8 })
	r.until("paused", func() bool {
		paused := false
		r.look(c, func(_ *loop, s *slot) { paused = s.has(noRead) })
		return paused
	})
	p.write(msg) // stays with the kernel
	r.settled()
	if got := started.Load(); got != 8 {
		t.Fatalf("%d sends were started", got)
	}
	r.look(c, func(l *loop, s *slot) {
		m := l.sides.all[s.side].mail
		if m.mu.messages > 16+8 {
			t.Errorf("%d messages in the mailbox", m.mu.messages)
		}
	})
	for i := range n + 1 {
		r.Finish((<-callers).Conn, &proto.MessageSent{Seq: uint64(i)})
		if m := p.expect("message_sent"); m["seq"] != float64(i) {
			t.Fatalf("got %v", m)
		}
	}
	r.until("at rest", func() bool {
		rest := false
		r.look(c, func(_ *loop, s *slot) { rest = s.side == 0 && !s.has(noRead) })
		return rest
	})
	if st := r.Stats(); st.Pauses == 0 || st.InputBytes != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestReadingPausesForAFullMailbox(t *testing.T) {
	t.Parallel()
	enter, leave := make(chan int, 1000), make(chan struct{})
	r := start(t, func(c *Config) { c.MailboxBytes = 4 << 10 }, func(f *fakeRules) {
		f.other = func(_ string, _ router.Caller, req *proto.Request) {
			enter <- int(req.Seq)
			<-leave
		}
	})
	p, c := r.login(1)
	const n = 200
	var in strings.Builder
	for i := range n {
		in.WriteString(masked(ws.Text, true, fmt.Sprintf(`{"action":"delivered","threadId":"%s","seq":%d}`, thread(1), i)))
	}
	p.write(in.String())
	<-enter
	r.until("paused", func() bool {
		paused := false
		r.look(c, func(_ *loop, s *slot) { paused = s.has(noRead) })
		return paused
	})
	if got := r.input.Load(); got > int64(in.Len())+(4<<10) {
		t.Errorf("%d bytes of input are kept", got)
	}
	close(leave)
	for want := 1; want < n; want++ {
		if got := <-enter; got != want {
			t.Fatalf("action %d came, want %d", got, want)
		}
	}
}

// A closed connection's waiting messages are not acted on.
func TestCloseDropsTheMailbox(t *testing.T) {
	t.Parallel()
	enter, leave := make(chan struct{}, 100), make(chan struct{})
	r := start(t, nil, func(f *fakeRules) {
		f.other = func(string, router.Caller, *proto.Request) {
			enter <- struct{}{}
			<-leave
		}
	})
	p, c := r.login(1)
	p.write(strings.Repeat(masked(ws.Text, true, fmt.Sprintf(`{"action":"delivered","threadId":"%s","seq":1}`, thread(1))), 10))
	<-enter
	r.Close(c, ws.CloseGoingAway, "")
	p.expectAnswer(ws.CloseGoingAway)
	if len(r.rules.detached) != 0 {
		t.Error("detached while a rule ran for it")
	}
	close(leave)
	<-r.rules.detached
	if len(enter) != 0 {
		t.Errorf("%d more actions were started", len(enter))
	}
}

func TestTooFast(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.MessagesPerSecond, c.MessageBurst = 10, 20 }, nil)
	p, _ := r.login(1)
	ping := func(n int) {
		p.write(strings.Repeat(masked(ws.Text, true, `{"action":"ping"}`), n))
		for range n {
			p.expect("pong")
		}
	}
	ping(29) // with authenticate 30: the burst and a second's
	r.advance(1)
	ping(10)
	r.advance(3)
	ping(30)
	p.text(`{"action":"ping"}`)
	p.expectClose(ws.CloseTooFast)

	p, _ = r.login(2)
	for range 29 {
		p.write(masked(ws.Ping, true, ""))
		p.frame()
	}
	p.write(masked(ws.Ping, true, ""))
	p.expectClose(ws.CloseTooFast)
}

func TestInputBudget(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.MessageBytes, c.InputBytes = 8<<10, 20<<10 }, nil)
	part := masked(ws.Text, false, strings.Repeat("x", 7<<10))
	var closed *peer
	peers := make([]*peer, 3)
	for i := range peers {
		peers[i], _ = r.login(byte(i))
		peers[i].write(part)
		want := int64(7 << 10 * (i + 1))
		if i == 2 {
			closed = peers[i]
			want = 14 << 10
		}
		r.until("kept", func() bool { return r.input.Load() == want })
	}
	closed.expectClose(ws.CloseOverloaded)
	peers[0].write(masked(ws.Continuation, true, ""))
	peers[0].expect("error") // no JSON
	r.until("given back", func() bool { return r.input.Load() == 7<<10 })
}

func TestInboxBudget(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.InboxItems = 1 << 10 }, nil)
	_, c := r.login(1)
	stuck := make(chan struct{})
	entered := make(chan struct{})
	r.must(c, nil, &inLoop{f: func(*loop, *slot) { close(entered); <-stuck }, done: make(chan struct{})})
	<-entered
	for range 1<<10 + 10 {
		r.Deliver([]router.Conn{c}, 0, &proto.Pong{})
	}
	if got := r.dropped(int(dropInbox)); got != 10 {
		t.Errorf("dropped %d", got)
	}
	r.Finish(c, &proto.MessageSent{}) // is never dropped
	close(stuck)
}

func TestMaxConnections(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.MaxConnections = 2 }, nil)
	a, _ := r.login(1)
	r.login(2)
	p := r.dial()
	p.write(handshake("/ws"))
	if h := p.head(); !strings.HasPrefix(h, "HTTP/1.1 503") || !strings.Contains(h, "Retry-After: 1\r\n") {
		t.Errorf("got %q", h)
	}
	a.Close()
	<-r.rules.detached
	r.until("gone", func() bool { return r.open.Load() == 1 })
	r.login(3)
	if n := r.Server.stats.refused[refusedFull].Load(); n != 1 {
		t.Errorf("%d were refused", n)
	}
}

func TestPerAddress(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.PerAddress = 2 }, nil)
	a, _ := r.login(1)
	r.login(2)
	p := r.dial()
	p.write(handshake("/ws"))
	if h := p.head(); !strings.HasPrefix(h, "HTTP/1.1 503") {
		t.Errorf("got %q", h)
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	c, err := d.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r.until("accepted", func() bool { return r.open.Load() == 3 })
	a.Close()
	r.until("gone", func() bool { return r.open.Load() == 2 })
	r.login(3)
}

// What is sent to a closed connection reaches nobody, least of all who has its descriptor now.
func TestStaleConn(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.Loops = 1 }, nil)
	seen := map[uint32]router.Conn{}
	var stale []router.Conn
	for i := 0; len(stale) < 20; i++ {
		p, c := r.login(byte(i % 50))
		if old, ok := seen[c.Slot()]; ok {
			if old == c || old.Generation() == c.Generation() {
				t.Fatalf("%x came twice", c)
			}
			stale = append(stale, old)
		}
		seen[c.Slot()] = c
		for _, s := range stale {
			r.Deliver([]router.Conn{s}, 0, newMessage(thread(1), 1, "for another"))
			r.Deliver([]router.Conn{s, s}, 0, newMessage(thread(1), 1, "for another"))
			r.Multicast([][]router.Conn{{s}}, 0, newMessage(thread(1), 1, "for another"))
			r.Finish(s, &proto.MessageSent{})
			r.Backfill(s, newMessage(thread(1), 1, "for another"))
			r.Hold(s, []id.Thread{thread(1)})
			r.CloseSession(s, session(1), ws.CloseToken, "")
			r.Close(s, ws.CloseToken, "")
		}
		r.Deliver([]router.Conn{c}, 0, newMessage(thread(1), 2, "for me"))
		if m := p.expect("new_message"); m["content"] != "for me" {
			t.Fatalf("got %v", m)
		}
		p.Close()
		<-r.rules.detached
	}
	for _, c := range []router.Conn{0, router.MakeConn(9, 0, 1, 1), router.MakeConn(0, 3, 1, 1), router.MakeConn(0, 0, 1, 1<<28-1)} {
		r.Deliver([]router.Conn{c}, 0, &proto.Pong{})
		r.Deliver([]router.Conn{c, c}, 0, &proto.Pong{})
		r.Multicast([][]router.Conn{{c}}, 0, &proto.Pong{})
		r.Finish(c, &proto.Pong{})
		r.Close(c, 1001, "")
	}
	r.settled()
}

func TestCloseSession(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil)
	a, ca := r.login(1)
	b, cb := r.login(2)
	for _, c := range []router.Conn{ca, cb} {
		r.Deliver([]router.Conn{c}, 0, &proto.Pong{})
		r.CloseSession(c, session(1), ws.CloseToken, "revoked")
	}
	a.expect("pong")
	a.expectClose(ws.CloseToken)
	b.expect("pong")
	b.text(`{"action":"ping"}`)
	b.expect("pong")
}

func TestPanicInARule(t *testing.T) {
	t.Parallel()
	r := start(t, nil, func(f *fakeRules) {
		f.send = func(c router.Caller, req *proto.Request) {
			if string(req.Draft.Content) == "boom" {
				panic("boom " + string(req.Draft.Content))
			}
			f.echo(c, req)
		}
	})
	p, _ := r.login(1)
	q, _ := r.login(2)
	send := func(content string) string {
		return masked(ws.Text, true, fmt.Sprintf(`{"action":"send_message","receiverId":"%s","content":"%s"}`, user(3), content))
	}
	p.write(send("boom") + send("after"))
	p.expectClose(ws.CloseInternal)
	<-r.rules.detached
	q.write(send("fine"))
	q.expect("new_message")
	q.expect("message_sent")
	if r.Stats().Panics != 1 || strings.Contains(r.logs.String(), "boom boom") || !strings.Contains(r.logs.String(), "budget_test.go") {
		t.Errorf("%d panics, log %s", r.Stats().Panics, r.logs)
	}
}

func TestPanicOnALoop(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil)
	p, c := r.login(1)
	q, cq := r.login(2)
	r.must(c, nil, panicking{})
	r.Deliver([]router.Conn{cq}, 0, &proto.Pong{})
	q.expect("pong")
	p.expectEnd()
	<-r.rules.detached
	if r.Stats().Panics != 1 {
		t.Errorf("%d panics", r.Stats().Panics)
	}
}

type panicking struct{}

func (panicking) apply(*loop, router.Conn, *frame) { panic("boom") }
