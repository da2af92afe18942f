package scenario

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/tolkflip/tolkflip/bench/client"
	"github.com/tolkflip/tolkflip/bench/dialect"
	"github.com/tolkflip/tolkflip/bench/histogram"
	"github.com/tolkflip/tolkflip/bench/plan"
	"github.com/tolkflip/tolkflip/bench/users"
)

// Probes is how bystanders fared while others had load put on them: a ping action and its pong, and pairs who write to each
// other, both open loop at a light rate on a loop of their own.
type Probes struct {
	Pong    histogram.Summary `json:"ping_pong"`
	Missing int64             `json:"pongs_missing"`
	Pairs   Level             `json:"pairs"`
}

// echoRun is the bystanders.
type echoRun struct {
	chat  *chatRun
	crowd *crowd
	pings *pingPart
}

// bystanders connect at this path: the hub counts nobody there as a member of its group.
const bystanderPath = "/chat"

// openEcho connects bystanders to the server: the first half of people are the pairs, the others send pings.
func openEcho(ctx context.Context, c FanoutConfig, s *Subject, people []users.User) (*echoRun, error) {
	apart := *s
	apart.Path = bystanderPath
	pairs, pingers := people[:len(people)/2], people[len(people)/2:]
	config := DefaultChat()
	config.Options, config.Pairs, config.Content = c.Options, len(pairs)/2, c.Content
	config.Loops, config.Progress = 1, nil
	zero := time.Now()
	e := &echoRun{chat: &chatRun{config: config, subject: &apart, zero: zero}}
	if err := e.chat.connect(ctx, pairs); err != nil {
		return nil, err
	}
	var err error
	e.crowd, err = newCrowd(crowdConfig{
		to: s.Addr, path: bystanderPath, inFlight: connectInFlight, zero: zero,
		token:  func(id int) []byte { return []byte(pingers[id].Token) },
		loopOf: func(int) int { return 0 },
		events: func(p *part) frames {
			e.pings = &pingPart{part: p}
			return e.pings
		},
	}, 1)
	if err != nil {
		e.chat.crowd.close()
		return nil, err
	}
	if _, err := e.crowd.open(ctx, len(pingers)); err != nil {
		e.close()
		return nil, err
	}
	e.pings.part.loop.Call(func() { e.pings.part.loop.Tick(e.pings.tick) })
	return e, nil
}

func (e *echoRun) close() {
	e.crowd.close()
	e.chat.crowd.close()
}

const echoRate = 200 // pings a second, and as many messages

// measure runs both for a while.
func (e *echoRun) measure(ctx context.Context, warm, duration time.Duration) *Probes {
	e.chat.config.WarmUp, e.chat.config.Duration = warm, duration
	start := int64(time.Since(e.chat.zero))
	from := start + int64(warm)
	to := from + int64(duration)
	p := e.pings
	p.part.loop.Do(func() {
		p.schedule = plan.NewSchedule(start, echoRate, to-start, len(p.part.conns), plan.Share{Of: 1}, rand.Uint64())
		p.from, p.to, p.sent, p.took = from, to, 0, histogram.New()
	})
	out := &Probes{}
	level, err := e.chat.level(ctx, echoRate)
	out.Pairs = level
	if err != nil {
		out.Pairs.Why = err.Error()
	}
	p.part.loop.Call(func() {
		out.Pong = p.took.Summary()
		out.Missing = p.sent - p.took.Count()
	})
	return out
}

// pingPart sends ping actions on a schedule.
type pingPart struct {
	part     *part
	schedule *plan.Schedule
	from, to int64
	sent     int64 // that were due in the window
	took     *histogram.Histogram
	scratch  []byte
}

func (p *pingPart) tick(now int64) int64 {
	if p.schedule == nil {
		return client.Never
	}
	for {
		d, ok := p.schedule.Take(now)
		if !ok {
			break
		}
		if d.At >= p.from && d.At < p.to {
			p.sent++
		}
		p.scratch = dialect.AppendPing(p.scratch[:0], d.At)
		p.part.ws.Send(p.part.conns[d.Sender], p.scratch)
	}
	next, ok := p.schedule.NextAt()
	if !ok {
		p.schedule = nil
		return client.Never
	}
	return next
}

// Frame takes a pong.
func (p *pingPart) Frame(_ *client.Conn, payload []byte) {
	if dialect.KindOf(payload) != dialect.Pong {
		return
	}
	if due, ok := dialect.PingDue(payload); ok && p.took != nil && due >= p.from && due < p.to {
		p.took.Record(p.part.loop.Now() - due)
	}
}

// Gone drops it: the pongs that are missing show it.
func (p *pingPart) Gone(*client.Conn, error) {}
