package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tolkflip/tolkflip/bench/client"
	"github.com/tolkflip/tolkflip/bench/floor"
	"github.com/tolkflip/tolkflip/bench/histogram"
	"github.com/tolkflip/tolkflip/bench/plan"
	"github.com/tolkflip/tolkflip/bench/probe"
	"github.com/tolkflip/tolkflip/bench/report"
)

// ConnectConfig is connections that are opened as fast as it goes: TCP, upgrade, authenticate as the first action, that is two round
// trips. The targets take turns.
type ConnectConfig struct {
	Options  `json:"-"`
	Targets  []string      `json:"targets"`
	Count    int           `json:"connections"` // of a round
	InFlight int           `json:"in_flight"`
	Rounds   int           `json:"rounds"`
	Pause    time.Duration `json:"pause"` // after a round, in which the server cleans up
}

// DefaultConnect is three rounds of 10,000.
func DefaultConnect() ConnectConfig {
	return ConnectConfig{Targets: []string{Ours, string(floor.Epoll), string(floor.Hub)}, Count: 10000, InFlight: 512, Rounds: 3, Pause: time.Second}
}

// Validate checks it.
func (c ConnectConfig) Validate() error {
	switch {
	case c.Count < 1 || c.InFlight < 1 || c.Rounds < 1:
		return errors.New("--connections, --in-flight and --rounds must be at least 1")
	case len(c.Targets) == 0:
		return errors.New("--target is missing")
	}
	return c.Options.Validate(slices.Contains(c.Targets, Ours))
}

// ConnectRound is one round of one target.
type ConnectRound struct {
	Rate    float64           `json:"per_s"`
	Latency histogram.Summary `json:"latency"`
	CPU     probe.Reading     `json:"cpu"`
	Full    plan.Side         `json:"full"`
}

// ConnectSide is all rounds of one target.
type ConnectSide struct {
	Target    string         `json:"target"`
	Rounds    []ConnectRound `json:"rounds"`
	Rate      float64        `json:"median_per_s"`
	P50       float64        `json:"median_p50_ms"`
	P99       float64        `json:"median_p99_ms"`
	ServerPer float64        `json:"median_server_us_per_connection"`
}

// ConnectResult is what a connect run found.
type ConnectResult struct {
	Sides []ConnectSide `json:"sides"`
	// Ratios is the rate of the first target over that of each other, the median over the rounds.
	Ratios map[string]float64 `json:"ratios"`
}

// RunConnect makes the rounds.
func RunConnect(ctx context.Context, c ConnectConfig) (*ConnectResult, error) {
	var subjects []*Subject
	var tokens [][][]byte
	err := func() error {
		for _, name := range c.Targets {
			s, err := c.Open(ctx, name, floor.Config{Echo: true})
			if err != nil {
				return err
			}
			subjects = append(subjects, s)
			people, err := s.Strangers(ctx, c.Count)
			if err != nil {
				return err
			}
			mine := make([][]byte, len(people))
			for i := range people {
				mine[i] = []byte(people[i].Token)
			}
			tokens = append(tokens, mine)
		}
		return nil
	}()
	r := &ConnectResult{Sides: make([]ConnectSide, len(subjects)), Ratios: map[string]float64{}}
	for round := 0; round < c.Rounds && err == nil; round++ {
		for i, s := range subjects {
			var got ConnectRound
			if got, err = c.round(ctx, s, tokens[i]); err != nil {
				err = fmt.Errorf("%s: %w", s.Name, err)
				break
			}
			c.say("%s: %s connections/s", s.Name, report.Count(int64(got.Rate)))
			r.Sides[i].Target = s.Name
			r.Sides[i].Rounds = append(r.Sides[i].Rounds, got)
		}
	}
	for _, s := range subjects {
		err = errors.Join(err, s.Close())
	}
	if err == nil {
		r.sum(c.Count)
	}
	return r, err
}

func (c ConnectConfig) round(ctx context.Context, s *Subject, tokens [][]byte) (ConnectRound, error) {
	w, err := newCrowd(crowdConfig{
		to: s.Addr, path: s.Path, inFlight: c.InFlight, zero: time.Now(),
		token:  func(id int) []byte { return tokens[id] },
		loopOf: func(id int) int { return id % c.Loops },
		events: func(*part) frames { return ignore{} },
	}, c.Loops)
	if err != nil {
		return ConnectRound{}, err
	}
	meter := probe.Start(s.PID)
	how, err := w.open(ctx, c.Count)
	reading := meter.Read()
	w.close()
	if err != nil {
		return ConnectRound{}, err
	}
	return ConnectRound{
		Rate: float64(c.Count) / how.took.Seconds(), Latency: how.latency.Summary(),
		CPU: reading, Full: plan.Full(reading.Usage(c.Loops)),
	}, wait(ctx, c.Pause)
}

func (r *ConnectResult) sum(count int) {
	for i := range r.Sides {
		s := &r.Sides[i]
		s.Rate = medianOf(s.Rounds, func(c ConnectRound) float64 { return c.Rate })
		s.P50 = medianOf(s.Rounds, func(c ConnectRound) float64 { return c.Latency.P50 })
		s.P99 = medianOf(s.Rounds, func(c ConnectRound) float64 { return c.Latency.P99 })
		s.ServerPer = medianOf(s.Rounds, func(c ConnectRound) float64 { return c.CPU.ServerPer(int64(count)) })
		if i > 0 {
			ratios := make([]float64, len(s.Rounds))
			for k := range s.Rounds {
				ratios[k] = r.Sides[0].Rounds[k].Rate / s.Rounds[k].Rate
			}
			r.Ratios[s.Target] = plan.Median(ratios)
		}
	}
}

func medianOf[T any](all []T, value func(T) float64) float64 {
	v := make([]float64, len(all))
	for i := range all {
		v[i] = value(all[i])
	}
	return plan.Median(v)
}

// Tables shows the sides.
func (r *ConnectResult) Tables() []report.Table {
	t := report.Table{
		Title: "connect, upgrade, authenticate; medians of the rounds",
		Head:  []string{"target", "connections/s", "rounds", "p50 ms", "p99 ms", "server us each", "full", "first / this"},
	}
	for i := range r.Sides {
		s := &r.Sides[i]
		if len(s.Rounds) == 0 {
			continue
		}
		ratio := ""
		if v, ok := r.Ratios[s.Target]; ok && i > 0 {
			ratio = report.Percent(v)
		}
		lowest, highest := s.Rounds[0].Rate, s.Rounds[0].Rate
		for _, c := range s.Rounds {
			lowest, highest = min(lowest, c.Rate), max(highest, c.Rate)
		}
		t.Rows = append(t.Rows, []string{
			s.Target, report.Count(int64(s.Rate)), fmt.Sprintf("%s..%s", report.Count(int64(lowest)), report.Count(int64(highest))),
			report.Number(s.P50), report.Number(s.P99), report.Number(s.ServerPer), string(s.Rounds[len(s.Rounds)-1].Full), ratio,
		})
	}
	return []report.Table{t}
}

// ignore is for connections whose frames are not looked at.
type ignore struct{}

// Frame drops it.
func (ignore) Frame(*client.Conn, []byte) {}

// Gone drops it.
func (ignore) Gone(*client.Conn, error) {}
