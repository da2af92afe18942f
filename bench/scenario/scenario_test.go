package scenario_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/bench/report"
	"github.com/tolkflip/tolkflip/bench/scenario"
)

func options() scenario.Options { return scenario.Options{Loops: 1, Path: "/ws"} }

// counts passes a result that was refused: a machine that is full of other tests makes the generator late, which decides nothing here.
func counts(t *testing.T, err error) {
	t.Helper()
	var refused *report.RefusedError
	if err != nil && !errors.As(err, &refused) {
		t.Fatal(err)
	}
}

func tables(t *testing.T, r report.Tables) {
	t.Helper()
	for _, table := range r.Tables() {
		if len(table.Rows) == 0 {
			t.Errorf("the table %q is empty", table.Title)
		}
		for _, row := range table.Rows {
			if len(row) != len(table.Head) {
				t.Errorf("a row of %q has %d cells under %d heads: %q", table.Title, len(row), len(table.Head), row)
			}
		}
	}
}

func TestChat(t *testing.T) {
	t.Parallel()
	for _, loops := range []int{1, 3} {
		c := scenario.DefaultChat()
		c.Options, c.Targets, c.Pairs, c.Rate, c.WarmUp, c.Duration = options(), []string{"hub"}, 10, 1000, 20*time.Millisecond, 200*time.Millisecond
		c.Loops = loops
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		r, err := scenario.RunChat(t.Context(), c)
		counts(t, err)
		l := r.Sides[0].Levels[0]
		if l.Sent < 200 || l.Received != l.Sent || l.Acked != l.Sent || l.Lost+l.Unacked+l.Doubled+l.Disordered+l.Gaps+l.Refused+l.Gone != 0 {
			t.Errorf("%d loops: %+v", loops, l)
		}
		if l.Receive.Count == 0 || l.Receive.Count != l.Ack.Count || l.Receive.Count >= l.Sent || l.RSS == 0 {
			t.Errorf("%d loops: %d latencies of %d messages, RSS %d: the warm-up must not count", loops, l.Receive.Count, l.Sent, l.RSS)
		}
		tables(t, r)
	}
}

func TestChatSearch(t *testing.T) {
	t.Parallel()
	c := scenario.DefaultChat()
	c.Options, c.Targets, c.Pairs, c.From, c.WarmUp, c.Duration = options(), []string{"hub", "hub"}, 4, 64, 0, 100*time.Millisecond
	c.Limit = time.Nanosecond // nothing passes: the search gives up
	r, err := scenario.RunChat(t.Context(), c)
	var broken *report.BrokenError
	if counts(t, noBroken(err)); !errors.As(err, &broken) && err == nil {
		t.Error("no rate passed, and there is no error")
	}
	for _, side := range r.Sides {
		if len(side.Levels) == 0 {
			t.Errorf("%s had no turn", side.Target)
		}
		for _, l := range side.Levels {
			if l.Passed {
				t.Errorf("%+v passed", l)
			}
		}
	}
}

func noBroken(err error) error {
	var broken *report.BrokenError
	if errors.As(err, &broken) {
		return nil
	}
	return err
}

func TestConnect(t *testing.T) {
	t.Parallel()
	c := scenario.DefaultConnect()
	c.Options, c.Targets, c.Count, c.InFlight, c.Rounds, c.Pause = options(), []string{"epoll", "gnet", "hub"}, 60, 16, 2, 0
	c.Loops = 2
	r, err := scenario.RunConnect(t.Context(), c)
	counts(t, err)
	if len(r.Sides) != 3 || len(r.Ratios) != 2 {
		t.Fatalf("%+v", r)
	}
	for _, s := range r.Sides {
		if len(s.Rounds) != 2 || s.Rate <= 0 || s.Rounds[0].Latency.Count != 60 {
			t.Errorf("%+v", s)
		}
	}
	tables(t, r)
}

func TestFanout(t *testing.T) {
	t.Parallel()
	for _, light := range []bool{false, true} {
		c := scenario.DefaultFanout()
		c.Options, c.Targets, c.Members, c.Pairs, c.Light = options(), []string{"hub", "epoll", "gnet"}, 30, 2, light
		c.WarmUp, c.Duration, c.Echo, c.Loops = 0, 250*time.Millisecond, 8, 2
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		r, err := scenario.RunFanout(t.Context(), c)
		counts(t, err)
		hub := r.Sides[0]
		for i, s := range r.Sides {
			if len(s.Legs) != 2 || s.Frame < hub.Frame-1 || s.Frame > hub.Frame+1 {
				t.Errorf("light %v: %+v", light, s)
			}
			for _, l := range s.Legs {
				if l.Lost != 0 || l.Messages == 0 || light && l.Took.Count == 0 {
					t.Errorf("light %v: %s: %+v", light, s.Target, l)
				}
				if probed := l.Echo != nil; probed != (i == 0 && !light) {
					t.Errorf("light %v: %s has echoes: %v", light, s.Target, probed)
				} else if probed && (l.Echo.Pong.Count == 0 || l.Echo.Pairs.Lost != 0) {
					t.Errorf("%s: the bystanders: %+v", s.Target, l.Echo)
				}
			}
		}
		tables(t, r)
	}
}

func TestIdleInOneProcessAndInSeveral(t *testing.T) {
	t.Parallel()
	for _, each := range []int{0, 7} {
		c := scenario.DefaultIdle()
		c.Options, c.Target, c.Levels, c.First, c.Pings, c.Runs, c.Settle, c.Each = options(), "hub", []int{10, 15, 20}, 5, 0, 2, 0, each
		r, err := scenario.RunIdle(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		for _, run := range r.Runs {
			if len(run.Levels) != 3 || run.Levels[2].Holding.Open != 20 || run.Levels[0].Holding.Open != 10 || run.Levels[0].Memory.RSS == 0 {
				t.Errorf("%d a process: %+v", each, run)
			}
		}
		tables(t, r)
	}
}

func TestIdleAndBusier(t *testing.T) {
	t.Parallel()
	c := scenario.DefaultIdle()
	c.Options, c.Target, c.Levels, c.First, c.Pings, c.Runs, c.Settle = options(), "hub", []int{5, 10}, 5, 0, 1, 0
	c.Sending = 6
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	r, err := scenario.RunIdle(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if more := r.Runs[0].Busier; len(more) != 1 || more[0].What != "sending" || more[0].Connections != 6 || more[0].Memory.RSS == 0 {
		t.Errorf("%+v", more)
	}
	tables(t, r)
}

func TestRounds(t *testing.T) {
	t.Parallel()
	c := scenario.DefaultRounds()
	c.Options, c.Target, c.Pairs, c.Rounds, c.First, c.Rate, c.Write, c.Settle = options(), "hub", 5, 3, 1, 500, 100*time.Millisecond, 0
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	r, err := scenario.RunRounds(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.First) != 1 || len(r.Rounds) != 3 {
		t.Fatalf("%+v", r)
	}
	for _, one := range r.Rounds {
		if one.Level.Sent == 0 || one.Level.Lost != 0 || one.State.Memory.RSS == 0 || one.Descriptors == 0 {
			t.Errorf("%+v", one)
		}
	}
	tables(t, r)
}

func TestFloor(t *testing.T) {
	t.Parallel()
	c := scenario.DefaultFloor()
	c.WarmUp = 0
	c.Options, c.Members, c.Connections, c.Echoes, c.Rounds, c.Duration, c.Chat = options(), 10, 20, 5, 1, 50*time.Millisecond, false
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	r, err := scenario.RunFloor(t.Context(), c)
	counts(t, err)
	if len(r.Echo) != 2 || r.Connect == nil || r.Saturated == nil || r.Light == nil || r.Chat != nil {
		t.Errorf("%+v", r)
	}
	tables(t, r)
}

func TestValidate(t *testing.T) {
	t.Parallel()
	if err := (scenario.Options{Loops: 1}).Validate(true); err == nil {
		t.Error("no server, and no error")
	}
	if err := (scenario.Options{Loops: 1, URL: "a", Spawn: "b"}).Validate(true); err == nil {
		t.Error("two servers, and no error")
	}
	given := options()
	given.URL = "http://127.0.0.1:3000"
	for name, c := range map[string]interface{ Validate() error }{
		"chat without a server":       scenario.DefaultChat(),
		"chat with short content":     with(scenario.DefaultChat(), func(c *scenario.ChatConfig) { c.Options, c.Content = given, 5 }),
		"chat without pairs":          with(scenario.DefaultChat(), func(c *scenario.ChatConfig) { c.Options, c.Pairs = given, 0 }),
		"idle with one level":         with(scenario.DefaultIdle(), func(c *scenario.IdleConfig) { c.Options, c.Levels = given, []int{5} }),
		"idle, runs without spawn":    with(scenario.DefaultIdle(), func(c *scenario.IdleConfig) { c.Options = given }),
		"idle with an odd sender":     with(scenario.DefaultIdle(), func(c *scenario.IdleConfig) { c.Options, c.Runs, c.Sending = given, 1, 3 }),
		"one round":                   with(scenario.DefaultRounds(), func(c *scenario.RoundsConfig) { c.Options, c.Rounds = given, 1 }),
		"rounds without a rate":       with(scenario.DefaultRounds(), func(c *scenario.RoundsConfig) { c.Options, c.Rate, c.Write = given, 0, 0 }),
		"idle with odd threads":       with(scenario.DefaultIdle(), func(c *scenario.IdleConfig) { c.Options, c.Runs, c.Threads = given, 1, 3 }),
		"strangers without a secret":  with(scenario.DefaultIdle(), func(c *scenario.IdleConfig) { c.Options, c.Runs, c.Strange = given, 1, true }),
		"fan-out, window below batch": with(scenario.DefaultFanout(), func(c *scenario.FanoutConfig) { c.Options, c.Window = given, 15 }),
		"fan-out, light with batch":   with(scenario.DefaultFanout(), func(c *scenario.FanoutConfig) { c.Options, c.Light, c.Batch = given, true, 16 }),
		"floor first without a size":  with(scenario.DefaultFanout(), func(c *scenario.FanoutConfig) { c.Options, c.Targets = given, []string{"epoll"} }),
		"abuse of an unknown kind":    with(scenario.DefaultAbuse(), func(c *scenario.AbuseConfig) { c.Options, c.Kinds = given, []string{"x"} }),
		"rest without a rate":         with(scenario.DefaultREST(), func(c *scenario.RESTConfig) { c.Options, c.Rate = given, 0 }),
		"connect without targets":     with(scenario.DefaultConnect(), func(c *scenario.ConnectConfig) { c.Options, c.Targets = given, nil }),
	} {
		if c.Validate() == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	for name, c := range map[string]interface{ Validate() error }{
		"chat":   with(scenario.DefaultChat(), func(c *scenario.ChatConfig) { c.Options = given }),
		"idle":   with(scenario.DefaultIdle(), func(c *scenario.IdleConfig) { c.Options, c.Runs = given, 1 }),
		"rounds": with(scenario.DefaultRounds(), func(c *scenario.RoundsConfig) { c.Options = given }),
		"fanout": with(scenario.DefaultFanout(), func(c *scenario.FanoutConfig) { c.Options = given }),
		"abuse":  with(scenario.DefaultAbuse(), func(c *scenario.AbuseConfig) { c.Options = given }),
		"rest":   with(scenario.DefaultREST(), func(c *scenario.RESTConfig) { c.Options = given }),
	} {
		if err := c.Validate(); err != nil {
			t.Errorf("the defaults of %s: %v", name, err)
		}
	}
}

func with[C any](c C, change func(*C)) C {
	change(&c)
	return c
}
