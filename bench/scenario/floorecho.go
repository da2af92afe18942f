package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tolkflip/tolkflip/bench/client"
	"github.com/tolkflip/tolkflip/bench/floor"
	"github.com/tolkflip/tolkflip/bench/histogram"
	"github.com/tolkflip/tolkflip/bench/plan"
	"github.com/tolkflip/tolkflip/bench/probe"
)

// EchoRow is a floor that gives back what it gets: each connection has one message on its way.
type EchoRow struct {
	Target      string            `json:"target"`
	Connections int               `json:"connections"`
	Rate        float64           `json:"echoes_per_s"`
	Latency     histogram.Summary `json:"latency"`
	CPU         probe.Reading     `json:"cpu"`
	ServerPer   float64           `json:"server_us_per_echo"`
	Full        plan.Side         `json:"full"`
}

const echoMessage = 128 // bytes

// runFloorEcho measures one.
func runFloorEcho(ctx context.Context, o Options, kind floor.Kind, connections int, warm, duration time.Duration) (row EchoRow, err error) {
	row = EchoRow{Target: string(kind), Connections: connections}
	s, err := o.Open(ctx, row.Target, floor.Config{Echo: true})
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	l, err := client.NewLoop(time.Now())
	if err != nil {
		return row, err
	}
	defer l.Close()
	e := &floorEcho{
		loop: l, ready: make(chan error, 1), wanted: connections, took: histogram.New(),
		began: make([]int64, connections), stage: make([]uint8, connections), message: make([]byte, echoMessage),
	}
	l.Do(func() {
		for i := range connections {
			if _, err := l.Dial(s.Addr, i, e); err != nil {
				e.fail(err)
				return
			}
		}
	})
	select {
	case err = <-e.ready:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err = errors.Join(err, wait(ctx, warm)); err != nil {
		return row, err
	}
	var before, after int64
	l.Call(func() { before, e.counting = e.echoes, true })
	meter := probe.Start(s.PID)
	err = wait(ctx, duration)
	row.CPU = meter.Read()
	l.Call(func() { after, row.Latency = e.echoes, e.took.Summary(); err = errors.Join(err, e.err) })
	row.Rate = float64(after-before) / row.CPU.Seconds
	row.ServerPer = row.CPU.ServerPer(after - before)
	row.Full = plan.Full(row.CPU.Usage(1))
	return row, err
}

// floorEcho speaks bytes: the two round trips of a connection, then echoes for ever.
type floorEcho struct {
	loop     *client.Loop
	ready    chan error
	wanted   int
	open     int
	echoes   int64
	counting bool
	took     *histogram.Histogram
	began    []int64 // by connection: when its message left
	stage    []uint8 // by connection: answers that came, up to 2
	message  []byte
	err      error
}

// Opened begins the first round trip.
func (e *floorEcho) Opened(c *client.Conn) {
	c.Write(append(c.Buffer(), "GET /ws HTTP/1.1\r\n\r\n"...))
}

// Received goes on to the next.
func (e *floorEcho) Received(c *client.Conn, b []byte) int {
	switch e.stage[c.ID] {
	case 0:
		e.stage[c.ID]++
		c.Write(append(c.Buffer(), e.message...))
		return len(b)
	case 1:
		e.stage[c.ID]++
		if e.open++; e.open == e.wanted {
			e.ready <- nil
		}
	default:
		if len(b) < echoMessage {
			return 0
		}
		e.echoes++
		if e.counting {
			e.took.Record(e.loop.Now() - e.began[c.ID])
		}
	}
	e.began[c.ID] = e.loop.Now()
	c.Write(append(c.Buffer(), e.message...))
	return len(b)
}

// Closed fails the run.
func (e *floorEcho) Closed(c *client.Conn, err error) {
	e.fail(fmt.Errorf("connection %d: %w", c.ID, err))
}

func (e *floorEcho) fail(err error) {
	if e.err == nil {
		e.err = err
		select {
		case e.ready <- err:
		default:
		}
	}
}
