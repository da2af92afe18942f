package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tolkflip/tolkflip/bench/floor"
	"github.com/tolkflip/tolkflip/bench/probe"
	"github.com/tolkflip/tolkflip/bench/report"
	"github.com/tolkflip/tolkflip/bench/users"
)

// RoundsConfig is people who connect, authenticate, write to each other and leave, again and again: what the server needs after
// each round, and whether it grows.
type RoundsConfig struct {
	Options `json:"-"`
	Target  string        `json:"target"`
	Pairs   int           `json:"pairs"`
	Content int           `json:"content_bytes"`
	Rounds  int           `json:"rounds"`
	First   int           `json:"warm_up_rounds"` // in which pools and caches fill
	Rate    float64       `json:"rate"`           // messages a second over all pairs
	Write   time.Duration `json:"write"`          // how long they write in each round
	Settle  time.Duration `json:"settle"`         // after the last has left, before memory is read
}

// DefaultRounds is ten rounds of 1,000 pairs.
func DefaultRounds() RoundsConfig {
	return RoundsConfig{
		Target: Ours, Pairs: 1000, Content: 200, Rounds: 10, First: 2, Rate: 2000, Write: 2 * time.Second, Settle: 2 * time.Second,
	}
}

// Validate checks it.
func (c RoundsConfig) Validate() error {
	switch {
	case c.Rounds < 2 || c.First < 1:
		return errors.New("--rounds must be at least 2, --warm-up at least 1")
	case c.Settle < 0:
		return errors.New("--settle must not be negative")
	}
	return c.chat().Validate()
}

func (c RoundsConfig) chat() ChatConfig {
	return ChatConfig{
		Options: c.Options, Targets: []string{c.Target}, Pairs: c.Pairs, Content: c.Content, Rate: c.Rate, Duration: c.Write, Limit: time.Hour,
	}
}

// Round is what the server needs when all have left.
type Round struct {
	Level       Level     `json:"level"` // what they wrote
	State       IdleLevel `json:"state"`
	Descriptors int       `json:"descriptors"`
}

// Growth is the difference between two rounds, in which every connection came and went.
type Growth struct {
	RSS         int64   `json:"rss"`
	Objects     float64 `json:"heap_objects_a_connection"` // that came and went
	Goroutines  int     `json:"goroutines"`
	Descriptors int     `json:"descriptors"`
}

// RoundsResult is all rounds.
type RoundsResult struct {
	Target string  `json:"target"`
	First  []Round `json:"warm_up"`
	Rounds []Round `json:"rounds"`
	Growth Growth  `json:"growth"` // from the last of the warm-up to the last
}

// What a server may keep of those who left and is not growth: a few goroutines and descriptors that happen to be at work, and a heap
// object for every other connection, since messages that stay stored are indexed in memory.
const (
	someAtWork  = 16
	mostObjects = 0.5
)

// RunRounds makes the run.
func RunRounds(ctx context.Context, c RoundsConfig) (*RoundsResult, error) {
	s, err := c.Open(ctx, c.Target, floor.Config{})
	if err != nil {
		return nil, err
	}
	r := &RoundsResult{Target: c.Target}
	people, err := s.People(ctx, 2*c.Pairs)
	for i := 0; err == nil && i < c.First+c.Rounds; i++ {
		var one Round
		if one, err = c.round(ctx, s, people); i < c.First {
			r.First = append(r.First, one)
		} else {
			r.Rounds = append(r.Rounds, one)
		}
		c.say("round %d: RSS %.1f MB, %d heap objects, %d goroutines, %d descriptors", i+1,
			float64(one.State.Memory.RSS)/(1<<20), one.State.Heap.Objects, one.State.Heap.Goroutines, one.Descriptors)
	}
	if err == nil {
		err = r.judge(2 * c.Pairs)
	}
	return r, errors.Join(err, s.Close())
}

func (c RoundsConfig) round(ctx context.Context, s *Subject, people []users.User) (Round, error) {
	var one Round
	run := &chatRun{config: c.chat(), subject: s, zero: time.Now()}
	if err := run.connect(ctx, people); err != nil {
		return one, err
	}
	var err error
	one.Level, err = run.level(ctx, c.Rate)
	run.crowd.close()
	if err = errors.Join(err, one.Level.broken()); err != nil {
		return one, err
	}
	if err = left(ctx, s); err != nil {
		return one, err
	}
	if err = wait(ctx, c.Settle); err != nil {
		return one, err
	}
	if one.State, err = (IdleConfig{Options: c.Options}).read(ctx, s, 0, Holding{}); err != nil || s.PID == 0 {
		return one, err
	}
	one.Descriptors, err = probe.Descriptors(s.PID)
	return one, err
}

// left waits until the server knows of no connection any more.
func left(ctx context.Context, s *Subject) error {
	for s.Server != nil {
		m, err := s.Server.Metrics(ctx)
		if err != nil || m["tolkflip_router_connections"] == 0 {
			return err
		}
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// judge compares the last round with the last of the warm-up. A target that does not tell its heap is not judged by it.
func (r *RoundsResult) judge(connections int) error {
	from, to := r.First[len(r.First)-1], r.Rounds[len(r.Rounds)-1]
	r.Growth = Growth{
		RSS:         to.State.Memory.RSS - from.State.Memory.RSS,
		Objects:     (float64(to.State.Heap.Objects) - float64(from.State.Heap.Objects)) / float64(connections*len(r.Rounds)),
		Goroutines:  to.State.Heap.Goroutines - from.State.Heap.Goroutines,
		Descriptors: to.Descriptors - from.Descriptors,
	}
	if g := r.Growth; g.Objects > mostObjects || g.Goroutines > someAtWork || g.Descriptors > someAtWork {
		return &report.BrokenError{Reason: fmt.Sprintf("the server grows: %.2f heap objects for each connection that came and went, %d goroutines, %d descriptors",
			g.Objects, g.Goroutines, g.Descriptors)}
	}
	return nil
}

// Tables shows the rounds.
func (r *RoundsResult) Tables() []report.Table {
	t := report.Table{
		Title: r.Target + ": connect, authenticate, write, leave; after each round, when all have left and garbage was collected",
		Head:  []string{"round", "messages", "lost", "RSS MB", "anonymous MB", "heap objects", "goroutines", "descriptors"},
	}
	for i, one := range append(append([]Round{}, r.First...), r.Rounds...) {
		name := fmt.Sprint(i + 1 - len(r.First))
		if i < len(r.First) {
			name = "warm-up"
		}
		s := &one.State
		t.Rows = append(t.Rows, []string{
			name, report.Count(one.Level.Sent), report.Count(one.Level.Lost),
			report.Number(float64(s.Memory.RSS) / (1 << 20)), report.Number(float64(s.Memory.Anonymous) / (1 << 20)),
			known(s.Heap.Objects, report.Count(int64(s.Heap.Objects))), known(s.Heap.Objects, fmt.Sprint(s.Heap.Goroutines)), fmt.Sprint(one.Descriptors),
		})
	}
	t.Notes = append(t.Notes, fmt.Sprintf("growth over %d rounds: %s MB of RSS, %.3f heap objects for each connection that came and went, %d goroutines, %d descriptors",
		len(r.Rounds), report.Number(float64(r.Growth.RSS)/(1<<20)), r.Growth.Objects, r.Growth.Goroutines, r.Growth.Descriptors))
	return []report.Table{t}
}
