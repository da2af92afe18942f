package pebble

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// thread is what memory knows of one thread's log. It is there while something of the thread is on its
// way, and after that until room is needed; then the last key of the thread tells the same.
type thread struct {
	id      id.Thread
	next    atomic.Uint64 // the newest seq that was given out; written by the committer
	durable atomic.Uint64 // the newest seq that readers are shown; written by the syncer
	marked  atomic.Bool   // a lagging row names it, see recency.go

	done uint64 // the newest seq whose Done has returned; owned by the syncer

	// Guarded by the shard's mu.
	pins    int            // things on their way that need it to stay
	used    bool           // since eviction last looked at it
	dirty   bool           // it is in the shard's dirty list
	sent    int64          // when the newest durable message was sent
	newest  uint64         // its place in the window
	unfiled []unfiledValue // what the tables do not have yet; it is pinned once while there is something
}

// shard is the threads of one committer. Its lock is never held across a read of the disk, a sync or a
// call out.
type shard struct {
	s     *Store
	limit int

	mu        sync.RWMutex
	threads   map[id.Thread]*thread
	evictions uint64
	window    window
	dirty     []*thread // whose recency is to be flushed; each has dirty set
	synced    uint64    // lagging rows up to this number are of durable messages
	published uint64    // rows of the journal up to this number are durable
	growing   *unfiled  // what was written since the last seal
	filing    *unfiled  // what is being filed; nil = nothing
	spare     *unfiled  // an empty one, while filing is nil
	sealSoon  bool      // with the next group, whatever its size
}

// acquire gives a thread's state and pins it, reading the thread's head from the store where it must.
//
// A thread that is absent has nothing on its way: so what an iterator sees that is made while it is
// absent, under the lock, is durable. It may be loaded, written to and evicted while the iterator reads;
// then evictions has moved, and the head is read again.
func (h *shard) acquire(t id.Thread) (*thread, error) {
	for {
		h.mu.Lock()
		if th := h.threads[t]; th != nil {
			th.pins++
			th.used = true
			h.mu.Unlock()
			return th, nil
		}
		seen := h.evictions
		it, err := h.s.tail(t)
		h.mu.Unlock()
		if err != nil {
			return nil, err
		}
		th := &thread{id: t, pins: 1, used: true}
		m, err := last(it, t)
		if err != nil {
			return nil, err
		}
		h.s.metrics.loaded.Inc()
		if f := h.s.cfg.faults.loading; f != nil {
			f()
		}
		th.next.Store(m.Seq)
		th.durable.Store(m.Seq)
		th.done, th.sent = m.Seq, m.Sent
		h.mu.Lock()
		if other := h.threads[t]; other != nil {
			th = other
			th.pins++
		} else if h.evictions != seen {
			h.mu.Unlock()
			continue
		} else {
			h.evict()
			h.threads[t] = th
		}
		h.mu.Unlock()
		return th, nil
	}
}

// evict makes room for one more. It looks at a few states from a random place on, and drops one that
// nothing needs and that was not used since it was last looked at. Where all are needed the map grows past
// its limit, by what the queues hold at most. mu is held.
func (h *shard) evict() {
	if len(h.threads) < h.limit {
		return
	}
	looked := 0
	for k, th := range h.threads {
		if th.pins == 0 && !th.dirty {
			if !th.used {
				delete(h.threads, k)
				h.evictions++
				h.s.metrics.evicted.Inc()
				return
			}
			th.used = false
		}
		if looked++; looked >= 32 {
			return
		}
	}
}

// unpin lets go of an acquired state.
func (h *shard) unpin(th *thread) {
	h.mu.Lock()
	th.pins--
	h.mu.Unlock()
}

// head gives the durable head, and calls see, if there is one, while neither the window nor what is unfiled can
// change. Where the thread is not in memory it gives an iterator on its
// durable tail instead, which the caller closes.
func (h *shard) head(t id.Thread, see func(th *thread, durable uint64)) (durable uint64, it *pebble.Iterator, err error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if th := h.threads[t]; th != nil {
		durable = h.s.clip(th)
		if see != nil {
			see(th, durable)
		}
		return durable, nil, nil
	}
	it, err = h.s.tail(t)
	return 0, it, err
}

// clip is the thread's durable head, unless a test wants to see what happens without it.
func (s *Store) clip(th *thread) uint64 {
	if s.cfg.faults.clipOff {
		return 1<<64 - 2
	}
	return th.durable.Load()
}

// tail makes an iterator over a thread's messages. It is cheap; what is expensive is to position it.
func (s *Store) tail(t id.Thread) (*pebble.Iterator, error) {
	return s.db.NewIter(&pebble.IterOptions{LowerBound: messageKey(t, 0), UpperBound: afterThread(t)})
}

// afterThread is the first key above all messages of t; no message has the highest seq.
func afterThread(t id.Thread) []byte { return messageKey(t, 1<<64-1) }

// last reads the newest message at the end of it, zero where there is none, and closes it. The message's
// slices belong to the caller.
func last(it *pebble.Iterator, t id.Thread) (m store.Message, err error) {
	defer func() { err = errors.Join(err, it.Close()) }()
	if !it.Last() {
		return m, it.Error()
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return m, err
	}
	if err := decodeMessage(&m, t, seqOf(it.Key()), append([]byte(nil), value...)); err != nil {
		return m, fmt.Errorf("read a thread's last message: %w", err)
	}
	return m, nil
}
