package scenario

import (
	"sync/atomic"

	"github.com/tolkflip/tolkflip/bench/client"
	"github.com/tolkflip/tolkflip/bench/dialect"
	"github.com/tolkflip/tolkflip/bench/histogram"
	"github.com/tolkflip/tolkflip/proto/id"
)

// checkedOneIn: one of so many members look into every message they get; the others count frames by their headers.
const checkedOneIn = 100

// fanPart is the members of one loop. Connection 0 is the sender and gets no message; it is on part 0, whose loop drives the run.
type fanPart struct {
	part   *part
	config FanoutConfig
	group  id.Thread

	delivered atomic.Int64 // messages that members of this part got, since ever; updated once a pass
	checked   int64        // of them, by members that look into theirs
	checks    map[int]*fanCheck
	plain     bool           // a floor's messages: they carry no stamp
	run       *atomic.Uint32 // of the leg, for all parts
	driver    *fanDriver
	gone      atomic.Int64
	reason    string
}

// fanCheck is what a member that looks into its messages found.
type fanCheck struct {
	got receipts
	seq line
}

// fanDriver sends, on part 0.
type fanDriver struct {
	sender  *client.Conn
	parts   []*fanPart
	members int64
	base    int64 // deliveries before this leg
	batch   int64 // a leg ends with a full one: the target sends no other
	on      bool
	closing bool
	sent    int64
	acked   int64
	refused int64
	reason  string
	began   int64 // of the broadcast that is on its way
	took    *histogram.Histogram
	ack     *histogram.Histogram
	seq     line
	scratch []byte
	frame   int // size of the frame that was sent
}

func newFanPart(p *part, c FanoutConfig, plain bool, run *atomic.Uint32) *fanPart {
	f := &fanPart{part: p, config: c, plain: plain, run: run, checks: map[int]*fanCheck{}}
	p.ws.MinMessage = c.Content
	return f
}

// assemble decides which members look into their messages, once all are open.
func (f *fanPart) assemble() {
	for i, c := range f.part.conns {
		switch {
		case c.ID == 0:
			f.driver = &fanDriver{sender: c, took: histogram.New(), ack: histogram.New()}
		case !f.plain && i%checkedOneIn == 0:
			f.checks[c.ID] = &fanCheck{}
		default:
			c.Skim = true
		}
	}
	f.part.loop.Tick(f.tick)
}

// tick publishes what came, and sends more.
func (f *fanPart) tick(now int64) int64 {
	f.delivered.Store(f.checked + f.part.ws.Messages)
	if d := f.driver; d != nil && d.on {
		f.drive(d, now)
		if len(d.parts) > 1 { // other loops do not wake this one
			return now + int64(fanPoll)
		}
	}
	return client.Never
}

// behind is how many messages are sent and not delivered to all, on the average.
func (d *fanDriver) behind() int64 {
	total := -d.base
	for _, p := range d.parts {
		total += p.delivered.Load()
	}
	return d.sent - d.refused - total/d.members
}

func (f *fanPart) drive(d *fanDriver, now int64) {
	if f.config.Light {
		if d.sent > 0 && d.began != 0 && d.behind() <= 0 {
			d.took.Record(now - d.began)
			d.began = 0
		}
		if d.began == 0 && !d.closing {
			d.began = now
			f.send(d, now)
		}
		return
	}
	for (!d.closing || d.sent%d.batch != 0) && d.sent-d.acked-d.refused < int64(f.config.Window) && d.behind() < int64(f.config.Lag) {
		f.send(d, now)
	}
}

func (f *fanPart) send(d *fanDriver, now int64) {
	stamp := dialect.Stamp{Run: f.run.Load(), N: int(d.sent), Due: now}
	d.sent++
	d.scratch = dialect.AppendGroup(d.scratch[:0], f.group, stamp, f.config.Content)
	d.frame = len(d.scratch) + 8
	f.part.ws.Send(d.sender, d.scratch)
}

// Frame is an answer to the sender, or a message for a member that looks into it.
func (f *fanPart) Frame(c *client.Conn, payload []byte) {
	kind := dialect.KindOf(payload)
	if d := f.driver; d != nil && c == d.sender {
		switch kind {
		case dialect.MessageSent:
			d.acked++
			d.seq.add(dialect.Seq(payload))
			if s, ok := dialect.AckStamp(payload); ok && s.Run == f.run.Load() {
				d.ack.Record(f.part.loop.Now() - s.Due)
			}
		case dialect.MessageError, dialect.Failure:
			d.refused++
			code, _ := dialect.Text(payload, `"code":"`)
			d.reason = "refused: " + string(code)
		default:
		}
		return
	}
	if kind != dialect.NewMessage {
		return
	}
	f.checked++
	check := f.checks[c.ID]
	if check == nil {
		return
	}
	check.seq.add(dialect.Seq(payload))
	if s, ok := dialect.ContentStamp(payload); ok && f.run.Load() == s.Run {
		check.got.add(s.N)
	}
}

// Gone counts a connection that ended.
func (f *fanPart) Gone(_ *client.Conn, err error) {
	f.gone.Add(1)
	if f.reason == "" {
		f.reason = err.Error()
	}
}
