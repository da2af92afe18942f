package scenario

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tolkflip/tolkflip/bench/floor"
	"github.com/tolkflip/tolkflip/bench/histogram"
	"github.com/tolkflip/tolkflip/bench/plan"
	"github.com/tolkflip/tolkflip/bench/probe"
	"github.com/tolkflip/tolkflip/bench/users"
	"github.com/tolkflip/tolkflip/proto/id"
)

// FanoutLeg is one stretch of broadcasts to one target.
type FanoutLeg struct {
	Deliveries float64           `json:"deliveries_per_s"`
	Messages   int64             `json:"messages"` // sent over the whole leg
	Refused    int64             `json:"refused,omitempty"`
	Lost       int64             `json:"lost"` // deliveries that did not come
	Doubled    int64             `json:"doubled"`
	Disordered int64             `json:"disordered"`
	Gaps       int64             `json:"seq_gaps"`
	Gone       int64             `json:"connections_lost"`
	Why        string            `json:"why,omitempty"`
	Ack        histogram.Summary `json:"ack"`
	Took       histogram.Summary `json:"broadcast"` // one at a time: from the send to the last delivery
	CPU        probe.Reading     `json:"cpu"`
	ServerPer  float64           `json:"server_us_per_delivery"`
	Full       plan.Side         `json:"full"`
	Echo       *Probes           `json:"echo,omitempty"`         // bystanders of the target
	Control    *Probes           `json:"echo_control,omitempty"` // bystanders of a hub that has nothing else to do, at the same time
}

// fanSide is one target of a run with its members connected.
type fanSide struct {
	config  FanoutConfig
	subject *Subject
	crowd   *crowd
	parts   []*fanPart
	run     atomic.Uint32
	batch   int64 // messages that the target sends at once
	echo    *echoRun
	control *echoRun // the same bystanders of a hub that has nothing else to do: what the machine and the generator add
	idle    *Subject // that hub
	zero    time.Time
}

// members connects the sender and the members of a group.
func (c FanoutConfig) members(ctx context.Context, s *Subject) (*fanSide, error) {
	f := &fanSide{config: c, subject: s, batch: 1, zero: time.Now()}
	plain := s.Name == string(floor.Epoll) || s.Name == string(floor.Gnet)
	if plain {
		f.batch = int64(c.batch())
	}
	everybody := 1 + c.Members
	people, err := s.People(ctx, everybody+c.echoPeople(s))
	if err != nil {
		return nil, err
	}
	group := id.NewGroup()
	if s.Server != nil {
		rest := users.NewREST(s.Server.URL)
		group, err = rest.Group(ctx, people[0], people[1:everybody])
		rest.Close()
		if err != nil {
			return nil, err
		}
	}
	tokens := make([][]byte, everybody)
	for i := range tokens {
		tokens[i] = []byte(people[i].Token)
	}
	f.crowd, err = newCrowd(crowdConfig{
		to: s.Addr, path: s.Path, inFlight: connectInFlight, zero: f.zero,
		token:  func(id int) []byte { return tokens[id] },
		loopOf: func(id int) int { return id % c.Loops },
		events: func(p *part) frames {
			part := newFanPart(p, c, plain, &f.run)
			part.group = group
			f.parts = append(f.parts, part)
			return part
		},
	}, c.Loops)
	if err != nil {
		return nil, err
	}
	if _, err := f.crowd.open(ctx, everybody); err != nil {
		f.crowd.close()
		return nil, err
	}
	f.each((*fanPart).assemble)
	f.parts[0].driver.parts, f.parts[0].driver.members = f.parts, int64(c.Members)
	if c.echoPeople(s) > 0 {
		if err := f.bystanders(ctx, people[everybody:]); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	return f, nil
}

// bystanders connects people to the target, and as many to a hub of their own.
func (f *fanSide) bystanders(ctx context.Context, people []users.User) (err error) {
	if f.echo, err = openEcho(ctx, f.config, f.subject, people); err != nil {
		return err
	}
	if f.idle, err = f.config.Open(ctx, string(floor.Hub), floor.Config{}); err != nil {
		return err
	}
	others, err := f.idle.People(ctx, len(people))
	if err != nil {
		return err
	}
	f.control, err = openEcho(ctx, f.config, f.idle, others)
	return err
}

func (f *fanSide) close() error {
	for _, e := range []*echoRun{f.echo, f.control} {
		if e != nil {
			e.close()
		}
	}
	f.crowd.close()
	if f.idle != nil {
		return f.idle.Close()
	}
	return nil
}

func (f *fanSide) each(do func(p *fanPart)) {
	for _, p := range f.parts {
		p.part.loop.Call(func() { do(p) })
	}
}

// driver runs do on the driver's loop.
func (f *fanSide) driver(do func(d *fanDriver)) {
	p := f.parts[0]
	p.part.loop.Call(func() { do(p.driver) })
}

func (f *fanSide) delivered() (n int64) {
	for _, p := range f.parts {
		n += p.delivered.Load()
	}
	return n
}

// frame is the mean size of the frames that members got so far, in bytes with the header.
func (f *fanSide) frame() float64 {
	var bytes, messages int64
	f.each(func(p *fanPart) { bytes, messages = bytes+p.part.ws.Bytes, messages+p.part.ws.Messages })
	if messages == 0 {
		return 0
	}
	return float64(bytes) / float64(messages)
}

// leg sends for a while and waits until all has come.
func (f *fanSide) leg(ctx context.Context, warm, duration time.Duration) (FanoutLeg, error) {
	f.run.Store(rand.Uint32())
	f.each(func(p *fanPart) {
		for _, c := range p.checks {
			c.got.reset()
			c.seq = line{last: c.seq.last}
		}
	})
	f.driver(func(d *fanDriver) {
		*d = fanDriver{
			sender: d.sender, parts: d.parts, members: d.members, batch: f.batch, scratch: d.scratch, seq: line{last: d.seq.last},
			base: f.delivered(), on: true, took: histogram.New(), ack: histogram.New(),
		}
	})
	var probes sync.WaitGroup
	var echo, control *Probes
	if f.echo != nil && duration > calibration {
		probes.Go(func() { echo = f.echo.measure(ctx, warm, duration) })
		probes.Go(func() { control = f.control.measure(ctx, warm, duration) })
	}
	err := wait(ctx, warm)
	before, meter := f.delivered(), probe.Start(f.subject.PID)
	if err == nil {
		err = wait(ctx, duration)
	}
	reading, came := meter.Read(), f.delivered()-before
	f.driver(func(d *fanDriver) { d.closing = true })
	f.drain(ctx)
	l := FanoutLeg{
		Deliveries: float64(came) / reading.Seconds, CPU: reading, ServerPer: reading.ServerPer(came),
		Full: plan.Full(reading.Usage(len(f.parts))),
	}
	f.collect(&l)
	probes.Wait()
	l.Echo, l.Control = echo, control
	return l, err
}

// drain waits until all is acknowledged and delivered.
func (f *fanSide) drain(ctx context.Context) {
	const check = 20 * time.Millisecond
	var quiet time.Duration
	before := int64(-1)
	for quiet < drainQuiet && ctx.Err() == nil {
		var open int64
		f.driver(func(d *fanDriver) {
			open = max(d.behind(), d.sent-d.refused-d.acked, d.sent%d.batch)
		})
		if open <= 0 {
			break
		}
		now := f.delivered()
		if quiet += check; now != before {
			quiet, before = 0, now
		}
		_ = wait(ctx, check) // the loop asks ctx
	}
	f.driver(func(d *fanDriver) { d.on = false })
}

func (f *fanSide) collect(l *FanoutLeg) {
	members := int64(f.config.Members)
	f.driver(func(d *fanDriver) {
		l.Messages, l.Refused, l.Why = d.sent, d.refused, d.reason
		l.Ack, l.Took = d.ack.Summary(), d.took.Summary()
		l.Lost = (d.sent-d.refused)*members - (f.delivered() - d.base)
		l.Gaps, l.Disordered = d.seq.Gaps, d.seq.Rewound
	})
	f.each(func(p *fanPart) {
		for _, c := range p.checks {
			l.Doubled += c.got.Doubled
			l.Disordered += c.got.Late + c.seq.Rewound
			l.Gaps += c.seq.Gaps
		}
		l.Gone += p.gone.Load()
		if l.Why == "" {
			l.Why = p.reason
		}
	})
}
