package pebble

import (
	"encoding/binary"
	"sync"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// threadLog is the store's Log.
type threadLog struct{ s *Store }

// Append queues e with its thread's committer.
func (l threadLog) Append(e *store.Entry) {
	s := l.s
	switch {
	case s.full.Load():
		s.refuse(e, store.ErrBusy, refusedFull)
	case s.failed.Load():
		s.refuse(e, store.ErrClosed, refusedClosed)
	default:
		s.committer(e.Thread).append(e)
	}
}

// Mark queues f with the thread's committer. Marks do not count against the queue's budget, since a mark
// cannot be refused: a connection has one resume at a time, of a bounded number of threads.
func (l threadLog) Mark(t id.Thread, f func(head uint64)) {
	if err := l.s.begin(); err != nil {
		f(0)
		return
	}
	defer l.s.end()
	c := l.s.committer(t)
	th, err := c.acquire(t)
	if err != nil {
		l.s.fail(err)
		return
	}
	if !c.mark(th, f) {
		c.unpin(th)
		f(0)
	}
}

func (s *Store) refuse(e *store.Entry, err error, why refusal) {
	s.metrics.refused[why].Inc()
	e.Duplicate, e.Err = false, err
	e.Done(e)
}

// committer gives the one that a thread belongs to. Thread ids are hashes or random, so any bytes do;
// these are not those that a UUID's version and variant sit in.
func (s *Store) committer(t id.Thread) *committer {
	return s.committers[binary.BigEndian.Uint32(t.ID[12:])%uint32(len(s.committers))]
}

// queued is what waits for a committer: an entry, or a mark with its pinned thread.
type queued struct {
	entry  *store.Entry
	thread *thread
	mark   func(uint64)
}

// queue holds what waits for a committer, within its budget.
type queue struct {
	maxItems, maxBytes int
	wake               chan struct{} // capacity 1

	mu       sync.Mutex
	waiting  []queued
	items    int // entries that no group has yet, also those that take gave out
	bytes    int
	sleeping bool // the committer waits for wake
	closed   bool // no more entries
	ended    bool // nobody will take any more
}

// costs is what a message counts against the queue's bytes.
func costs(m *store.Message) int {
	n := 256 + len(m.Content) + len(m.Encrypted) + len(m.ClientID) + len(m.Language)
	for _, u := range m.MediaURLs {
		n += len(u)
	}
	return n
}

// put queues it, and gives the reason where it does not.
func (q *queue) put(it queued, bytes int) (refusal, error) {
	q.mu.Lock()
	switch {
	case it.mark != nil && q.ended, it.mark == nil && q.closed:
		q.mu.Unlock()
		return refusedClosed, store.ErrClosed
	case it.mark != nil:
	case q.items >= q.maxItems, q.items > 0 && q.bytes+bytes > q.maxBytes:
		q.mu.Unlock()
		return refusedQueue, store.ErrBusy
	default:
		q.items++
		q.bytes += bytes
	}
	q.waiting = append(q.waiting, it)
	wake := q.sleeping
	q.sleeping = false
	q.mu.Unlock()
	if wake {
		q.wake <- struct{}{}
	}
	return 0, nil
}

// wait waits until something is queued, and reports false when nothing will come any more.
func (q *queue) wait(dead <-chan struct{}) bool {
	for {
		q.mu.Lock()
		switch {
		case len(q.waiting) > 0:
			q.mu.Unlock()
			return true
		case q.closed:
			q.ended = true
			q.mu.Unlock()
			return false
		}
		q.sleeping = true
		q.mu.Unlock()
		select {
		case <-q.wake:
		case <-dead:
			return false
		}
	}
}

// take swaps the empty slice for what waits.
func (q *queue) take(empty []queued) []queued {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.waiting
	q.waiting = empty
	return taken
}

// entries is how many wait, also those that take gave out.
func (q *queue) entries() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.items
}

// grouped gives the budget of what went into a group back.
func (q *queue) grouped(items, bytes int) {
	q.mu.Lock()
	q.items -= items
	q.bytes -= bytes
	q.mu.Unlock()
}

// close refuses new entries and wakes the committer to end.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	wake := q.sleeping
	q.sleeping = false
	q.mu.Unlock()
	if wake {
		q.wake <- struct{}{}
	}
}
