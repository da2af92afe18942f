package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tolkflip/tolkflip/bench/dialect"
	"github.com/tolkflip/tolkflip/bench/floor"
	"github.com/tolkflip/tolkflip/bench/plan"
	"github.com/tolkflip/tolkflip/bench/report"
)

// FanoutConfig is one group with all members connected, and one member who writes. Saturated: Window messages are on their
// way at any time. Light: one broadcast at a time. The targets take turns.
type FanoutConfig struct {
	Options  `json:"-"`
	Targets  []string      `json:"targets"`
	Members  int           `json:"members"`
	Content  int           `json:"content_bytes"`
	Light    bool          `json:"light"`
	Window   int           `json:"window"` // messages that are not acknowledged
	Lag      int           `json:"lag"`    // messages that are not delivered to all, on the average
	Batch    int           `json:"batch"`  // messages a send of the epoll and gnet targets; 0 = 16, and 1 at light load
	Frame    int           `json:"frame"`  // size of their frames; 0 = as the first target's are
	Pairs    int           `json:"pairs"`  // turns
	WarmUp   time.Duration `json:"warm_up"`
	Duration time.Duration `json:"duration"`
	Echo     int           `json:"echo_people"` // bystanders whose echoes are timed meanwhile
}

// DefaultFanout is 5000 members and 200 bytes.
func DefaultFanout() FanoutConfig {
	return FanoutConfig{
		Targets: []string{Ours}, Members: 5000, Content: 200, Window: 64, Lag: 256, Pairs: 7,
		WarmUp: time.Second, Duration: 3 * time.Second, Echo: 40,
	}
}

// Validate checks it.
func (c FanoutConfig) Validate() error {
	switch {
	case len(c.Targets) == 0:
		return errors.New("--target is missing")
	case c.Members < 1 || c.Members < c.Loops:
		return errors.New("--members must be at least 1, and one for each loop")
	case c.Content < minContent:
		return fmt.Errorf("--content must be at least %d bytes", minContent)
	case c.Window < 1 || c.Lag < 1 || c.Pairs < 1:
		return errors.New("--window, --lag and --pairs must be at least 1")
	case !c.Light && (c.Window < c.batch() || c.Lag < c.batch()):
		return errors.New("--window and --lag must hold a batch, or nothing is ever sent")
	case c.Light && c.batch() != 1:
		return errors.New("at light load --batch is 1")
	case c.Frame == 0 && c.Targets[0] != Ours && c.Targets[0] != string(floor.Hub):
		return errors.New("--frame is missing: the first target does not set it")
	case c.Duration <= 0 || c.WarmUp < 0:
		return errors.New("--duration must be positive")
	case c.Echo%4 != 0 || c.Echo < 0:
		return errors.New("--echo must be a multiple of 4: half of them are pairs")
	}
	return c.Options.Validate(slices.Contains(c.Targets, Ours))
}

func (c FanoutConfig) batch() int {
	switch {
	case c.Batch > 0:
		return c.Batch
	case c.Light:
		return 1
	default:
		return defaultBatch
	}
}

// echoPeople is how many bystanders a target has: the floors answer no pings.
func (c FanoutConfig) echoPeople(s *Subject) int {
	if c.Light || s.Name == string(floor.Epoll) || s.Name == string(floor.Gnet) {
		return 0
	}
	return c.Echo
}

const (
	defaultBatch = 16
	fanPoll      = 200 * time.Microsecond // how often the driver looks at the other loops' counts
	calibration  = 200 * time.Millisecond // a leg that finds out the size of frames
)

// FanoutSide is all legs of one target.
type FanoutSide struct {
	Target     string      `json:"target"`
	Batch      int         `json:"messages_a_send,omitempty"` // of a floor
	Frame      float64     `json:"frame_bytes"`               // mean, with the header
	Content    int         `json:"content_bytes"`
	Legs       []FanoutLeg `json:"legs"`
	Deliveries float64     `json:"median_deliveries_per_s"`
	EchoP99    float64     `json:"median_ping_pong_p99_ms,omitempty"`
	PairsP99   float64     `json:"median_pairs_p99_ms,omitempty"`
	ControlP99 float64     `json:"median_control_p99_ms,omitempty"` // ping and pong of a hub that has nothing else to do
}

// FanoutResult is what a fan-out run found.
type FanoutResult struct {
	Light bool         `json:"light"`
	Sides []FanoutSide `json:"sides"`
	// Ratios is deliveries of the first target over those of each other, the median over the pairs.
	Ratios map[string]float64 `json:"ratios"`
}

// RunFanout takes turns between the targets.
func RunFanout(ctx context.Context, c FanoutConfig) (*FanoutResult, error) {
	r := &FanoutResult{Light: c.Light, Ratios: map[string]float64{}}
	var sides []*fanSide
	var err error
	for _, name := range c.Targets {
		var f *fanSide
		if f, err = c.side(ctx, name); err != nil {
			err = fmt.Errorf("%s: %w", name, err)
			break
		}
		sides = append(sides, f)
		r.Sides = append(r.Sides, FanoutSide{Target: name, Content: c.Content})
		if f.batch > 1 || c.Light && f.parts[0].plain {
			r.Sides[len(r.Sides)-1].Batch = int(f.batch)
		}
		if c.Frame == 0 {
			if _, err = f.leg(ctx, 0, calibration); err != nil {
				break
			}
			c.Frame = int(f.frame() + 0.5)
		}
	}
	for pair := 0; pair < c.Pairs && err == nil; pair++ {
		for i, f := range sides {
			var l FanoutLeg
			if l, err = f.leg(ctx, c.WarmUp, c.Duration); err != nil {
				break
			}
			c.say("%s: %s deliveries/s", f.subject.Name, report.Count(int64(l.Deliveries)))
			r.Sides[i].Legs = append(r.Sides[i].Legs, l)
			err = errors.Join(err, l.broken(f.subject.Name))
		}
	}
	for i, f := range sides {
		r.Sides[i].Frame = f.frame()
		err = errors.Join(err, f.close(), f.subject.Close())
	}
	r.sum()
	return r, err
}

// side starts a target and connects its members.
func (c FanoutConfig) side(ctx context.Context, name string) (*fanSide, error) {
	s, err := c.Open(ctx, name, floor.Config{Batch: c.batch(), Frame: c.Frame})
	if err != nil {
		return nil, err
	}
	f, err := c.members(ctx, s)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return f, nil
}

// broken is an error when a promise was broken.
func (l *FanoutLeg) broken(target string) error {
	switch {
	case l.Gone > 0:
		return &report.BrokenError{Reason: fmt.Sprintf("%s: %d connections were lost: %s", target, l.Gone, l.Why)}
	case l.Lost != 0 || l.Doubled > 0 || l.Disordered > 0 || l.Gaps > 0:
		return &report.BrokenError{Reason: fmt.Sprintf("%s: %d deliveries lost, %d doubled, %d out of order, %d seqs missing",
			target, l.Lost, l.Doubled, l.Disordered, l.Gaps)}
	}
	return nil
}

func (r *FanoutResult) sum() {
	for i := range r.Sides {
		s := &r.Sides[i]
		s.Deliveries = medianOf(s.Legs, func(l FanoutLeg) float64 { return l.Deliveries })
		var ratios []float64
		for k, l := range s.Legs {
			if first := r.Sides[0].Legs; i > 0 && k < len(first) && l.Deliveries > 0 {
				ratios = append(ratios, first[k].Deliveries/l.Deliveries)
			}
		}
		if len(ratios) > 0 {
			r.Ratios[s.Target] = plan.Median(ratios)
		}
		if len(s.Legs) > 0 && s.Legs[0].Echo != nil {
			s.EchoP99 = medianOf(s.Legs, func(l FanoutLeg) float64 { return l.Echo.Pong.P99 })
			s.PairsP99 = medianOf(s.Legs, func(l FanoutLeg) float64 { return l.Echo.Pairs.Receive.P99 })
			s.ControlP99 = medianOf(s.Legs, func(l FanoutLeg) float64 { return l.Control.Pong.P99 })
		}
	}
}

// Tables shows the sides.
func (r *FanoutResult) Tables() []report.Table {
	t := report.Table{
		Title: "fan-out, saturated; medians of the legs",
		Head:  []string{"target", "deliveries/s", "legs", "content B", "frame B", "broadcast p50 ms", "ack p99 ms", "echo p99 ms", "pairs p99 ms", "control p99 ms", "server us each", "cores s+g", "full", "first / this"},
	}
	if r.Light {
		t.Title = "fan-out, one broadcast at a time; medians of the legs"
	}
	for i := range r.Sides {
		s := &r.Sides[i]
		if len(s.Legs) == 0 {
			continue
		}
		name, ratio := s.Target, ""
		if s.Batch > 0 {
			name = fmt.Sprintf("%s, %d a send", s.Target, s.Batch)
		}
		if v, ok := r.Ratios[s.Target]; ok {
			ratio = report.Percent(v)
		}
		lowest, highest := s.Legs[0].Deliveries, s.Legs[0].Deliveries
		for _, l := range s.Legs {
			lowest, highest = min(lowest, l.Deliveries), max(highest, l.Deliveries)
		}
		median := func(value func(l FanoutLeg) float64) float64 { return medianOf(s.Legs, value) }
		t.Rows = append(t.Rows, []string{
			name, report.Count(int64(s.Deliveries)), fmt.Sprintf("%s..%s", report.Count(int64(lowest)), report.Count(int64(highest))),
			fmt.Sprint(s.Content), report.Number(s.Frame),
			report.Number(median(func(l FanoutLeg) float64 { return l.Took.P50 })), report.Number(median(func(l FanoutLeg) float64 { return l.Ack.P99 })),
			report.Number(s.EchoP99), report.Number(s.PairsP99), report.Number(s.ControlP99), report.Number(median(func(l FanoutLeg) float64 { return l.ServerPer })),
			fmt.Sprintf("%.2f+%.2f", median(func(l FanoutLeg) float64 { return l.CPU.Server }), median(func(l FanoutLeg) float64 { return l.CPU.Generator })),
			string(s.Legs[len(s.Legs)-1].Full), ratio,
		})
	}
	if !r.Light {
		t.Notes = append(t.Notes, "echo: ping and pong of bystanders; pairs: messages between bystanders; control: ping and pong of an idle hub's, which is what the machine and the generator add")
	}
	t.Notes = append(t.Notes, fmt.Sprintf("content bytes carry a stamp of %d; frame bytes include the WebSocket header", dialect.StampSize))
	return []report.Table{t}
}
