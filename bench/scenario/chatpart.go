package scenario

import (
	"github.com/tolkflip/tolkflip/bench/client"
	"github.com/tolkflip/tolkflip/bench/dialect"
	"github.com/tolkflip/tolkflip/bench/histogram"
	"github.com/tolkflip/tolkflip/bench/plan"
	"github.com/tolkflip/tolkflip/bench/users"
)

// takePerPass bounds the messages that one pass of the loop sends, so that a generator which is behind still reads.
const takePerPass = 256

// side is one person of a pair.
type side struct {
	conn  *client.Conn
	sent  int      // also the number of the next message
	acked receipts // of what it sent
	got   receipts // of what the other sent
	seq   line     // of the pair's thread, as this connection sees it
}

// chatPart is the pairs of one loop. Pair k of the part is connections 2k and 2k+1 of the part's.
type chatPart struct {
	part   *part
	people []users.User
	size   int // of the content
	sides  []side
	index  map[int]int // connection id to side

	run      uint32
	schedule *plan.Schedule
	window   struct{ from, to int64 } // messages that are due in it are measured
	done     chan struct{}            // closed when all of the schedule was sent
	scratch  []byte
	tally
	ack, receive *histogram.Histogram
}

// tally counts a level on one loop.
type tally struct {
	sent, measured int64 // all, and those that were due in the window
	late           int64 // of measured: left over 10 ms after they were due
	refused        int64
	arrived        int64 // came to their receiver during the window
	duplicates     int64 // acknowledged as a retry, which none was
	gone           int64 // connections that ended
	stale          int64 // frames of an earlier level
	reason         string
}

func newChatPart(p *part, people []users.User, size int) *chatPart {
	return &chatPart{
		part: p, people: people, size: size, index: map[int]int{},
		ack: histogram.New(), receive: histogram.New(),
	}
}

// assemble orders the part's connections into pairs, once all are open.
func (c *chatPart) assemble() {
	at := map[int]*client.Conn{}
	for _, conn := range c.part.conns {
		at[conn.ID] = conn
	}
	for _, conn := range c.part.conns {
		if conn.ID%2 == 0 {
			c.index[conn.ID], c.index[conn.ID+1] = len(c.sides), len(c.sides)+1
			c.sides = append(c.sides, side{conn: conn}, side{conn: at[conn.ID+1]})
		}
	}
	c.part.loop.Tick(c.tick)
}

// begin starts a level.
func (c *chatPart) begin(run uint32, s *plan.Schedule, from, to int64, done chan struct{}) {
	c.run, c.schedule, c.done = run, s, done
	c.window.from, c.window.to = from, to
	c.tally = tally{gone: c.gone, reason: c.reason}
	c.ack.Reset()
	c.receive.Reset()
	for i := range c.sides {
		s := &c.sides[i]
		s.sent = 0
		s.acked.reset()
		s.got.reset()
		s.seq = line{last: s.seq.last}
	}
}

// tick sends what is due. Turn t of a pair is the (t/2)th message of its first or second person.
func (c *chatPart) tick(now int64) (next int64) {
	if c.schedule == nil {
		return client.Never
	}
	for range takePerPass {
		d, ok := c.schedule.Take(now)
		if !ok {
			break
		}
		c.send(d, now)
	}
	next, ok := c.schedule.NextAt()
	if !ok {
		c.schedule = nil
		close(c.done)
		return client.Never
	}
	return next
}

func (c *chatPart) send(d plan.Due, now int64) {
	from := 2*d.Sender + d.Turn&1
	s, other := &c.sides[from], &c.sides[from^1]
	stamp := dialect.Stamp{Run: c.run, Sender: s.conn.ID, N: s.sent, Due: d.At}
	s.sent++
	c.sent++
	if d.At >= c.window.from && d.At < c.window.to {
		c.measured++
		if now-d.At > plan.LateAfter {
			c.late++
		}
	}
	c.scratch = dialect.AppendDirect(c.scratch[:0], c.people[other.conn.ID].ID, stamp, c.size)
	c.part.ws.Send(s.conn, c.scratch)
}

// Frame is an ack or a message.
func (c *chatPart) Frame(conn *client.Conn, payload []byte) {
	switch dialect.KindOf(payload) {
	case dialect.NewMessage:
		stamp, ok := dialect.ContentStamp(payload)
		c.sides[c.index[conn.ID]].seq.add(dialect.Seq(payload))
		if !ok || stamp.Run != c.run {
			c.stale++
			return
		}
		c.sides[c.index[conn.ID]].got.add(stamp.N)
		c.record(c.receive, stamp, true)
	case dialect.MessageSent:
		stamp, ok := dialect.AckStamp(payload)
		c.sides[c.index[conn.ID]].seq.add(dialect.Seq(payload))
		if !ok || stamp.Run != c.run {
			c.stale++
			return
		}
		c.sides[c.index[conn.ID]].acked.add(stamp.N)
		c.record(c.ack, stamp, false)
		if dialect.Duplicate(payload) {
			c.duplicates++
		}
	case dialect.MessageError, dialect.Failure:
		c.refused++
		if c.reason == "" {
			code, _ := dialect.Text(payload, `"code":"`)
			c.reason = "refused: " + string(code)
		}
	default:
	}
}

func (c *chatPart) record(h *histogram.Histogram, s dialect.Stamp, received bool) {
	now := c.part.loop.Now()
	if s.Due >= c.window.from && s.Due < c.window.to {
		h.Record(now - s.Due)
	}
	if received && now >= c.window.from && now < c.window.to {
		c.arrived++
	}
}

// Gone counts a connection that ended.
func (c *chatPart) Gone(_ *client.Conn, err error) {
	c.gone++
	if c.reason == "" {
		c.reason = err.Error()
	}
}

// sums adds up what the sides saw.
type sums struct {
	acked, received, doubled, disordered, gaps int64
}

func (c *chatPart) sums() (t sums) {
	for i := range c.sides {
		s := &c.sides[i]
		t.acked += s.acked.Count
		t.received += s.got.Count
		t.doubled += s.acked.Doubled + s.got.Doubled
		t.disordered += s.acked.Late + s.got.Late + s.seq.Rewound
		t.gaps += s.seq.Gaps
	}
	return t
}
