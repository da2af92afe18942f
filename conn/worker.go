package conn

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/tolkflip/tolkflip/proto"
)

// task is something that a worker runs: a mailbox or a feed. It is in the run queue at most once.
type task interface{ run(w *worker) }

// runQueue is what waits for a worker, at most one entry a mailbox and one a feed. Putting something in
// wakes a worker only if one is asleep.
type runQueue struct {
	mu struct {
		sync.Mutex
		ring   []task // a circle: n entries from first
		first  int
		n      int
		asleep int  // workers that wait and were not signalled
		waking bool // one was signalled and has not taken anything yet
		closed bool
	}
	wake  sync.Cond
	depth atomic.Int64
}

func newRunQueue() *runQueue {
	q := &runQueue{}
	q.wake.L = &q.mu
	q.mu.ring = make([]task, 64)
	return q
}

// push adds a task to the end.
func (q *runQueue) push(t task) {
	q.mu.Lock()
	if q.mu.n == len(q.mu.ring) {
		grown := make([]task, 2*q.mu.n)
		k := copy(grown, q.mu.ring[q.mu.first:])
		copy(grown[k:], q.mu.ring[:q.mu.first])
		q.mu.ring, q.mu.first = grown, 0
	}
	q.mu.ring[(q.mu.first+q.mu.n)&(len(q.mu.ring)-1)] = t
	q.mu.n++
	q.depth.Store(int64(q.mu.n))
	wake := q.rouse()
	q.mu.Unlock()
	if wake {
		q.wake.Signal()
	}
}

// rouse, with mu held, reports whether the caller must wake a worker. One is woken at a time, and wakes the
// next when it finds more than it takes: a burst does not wake all for what one has done before they run.
func (q *runQueue) rouse() bool {
	if q.mu.n == 0 || q.mu.asleep == 0 || q.mu.waking {
		return false
	}
	q.mu.asleep--
	q.mu.waking = true
	return true
}

// take waits for a task; false means that the queue was closed and is empty.
func (q *runQueue) take() (task, bool) {
	q.mu.Lock()
	for q.mu.n == 0 {
		if q.mu.closed {
			q.mu.Unlock()
			return nil, false
		}
		q.mu.asleep++
		q.wake.Wait()
		q.mu.waking = false
	}
	t := q.mu.ring[q.mu.first]
	q.mu.ring[q.mu.first] = nil
	q.mu.first = (q.mu.first + 1) & (len(q.mu.ring) - 1)
	q.mu.n--
	q.depth.Store(int64(q.mu.n))
	wake := q.rouse()
	q.mu.Unlock()
	if wake {
		q.wake.Signal()
	}
	return t, true
}

// close lets the workers end once nothing waits.
func (q *runQueue) close() {
	q.mu.Lock()
	q.mu.closed = true
	q.mu.Unlock()
	q.wake.Broadcast()
}

// worker decodes messages and calls the rules, one at a time. What it has is reused from message to message.
type worker struct {
	server  *Server
	request proto.Request
	failure proto.Failure
	refusal proto.MessageError
	pong    proto.Pong
	sealed  proto.Error
}

func (w *worker) loop() {
	for {
		t, ok := w.server.queue.take()
		if !ok {
			return
		}
		began := time.Now()
		t.run(w)
		w.server.stats.tasks.Add(1)
		w.server.stats.taskNanos.Add(int64(time.Since(began)))
	}
}
