package threadlog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// trial is one seed: three nodes on a cluster, people who send and read through any of them, and someone
// who kills, stops and replaces nodes.
type trial struct {
	*cluster
	faults    faults
	stampless bool
	metrics   *metrics

	nodes   []*simNode
	history history
	tally   tally
}

// tally is what happened, to see that a run met what it is for.
type tally struct {
	seeds, acks, duplicates, conflicts, takes, kills, pauses, closes, reads, marks, unknown, refused, statements, log int
}

func (t *tally) add(o *tally) {
	t.seeds++
	t.acks += o.acks
	t.duplicates += o.duplicates
	t.conflicts += o.conflicts
	t.takes += o.takes
	t.kills += o.kills
	t.pauses += o.pauses
	t.closes += o.closes
	t.reads += o.reads
	t.marks += o.marks
	t.unknown += o.unknown
	t.refused += o.refused
	t.statements += o.statements
	t.log += o.log
}

// simNode is one node through all its lives.
type simNode struct {
	t    *trial
	node Node
	life int
	p    *process
	l    *Log // nil while it does not run
	said [simThreads]said
}

// said is what one life of a node has said of a thread.
type said struct {
	done, mark, head uint64
}

const (
	simClients = 6
	simNumbers = 100 // of messages a sender has at most
)

// The weathers of trials.
const (
	fair   = iota // much is written, and now and then something happens
	rough         // nodes take over from each other all the time
	torn          // they do, and few writes of messages succeed at the first attempt
	slow          // whoever has an answer takes long to look at it
	noIDs         // ids are hard to write
	pairs         // two nodes take over one after the other, while writes of messages often fail
	fences        // fence reads take long
	weathers
)

func weatherOf(kind int) weather {
	return [weathers]weather{
		fair: {
			torn: 0.05, lost: 0.02, rowsTorn: 0.05, rowsLost: 0.02, still: 0.02, stillMost: 1200, late: 0.05,
			calmLeast: 30, calmMost: 350, open: 0.42, together: 0.4, end: 4000, messages: 16,
		},
		rough: {
			torn: 0.15, lost: 0.10, rowsTorn: 0.15, rowsLost: 0.10, still: 0.06, stillMost: 250, late: 0.08,
			calmLeast: 5, calmMost: 120, open: 0.42, together: 0.5, end: 1500, messages: 8,
		},
		torn: {
			torn: 0.02, lost: 0.01, rowsTorn: 0.35, rowsLost: 0.25, still: 0.05, stillMost: 150, late: 0.03,
			calmLeast: 8, calmMost: 80, open: 0.75, together: 0.5, end: 800, messages: 4,
		},
		slow: {
			torn: 0.02, lost: 0.01, rowsTorn: 0.30, rowsLost: 0.10, still: 0.25, stillMost: 200, late: 0.03,
			calmLeast: 20, calmMost: 120, open: 0.6, together: 0.6, end: 1500, messages: 6,
		},
		noIDs: {
			torn: 0.30, lost: 0.20, rowsTorn: 0.02, rowsLost: 0.01, still: 0.02, stillMost: 300, late: 0.03,
			calmLeast: 100, calmMost: 500, open: 0.5, together: 0.2, end: 3000, messages: 16,
		},
		pairs: {
			torn: 0.02, lost: 0.01, rowsTorn: 0.30, rowsLost: 0.15, still: 0.05, stillMost: 150, late: 0.03,
			calmLeast: 80, calmMost: 300, open: 0.8, together: 0.8, end: 2500, messages: 10,
		},
		fences: {
			torn: 0.02, lost: 0.01, rowsTorn: 0.05, rowsLost: 0.03, still: 0.02, stillMost: 150, late: 0.03, fenceStill: 0.4,
			calmLeast: 80, calmMost: 300, open: 0.8, together: 0.3, end: 2500, messages: 16,
		},
	}[kind]
}

func simShape() shape {
	return shape{bucketBits: 4, turnItems: 4, turnBytes: 1 << 20, lagItems: 8, lagBytes: 1 << 20, rewrite: 2, pageRows: 3}
}

func simConfig(n Node) Config {
	cfg := Default()
	cfg.Node, cfg.TakeOver = n, true
	cfg.Now = func() time.Time { return time.UnixMilli(0) }
	cfg.Workers, cfg.LookupCalls, cfg.FenceCalls, cfg.IndexCalls = 6, 2, 2, 2
	cfg.ThreadItems, cfg.QueueItems, cfg.Threads, cfg.HotBytes = 12, 40, 1, 0
	cfg.Beat, cfg.IndexEvery, cfg.RecentEvery = 400*time.Millisecond, 25*time.Millisecond, 200*time.Millisecond
	cfg.RetryFirst, cfg.RetryMax = 20*time.Millisecond, 200*time.Millisecond
	return cfg
}

// run plays a seed in a weather and gives what it found wrong.
func (t *trial) run(s *sched, seed uint64, w weather) error {
	s.reset(seed)
	a, b := id.User{ID: id.ID{1}}, id.User{ID: id.ID{2}}
	group := id.Thread{ID: id.ID{14: 3, 15: 200}}
	t.cluster = newCluster(s, w, []id.Thread{id.Direct(a, b), group})
	t.bits, t.cluster.stampless = simShape().bucketBits, t.stampless
	t.history = history{t: t, a: a, b: b, acked: map[int]acked{}}
	t.tally = tally{}
	t.nodes = nil
	for i := range 3 {
		t.nodes = append(t.nodes, &simNode{t: t, node: Node{byte(i + 1)}})
	}
	t.at(1, t.nodes[0].open)
	t.at(200, t.trouble)
	for k := range simClients {
		c := &sender{t: t, k: k}
		for range 3 {
			c.next()
		}
	}
	for range 2 {
		t.at(t.between(20, 100), t.read)
	}
	s.run(t.end)
	t.at(500, t.nodes[0].open) // one owner in the end
	s.run(t.end + 6000)
	t.finish(s)
	for _, n := range t.nodes {
		n.kill()
	}
	t.tally.unknown, t.tally.refused, t.tally.statements = t.unknown, t.refused, t.statements
	return s.err
}

// finish lets a new owner read everything, when nothing else happens any more.
func (t *trial) finish(s *sched) {
	t.calm = true
	last := &simNode{t: t, node: Node{9}}
	t.nodes = append(t.nodes, last)
	for range 20 {
		if last.l != nil || s.err != nil {
			break
		}
		last.open()
		s.run(s.now + 500)
	}
	if s.err != nil {
		return
	}
	if last.l == nil {
		t.fail(errors.New("no owner in the end"))
		return
	}
	checked := false
	s.start(last.p, func() {
		t.history.final(last)
		checked = true
	})
	s.run(s.now + 20000)
	if !checked {
		t.fail(errors.New("the log could not be read in the end"))
	}
}

// trouble makes something go wrong, again and again.
func (t *trial) trouble() {
	n := t.nodes[t.rng.IntN(len(t.nodes))]
	switch x := t.rng.Float64(); {
	case x < t.open:
		n.open()
		if t.chance(t.together) { // and another at the same time
			t.at(t.between(1, 60), t.nodes[t.rng.IntN(len(t.nodes))].open)
		}
	case x < t.open+(1-t.open)*0.35:
		n.kill()
	case x < t.open+(1-t.open)*0.75 && n.p != nil && !n.p.dead:
		n.p.until = t.now + t.between(50, 1200)
		t.tally.pauses++
	case x < t.open+(1-t.open)*0.87:
		n.close()
	}
	if t.now < t.end {
		t.at(t.between(t.calmLeast, t.calmMost), t.trouble)
	}
}

// open starts a new life of the node, which takes all slots from whoever has them.
func (n *simNode) open() {
	n.kill()
	t := n.t
	n.life++
	p := &process{s: t.sched}
	n.p, n.said = p, [simThreads]said{}
	l := build(simConfig(n.node), &client{c: t.cluster, p: p}, slog.New(slog.DiscardHandler), t.metrics)
	l.world, l.shape, l.faults = p.world(), simShape(), t.faults
	l.hot.ring = make([]byte, 2048)
	l.cfg.Deposed = func(error) { p.soon(t.between(0, 500), n.kill) }
	l.faults.activated = func(thread id.Thread, rows []store.Message) {
		if most := l.shape.lagItems + l.shape.turnItems; len(rows) > most {
			t.history.failf("an activation found %d rows above indexed, more than %d", len(rows), most)
		}
		t.history.page(t.index(thread), rows, nil, "activation")
	}
	t.start(p, func() {
		if err := l.start(context.Background()); err != nil {
			return
		}
		n.l = l
		t.tally.takes++
		for range 2 {
			p.soon(t.between(1, 60), func() { t.readFrom(n) })
		}
	})
}

func (n *simNode) kill() {
	n.l = nil
	if n.p != nil && !n.p.dead {
		n.p.kill()
		n.t.tally.kills++
	}
}

// close ends the node's life as an operator would.
func (n *simNode) close() {
	if n.l == nil {
		return
	}
	l := n.l
	n.l = nil
	n.t.tally.closes++
	n.t.start(n.p, func() {
		l.hot.mu.Lock()
		l.hot.ring = nil // it is not mapped memory
		l.hot.mu.Unlock()
		if err := l.Close(); err != nil {
			n.t.fail(fmt.Errorf("close: %w", err))
		}
	})
}

// anyNode gives one that runs, or nil.
func (t *trial) anyNode() *simNode {
	if n := t.nodes[t.rng.IntN(len(t.nodes))]; n.l != nil {
		return n
	}
	for _, n := range t.nodes {
		if n.l != nil {
			return n
		}
	}
	return nil
}

// sender sends its messages, three at a time, each until it is acked, through whichever node.
type sender struct {
	t    *trial
	k, i int
}

func (c *sender) next() {
	if c.i >= c.t.messages {
		return
	}
	c.i++
	c.t.at(c.t.between(1, 150), func() { c.send(c.k*simNumbers+c.i, 0, c.next) })
}

// message makes the n-th message of all, or one with its id and another body.
func (h *history) message(n, body int) store.Message {
	m := store.Message{Thread: h.t.threads[n/simNumbers%simThreads], Sender: h.a, Sent: h.t.now, Content: content(n, body)}
	if n/simNumbers%simThreads == 0 {
		m.Receiver = h.b
	}
	binary.BigEndian.PutUint32(m.ID.ID[:], uint32(n))
	m.ID.ID[15] = byte(n)
	return m
}

func content(n, body int) []byte { return []byte{byte(n >> 8), byte(n), byte(body)} }

// send tries until the message is acked, then calls done.
func (c *sender) send(n, body int, done func()) {
	t := c.t
	if t.now > t.end+4000 {
		return
	}
	to := t.anyNode()
	if to == nil {
		t.at(t.between(10, 60), func() { c.send(n, body, done) })
		return
	}
	over := false
	life := to.life
	e := &store.Entry{Message: t.history.message(n, body)}
	e.Done = func(e *store.Entry) {
		if over && e.Err != nil {
			return
		}
		err := e.Err
		t.history.done(to, life, n, body, e)
		clear(e.Content) // it is the sender's again
		if over {
			return
		}
		over = true
		switch {
		case err == nil:
			t.at(1, func() { c.after(n, done) })
		case errors.Is(err, store.ErrConflict):
			t.at(1, done)
		default:
			t.at(t.between(5, 40), func() { c.send(n, body, done) })
		}
	}
	t.at(300, func() {
		if !over {
			over = true
			c.send(n, body, done)
		}
	})
	to.l.Append(e)
}

// after an ack some send the same once more, or something else with the same id.
func (c *sender) after(n int, done func()) {
	switch x := c.t.rng.Float64(); {
	case x < 0.10:
		c.t.at(c.t.between(1, 400), func() { c.send(n, 0, done) })
	case x < 0.14:
		c.t.at(c.t.between(1, 400), func() { c.send(n, 1, done) })
	default:
		done()
	}
}

// read lets someone read, or mark, from a node.
func (t *trial) read() {
	if t.now < t.end+4000 {
		t.at(t.between(10, 120), t.read)
	}
	if n := t.anyNode(); n != nil && n.p.until <= t.now {
		t.readFrom(n)
	}
}

func (t *trial) readFrom(n *simNode) {
	if n.l == nil {
		return
	}
	i := t.rng.IntN(simThreads)
	if t.chance(0.2) {
		life := n.life
		t.tally.marks++
		n.l.Mark(t.threads[i], func(head uint64) { t.history.mark(n, life, i, head) })
		return
	}
	l := n.l
	t.tally.reads++
	t.start(n.p, func() { t.history.read(n, l, i) })
}
