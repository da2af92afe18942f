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
