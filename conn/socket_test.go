package conn

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/ws"
	"github.com/tolkflip/tolkflip/router"
)

func TestAuthenticateAndEcho(t *testing.T) {
	t.Parallel()
	r := start(t, nil, func(f *fakeRules) { f.send = f.echo })
	p, c := r.login(1)
	for i := range 20 {
		p.text(fmt.Sprintf(`{"action":"send_message","receiverId":"%s","content":"hello %d","ref":%d}`, user(2), i, i))
		if m := p.expect("new_message"); m["content"] != fmt.Sprint("hello ", i) {
			t.Fatalf("got %v", m)
		}
		if m := p.expect("message_sent"); m["ref"] != float64(i) {
			t.Fatalf("got %v", m)
		}
	}
	p.text(`{"action":"ping","ref":"r"}`)
	if m := p.expect("pong"); m["ref"] != "r" {
		t.Fatalf("got %v", m)
	}
	p.write(masked(ws.Close, true, "\x03\xe8bye"))
	p.expectAnswer(1000)
	p.expectEnd()
	if d := <-r.rules.detached; d.Conn != c || d.User != user(1) || d.Session != session(1) {
		t.Fatalf("detached %v", d)
	}
}

func TestHandshakeEverySplit(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil)
	whole := handshake("/ws?token=tok3", "X-Filler: "+strings.Repeat("a", 40)) + masked(ws.Text, true, `{"action":"ping"}`)
	for cut := 1; cut < len(whole); cut++ {
		p := r.dial()
		p.write(whole[:cut])
		r.settled()
		p.write(whole[cut:])
		p.accepted()
		p.expect("authenticated")
		p.expect("pong")
		p.Close()
		<-r.rules.attached
		<-r.rules.detached
	}
}

func TestFramesEverySplit(t *testing.T) {
	t.Parallel()
	r := start(t, nil, func(f *fakeRules) { f.send = f.echo })
	msg := fmt.Sprintf(`{"action":"send_message","receiverId":"%s","content":"%s"}`, user(2), strings.Repeat("ä", 80))
	whole := masked(ws.Text, false, msg[:40]) + masked(ws.Ping, true, "p") + masked(ws.Continuation, false, msg[40:120]) +
		masked(ws.Pong, true, "") + masked(ws.Continuation, true, msg[120:]) + masked(ws.Text, true, `{"action":"ping"}`)
	p, _ := r.login(1)
	for cut := 1; cut < len(whole); cut++ {
		p.write(whole[:cut])
		if cut%7 == 0 {
			r.settled()
		}
		p.write(whole[cut:])
		if op, b := p.frame(); op != ws.Pong || string(b) != "p" {
			t.Fatalf("got %d %q", op, b)
		}
		p.expect("new_message")
		p.expect("message_sent")
		p.expect("pong")
	}
}

func TestBroadcast(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil)
	const n = 50
	peers := make([]*peer, n)
	names := make([]router.Conn, n)
	byLoop := make([][]router.Conn, r.Loops())
	for i := range peers {
		peers[i], names[i] = r.login(byte(i))
		byLoop[names[i].Loop()] = append(byLoop[names[i].Loop()], names[i])
	}
	r.Deliver(names, names[3], newMessage(thread(1), 1, "one"))
	r.Multicast(byLoop, names[4], newMessage(thread(1), 2, "two"))
	r.Deliver(names, 0, &proto.Pong{})
	for i, p := range peers {
		if i != 3 {
			if m := p.expect("new_message"); m["content"] != "one" {
				t.Fatalf("got %v", m)
			}
		}
		if i != 4 {
			if m := p.expect("new_message"); m["content"] != "two" {
				t.Fatalf("got %v", m)
			}
		}
		p.expect("pong")
	}
}

// An answer does not queue behind the copies of a broadcast, and the broadcast goes on.
func TestAnswersPassABroadcast(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.Loops = 1 }, nil)
	const n = 3 * copiesAPass
	crowd, names := r.join(n)
	p, c := r.login(2)
	crowd.quiet(r)
	live, answer := newMessage(thread(1), 1, "to all"), &proto.Pong{}
	base := crowd.bytes.Load()
	r.look(c, func(l *loop, s *slot) {
		waits := func() (many int) {
			for _, name := range names {
				if other := l.find(name); other.side != 0 && l.sides.all[other.side].size > 0 {
					many++
				}
			}
			return many
		}
		f := r.frames.event(actionJSON{}, live)
		f.bulk = true
		f.refs.Add(n)
		for _, name := range names {
			l.enqueue(int(name.Slot()), l.find(name), f, false)
		}
		r.frames.release(f, 1)
		l.enqueue(int(c.Slot()), s, r.frames.event(actionJSON{}, answer), false)
		l.flushDirty()
		if s.side != 0 || waits() != n-copiesAPass+1 {
			t.Errorf("after a turn the answer waits: %t, and %d of %d others", s.side != 0, waits(), n)
		}
		for range 200 { // answers come all the time
			for _, name := range names[n-copiesAPass:] {
				l.enqueue(int(name.Slot()), l.find(name), r.frames.event(actionJSON{}, answer), false)
			}
			l.flushDirty()
		}
		if many := waits(); many > copiesAPass {
			t.Errorf("%d of the others still wait", many)
		}
	})
	p.expect("pong")
	crowd.await(base + n*frameSize(live) + 200*copiesAPass*frameSize(answer))
}
