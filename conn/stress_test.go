package conn

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/proto/token"
	"github.com/tolkflip/tolkflip/proto/ws"
	"github.com/tolkflip/tolkflip/router"
)

// everybody is a table of who is connected, as the router has it.
type everybody struct {
	mu sync.Mutex
	on map[router.Conn]router.Caller
}

func (e *everybody) list() (names []router.Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.on {
		names = append(names, c)
	}
	return names
}

// Clients come, talk, resume, break rules and go, at the same time as everything is sent to whoever is or
// was there. Every client must read whole frames that are for it, Attach and Detach must come in pairs, and
// nothing may be left.
func TestStress(t *testing.T) {
	t.Parallel()
	table := &everybody{on: map[router.Conn]router.Caller{}}
	var r *rig
	f := &strictTable{fakeRules: nil, everybody: table, t: t}
	r = start(t, func(c *Config) {
		c.Loops, c.Workers, c.OutboundBytes, c.SendsInFlight = 3, 3, 64<<10, 4
	}, func(rules *fakeRules) {
		f.fakeRules = rules
		rules.table = f
		rules.send = func(c router.Caller, req *proto.Request) {
			rules.sink.Deliver([]router.Conn{c.Conn}, 0, newMessage(thread(c.User.ID[15]), 1, c.User.String()))
			rules.sink.Finish(c.Conn, &proto.MessageSent{Ref: req.Ref})
		}
		rules.resume = func(c router.Caller, _ *proto.Request) {
			rules.sink.Hold(c.Conn, []id.Thread{thread(c.User.ID[15])})
			left := 20
			fd := &fakeFeeder{t: t, released: make(chan string, 2), gone: make(chan struct{}, 4)}
			fd.next = func() bool {
				rules.sink.Backfill(c.Conn, newMessage(thread(c.User.ID[15]), 1, c.User.String()))
				if left--; left == 0 {
					rules.sink.Release(c.Conn, thread(c.User.ID[15]), 0, fd)
				}
				return left > 0
			}
			rules.sink.Feed(c.Conn, fd)
		}
	})
	stop := make(chan struct{})
	var senders, clients sync.WaitGroup
	senders.Go(func() {
		old := map[byte][]router.Conn{}
		for {
			select {
			case <-stop:
				return
			default:
			}
			table.mu.Lock()
			for _, c := range table.on {
				n := c.User.ID[15]
				old[n] = append(old[n], c.Conn)
				if len(old[n]) > 20 {
					old[n] = old[n][1:]
				}
			}
			table.mu.Unlock()
			for n, names := range old {
				r.Deliver(names, 0, newMessage(thread(n), 7, user(n).String()))
				r.Multicast(byLoop(r, names), names[0], newMessage(thread(n), 7, user(n).String()))
			}
			r.settled()
		}
	})
	for n := range byte(8) {
		r.rules.gate.allow(fmt.Sprint("s", n), token.Claims{User: user(n), Session: session(n), Expires: 1 << 40})
		clients.Go(func() { stressClient(r, n) })
	}
	clients.Wait()
	close(stop)
	senders.Wait()
	r.until("all are gone", func() bool { return len(table.list()) == 0 && r.open.Load() == 0 })
}

// strictTable is a router.Table that notices what must not happen.
type strictTable struct {
	*fakeRules
	*everybody
	t *testing.T
}

func (s *strictTable) Attach(c router.Caller) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.on[c.Conn]; ok {
		s.t.Errorf("%v was attached twice", c)
	}
	s.on[c.Conn] = c
}

func (s *strictTable) Detach(c router.Caller) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on[c.Conn] != c {
		s.t.Errorf("%v was detached, attached was %v", c, s.on[c.Conn])
	}
	delete(s.on, c.Conn)
}

func stressClient(r *rig, n byte) {
	rnd := rand.New(rand.NewPCG(uint64(n), 5))
	for range 25 {
		p := r.dial()
		p.write(handshake("/ws"))
		p.accepted()
		p.text(fmt.Sprintf(`{"action":"authenticate","token":"s%d","resume":{"threads":{}}}`, n))
		sends := rnd.IntN(30)
		for i := range sends {
			p.write(masked(ws.Text, true, fmt.Sprintf(`{"action":"send_message","receiverId":"%s","content":"x","ref":%d}`, user(99), i)))
		}
		if rnd.IntN(3) == 0 { // go at once
			p.Close()
			continue
		}
		for acks := 0; acks < sends; {
			op, b, err := p.tryFrame()
			if err != nil {
				r.t.Errorf("client %d: %v", n, err)
				return
			}
			switch {
			case op == ws.Close: // a slow consumer under load
				acks = sends
			case strings.Contains(string(b), `"message_sent"`):
				acks++
			case strings.Contains(string(b), `"new_message"`) && !strings.Contains(string(b), user(n).String()):
				r.t.Errorf("client %d got another's message: %s", n, b)
			}
		}
		switch rnd.IntN(3) {
		case 0:
			p.Write([]byte{0xff, 0xff})
		case 1:
			p.Write([]byte(masked(ws.Close, true, "\x03\xe8")))
		}
		p.Close()
	}
}
