package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/tolkflip/tolkflip/bench/client"
	"github.com/tolkflip/tolkflip/bench/histogram"
)

// crowd is many authenticated connections to one server, shared out over loops.
type crowd struct {
	config crowdConfig
	parts  []*part
	total  int // that were asked for so far
}

type crowdConfig struct {
	to       netip.AddrPort
	path     string
	token    func(id int) []byte // of connection id's user; called on its loop's thread
	inFlight int                 // connects at once, over all loops
	loopOf   func(id int) int    // which loop carries connection id
	events   func(p *part) frames
	zero     time.Time // of all loops' clocks
}

// frames is what a scenario does with its connections, on their loop's thread.
type frames interface {
	Frame(c *client.Conn, payload []byte)
	Gone(c *client.Conn, err error)
}

// part is the connections of one loop. Its fields belong to the loop's thread.
type part struct {
	index int
	loop  *client.Loop
	ws    *client.WebSocket
	conns []*client.Conn
	crowd *crowd
	on    frames

	opening struct {
		ids     []int // still to be dialed
		flying  int
		limit   int
		began   map[int]int64
		latency *histogram.Histogram
		err     error
		done    chan struct{}
	}
}

// newCrowd makes the loops; open fills them.
func newCrowd(c crowdConfig, loops int) (*crowd, error) {
	w := &crowd{config: c}
	for i := range loops {
		l, err := client.NewLoop(c.zero)
		if err != nil {
			w.close()
			return nil, err
		}
		p := &part{index: i, loop: l, crowd: w}
		var token func(*client.Conn) []byte
		if c.token != nil {
			token = func(conn *client.Conn) []byte { return c.token(conn.ID) }
		}
		p.ws = client.NewWebSocket(c.to, c.path, token, p)
		p.on = c.events(p)
		w.parts = append(w.parts, p)
	}
	return w, nil
}

func (w *crowd) close() {
	for _, p := range w.parts {
		p.loop.Close()
	}
}

// opened is how an open went.
type opened struct {
	latency *histogram.Histogram // from the first system call to authenticated
	took    time.Duration
}

// open connects until the crowd has n connections, and waits until all are authenticated.
func (w *crowd) open(ctx context.Context, n int) (opened, error) {
	began := time.Now()
	first := w.total
	w.total = max(n, first)
	var wait sync.WaitGroup
	for _, p := range w.parts {
		var ids []int
		for id := first; id < n; id++ {
			if w.config.loopOf(id) == p.index {
				ids = append(ids, id)
			}
		}
		done := make(chan struct{})
		p.loop.Do(func() { p.begin(ids, max(1, w.config.inFlight/len(w.parts)), done) })
		wait.Go(func() {
			select {
			case <-done:
			case <-ctx.Done():
			}
		})
	}
	wait.Wait()
	all := opened{latency: histogram.New(), took: time.Since(began)}
	err := ctx.Err()
	w.each(func(p *part) {
		err = errors.Join(err, p.opening.err)
		all.latency.Merge(p.opening.latency)
		p.opening.began = nil
	})
	if err != nil {
		return all, fmt.Errorf("open %d connections: %w", n, err)
	}
	return all, nil
}

// each runs f for every part on its loop's thread, one after the other.
func (w *crowd) each(f func(p *part)) {
	for _, p := range w.parts {
		p.loop.Call(func() { f(p) })
	}
}

func (p *part) begin(ids []int, limit int, done chan struct{}) {
	o := &p.opening
	o.ids, o.limit, o.done, o.err, o.flying = ids, limit, done, nil, 0
	o.began = make(map[int]int64, limit)
	o.latency = histogram.New()
	p.dial()
}

// dial keeps as many connects in the air as are allowed.
func (p *part) dial() {
	o := &p.opening
	for o.err == nil && o.flying < o.limit && len(o.ids) > 0 {
		id := o.ids[0]
		o.ids = o.ids[1:]
		o.began[id] = p.loop.Now()
		c, err := p.loop.Dial(p.crowd.config.to, id, p.ws)
		if err != nil {
			o.err = err
			break
		}
		o.flying++
		p.conns = append(p.conns, c)
	}
	if o.done != nil && (o.err != nil || o.flying == 0 && len(o.ids) == 0) {
		close(o.done)
		o.done = nil
	}
}

// Ready counts a connection that is authenticated and dials the next.
func (p *part) Ready(c *client.Conn) {
	o := &p.opening
	if began, ok := o.began[c.ID]; ok {
		o.latency.Record(p.loop.Now() - began)
		delete(o.began, c.ID)
		o.flying--
	}
	if r, ok := p.on.(readier); ok {
		r.Ready(c)
	}
	p.dial()
}

// readier is a scenario that does something with a connection at once.
type readier interface{ Ready(c *client.Conn) }

// Frame hands on.
func (p *part) Frame(c *client.Conn, payload []byte) { p.on.Frame(c, payload) }

// Gone is an error while the crowd is being opened, and the scenario's afterwards.
func (p *part) Gone(c *client.Conn, err error) {
	o := &p.opening
	if _, ok := o.began[c.ID]; ok && o.done != nil {
		delete(o.began, c.ID)
		o.flying--
		o.err = fmt.Errorf("connection %d: %w", c.ID, err)
		p.dial()
		return
	}
	p.on.Gone(c, err)
}
