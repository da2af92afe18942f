package scenario

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tolkflip/tolkflip/bench/client"
	"github.com/tolkflip/tolkflip/bench/floor"
	"github.com/tolkflip/tolkflip/bench/histogram"
	"github.com/tolkflip/tolkflip/bench/plan"
	"github.com/tolkflip/tolkflip/bench/probe"
	"github.com/tolkflip/tolkflip/bench/report"
)

// RESTConfig is reads of profiles that the server has in memory, open loop over connections that stay open.
type RESTConfig struct {
	Options     `json:"-"`
	Rate        float64       `json:"rate"`
	Connections int           `json:"connections"` // of each loop
	People      int           `json:"people"`      // whose profiles are read, each by itself
	WarmUp      time.Duration `json:"warm_up"`
	Duration    time.Duration `json:"duration"`
}

// DefaultREST is 5,000 requests a second.
func DefaultREST() RESTConfig {
	return RESTConfig{Rate: 5000, Connections: 64, People: 100, WarmUp: 2 * time.Second, Duration: 10 * time.Second}
}

// Validate checks it.
func (c RESTConfig) Validate() error {
	if c.Rate <= 0 || c.Connections < 1 || c.People < 1 || c.Duration <= 0 || c.WarmUp < 0 {
		return errors.New("--rate, --connections, --people and --duration must be positive")
	}
	return c.Options.Validate(true)
}

// RESTResult is what a run found.
type RESTResult struct {
	Offered   float64           `json:"offered_per_s"`
	Achieved  float64           `json:"achieved_per_s"`
	Sent      int64             `json:"sent"`
	Answered  int64             `json:"answered"`
	Bad       int64             `json:"not_200"`
	Gone      int64             `json:"connections_lost"`
	Why       string            `json:"why,omitempty"`
	Late      float64           `json:"late_share"`
	Latency   histogram.Summary `json:"latency"`
	CPU       probe.Reading     `json:"cpu"`
	ServerPer float64           `json:"server_us_per_request,omitempty"`
	Full      plan.Side         `json:"full"`
}

// RunREST makes the run.
func RunREST(ctx context.Context, c RESTConfig) (*RESTResult, error) {
	s, err := c.Open(ctx, Ours, floor.Config{})
	if err != nil {
		return nil, err
	}
	r, err := c.on(ctx, s)
	return r, errors.Join(err, s.Close())
}

func (c RESTConfig) on(ctx context.Context, s *Subject) (*RESTResult, error) {
	people, err := s.People(ctx, c.People)
	if err != nil {
		return nil, err
	}
	requests := make([][]byte, len(people))
	for i, p := range people {
		requests[i] = fmt.Appendf(nil, "GET /api/users/profile/%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", p.ID, s.Addr, p.Token)
	}
	zero := time.Now()
	var parts []*restPart
	defer func() {
		for _, p := range parts {
			p.loop.Close()
		}
	}()
	for range c.Loops {
		l, err := client.NewLoop(zero)
		if err != nil {
			return nil, err
		}
		p := &restPart{loop: l, requests: requests, took: histogram.New(), ready: make(chan error, 1), wanted: c.Connections}
		parts = append(parts, p)
		l.Do(func() { p.dial(s) })
		select {
		case err = <-p.ready:
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
	}
	return c.measure(ctx, s, parts, zero)
}

func (c RESTConfig) measure(ctx context.Context, s *Subject, parts []*restPart, zero time.Time) (*RESTResult, error) {
	start := int64(time.Since(zero)) + int64(50*time.Millisecond)
	from := start + int64(c.WarmUp)
	to := from + int64(c.Duration)
	seed := rand.Uint64()
	for i, p := range parts {
		p.loop.Do(func() {
			p.from, p.to = from, to
			p.schedule = plan.NewSchedule(start, c.Rate, to-start, len(p.requests), plan.Share{Index: i, Of: len(parts)}, seed)
			p.loop.Tick(p.tick)
		})
	}
	if err := waitUntil(ctx, zero, from); err != nil {
		return nil, err
	}
	meter := probe.Start(s.PID)
	if err := waitUntil(ctx, zero, to); err != nil {
		return nil, err
	}
	r := &RESTResult{Offered: c.Rate, CPU: meter.Read()}
	const check = 50 * time.Millisecond
	for quiet := time.Duration(0); quiet < drainQuiet; quiet += check {
		var open int64
		for _, p := range parts {
			p.loop.Call(func() { open += p.sent - p.answered })
		}
		if open == 0 {
			break
		}
		if err := wait(ctx, check); err != nil {
			return r, err
		}
	}
	return r, r.collect(c, parts)
}

func (r *RESTResult) collect(c RESTConfig, parts []*restPart) error {
	took := histogram.New()
	var measured, late, arrived int64
	for _, p := range parts {
		p.loop.Call(func() {
			r.Sent, r.Answered, r.Bad, r.Gone = r.Sent+p.sent, r.Answered+p.answered, r.Bad+p.bad, r.Gone+p.gone
			measured, late, arrived = measured+p.measured, late+p.late, arrived+p.arrived
			took.Merge(p.took)
			if r.Why == "" {
				r.Why = p.why
			}
		})
	}
	r.Latency = took.Summary()
	r.Achieved = float64(arrived) / c.Duration.Seconds()
	if measured > 0 {
		r.Late = float64(late) / float64(measured)
	}
	r.ServerPer = r.CPU.ServerPer(arrived)
	r.Full = plan.Full(r.CPU.Usage(len(parts)))
	var err error
	if r.Bad > 0 || r.Gone > 0 || r.Answered < r.Sent {
		err = &report.BrokenError{Reason: fmt.Sprintf("%d requests, %d answers, %d of them not 200, %d connections lost: %s", r.Sent, r.Answered, r.Bad, r.Gone, r.Why)}
	}
	if plan.Refused(measured, late, r.CPU.Idle) {
		err = errors.Join(err, &report.RefusedError{Reason: fmt.Sprintf("%s of the requests left over 10 ms late while %s of the machine was idle",
			report.Percent(r.Late), report.Percent(r.CPU.Idle))})
	}
	return err
}

// Tables shows the run.
func (r *RESTResult) Tables() []report.Table {
	return []report.Table{{
		Title: "GET /api/users/profile/…, latency from the intended time, ms",
		Head:  []string{"", "offered/s", "achieved/s", "p50", "p90", "p99", "p99.9", "max", "late", "not 200", "server us each", "cores s+g", "full"},
		Rows: [][]string{{
			Ours, report.Count(int64(r.Offered)), report.Count(int64(r.Achieved)), report.Number(r.Latency.P50), report.Number(r.Latency.P90),
			report.Number(r.Latency.P99), report.Number(r.Latency.P999), report.Number(r.Latency.Max), report.Percent(r.Late), report.Count(r.Bad),
			report.Number(r.ServerPer), fmt.Sprintf("%.2f+%.2f", r.CPU.Server, r.CPU.Generator), string(r.Full),
		}},
	}}
}

// restPart is the connections of one loop. A request that is due while all are in use waits, and its time counts from when it was due.
type restPart struct {
	loop     *client.Loop
	requests [][]byte
	wanted   int
	open     int
	ready    chan error
	schedule *plan.Schedule
	from, to int64
	idle     []*client.Conn
	asked    map[*client.Conn]int64 // when the request on it was due
	waiting  []plan.Due
	took     *histogram.Histogram

	sent, measured, late, answered, arrived, bad, gone int64
	why                                                string
}

func (p *restPart) dial(s *Subject) {
	p.asked = map[*client.Conn]int64{}
	for i := range p.wanted {
		if _, err := p.loop.Dial(s.Addr, i, client.HTTP{Answers: p}); err != nil {
			p.tell(err)
			return
		}
	}
}

func (p *restPart) tell(err error) {
	select {
	case p.ready <- err:
	default:
	}
}

// Connected counts it.
func (p *restPart) Connected(c *client.Conn) {
	p.idle = append(p.idle, c)
	if p.open++; p.open == p.wanted {
		p.tell(nil)
	}
}

func (p *restPart) tick(now int64) int64 {
	for {
		d, ok := p.schedule.Take(now)
		if !ok {
			break
		}
		p.sent++
		p.waiting = append(p.waiting, d)
		if d.At >= p.from && d.At < p.to {
			p.measured++
			if now-d.At > plan.LateAfter {
				p.late++
			}
		}
	}
	p.ask()
	if next, ok := p.schedule.NextAt(); ok {
		return next
	}
	return client.Never
}

func (p *restPart) ask() {
	n := min(len(p.waiting), len(p.idle))
	for i, d := range p.waiting[:n] {
		c := p.idle[i] // the one that rested longest, so that none rests until the server closes it
		p.asked[c] = d.At
		c.Write(append(c.Buffer(), p.requests[d.Sender]...))
	}
	p.idle = p.idle[:copy(p.idle, p.idle[n:])]
	p.waiting = p.waiting[:copy(p.waiting, p.waiting[n:])]
}

// Answered takes an answer.
func (p *restPart) Answered(c *client.Conn, status int) {
	now, due := p.loop.Now(), p.asked[c]
	delete(p.asked, c)
	p.answered++
	if status != 200 {
		p.bad++
		p.why = fmt.Sprintf("status %d", status)
	}
	if due >= p.from && due < p.to {
		p.took.Record(now - due)
	}
	if now >= p.from && now < p.to {
		p.arrived++
	}
	p.idle = append(p.idle, c)
}

// Gone counts a connection that ended.
func (p *restPart) Gone(_ *client.Conn, err error) {
	p.gone++
	p.why = err.Error()
	p.tell(err)
}
