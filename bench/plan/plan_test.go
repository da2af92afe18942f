package plan_test

import (
	"math"
	"slices"
	"testing"

	"github.com/tolkflip/tolkflip/bench/plan"
)

func all(s *plan.Schedule) (due []plan.Due) {
	for {
		d, ok := s.Take(math.MaxInt64)
		if !ok {
			return due
		}
		due = append(due, d)
	}
}

func TestScheduleIsConstantOverShares(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rate     float64
		duration int64
		senders  int
		shares   int
		want     int
	}{
		{1000, 1e9, 10, 1, 1000},
		{1000, 1e9, 10, 2, 1000},
		{1000, 1e9, 7, 3, 1000},
		{3, 1e9, 5, 4, 3},
		{0.5, 1e9, 5, 1, 1},
	} {
		var at []int64
		for i := range c.shares {
			s := plan.NewSchedule(5000, c.rate, c.duration, c.senders, plan.Share{Index: i, Of: c.shares}, 1)
			n := s.Count()
			due := all(s)
			if len(due) != n {
				t.Errorf("%+v: Count says %d, Take gave %d", c, n, len(due))
			}
			for _, d := range due {
				at = append(at, d.At)
			}
		}
		slices.Sort(at)
		if diff := len(at) - c.want; diff < -1 || diff > 1 {
			t.Errorf("%+v: %d messages, want %d", c, len(at), c.want)
		}
		for i, v := range at {
			if want := 5000 + float64(i)*1e9/c.rate; math.Abs(float64(v)-want) > 2 {
				t.Errorf("%+v: message %d is due at %d, want %.0f", c, i, v, want)
				break
			}
		}
	}
}

func TestScheduleGoesRoundAllSenders(t *testing.T) {
	t.Parallel()
	const senders = 9
	s := plan.NewSchedule(0, 1e6, 1e6, senders, plan.Share{Of: 1}, 7)
	turns := map[int]int{}
	for i, d := range all(s) {
		if d.Turn != turns[d.Sender] || d.Turn != i/senders {
			t.Fatalf("message %d is turn %d of sender %d, who had %d", i, d.Turn, d.Sender, turns[d.Sender])
		}
		turns[d.Sender]++
	}
	if len(turns) != senders {
		t.Errorf("%d of %d senders had a turn", len(turns), senders)
	}
}

func TestScheduleGivesNothingEarly(t *testing.T) {
	t.Parallel()
	s := plan.NewSchedule(100, 1e6, 1e9, 3, plan.Share{Of: 1}, 1) // one each 1000 ns, the first at 100
	if _, ok := s.Take(99); ok {
		t.Error("a message was given before it was due")
	}
	for _, want := range []int64{100, 1100} {
		if at, ok := s.NextAt(); !ok || at != want {
			t.Errorf("next at %d %v, want %d", at, ok, want)
		}
		if d, ok := s.Take(want); !ok || d.At != want {
			t.Errorf("Take(%d) gave %+v %v", want, d, ok)
		}
		if _, ok := s.Take(want + 999); ok {
			t.Error("the next message was given before it was due")
		}
	}
}

func TestSearchEndsWithAFailureAboveThePass(t *testing.T) {
	t.Parallel()
	for _, capacity := range []float64{900, 1000, 1499, 1500, 2600, 31_000, 120, 20} {
		s := plan.NewSearch(1000)
		tries := 0
		for {
			rate, ok := s.Next()
			if !ok {
				break
			}
			if tries++; tries > 60 {
				t.Fatalf("capacity %.0f: the search does not end", capacity)
			}
			s.Report(rate <= capacity)
		}
		pass, fail := s.Found()
		if pass > capacity || fail <= capacity || fail > pass*1.16 {
			t.Errorf("capacity %.0f: found %.0f and failing %.0f", capacity, pass, fail)
		}
	}
}

func TestSearchTriesAFailureAgain(t *testing.T) {
	t.Parallel()
	s := plan.NewSearch(1000)
	s.Report(false)
	if rate, ok := s.Next(); rate != 1000 || !ok {
		t.Fatalf("after one failure next is %.0f %v, want the same again", rate, ok)
	}
	s.Report(true)
	if rate, _ := s.Next(); rate != 1500 {
		t.Errorf("after the pass next is %.0f, want 1500", rate)
	}
}

func TestSearchGivesUp(t *testing.T) {
	t.Parallel()
	s := plan.NewSearch(1000)
	for range 100 {
		if _, ok := s.Next(); !ok {
			if pass, _ := s.Found(); pass != 0 {
				t.Errorf("found %.0f where nothing passed", pass)
			}
			return
		}
		s.Report(false)
	}
	t.Error("the search goes on for ever")
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sent, late int64
		idle       float64
		want       bool
	}{
		{1000, 11, 0.11, true},
		{1000, 10, 0.11, false},
		{1000, 11, 0.10, false},
		{1000, 1000, 0, false},
		{0, 0, 1, false},
	} {
		if got := plan.Refused(c.sent, c.late, c.idle); got != c.want {
			t.Errorf("Refused(%d, %d, %.2f) = %v", c.sent, c.late, c.idle, got)
		}
	}
}

func TestFull(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		u    plan.Usage
		want plan.Side
	}{
		{plan.Usage{Generator: 0.3, Server: 0.5, Cores: 2, Idle: 0.6, Loops: 1}, plan.NoSide},
		{plan.Usage{Generator: 0.95, Server: 0.5, Cores: 2, Idle: 0.25, Loops: 1}, plan.GeneratorSide},
		{plan.Usage{Generator: 0.6, Server: 1.35, Cores: 2, Idle: 0.02, Loops: 1}, plan.ServerSide},
		{plan.Usage{Generator: 0.95, Server: 1, Cores: 2, Idle: 0.02, Loops: 1}, plan.BothSides},
		{plan.Usage{Generator: 0.2, Server: 0.3, Cores: 2, Idle: 0, Loops: 1}, plan.OtherSide},
		{plan.Usage{Generator: 0.1, Server: 7.2, Cores: 8, Idle: 0.11, Loops: 1}, plan.ServerSide},
	} {
		if got := plan.Full(c.u); got != c.want {
			t.Errorf("Full(%+v) = %s, want %s", c.u, got, c.want)
		}
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := plan.Median(c.in); got != c.want {
			t.Errorf("Median(%v) = %v, want %v", c.in, got, c.want)
		}
	}
}
