package memory

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// pageBytes is about how much a page of After or Before holds at most.
const pageBytes = 256 << 10

// thread is one conversation with its messages; guarded by Store.mu. messages[i] has seq i+1.
type thread struct {
	row      store.Thread
	listed   bool // there is a row: a group, or a direct thread with a message
	messages []store.Message
}

type place struct {
	thread id.Thread
	seq    uint64
}

// item is what waits for the log's goroutine: an entry or a mark.
type item struct {
	entry  *store.Entry
	thread id.Thread
	mark   func(uint64)
}

// Log is the threads' messages in memory.
type Log struct {
	s    *Store
	cfg  Config
	wake chan struct{} // capacity 1
	done chan struct{}

	mu      sync.Mutex
	queue   []item
	entries int // in queue, the limit of which does not count marks
	bytes   int
	closed  bool // no more entries
	ended   bool // the goroutine is gone, or goes without another look at queue
}

func newLog(s *Store, cfg Config) *Log {
	l := &Log{s: s, cfg: cfg, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go l.run()
	return l
}

// Append queues e.
func (l *Log) Append(e *store.Entry) {
	n := bodyBytes(&e.Message)
	l.mu.Lock()
	switch {
	case l.closed:
		e.Err = store.ErrClosed
	case l.entries >= l.cfg.QueueItems || l.bytes > 0 && l.bytes+n > l.cfg.QueueBytes:
		e.Err = store.ErrBusy
	default:
		e.Err = nil
		l.queue = append(l.queue, item{entry: e})
		l.entries++
		l.bytes += n
	}
	refused := e.Err != nil
	l.mu.Unlock()
	if refused {
		e.Done(e)
		return
	}
	l.signal()
}

// Mark queues f. Marks are not limited: their callers are.
func (l *Log) Mark(t id.Thread, f func(head uint64)) {
	l.mu.Lock()
	ended := l.ended
	if !ended {
		l.queue = append(l.queue, item{thread: t, mark: f})
	}
	l.mu.Unlock()
	if ended {
		f(0)
		return
	}
	l.signal()
}

func (l *Log) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *Log) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.signal()
	<-l.done
}

func (l *Log) run() {
	defer close(l.done)
	var work []item
	for {
		l.mu.Lock()
		work, l.queue = l.queue, work[:0]
		l.entries, l.bytes = 0, 0
		l.ended = l.closed && len(work) == 0
		ended := l.ended
		l.mu.Unlock()
		if ended {
			return
		}
		for _, it := range work {
			l.do(it)
		}
		if len(work) == 0 {
			<-l.wake
		}
		clear(work)
	}
}

func (l *Log) do(it item) {
	if it.mark != nil {
		head, _ := l.Head(context.Background(), it.thread) // the map lookup cannot fail
		it.mark(head)
		return
	}
	e := it.entry
	if l.cfg.BeforeWrite != nil {
		e.Err = l.cfg.BeforeWrite(e)
	}
	if e.Err == nil {
		l.write(e)
	}
	e.Done(e)
}

func (l *Log) write(e *store.Entry) {
	s := l.s
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Duplicate = false
	if at, ok := s.messages[e.ID]; ok {
		first := &s.threads[at.thread].messages[at.seq-1]
		if at.thread != e.Thread || !store.SameBody(first, &e.Message) {
			e.Err = store.ErrConflict
			return
		}
		e.Duplicate, e.Seq, e.Sent = true, first.Seq, first.Sent
		return
	}
	t := s.thread(e.Thread)
	e.Seq = uint64(len(t.messages)) + 1
	if e.Seq == 1 && !e.Group() {
		s.listDirect(t, &e.Message)
	}
	t.messages = append(t.messages, clone(&e.Message))
	s.messages[e.ID] = place{e.Thread, e.Seq}
}

// thread gives a thread's entry, made where there was none; mu is held.
func (s *Store) thread(t id.Thread) *thread {
	v := s.threads[t]
	if v == nil {
		v = &thread{row: store.Thread{ID: t}}
		s.threads[t] = v
	}
	return v
}

func (s *Store) listDirect(t *thread, m *store.Message) {
	t.listed = true
	t.row.A, t.row.B, t.row.Created = m.Sender, m.Receiver, m.Sent
	if bytes.Compare(t.row.A.ID[:], t.row.B.ID[:]) > 0 {
		t.row.A, t.row.B = t.row.B, t.row.A
	}
	for _, u := range [...]id.User{t.row.A, t.row.B} {
		if s.directs[u] == nil {
			s.directs[u] = map[id.Thread]struct{}{}
		}
		s.directs[u][t.row.ID] = struct{}{}
	}
}

// After gives the messages above after.
func (l *Log) After(_ context.Context, t id.Thread, after uint64, limit int) ([]store.Message, error) {
	l.s.mu.RLock()
	defer l.s.mu.RUnlock()
	v := l.s.threads[t]
	if v == nil || after >= uint64(len(v.messages)) {
		return nil, nil
	}
	var page []store.Message
	size := 0
	for i := after; i < uint64(len(v.messages)) && len(page) < limit; i++ {
		size += bodyBytes(&v.messages[i])
		if size > pageBytes && len(page) > 0 {
			break
		}
		page = append(page, clone(&v.messages[i]))
	}
	return page, nil
}

// Before gives the newest messages below before.
func (l *Log) Before(_ context.Context, t id.Thread, before uint64, limit int) ([]store.Message, error) {
	l.s.mu.RLock()
	defer l.s.mu.RUnlock()
	v := l.s.threads[t]
	if v == nil {
		return nil, nil
	}
	end := uint64(len(v.messages))
	if before > 0 {
		end = min(end, before-1)
	}
	var page []store.Message
	size := 0
	for i := end; i > 0 && len(page) < limit; i-- {
		size += bodyBytes(&v.messages[i-1])
		if size > pageBytes && len(page) > 0 {
			break
		}
		page = append(page, clone(&v.messages[i-1]))
	}
	slices.Reverse(page)
	return page, nil
}

// Head is the newest seq.
func (l *Log) Head(_ context.Context, t id.Thread) (uint64, error) {
	l.s.mu.RLock()
	defer l.s.mu.RUnlock()
	if v := l.s.threads[t]; v != nil {
		return uint64(len(v.messages)), nil
	}
	return 0, nil
}

// Find looks a message up by its id.
func (l *Log) Find(_ context.Context, m id.Message) (store.Message, error) {
	l.s.mu.RLock()
	defer l.s.mu.RUnlock()
	at, ok := l.s.messages[m]
	if !ok {
		return store.Message{}, store.ErrNotFound
	}
	return clone(&l.s.threads[at.thread].messages[at.seq-1]), nil
}

func bodyBytes(m *store.Message) int {
	n := len(m.Content) + len(m.Encrypted) + len(m.ClientID) + len(m.Language) + 128
	for _, u := range m.MediaURLs {
		n += len(u)
	}
	return n
}

func clone(m *store.Message) store.Message {
	c := *m
	c.Content, c.Encrypted = bytes.Clone(m.Content), bytes.Clone(m.Encrypted)
	c.ClientID, c.Language = bytes.Clone(m.ClientID), bytes.Clone(m.Language)
	c.MediaURLs = slices.Clone(m.MediaURLs)
	for i, u := range c.MediaURLs {
		c.MediaURLs[i] = bytes.Clone(u)
	}
	return c
}
