package conn

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/token"
	"github.com/tolkflip/tolkflip/proto/ws"
	"github.com/tolkflip/tolkflip/router"
)

func TestTokenAtTheHandshake(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil)
	r.rules.gate.allow("a b", token.Claims{User: user(7), Session: session(7), Expires: time.Now().Add(time.Hour).Unix()})
	for name, h := range map[string]string{
		"query":         handshake("/ws?x=1&token=tok5"),
		"escaped query": handshake("/chat?token=a%20b"),
		"bearer":        handshake("/ws", "Authorization: bearer tok5"),
	} {
		p := r.dial()
		p.write(h)
		p.accepted()
		m := p.expect("authenticated")
		c := <-r.rules.attached
		if m["userId"] != c.User.String() || m["sessionId"] != c.Session.String() {
			t.Errorf("%s: %v, attached %v", name, m, c)
		}
	}
	for path, reason := range map[string]string{
		"/ws?token=bad": "invalid_token", "/ws?token=old1": "token_expired", "/ws?token=": "invalid_token",
		"/ws?token=%zz": "invalid_token",
	} {
		p := r.upgrade(path)
		if m := p.expect("auth_error"); m["error"] != reason {
			t.Errorf("%s: %v", path, m)
		}
		p.expectClose(ws.CloseToken)
	}
	p := r.upgrade("/ws", "Authorization: Basic dG9rMTo=")
	p.expect("auth_error")
	p.expectClose(ws.CloseToken)
	if len(r.rules.attached) != 0 {
		t.Error("a refused one was attached")
	}
}

func TestActionsBeforeAuthentication(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil)
	p := r.upgrade("/ws")
	for _, frame := range []string{
		`{"action":"ping","ref":1}`,
		`{"action":"send_message","receiverId":"` + user(2).String() + `","content":"x","ref":1}`,
		`{"action":"resume","threads":{},"ref":1}`,
	} {
		p.text(frame)
		if m := p.expect("error"); m["code"] != "unauthenticated" || m["ref"] != float64(1) {
			t.Fatalf("%s: %v", frame, m)
		}
	}
	p.text(`{"action":"nonsense"}`)
	if m := p.expect("error"); m["code"] != "invalid" {
		t.Fatalf("got %v", m)
	}
	p.text(`{"action":"authenticate","token":"tok1","ref":"a"}`)
	if m := p.expect("authenticated"); m["ref"] != "a" {
		t.Fatalf("got %v", m)
	}
	p.text(`{"action":"send_message","clientMessageId":"c1","ref":2}`)
	if m := p.expect("message_error"); m["code"] != "invalid" || m["clientMessageId"] != "c1" || m["ref"] != float64(2) {
		t.Fatalf("got %v", m)
	}
}

func TestAuthenticateAgain(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	r := start(t, func(c *Config) { c.Now = func() time.Time { return now } }, nil)
	r.rules.gate.allow("short", token.Claims{User: user(1), Session: session(1), Expires: now.Add(20 * time.Second).Unix()})
	r.rules.gate.allow("long", token.Claims{User: user(1), Session: session(1), Expires: now.Add(60 * time.Second).Unix()})
	r.rules.gate.allow("other session", token.Claims{User: user(1), Session: session(2), Expires: now.Add(time.Hour).Unix()})
	auth := func(p *peer, tok string) { p.text(fmt.Sprintf(`{"action":"authenticate","token":%q}`, tok)) }

	p := r.upgrade("/ws")
	auth(p, "short")
	p.expect("authenticated")
	r.advance(15)
	auth(p, "long")
	p.expect("authenticated")
	r.advance(44) // 59 in all: past the first expiry, and silent for long
	if op, _ := p.frame(); op != ws.Ping {
		t.Fatalf("got frame %d", op)
	}
	p.write(masked(ws.Pong, true, ""))
	p.text(`{"action":"ping"}`)
	p.expect("pong")
	r.advance(16)
	p.expectClose(ws.CloseToken)
	if len(r.rules.attached) != 1 {
		t.Errorf("attached %d times", len(r.rules.attached))
	}

	p = r.upgrade("/ws")
	auth(p, "long")
	p.expect("authenticated")
	auth(p, "other session")
	if m := p.expect("auth_error"); m["error"] != "invalid_token" {
		t.Fatalf("got %v", m)
	}
	p.expectClose(ws.CloseToken)
	<-r.rules.detached
	<-r.rules.detached
}

// A revocation that comes between the check of the token and Attach finds nobody to close.
func TestRevokedWhileAttaching(t *testing.T) {
	t.Parallel()
	r := start(t, nil, func(f *fakeRules) {
		f.resume = func(router.Caller, *proto.Request) {
			f.gate.mu.Lock()
			defer f.gate.mu.Unlock()
			delete(f.gate.known, "tok1")
		}
	})
	p := r.upgrade("/ws")
	p.text(`{"action":"authenticate","token":"tok1","resume":{"threads":{}}}`)
	p.expect("authenticated")
	p.expect("auth_error")
	p.expectClose(ws.CloseToken)
	if a, d := <-r.rules.attached, <-r.rules.detached; a != d {
		t.Errorf("attached %v, detached %v", a, d)
	}
}

func TestResumeComesBeforeAttach(t *testing.T) {
	t.Parallel()
	r := start(t, nil, func(f *fakeRules) {
		f.resume = func(c router.Caller, req *proto.Request) {
			if len(f.attached) > 0 {
				t.Error("attached before the resume was told")
			}
			if c.User != user(1) || len(req.Resume.Threads) != 1 || req.Resume.Threads[0].Seq != 41 {
				t.Errorf("resume of %v from %+v", c, req.Resume)
			}
			f.sink.Deliver([]router.Conn{c.Conn}, 0, &proto.Resumed{Ref: req.Ref})
		}
	})
	p := r.upgrade("/ws")
	p.text(fmt.Sprintf(`{"action":"authenticate","token":"tok1","resume":{"threads":{"%s":41}}}`, thread(1)))
	p.expect("authenticated")
	p.expect("resumed")
	<-r.rules.attached
}

func TestDeadlines(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil)

	t.Run("head", func(t *testing.T) {
		p := r.dial()
		p.write("GET /ws HTTP/1.1\r\n")
		r.until("read", func() bool { return r.input.Load() == int64(len("GET /ws HTTP/1.1\r\n")) })
		r.advance(9)
		p.write("Host: x\r\n")
		r.until("read", func() bool { return r.input.Load() == int64(len("GET /ws HTTP/1.1\r\nHost: x\r\n")) })
		r.advance(1)
		if h := p.head(); h[:12] != "HTTP/1.1 408" {
			t.Errorf("got %q", h)
		}
		p.Close()
		r.until("gone", func() bool { return r.open.Load() == 0 })
	})
	t.Run("nothing sent", func(t *testing.T) {
		p := r.dial()
		r.until("greeted", func() bool { return r.greeted() == 1 })
		r.advance(10)
		if h := p.head(); h[:12] != "HTTP/1.1 408" {
			t.Errorf("got %q", h)
		}
		r.advance(5) // the client does not close: cut
		r.until("gone", func() bool { return r.open.Load() == 0 })
	})
	t.Run("token", func(t *testing.T) {
		p := r.upgrade("/ws")
		r.advance(9)
		p.text(`{"action":"ping"}`)
		p.expect("error")
		r.advance(1)
		p.expectClose(ws.CloseSilent)
	})
	t.Run("silence", func(t *testing.T) {
		p, _ := r.login(1)
		r.advance(24)
		p.text(`{"action":"ping"}`)
		p.expect("pong")
		r.advance(24)
		p.text(`{"action":"ping"}`)
		p.expect("pong") // and no ping before it
		r.advance(25)
		if op, _ := p.frame(); op != ws.Ping {
			t.Fatalf("got frame %d", op)
		}
		r.advance(19)
		p.write(masked(ws.Pong, true, ""))
		p.text(`{"action":"ping"}`)
		p.expect("pong")
		r.advance(24)
		p.text(`{"action":"ping"}`)
		p.expect("pong")
		r.advance(25)
		if op, _ := p.frame(); op != ws.Ping {
			t.Fatalf("got frame %d", op)
		}
		r.advance(20)
		p.expectClose(ws.CloseSilent)
	})
	t.Run("peer ignores the close", func(t *testing.T) {
		p, c := r.login(1)
		r.Close(c, ws.CloseGoingAway, "")
		p.expectAnswer(ws.CloseGoingAway)
		r.advance(4)
		p.write(masked(ws.Ping, true, ""))
		r.advance(1)
		r.until("gone", func() bool { return r.open.Load() == 0 })
	})
}

// Silence counts against a client only while we listen, and a client that takes what waits for it is not
// silent.
func TestDeadlinesOfBusyConnections(t *testing.T) {
	t.Parallel()
	enter, leave := make(chan struct{}, 100), make(chan struct{})
	r := start(t, func(c *Config) { c.MailboxMessages = 1 }, func(f *fakeRules) {
		f.other = func(string, router.Caller, *proto.Request) {
			enter <- struct{}{}
			<-leave
		}
	})
	p, c := r.login(1)
	p.write(strings.Repeat(masked(ws.Text, true, fmt.Sprintf(`{"action":"delivered","threadId":"%s","seq":1}`, thread(1))), 3))
	<-enter
	r.until("paused", func() bool {
		paused := false
		r.look(c, func(_ *loop, s *slot) { paused = s.has(noRead) })
		return paused
	})
	r.advance(25)
	r.advance(25)
	r.advance(25)
	close(leave)
	p.text(`{"action":"ping"}`)
	p.expect("pong")

	q, cq := r.login(2)
	ev := newMessage(thread(1), 1, strings.Repeat("x", 64<<10))
	r.until("blocked", func() bool {
		blocked := false
		r.look(cq, func(_ *loop, s *slot) { blocked = s.has(wantWrite) })
		if !blocked {
			r.Deliver([]router.Conn{cq}, 0, ev)
		}
		return blocked
	})
	r.advance(24)
	var last uint32
	r.look(cq, func(l *loop, s *slot) { last = s.last })
	for moved := false; !moved; {
		q.expect("new_message")
		r.look(cq, func(l *loop, s *slot) { moved = s.last > last })
	}
}

func TestPingAfterTenMinutes(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.PingAfter = 40 * time.Minute }, nil)
	r.rules.gate.allow("day", token.Claims{User: user(1), Session: session(1), Expires: time.Now().Add(24 * time.Hour).Unix()})
	p := r.upgrade("/ws?token=day")
	p.expect("authenticated")
	<-r.rules.attached
	r.settled()
	for range 2399 { // more than two turns of the wheel, tick by tick
		r.each(&ticking{n: 1})
	}
	p.text(`{"action":"ping"}`)
	p.expect("pong")
	r.advance(2399)
	p.text(`{"action":"ping"}`)
	p.expect("pong")
	r.advance(2400)
	if op, _ := p.frame(); op != ws.Ping {
		t.Fatalf("got frame %d", op)
	}
}
