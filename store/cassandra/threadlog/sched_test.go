package threadlog

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"time"
)

// sched runs a whole cluster in one goroutine at a time, in an order that a seed decides: events in the
// order of a clock of its own, and coroutines that run until they wait for the store or for each other. So
// a seed that fails fails again. A tick is a millisecond of the log's.
type sched struct {
	rng    *rand.Rand
	now    int64
	events events
	count  uint64
	cur    *coro
	idle   []*coro // those that have nothing to run, also from the seed before
	err    error
}

type event struct {
	at int64
	n  uint64
	f  func()
}

type events []event

func (e events) less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].n < e[j].n
}

// reset begins a seed.
func (s *sched) reset(seed uint64) {
	s.rng = rand.New(rand.NewPCG(seed, 1))
	s.now, s.count, s.err = 0, 0, nil
	clear(s.events)
	s.events = s.events[:0]
}

func (s *sched) chance(p float64) bool { return s.rng.Float64() < p }

// between gives a number of lo to hi.
func (s *sched) between(lo, hi int64) int64 { return lo + s.rng.Int64N(hi-lo+1) }

func (s *sched) at(d int64, f func()) {
	s.count++
	s.events = append(s.events, event{s.now + d, s.count, f})
	s.up(len(s.events) - 1)
}

// up moves an event to its place in the heap.
func (s *sched) up(i int) {
	e := s.events
	for i > 0 {
		p := (i - 1) / 2
		if !e.less(i, p) {
			return
		}
		e[i], e[p] = e[p], e[i]
		i = p
	}
}

func (s *sched) pop() event {
	e := s.events
	v, last := e[0], len(e)-1
	e[0], e[last] = e[last], event{}
	s.events = e[:last]
	e = s.events
	for i := 0; ; {
		c := 2*i + 1
		if c >= last {
			return v
		}
		if c+1 < last && e.less(c+1, c) {
			c++
		}
		if !e.less(c, i) {
			return v
		}
		e[i], e[c] = e[c], e[i]
		i = c
	}
}

// run handles what is due before a time, until something is found wrong.
func (s *sched) run(until int64) {
	for len(s.events) > 0 && s.events[0].at < until && s.err == nil {
		v := s.pop()
		s.now = v.at
		v.f()
	}
}

func (s *sched) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// coro is a goroutine that runs one task after the other, and only while the scheduler waits for it.
type coro struct {
	s      *sched
	p      *process
	task   func()
	resume func() (struct{}, bool)
	stop   func()
	yield  func(struct{}) bool
	killed bool
	parked bool
	turn   uint64 // which wait it is in
}

// errKilled unwinds what a killed process was at.
var errKilled = errors.New("killed")

func (s *sched) coro() *coro {
	if n := len(s.idle); n > 0 {
		c := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return c
	}
	c := &coro{s: s}
	c.resume, c.stop = iter.Pull(func(yield func(struct{}) bool) {
		c.yield = yield
		for {
			c.once()
			if !yield(struct{}{}) {
				return
			}
		}
	})
	return c
}

func (c *coro) once() {
	defer func() {
		if r := recover(); r != nil && r != any(errKilled) {
			panic(r)
		}
	}()
	c.task()
}

// start runs f as a task of p now.
func (s *sched) start(p *process, f func()) {
	c := s.coro()
	c.p, c.task, c.killed = p, f, false
	p.coros = append(p.coros, c)
	s.enter(c)
}

// enter lets c run until it waits or ends.
func (s *sched) enter(c *coro) {
	before, p := s.cur, c.p
	s.cur = c
	c.parked = false
	c.resume()
	s.cur = before
	if !c.parked {
		p.gone(c)
		c.p, c.task = nil, nil
		s.idle = append(s.idle, c)
	}
	if !p.dead {
		p.polled()
	}
}

// park waits until wake is called with what it gives.
func (c *coro) park() {
	c.parked = true
	c.yield(struct{}{})
	if c.killed {
		panic(errKilled)
	}
}

// waiting gives the current coroutine and the number of the wait that it is about to begin.
func (s *sched) waiting() (*coro, uint64) {
	s.cur.turn++
	return s.cur, s.cur.turn
}

// wake resumes a coroutine if it is still in that wait; later, when its process is paused.
func (s *sched) wake(c *coro, turn uint64) {
	if c.turn != turn || !c.parked || c.p == nil {
		return
	}
	if d := c.p.until - s.now; d > 0 {
		s.at(d, func() { s.wake(c, turn) })
		return
	}
	s.enter(c)
}

// close ends the coroutines that have nothing to run.
func (s *sched) close() {
	for _, c := range s.idle {
		c.stop()
	}
	s.idle = nil
}

// process is one life of a node.
type process struct {
	s     *sched
	dead  bool
	until int64 // it stands still until then
	coros []*coro
	polls []*poll
}

// poll is a coroutine that waits for a channel.
type poll struct {
	done <-chan struct{}
	c    *coro
	turn uint64
}

func (p *process) gone(c *coro) {
	for i := range p.coros {
		if p.coros[i] == c {
			p.coros[i] = p.coros[len(p.coros)-1]
			p.coros = p.coros[:len(p.coros)-1]
			return
		}
	}
}

// kill ends a process where it stands: none of its code goes on, and what it had sent is on its way.
func (p *process) kill() {
	if p.dead {
		return
	}
	p.dead = true
	for len(p.coros) > 0 {
		c := p.coros[len(p.coros)-1]
		c.killed = true
		c.turn++
		p.s.enter(c)
	}
}

// soon runs f as p after d, unless p is dead by then.
func (p *process) soon(d int64, f func()) {
	p.s.at(d, func() {
		switch {
		case p.dead:
		case p.until > p.s.now:
			p.soon(p.until-p.s.now, f)
		default:
			f()
		}
	})
}

// polled resumes those whose channel was closed.
func (p *process) polled() {
	for i := 0; i < len(p.polls); i++ {
		w := p.polls[i]
		select {
		case <-w.done:
		default:
			continue
		}
		p.polls = append(p.polls[:i], p.polls[i+1:]...)
		i--
		p.s.at(0, func() { p.s.wake(w.c, w.turn) })
	}
}

// world is what a log in p sees.
func (p *process) world() world {
	s := p.s
	return world{
		spawn: func(f func()) {
			p.soon(s.rng.Int64N(2), func() { s.start(p, f) })
		},
		after:  func(d time.Duration, f func()) { p.soon(max(1, d.Milliseconds()), f) },
		jitter: s.rng.Float64,
		within: func(ctx context.Context, _ time.Duration) (context.Context, context.CancelFunc) {
			return ctx, func() {}
		},
		wait: func(_ context.Context, done <-chan struct{}) error {
			select {
			case <-done:
				return nil
			default:
			}
			c, turn := s.waiting()
			p.polls = append(p.polls, &poll{done, c, turn})
			c.park()
			return nil
		},
	}
}
