package scenario

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tolkflip/tolkflip/bench/floor"
	"github.com/tolkflip/tolkflip/bench/histogram"
	"github.com/tolkflip/tolkflip/bench/plan"
	"github.com/tolkflip/tolkflip/bench/probe"
	"github.com/tolkflip/tolkflip/bench/report"
	"github.com/tolkflip/tolkflip/bench/users"
)

// ChatConfig is pairs of people who write to each other, open loop. Several targets take turns, level by level.
type ChatConfig struct {
	Options  `json:"-"`
	Targets  []string      `json:"targets"`
	Pairs    int           `json:"pairs"`
	Content  int           `json:"content_bytes"`
	Rate     float64       `json:"rate,omitempty"` // messages a second over all pairs; 0 = search for the highest
	From     float64       `json:"from"`           // rate at which the search begins
	Limit    time.Duration `json:"limit"`          // a level passes with p99 send to receive below it
	WarmUp   time.Duration `json:"warm_up"`
	Duration time.Duration `json:"duration"` // measured part of a level, after the warm-up
	Half     bool          `json:"half"`     // after a search, measure all targets at half of the first one's highest
}

// DefaultChat is 1000 pairs and 200 bytes.
func DefaultChat() ChatConfig {
	return ChatConfig{
		Targets: []string{Ours}, Pairs: 1000, Content: 200, From: 5000, Limit: 100 * time.Millisecond,
		WarmUp: 2 * time.Second, Duration: 8 * time.Second, Half: true,
	}
}

// Validate checks it.
func (c ChatConfig) Validate() error {
	switch {
	case len(c.Targets) == 0:
		return errors.New("--target is missing")
	case c.Pairs < 1 || c.Pairs < c.Loops:
		return errors.New("--pairs must be at least 1, and one for each loop")
	case c.Content < minContent:
		return fmt.Errorf("--content must be at least %d bytes: each message says when it was due", minContent)
	case c.Duration <= 0 || c.WarmUp < 0:
		return errors.New("--duration must be positive")
	case c.Rate < 0 || c.Rate == 0 && c.From <= 0:
		return errors.New("--rate and --from must be positive")
	}
	return c.Options.Validate(slices.Contains(c.Targets, Ours))
}

// Level is one rate that was tried.
type Level struct {
	Offered    float64           `json:"offered_per_s"`
	Achieved   float64           `json:"achieved_per_s"`
	Passed     bool              `json:"passed"`
	Why        string            `json:"why,omitempty"` // not passed
	Sent       int64             `json:"sent"`
	Acked      int64             `json:"acked"`
	Received   int64             `json:"received"`
	Lost       int64             `json:"lost"`       // acknowledged or not refused, and not received after the drain
	Unacked    int64             `json:"unacked"`    // neither acknowledged nor refused
	Doubled    int64             `json:"doubled"`    // acks or messages that came twice, or were acked as a retry
	Disordered int64             `json:"disordered"` // came after a later one of the same sender, or under a seq that was passed
	Gaps       int64             `json:"seq_gaps"`   // seqs of a thread that a connection never saw
	Refused    int64             `json:"refused"`
	Gone       int64             `json:"connections_lost"`
	Late       float64           `json:"late_share"` // of the sends that left over 10 ms late
	Ack        histogram.Summary `json:"ack"`
	Receive    histogram.Summary `json:"receive"`
	CPU        probe.Reading     `json:"cpu"`
	ServerPer  float64           `json:"server_us_per_message,omitempty"`
	RSS        int64             `json:"server_rss,omitempty"`
	Full       plan.Side         `json:"full"`
	Discarded  bool              `json:"refused_result,omitempty"` // the generator was at fault
}

// ChatSide is what a chat run found of one target.
type ChatSide struct {
	Target  string  `json:"target"`
	Levels  []Level `json:"levels"`
	Highest float64 `json:"highest_passed_per_s,omitempty"` // of a search
	Failing float64 `json:"lowest_failed_per_s,omitempty"`
	Half    *Level  `json:"half,omitempty"` // at half of the first target's highest
}

// ChatResult is what a chat run found.
type ChatResult struct {
	Sides []ChatSide `json:"sides"`
	// Ratios is the highest rate of the first target over that of each other.
	Ratios map[string]float64 `json:"ratios,omitempty"`
}

// RunChat makes one run.
func RunChat(ctx context.Context, c ChatConfig) (*ChatResult, error) {
	r := &ChatResult{Ratios: map[string]float64{}}
	var runs []*chatRun
	var err error
	for _, name := range c.Targets {
		var run *chatRun
		if run, err = c.side(ctx, name); err != nil {
			break
		}
		runs = append(runs, run)
		r.Sides = append(r.Sides, ChatSide{Target: name})
	}
	if err == nil && c.Rate > 0 {
		for i, run := range runs {
			var l Level
			l, err = run.level(ctx, c.Rate)
			r.Sides[i].Levels = append(r.Sides[i].Levels, l)
			if err = errors.Join(err, l.verdict()); err != nil {
				break
			}
		}
	} else if err == nil {
		err = search(ctx, c, runs, r)
	}
	for _, run := range runs {
		run.crowd.close()
		err = errors.Join(err, run.subject.Close())
	}
	return r, err
}

// side starts a target and connects its people.
func (c ChatConfig) side(ctx context.Context, name string) (*chatRun, error) {
	s, err := c.Open(ctx, name, floor.Config{})
	if err != nil {
		return nil, err
	}
	r := &chatRun{config: c, subject: s, zero: time.Now()}
	people, err := s.People(ctx, 2*c.Pairs)
	if err == nil {
		err = r.connect(ctx, people)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), s.Close())
	}
	return r, nil
}

// search looks for the highest rate of each target, in turns, and measures all at half of the first one's.
func search(ctx context.Context, c ChatConfig, runs []*chatRun, r *ChatResult) error {
	searches := make([]*plan.Search, len(runs))
	for i := range runs {
		searches[i] = plan.NewSearch(c.From)
	}
	for more := true; more; {
		more = false
		for i, run := range runs {
			rate, open := searches[i].Next()
			if !open {
				continue
			}
			more = true
			passed, err := run.try(ctx, rate, &r.Sides[i])
			if err != nil {
				return err
			}
			searches[i].Report(passed)
		}
	}
	for i := range r.Sides {
		side := &r.Sides[i]
		if side.Highest, side.Failing = searches[i].Found(); side.Highest == 0 {
			return &report.BrokenError{Reason: side.Target + ": no rate passed"}
		}
		if i > 0 {
			r.Ratios[side.Target] = r.Sides[0].Highest / side.Highest
		}
	}
	for i, run := range runs {
		if !c.Half {
			break
		}
		l, err := run.level(ctx, r.Sides[0].Highest/2)
		r.Sides[i].Half = &l
		if err = errors.Join(err, l.verdict()); err != nil {
			return err
		}
	}
	return nil
}

// chatRun is the connections of a run, over all of its levels.
type chatRun struct {
	config  ChatConfig
	subject *Subject
	crowd   *crowd
	parts   []*chatPart
	zero    time.Time
}

func (r *chatRun) connect(ctx context.Context, people []users.User) error {
	tokens := make([][]byte, len(people))
	for i := range people {
		tokens[i] = []byte(people[i].Token)
	}
	loops := r.config.Loops
	var err error
	r.crowd, err = newCrowd(crowdConfig{
		to: r.subject.Addr, path: r.subject.Path, inFlight: connectInFlight, zero: r.zero,
		token:  func(id int) []byte { return tokens[id] },
		loopOf: func(id int) int { return id / 2 % loops },
		events: func(p *part) frames {
			c := newChatPart(p, people, r.config.Content)
			r.parts = append(r.parts, c)
			return c
		},
	}, loops)
	if err != nil {
		return err
	}
	if _, err := r.crowd.open(ctx, len(people)); err != nil {
		r.crowd.close()
		return err
	}
	r.each((*chatPart).assemble)
	return nil
}

func (r *chatRun) each(f func(c *chatPart)) {
	for _, c := range r.parts {
		c.part.loop.Call(func() { f(c) })
	}
}

// try offers one rate. A level that is refused decides nothing and is made again, since the machine's other work can make the
// generator late; the second refusal in a row ends the run.
func (r *chatRun) try(ctx context.Context, rate float64, side *ChatSide) (passed bool, err error) {
	for range 2 {
		var l Level
		l, err = r.level(ctx, rate)
		side.Levels = append(side.Levels, l)
		if err = errors.Join(err, l.broken()); err != nil {
			return false, err
		}
		if err = l.discarded(); err == nil {
			return l.Passed, nil
		}
	}
	return false, err
}

// level offers one rate, waits until all has come, and judges.
func (r *chatRun) level(ctx context.Context, rate float64) (Level, error) {
	c := r.config
	r.config.say("%s: %s messages/s", r.subject.Name, report.Count(int64(rate)))
	run, seed := rand.Uint32(), rand.Uint64()
	start := int64(time.Since(r.zero)) + int64(50*time.Millisecond)
	from := start + int64(c.WarmUp)
	to := from + int64(c.Duration)
	sent := make([]chan struct{}, len(r.parts))
	for i, p := range r.parts {
		sent[i] = make(chan struct{})
		share := plan.Share{Index: i, Of: len(r.parts)}
		p.part.loop.Do(func() {
			p.begin(run, plan.NewSchedule(start, rate, to-start, len(p.sides)/2, share, seed), from, to, sent[i])
		})
	}
	if err := waitUntil(ctx, r.zero, from); err != nil {
		return Level{Offered: rate}, err
	}
	meter := probe.Start(r.subject.PID)
	for _, done := range sent {
		select {
		case <-done:
		case <-ctx.Done():
			return Level{Offered: rate}, ctx.Err()
		}
	}
	reading := meter.Read()
	l := Level{Offered: rate, CPU: reading}
	if r.subject.PID != 0 {
		m, err := probe.MemoryOf(r.subject.PID)
		if err != nil {
			return l, err
		}
		l.RSS = m.RSS
	}
	r.drain(ctx)
	r.collect(&l)
	l.judge(c)
	return l, nil
}

// drain waits until every message has come or was refused, or nothing comes any more.
func (r *chatRun) drain(ctx context.Context) {
	const check = 50 * time.Millisecond
	var before int64 = -1
	quiet := time.Duration(0)
	ticker := time.NewTicker(check)
	defer ticker.Stop()
	for quiet < drainQuiet {
		var open, came int64
		r.each(func(c *chatPart) {
			t := c.sums()
			open += 2*(c.sent-c.refused) - t.acked - t.received
			came += t.acked + t.received
		})
		if open <= 0 || ctx.Err() != nil {
			return
		}
		if quiet += check; came != before {
			quiet, before = 0, came
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

func (r *chatRun) collect(l *Level) {
	ack, receive := histogram.New(), histogram.New()
	var measured, late, arrived int64
	r.each(func(c *chatPart) {
		t := c.sums()
		l.Sent += c.sent
		l.Acked += t.acked
		l.Received += t.received
		l.Doubled += t.doubled + c.duplicates
		l.Disordered += t.disordered
		l.Gaps += t.gaps
		l.Refused += c.refused
		l.Gone += c.gone
		measured, late, arrived = measured+c.measured, late+c.late, arrived+c.arrived
		ack.Merge(c.ack)
		receive.Merge(c.receive)
		if l.Why == "" {
			l.Why = c.reason
		}
	})
	l.Lost = l.Sent - l.Refused - l.Received
	l.Unacked = l.Sent - l.Refused - l.Acked
	l.Ack, l.Receive = ack.Summary(), receive.Summary()
	l.Achieved = float64(arrived) / r.config.Duration.Seconds()
	if measured > 0 {
		l.Late = float64(late) / float64(measured)
	}
	l.ServerPer = l.CPU.ServerPer(measured)
	l.Full = plan.Full(l.CPU.Usage(len(r.parts)))
	l.Discarded = plan.Refused(measured, late, l.CPU.Idle)
}
