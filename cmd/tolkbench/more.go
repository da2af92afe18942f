package main

import (
	"errors"
	"time"

	"github.com/tolkflip/tolkflip/bench/scenario"
)

type idleCommand struct {
	common
	Target    string        `default:"tolkflip" enum:"tolkflip,hub" help:"tolkflip, or hub (with --pings 0: it pings nobody)."`
	Levels    []int         `default:"5000,10000,15000" help:"Numbers of connections, rising."`
	First     int           `name:"warm-up" default:"500" help:"Connections that are opened and closed before."`
	Threads   int           `default:"10" help:"Direct threads of each user; with --spawn they are made by a server before."`
	Watches   int           `default:"8" help:"People whose presence each user watches."`
	Pings     int           `default:"2" help:"Pings that every connection must have answered."`
	PingWait  time.Duration `default:"2m" help:"How long to wait for them at each level."`
	Settle    time.Duration `default:"2s" help:"Rest after a level is open."`
	Runs      int           `default:"3" help:"Ascents, each of a fresh server; more than 1 needs --spawn."`
	Strangers bool          `help:"Users who need not exist, with tokens that are signed here: no registering, no threads, no watches."`
	Each      int           `help:"Connections of one generator process; as many as its file limit allows."`
	Sending   int           `help:"After the ascent, so many connections that write to each other, for the number of goroutines; even."`
	KeepAlive int           `name:"keep-alive" help:"And so many HTTP connections that are kept open."`
}

// Run is called by kong.
func (c *idleCommand) Run(p *program) error {
	config := scenario.IdleConfig{
		Options: c.options(p), Target: c.Target, Levels: c.Levels, First: c.First, Threads: c.Threads, Watches: c.Watches, Pings: c.Pings,
		PingWait: c.PingWait, Settle: c.Settle, Runs: c.Runs, Strange: c.Strangers, Each: c.Each,
		Sending: c.Sending, KeepAlive: c.KeepAlive,
	}
	return scenarioRun(p, "idle", c.JSON, config, func() (*scenario.IdleResult, error) { return scenario.RunIdle(p.ctx, config) })
}

type roundsCommand struct {
	common
	Target  string        `default:"tolkflip" enum:"tolkflip,hub" help:"tolkflip, or hub."`
	Pairs   int           `default:"1000" help:"Pairs of people, all of whom come and go in every round."`
	Content int           `default:"200" help:"Bytes of content."`
	Rounds  int           `default:"10" help:"Rounds that are compared."`
	First   int           `name:"warm-up" default:"2" help:"Rounds before, in which pools and caches fill."`
	Rate    float64       `default:"2000" help:"Messages a second over all pairs."`
	Write   time.Duration `default:"2s" help:"How long they write in each round."`
	Settle  time.Duration `default:"2s" help:"Rest after all have left, before memory is read."`
}

// Run is called by kong.
func (c *roundsCommand) Run(p *program) error {
	config := scenario.RoundsConfig{
		Options: c.options(p), Target: c.Target, Pairs: c.Pairs, Content: c.Content, Rounds: c.Rounds, First: c.First,
		Rate: c.Rate, Write: c.Write, Settle: c.Settle,
	}
	return scenarioRun(p, "rounds", c.JSON, config, func() (*scenario.RoundsResult, error) { return scenario.RunRounds(p.ctx, config) })
}

type restCommand struct {
	common
	Rate        float64       `default:"5000" help:"Requests a second."`
	Connections int           `default:"64" help:"Connections of each loop."`
	People      int           `default:"100" help:"Users whose profiles are read."`
	WarmUp      time.Duration `default:"2s" help:"Time before what is measured."`
	Duration    time.Duration `default:"10s" help:"Time that is measured."`
}

// Run is called by kong.
func (c *restCommand) Run(p *program) error {
	config := scenario.RESTConfig{
		Options: c.options(p), Rate: c.Rate, Connections: c.Connections, People: c.People, WarmUp: c.WarmUp, Duration: c.Duration,
	}
	return scenarioRun(p, "rest", c.JSON, config, func() (*scenario.RESTResult, error) { return scenario.RunREST(p.ctx, config) })
}

type floorCommand struct {
	JSON        string        `name:"json" help:"File for the result as JSON."`
	Loops       int           `default:"1" help:"Epoll threads of the generator."`
	Members     int           `default:"5000" help:"Members of the fan-out."`
	Frame       int           `default:"450" help:"Bytes of a frame of the fan-out."`
	Connections int           `default:"10000" help:"Connections of a connect round."`
	Echoes      int           `default:"1000" help:"Connections of the echo."`
	Pairs       int           `default:"1000" help:"Pairs of the hub's chat."`
	Rounds      int           `default:"3" help:"Turns of each."`
	Duration    time.Duration `default:"3s" help:"Part of a turn that is measured."`
	Chat        bool          `default:"true" negatable:"" help:"Search the hub's highest rate of chat."`
}

// Run is called by kong.
func (c *floorCommand) Run(p *program) error {
	config := scenario.FloorConfig{
		Options: scenario.Options{Loops: c.Loops, Progress: p.stderr}, WarmUp: time.Second, Members: c.Members, Frame: c.Frame, Connections: c.Connections,
		Echoes: c.Echoes, Pairs: c.Pairs, Rounds: c.Rounds, Duration: c.Duration, Chat: c.Chat,
	}
	return scenarioRun(p, "floor", c.JSON, config, func() (*scenario.FloorResult, error) { return scenario.RunFloor(p.ctx, config) })
}

type usersCommand struct {
	common
	Count   int `default:"15000" help:"Users."`
	Threads int `default:"10" help:"Direct threads of each; even."`
}

// Run is called by kong.
func (c *usersCommand) Run(p *program) error {
	o := c.options(p)
	if err := o.Validate(true); err != nil {
		return usageError{err}
	}
	if c.Users == "" || c.Count < 1 || c.Threads < 0 || c.Threads%2 != 0 {
		return usageError{errors.New("--users names the file, --count is positive, --threads is even")}
	}
	return scenario.Prepare(p.ctx, o, c.Count, c.Threads)
}

type abuseCommand struct {
	common
	Kinds    []string      `name:"kind" help:"Kinds of abuse; all without it."`
	Pairs    int           `default:"50" help:"Pairs that write to each other meanwhile."`
	Rate     float64       `default:"500" help:"Messages a second over all pairs."`
	WarmUp   time.Duration `default:"1s" help:"Part of a level before what is measured."`
	Duration time.Duration `default:"5s" help:"Part of a level that is measured."`
}

// Run is called by kong.
func (c *abuseCommand) Run(p *program) error {
	config := scenario.DefaultAbuse()
	config.Options, config.Pairs, config.Rate, config.WarmUp, config.Duration = c.options(p), c.Pairs, c.Rate, c.WarmUp, c.Duration
	if len(c.Kinds) > 0 {
		config.Kinds = c.Kinds
	}
	return scenarioRun(p, "abuse", c.JSON, config, func() (*scenario.AbuseResult, error) { return scenario.RunAbuse(p.ctx, config) })
}
