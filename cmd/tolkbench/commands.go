package main

import (
	"time"

	"github.com/tolkflip/tolkflip/bench/floor"
	"github.com/tolkflip/tolkflip/bench/report"
	"github.com/tolkflip/tolkflip/bench/scenario"
)

type commands struct {
	Idle    idleCommand    `cmd:"" help:"Connections that do nothing: what each costs in memory, after all were pinged and answered."`
	Rounds  roundsCommand  `cmd:"" help:"People who connect, write and leave, again and again: what the server needs after each round, and whether it grows."`
	Chat    chatCommand    `cmd:"" help:"Pairs of people who write to each other, open loop: send to ack, send to receive, lost, doubled, out of order."`
	Connect connectCommand `cmd:"" help:"Connect, upgrade and authenticate at full speed, against other targets in turn."`
	Fanout  fanoutCommand  `cmd:"" help:"One group with all members connected; saturated, or one broadcast at a time; against other targets in turn."`
	REST    restCommand    `cmd:"" name:"rest" help:"Reads of profiles that the server has in memory, open loop."`
	Abuse   abuseCommand   `cmd:"" help:"Clients that behave badly, one kind after the other, while pairs write to each other."`
	Floor   floorCommand   `cmd:"" help:"The baselines alone: plain epoll, gnet.Run and a gorilla/websocket hub."`
	Users   usersCommand   `cmd:"" help:"Register users and make direct threads between them, for --users of the other commands."`
}

// common is where the server is, and where results go.
type common struct {
	URL        string   `help:"Gateway of a running server, such as http://127.0.0.1:3000 (it runs with --dev)."`
	ServerPID  int      `name:"server-pid" help:"Process of that server: its CPU and memory are reported."`
	Control    string   `help:"Control socket of that server (<data>/control.sock), for collections before memory is read."`
	Spawn      string   `help:"Program to start as the server instead: serve --dev on free ports and a data directory of its own."`
	Data       string   `help:"Data directory for --spawn; without it a new one, removed afterwards."`
	ServerArg  []string `name:"server-arg" sep:"none" help:"One more argument for the server that --spawn starts; can be repeated."`
	Users      string   `help:"File that keeps the users that were registered (JSON lines, 0600), for the next run."`
	SecretFile string   `name:"jwt-secret-file" help:"The server's token secret: tokens are signed here. With --spawn it is found in the data directory."`
	Path       string   `default:"/ws" help:"Path of the WebSocket."`
	Loops      int      `default:"1" help:"Epoll threads of the generator."`
	JSON       string   `name:"json" help:"File for the result as JSON."`
}

func (c *common) options(p *program) scenario.Options {
	return scenario.Options{
		URL: c.URL, PID: c.ServerPID, Control: c.Control, Spawn: c.Spawn, Data: c.Data, Args: c.ServerArg,
		Users: c.Users, SecretFile: c.SecretFile, Path: c.Path, Loops: c.Loops, Progress: p.stderr,
	}
}

// targets is the first and those it is held against; floor is another name of epoll.
func targets(first string, against []string) []string {
	all := []string{first}
	for _, a := range against {
		if a == "floor" {
			a = string(floor.Epoll)
		}
		all = append(all, a)
	}
	return all
}

// scenarioRun validates, runs and reports.
func scenarioRun[C interface{ Validate() error }, R comparable](p *program, name, file string, c C, run func() (R, error)) error {
	if err := c.Validate(); err != nil {
		return usageError{err}
	}
	machine, began := report.ThisMachine(), time.Now()
	result, err := run()
	var found any
	if none := *new(R); result != none {
		found = result
	}
	return p.report(name, file, c, began, machine, found, err)
}

type chatCommand struct {
	common
	Target   string        `default:"tolkflip" enum:"tolkflip,hub" help:"tolkflip, or hub: a gorilla/websocket hub in a process of its own."`
	Against  []string      `enum:"hub" help:"Baselines to take turns with, level by level: hub."`
	Pairs    int           `default:"1000" help:"Pairs of people."`
	Content  int           `default:"200" help:"Bytes of content."`
	Rate     float64       `help:"Messages a second over all pairs; without it the highest rate with p99 below --limit is searched."`
	From     float64       `default:"5000" help:"Rate at which the search begins."`
	Limit    time.Duration `default:"100ms" help:"A level passes with p99 of send to receive below it."`
	WarmUp   time.Duration `default:"2s" help:"Part of a level before what is measured."`
	Duration time.Duration `default:"8s" help:"Part of a level that is measured."`
	Half     bool          `default:"true" negatable:"" help:"After a search, measure all targets at half of the first one's rate."`
}

// Run is called by kong.
func (c *chatCommand) Run(p *program) error {
	config := scenario.ChatConfig{
		Options: c.options(p), Targets: targets(c.Target, c.Against), Pairs: c.Pairs, Content: c.Content, Rate: c.Rate, From: c.From, Limit: c.Limit,
		WarmUp: c.WarmUp, Duration: c.Duration, Half: c.Half,
	}
	return scenarioRun(p, "chat", c.JSON, config, func() (*scenario.ChatResult, error) { return scenario.RunChat(p.ctx, config) })
}

type connectCommand struct {
	common
	Target      string        `default:"tolkflip" enum:"tolkflip,epoll,gnet,hub" help:"tolkflip, or a baseline: epoll, gnet, hub."`
	Against     []string      `enum:"floor,epoll,gnet,hub" help:"Baselines to take turns with: floor (that is epoll), gnet, hub."`
	Connections int           `default:"10000" help:"Connections of a round."`
	InFlight    int           `default:"512" help:"Connects that are on their way at once."`
	Rounds      int           `default:"3" help:"Rounds of each target."`
	Pause       time.Duration `default:"1s" help:"Pause after a round."`
}

// Run is called by kong.
func (c *connectCommand) Run(p *program) error {
	config := scenario.ConnectConfig{
		Options: c.options(p), Targets: targets(c.Target, c.Against), Count: c.Connections,
		InFlight: c.InFlight, Rounds: c.Rounds, Pause: c.Pause,
	}
	return scenarioRun(p, "connect", c.JSON, config, func() (*scenario.ConnectResult, error) { return scenario.RunConnect(p.ctx, config) })
}

type fanoutCommand struct {
	common
	Target   string        `default:"tolkflip" enum:"tolkflip,epoll,gnet,hub" help:"tolkflip, or a baseline: epoll, gnet, hub."`
	Against  []string      `enum:"floor,epoll,gnet,hub" help:"Baselines to take turns with: floor (that is epoll), gnet, hub."`
	Members  int           `default:"5000" help:"Members that are connected, beside the one who writes."`
	Content  int           `default:"200" help:"Bytes of content."`
	Light    bool          `help:"One broadcast at a time."`
	Window   int           `default:"64" help:"Messages that are not acknowledged."`
	Lag      int           `default:"256" help:"Messages that are not delivered to all."`
	Batch    int           `help:"Messages that epoll and gnet put in one send; 16, and 1 with --light."`
	Frame    int           `help:"Bytes of a frame of epoll and gnet; as large as the first target's."`
	Pairs    int           `default:"7" help:"Turns of each target."`
	WarmUp   time.Duration `default:"1s" help:"Part of a turn before what is measured."`
	Duration time.Duration `default:"3s" help:"Part of a turn that is measured."`
	Echo     int           `default:"40" help:"Bystanders whose pings and messages are timed meanwhile: half of them pairs."`
}

// Run is called by kong.
func (c *fanoutCommand) Run(p *program) error {
	config := scenario.FanoutConfig{
		Options: c.options(p), Targets: targets(c.Target, c.Against), Members: c.Members, Content: c.Content, Light: c.Light,
		Window: c.Window, Lag: c.Lag, Batch: c.Batch, Frame: c.Frame, Pairs: c.Pairs, WarmUp: c.WarmUp, Duration: c.Duration, Echo: c.Echo,
	}
	return scenarioRun(p, "fanout", c.JSON, config, func() (*scenario.FanoutResult, error) { return scenario.RunFanout(p.ctx, config) })
}
