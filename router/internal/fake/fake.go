// Package fake is the event loops as the tests of the rules need them: a Sink and a Replayer that keep the
// promises written beside those interfaces, with nothing behind. Every effect waits in the inbox of its
// connection, or in its worker's queue, until it is somebody's turn: Start lets a goroutine take the turns in
// order, a test that wants to choose calls Step.
package fake

import (
	"slices"
	"sync"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
)

// Frame is what a connection was sent.
type Frame struct {
	Event    proto.Event // a copy
	Finish   bool        // by Sink.Finish
	Backfill bool        // by Replayer.Backfill
}

// Closing is how a connection was closed.
type Closing struct {
	Code   uint16
	Reason string
}

// Loops is a Sink and a Replayer.
type Loops struct {
	loops int

	// MaxHeld is the number of events that a hold takes before it overflows.
	MaxHeld int

	mu      sync.Mutex
	changed sync.Cond
	peers   map[router.Conn]*peer
	ready   []*peer // with something in inbox or jobs, and perhaps others
	pending int     // operations and jobs that wait or run
	stopped bool
	done    chan struct{}
}

// peer is one connection.
type peer struct {
	conn    router.Conn
	session id.Session
	inbox   []func() // run with mu held
	jobs    []func() // run without, one at a time
	queued  bool     // in Loops.ready
	frames  []Frame
	closed  *Closing
	holds   map[id.Thread]*hold
	feeder  router.Feeder
	feeding bool // Next is queued, or runs
	paused  bool // the feeder waits until the client has read
	next    []router.Feeder
}

type hold struct {
	events     []*proto.NewMessage
	overflowed bool
}

// New makes loops without connections.
func New(loops int) *Loops {
	l := &Loops{loops: loops, MaxHeld: 256, peers: make(map[router.Conn]*peer)}
	l.changed.L = &l.mu
	return l
}

// Start takes the turns in a goroutine until Stop.
func (l *Loops) Start() {
	l.done = make(chan struct{})
	go func() {
		defer close(l.done)
		for {
			for l.Step(nil) {
			}
			l.mu.Lock()
			for l.pending == 0 && !l.stopped {
				l.changed.Wait()
			}
			stopped := l.stopped
			l.mu.Unlock()
			if stopped {
				return
			}
		}
	}()
}

// Stop ends what Start began.
func (l *Loops) Stop() {
	l.mu.Lock()
	l.stopped = true
	l.changed.Broadcast()
	l.mu.Unlock()
	<-l.done
}

// Open makes a connection of the given slot.
func (l *Loops) Open(slot uint32, s id.Session) router.Conn {
	c := router.MakeConn(uint8(int(slot)%l.loops), 0, 1, slot)
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &peer{conn: c, session: s, holds: make(map[id.Thread]*hold)}
	l.peers[c] = p
	return c
}

// Caller opens a connection of a user.
func (l *Loops) Caller(slot uint32, u id.User) router.Caller {
	s := id.NewSession()
	return router.Caller{Conn: l.Open(slot, s), User: u, Session: s}
}

// Step lets one operation of a loop, or one job of a worker, happen, which pick chooses from n (nil: the
// first), and reports whether there was any.
func (l *Loops) Step(pick func(n int) int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	var can []*peer // twice, if both an operation and a job wait
	kept := l.ready[:0]
	for i, p := range l.ready {
		p.queued = len(p.inbox) > 0 || len(p.jobs) > 0
		if p.queued {
			kept = append(kept, p)
		}
		if len(p.inbox) > 0 {
			can = append(can, p)
		}
		if len(p.jobs) > 0 {
			can = append(can, p)
		}
		if pick == nil && len(can) > 0 {
			kept = append(kept, l.ready[i+1:]...)
			break
		}
	}
	l.ready = kept
	if len(can) == 0 {
		return false
	}
	at := 0
	if pick != nil {
		at = pick(len(can))
	}
	p := can[at]
	if first := slices.Index(can, p) == at; first && len(p.inbox) > 0 {
		op := p.inbox[0]
		p.inbox = p.inbox[1:]
		op()
	} else {
		job := p.jobs[0]
		p.jobs = p.jobs[1:]
		l.mu.Unlock()
		job()
		l.mu.Lock()
	}
	l.pending--
	l.changed.Broadcast()
	return true
}

// Idle waits until nothing waits and nothing runs.
func (l *Loops) Idle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.pending > 0 {
		l.changed.Wait()
	}
}

// Wait waits until c has n frames or is closed, and takes them.
func (l *Loops) Wait(c router.Conn, n int) []Frame {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.peers[c]
	for len(p.frames) < n && p.closed == nil {
		l.changed.Wait()
	}
	frames := p.frames
	p.frames = nil
	return frames
}

// Take gives the frames that c was sent since the last Take or Wait.
func (l *Loops) Take(c router.Conn) []Frame {
	l.mu.Lock()
	defer l.mu.Unlock()
	frames := l.peers[c].frames
	l.peers[c].frames = nil
	return frames
}

// Closed tells how c was closed, nil when it is open.
func (l *Loops) Closed(c router.Conn) *Closing {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.peers[c].closed
}

// Pause makes c's feeder wait, or go on: a client that reads slowly.
func (l *Loops) Pause(c router.Conn, on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.peers[c]
	p.paused = on
	l.feed(p)
}

// feed has the feeder's Next be called, if there is a feeder and it may.
func (l *Loops) feed(p *peer) {
	if p.feeder != nil && !p.feeding && !p.paused {
		p.feeding = true
		l.job(p, func() { l.runFeeder(p) })
	}
}

// Drop makes c's hold of t overflow as if too much had come.
func (l *Loops) Drop(c router.Conn, t id.Thread) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.peers[c].holds[t]; h != nil && len(h.events) > 0 {
		h.events, h.overflowed = nil, true
	}
}

// enter puts an operation into c's inbox; unknown connections are passed over.
func (l *Loops) enter(c router.Conn, op func(p *peer)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.peers[c]
	if p == nil {
		return
	}
	p.inbox = append(p.inbox, func() { op(p) })
	l.queue(p)
}

// queue notes that p has one more thing to do.
func (l *Loops) queue(p *peer) {
	if !p.queued {
		p.queued = true
		l.ready = append(l.ready, p)
	}
	l.pending++
	l.changed.Broadcast()
}

func (l *Loops) job(p *peer, f func()) {
	p.jobs = append(p.jobs, f)
	l.queue(p)
}
