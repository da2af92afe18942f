package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tolkflip/tolkflip/bench/client"
	"github.com/tolkflip/tolkflip/bench/dialect"
	"github.com/tolkflip/tolkflip/bench/users"
	"github.com/tolkflip/tolkflip/proto/ws"
)

// mischief is one kind of bad behaviour.
type mischief struct {
	name          string
	count         int  // connections
	authenticated bool // they come in by the door first
	redial        bool // one that is closed comes again, soon
	// act writes once, when a connection stands; nil = nothing.
	act func(a *abuse, c *client.Conn)
	// more writes again and again, whenever all was taken and a millisecond has passed; nil = nothing.
	more func(a *abuse, c *client.Conn)
}

const (
	abuseTick  = int64(time.Millisecond)
	redialTick = int64(50 * time.Millisecond) // those that were closed come again: what is tested is not a storm of connects
	burst      = 1 << 10                      // bytes of a write of those that flood
	slowWindow = 16                           // messages to a slow reader that are not acknowledged
	slowSize   = 4 << 10                      // bytes of their content
	bigHead    = 64 << 10                     // bytes of a head that is too long
	fragment   = 16 << 10                     // bytes of a fragment of the endless message
)

// mischiefs are all kinds.
func mischiefs() []mischief {
	mask := [4]byte{1, 2, 3, 4}
	ping := ws.AppendMaskedFrame(nil, ws.Text, true, mask, []byte(`{"action":"ping"}`))
	pings := bytes.Repeat(ping, burst/len(ping))
	tiny := ws.AppendMaskedFrame(nil, ws.Continuation, false, mask, []byte("a"))
	write := func(b []byte) func(*abuse, *client.Conn) {
		return func(_ *abuse, c *client.Conn) { c.Write(append(c.Buffer(), b...)) }
	}
	return []mischief{
		// Half of them are sent 4 KiB messages by the other half, and read nothing.
		{name: "slow-reader", count: 40, authenticated: true, act: holdReaders, more: writeToReader},
		// Actions as fast as the server takes them.
		{name: "flood", count: 20, authenticated: true, redial: true, more: write(pings)},
		// Half a head, and silence.
		{name: "half-open", count: 1000, act: write([]byte("GET /ws HTTP/1.1\r\nHost: x\r\nUpgra"))},
		// A head that is longer than any.
		{name: "big-head", count: 50, redial: true, act: write(append([]byte("GET /ws HTTP/1.1\r\nCookie: "), bytes.Repeat([]byte("x"), bigHead)...))},
		// Messages in fragments of one byte.
		{
			name: "one-byte-frames", count: 20, authenticated: true, redial: true,
			act: write(ws.AppendMaskedFrame(nil, ws.Text, false, mask, []byte("{"))), more: write(bytes.Repeat(tiny, burst/len(tiny))),
		},
		// A message whose end never comes.
		{
			name: "endless-message", count: 20, authenticated: true, redial: true,
			act:  write(ws.AppendMaskedFrame(nil, ws.Text, false, mask, []byte(`{"action":"`))),
			more: write(ws.AppendMaskedFrame(nil, ws.Continuation, false, mask, bytes.Repeat([]byte("a"), fragment))),
		},
		// A frame that says it has a terabyte.
		{name: "huge-length", count: 20, authenticated: true, redial: true, act: write([]byte{0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4, 'x'})},
		// Not JSON at all.
		{name: "garbage", count: 20, authenticated: true, redial: true, more: write(ws.AppendMaskedFrame(nil, ws.Text, true, mask, bytes.Repeat([]byte("["), burst)))},
	}
}

// abuse is a kind at work, on a loop of its own.
type abuse struct {
	mischief
	subject *Subject
	people  []users.User
	loop    *client.Loop
	ws      *client.WebSocket
	live    map[*client.Conn]int // what a slow reader's sender has in flight, 0 for the others
	ends    map[string]int
	dialed  int
	bytes   int64
	next    int64 // time of the next writes
	again   int64 // and of the next dials
	closed  []int
	stopped bool
	scratch []byte
}

func startAbuse(s *Subject, m mischief, people []users.User) (*abuse, error) {
	l, err := client.NewLoop(time.Now())
	if err != nil {
		return nil, err
	}
	a := &abuse{mischief: m, subject: s, people: people, loop: l, live: map[*client.Conn]int{}, ends: map[string]int{}}
	a.ws = client.NewWebSocket(s.Addr, s.Path, func(c *client.Conn) []byte { return []byte(people[c.ID].Token) }, a)
	l.Do(func() {
		for i := range m.count {
			a.dial(i)
		}
		l.Tick(a.tick)
	})
	return a, nil
}

func (a *abuse) dial(id int) {
	var p client.Protocol = a
	if a.authenticated {
		p = a.ws
	}
	c, err := a.loop.Dial(a.subject.Addr, id, p)
	if err != nil {
		a.ends[err.Error()]++
		return
	}
	a.dialed++
	a.live[c] = 0
}

// end lets held connections read what is left, looks at what lives, and stops.
func (a *abuse) end(ctx context.Context) (ends map[string]int, dialed int, mb float64) {
	const last = 500 * time.Millisecond
	a.loop.Call(func() {
		a.stopped = true
		for c := range a.live {
			c.Hold(false)
		}
	})
	_ = wait(ctx, last) // whoever was closed learns it now
	a.loop.Call(func() {
		if n := len(a.live); n > 0 {
			a.ends["alive"] = n
		}
		ends, dialed, mb = a.ends, a.dialed, float64(a.bytes)/1e6
	})
	a.loop.Close()
	return ends, dialed, mb
}

func (a *abuse) tick(now int64) int64 {
	if a.stopped {
		return client.Never
	}
	if now >= a.again {
		a.again = now + redialTick
		for _, id := range a.closed {
			a.dial(id)
		}
		a.closed = a.closed[:0]
	}
	if a.more == nil {
		return a.again
	}
	if now >= a.next {
		a.next = now + abuseTick
		for c := range a.live {
			if c.Ready && c.Unsent() == 0 {
				a.more(a, c)
				a.bytes += int64(c.Unsent())
			}
		}
	}
	return min(a.next, a.again)
}

// Ready is told of one that is authenticated.
func (a *abuse) Ready(c *client.Conn) {
	if a.act != nil {
		a.act(a, c)
		a.bytes += int64(c.Unsent())
	}
}

// Frame takes an ack of what was written to a slow reader.
func (a *abuse) Frame(c *client.Conn, payload []byte) {
	if k := dialect.KindOf(payload); k == dialect.MessageSent || k == dialect.MessageError {
		a.live[c] = max(0, a.live[c]-1)
	}
}

// Gone notes how it ended.
func (a *abuse) Gone(c *client.Conn, err error) {
	delete(a.live, c)
	var closed *client.CloseError
	switch {
	case errors.As(err, &closed):
		a.ends[fmt.Sprintf("close %d", closed.Code)]++
	case errors.Is(err, io.EOF):
		a.ends["end of stream"]++
	default:
		a.ends[err.Error()]++
	}
	if a.redial && !a.stopped {
		a.closed = append(a.closed, c.ID)
	}
}

// Opened is told of one that comes without a token.
func (a *abuse) Opened(c *client.Conn) { a.Ready(c) }

// Received drops the answer.
func (a *abuse) Received(_ *client.Conn, b []byte) int { return len(b) }

// Closed notes how it ended.
func (a *abuse) Closed(c *client.Conn, err error) { a.Gone(c, err) }

func holdReaders(_ *abuse, c *client.Conn) { c.Hold(c.ID%2 == 0) }

func writeToReader(a *abuse, c *client.Conn) {
	if c.ID%2 == 0 || a.live[c] >= slowWindow {
		return
	}
	a.live[c]++
	stamp := dialect.Stamp{Run: uint32(a.loop.Now()), Sender: c.ID, N: a.live[c], Due: a.loop.Now()}
	a.scratch = dialect.AppendDirect(a.scratch[:0], a.people[c.ID-1].ID, stamp, slowSize)
	a.ws.Send(c, a.scratch)
}
