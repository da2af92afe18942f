package threadlog

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// world is what the log takes from outside beside the store, so that a test can run it under a scheduler
// of its own, one goroutine at a time, the same way for the same seed.
type world struct {
	spawn  func(f func())                                        // go f()
	after  func(d time.Duration, f func())                       // f must be short
	wait   func(ctx context.Context, done <-chan struct{}) error // nil when done is closed first
	jitter func() float64                                        // 0 to 1
	within func(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc)
}

func realWorld() world {
	return world{
		spawn: func(f func()) { go f() },
		after: func(d time.Duration, f func()) { time.AfterFunc(d, f) },
		wait: func(ctx context.Context, done <-chan struct{}) error {
			select {
			case <-done:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
		jitter: rand.Float64,
		within: context.WithTimeout,
	}
}

// step is a part of a thread's way through a turn. It gives the step that the same worker goes on with, or
// none. Between two steps of a thread that it does not give itself, others' steps run.
type step func(l *Log, th *thread) job

// job is a step that waits for a worker.
type job struct {
	do step
	th *thread
}

// runner runs jobs in the order in which they come, on goroutines that there are only while something
// waits, and never more than limit of them.
type runner struct {
	l     *Log
	limit int
	spawn func(func())
	work  func() // r.loop, once

	mu      sync.Mutex
	waiting fifo[job]
	running int
	closed  bool
	ended   chan struct{} // closed when no goroutine is left after close
}

func newRunner(l *Log, limit int, spawn func(func())) *runner {
	r := &runner{l: l, limit: limit, spawn: spawn, ended: make(chan struct{})}
	r.work = r.loop
	return r
}

// push adds a job. After close it is dropped: what it was for is then settled by Close.
func (r *runner) push(j job) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	r.waiting.push(j)
	start := r.running < r.limit
	if start {
		r.running++
	}
	r.mu.Unlock()
	if start {
		r.spawn(r.work)
	}
}

func (r *runner) loop() {
	for {
		r.mu.Lock()
		if r.waiting.len() == 0 || r.closed {
			r.running--
			if r.closed && r.running == 0 {
				close(r.ended)
			}
			r.mu.Unlock()
			return
		}
		j := r.waiting.pop()
		r.mu.Unlock()
		for j.do != nil {
			j = j.do(r.l, j.th)
		}
	}
}

// close drops what waits and lets no more in; ended is closed when what runs has ended.
func (r *runner) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.closed = true
	r.waiting = fifo[job]{}
	if r.running == 0 {
		close(r.ended)
	}
}

func (r *runner) load() (running, waiting int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running, r.waiting.len()
}
