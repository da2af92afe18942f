package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tolkflip/tolkflip/bench/floor"
	"github.com/tolkflip/tolkflip/bench/report"
)

// FloorConfig is the baselines alone: what the kernel, gnet's own engine and a gorilla hub do on this machine, now.
type FloorConfig struct {
	Options     `json:"-"`
	Members     int           `json:"members"`
	Frame       int           `json:"frame"`
	Connections int           `json:"connections"` // of the connect rounds
	Echoes      int           `json:"echo_connections"`
	Pairs       int           `json:"chat_pairs"`
	Rounds      int           `json:"rounds"`
	WarmUp      time.Duration `json:"warm_up"`
	Duration    time.Duration `json:"duration"`
	Chat        bool          `json:"chat"` // search the hub's highest rate
}

// DefaultFloor is small enough for a minute or two.
func DefaultFloor() FloorConfig {
	return FloorConfig{Members: 5000, Frame: 450, Connections: 10000, Echoes: 1000, Pairs: 1000, Rounds: 3, WarmUp: time.Second, Duration: 3 * time.Second, Chat: true}
}

// Validate checks it.
func (c FloorConfig) Validate() error {
	if c.Members < 1 || c.Connections < 1 || c.Echoes < 1 || c.Pairs < 1 || c.Rounds < 1 || c.Duration <= 0 || c.WarmUp < 0 {
		return errors.New("all counts and --duration must be positive")
	}
	return errors.Join(c.fan(false, floor.Epoll).Validate(), c.Options.Validate(false))
}

func (c FloorConfig) fan(light bool, first floor.Kind, more ...floor.Kind) FanoutConfig {
	f := DefaultFanout()
	f.Options, f.Targets, f.Members, f.Frame, f.Light = c.Options, []string{string(first)}, c.Members, c.Frame, light
	f.Pairs, f.WarmUp, f.Duration = c.Rounds, c.WarmUp, c.Duration
	for _, k := range more {
		f.Targets = append(f.Targets, string(k))
	}
	return f
}

// FloorResult is all rows.
type FloorResult struct {
	Echo      []EchoRow      `json:"echo"`
	Connect   *ConnectResult `json:"connect,omitempty"`
	Saturated *FanoutResult  `json:"fanout_saturated,omitempty"`
	Light     *FanoutResult  `json:"fanout_light,omitempty"`
	Chat      *ChatResult    `json:"chat,omitempty"`
}

// RunFloor measures the baselines one after the other; of the same kind of load they take turns.
func RunFloor(ctx context.Context, c FloorConfig) (*FloorResult, error) {
	r := &FloorResult{}
	for _, kind := range []floor.Kind{floor.Epoll, floor.Gnet} {
		row, err := runFloorEcho(ctx, c.Options, kind, c.Echoes, c.WarmUp, c.Duration)
		if err != nil {
			return r, err
		}
		r.Echo = append(r.Echo, row)
	}
	connect := DefaultConnect()
	connect.Pause = c.WarmUp
	connect.Options, connect.Targets, connect.Count, connect.Rounds = c.Options, []string{string(floor.Epoll), string(floor.Gnet), string(floor.Hub)}, c.Connections, c.Rounds
	var err error
	if r.Connect, err = RunConnect(ctx, connect); err != nil {
		return r, err
	}
	if r.Saturated, err = RunFanout(ctx, c.fan(false, floor.Epoll, floor.Gnet, floor.Hub)); err != nil {
		return r, err
	}
	if r.Light, err = RunFanout(ctx, c.fan(true, floor.Epoll, floor.Gnet, floor.Hub)); err != nil {
		return r, err
	}
	if !c.Chat {
		return r, nil
	}
	chat := DefaultChat()
	chat.WarmUp = c.WarmUp
	chat.Options, chat.Targets, chat.Pairs, chat.Duration = c.Options, []string{string(floor.Hub)}, c.Pairs, c.Duration
	r.Chat, err = RunChat(ctx, chat)
	return r, err
}

// Tables shows the rows.
func (r *FloorResult) Tables() []report.Table {
	echo := report.Table{
		Title: fmt.Sprintf("echo of %d bytes, one on its way on each connection", echoMessage),
		Head:  []string{"target", "connections", "echoes/s", "p50 ms", "p99 ms", "server us each", "cores s+g", "full"},
	}
	for _, e := range r.Echo {
		echo.Rows = append(echo.Rows, []string{
			e.Target, report.Count(int64(e.Connections)), report.Count(int64(e.Rate)), report.Number(e.Latency.P50), report.Number(e.Latency.P99),
			report.Number(e.ServerPer), fmt.Sprintf("%.2f+%.2f", e.CPU.Server, e.CPU.Generator), string(e.Full),
		})
	}
	tables := []report.Table{echo}
	if r.Connect != nil {
		tables = append(tables, r.Connect.Tables()...)
	}
	for _, f := range []*FanoutResult{r.Saturated, r.Light} {
		if f != nil {
			tables = append(tables, f.Tables()...)
		}
	}
	if r.Chat != nil {
		tables = append(tables, r.Chat.Tables()...)
	}
	return tables
}
