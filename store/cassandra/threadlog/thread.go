package threadlog

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// thread is what memory knows of one thread. It is there while something of it is on its way and after
// that until room is needed; then rows tell the same.
type thread struct {
	id    id.Thread
	slot  uint8
	shard *shard
	pins  atomic.Int32 // callers that hold it; goes up under the shard's lock only
	used  atomic.Bool  // since eviction last looked at it

	mu sync.Mutex
	// Guarded by mu.
	queue   fifo[item] // what waits for a turn
	entries int        // in queue
	busy    bool       // a turn is under way, which owns what is below
	stuck   bool       // its senders were told to come again, and so is who comes now
	active  bool       // head and all below it are known
	gone    bool       // not in the shard's map any more, and nothing is to come of it
	head    uint64     // the newest durable seq
	newest  uint64     // its place in the ring
	readers []*reader

	indexed  uint64      // the static, as it was last acked
	tail     []unindexed // what is acked and not forgotten: leaving of them, then those above indexed
	leaving  int         // of tail: at or below indexed, they leave memory when no turn is under way
	known    int         // of tail after leaving: in message_ids, indexed has not moved yet
	lag      int         // bytes of what is above indexed
	listed   bool        // the indexer has it, or is at it
	indexing bool        // the indexer is at it
	hinting  bool        // last_bucket is to be written, or being

	dirty bool // its newest message is to be told to Config.Recent
	last  lastMessage

	// Owned by the turn.
	epoch   uint32
	start   uint64 // where head stood when it became active
	turn    *turn
	act     *activation
	fails   int  // of the same thing, one after the other
	unknown bool // it counts against the budget of unknown outcomes
}

// unindexed is a message whose id may not be in message_ids.
type unindexed struct {
	Place
	bytes int
}

// item is what waits for a turn: an entry or a mark.
type item struct {
	entry *store.Entry
	mark  func(head uint64)
}

// reader waits until its thread is active.
type reader struct {
	done chan struct{}
	err  error // before done is closed
}

// shard is a part of the threads. Its lock comes before a thread's, and is never held across a call out.
type shard struct {
	l     *Log
	limit int

	mu      sync.Mutex
	threads map[id.Thread]*thread
	order   []*thread // all of threads; eviction goes round
	hand    int
}

const shardCount = 32

// acquire gives a thread and pins it.
func (l *Log) acquire(t id.Thread) *thread {
	h := &l.shards[t.ID[14]%shardCount]
	h.mu.Lock()
	defer h.mu.Unlock()
	th := h.threads[t]
	if th == nil {
		h.evict()
		if h.threads == nil {
			h.threads = map[id.Thread]*thread{}
		}
		th = &thread{id: t, slot: uint8(SlotOf(t)), shard: h}
		h.threads[t] = th
		h.order = append(h.order, th)
	}
	th.pins.Add(1)
	th.used.Store(true)
	return th
}

func (th *thread) unpin() { th.pins.Add(-1) }

// evict makes room. It looks at a few threads on from where it last stood, and drops the first that nothing
// needs and that was not used since it was last looked at. Where all are needed the map grows past its
// limit, by what is on its way at most. mu is held.
func (h *shard) evict() {
	if len(h.order) < h.limit {
		return
	}
	for range min(32, len(h.order)) {
		if h.hand >= len(h.order) {
			h.hand = 0
		}
		th := h.order[h.hand]
		if th.pins.Load() > 0 || th.used.Swap(false) || !th.rest() {
			h.hand++
			continue
		}
		h.remove(h.hand)
		h.l.metrics.evicted.Inc()
		return
	}
}

// rest ends an idle thread, and reports whether it is one.
func (th *thread) rest() bool {
	th.mu.Lock()
	defer th.mu.Unlock()
	if th.busy || th.queue.len() > 0 || len(th.tail) > 0 || th.listed || th.hinting || th.dirty {
		return false
	}
	th.gone = true
	return true
}

// forget takes th out of the map. mu is held.
func (h *shard) forget(th *thread) {
	if h.threads[th.id] == th {
		h.remove(slices.Index(h.order, th))
	}
}

// remove takes the i-th thread out. mu is held.
func (h *shard) remove(i int) {
	delete(h.threads, h.order[i].id)
	last := len(h.order) - 1
	h.order[i] = h.order[last]
	h.order[last] = nil
	h.order = h.order[:last]
}

// schedule begins a turn where there is something to do and nothing under way. mu is held.
func (l *Log) schedule(th *thread) {
	if th.busy || th.gone || !th.due(l) {
		return
	}
	th.busy = true
	l.alive(1)
	l.run.push(job{(*Log).begin, th})
}

// due reports whether a turn has something to do. mu is held.
func (th *thread) due(l *Log) bool {
	if !th.active {
		return th.queue.len() > 0 || len(th.readers) > 0
	}
	if th.queue.len() == 0 {
		return false
	}
	if th.queue.at(0).entry != nil && th.mustWait(l) {
		l.indexSoon(th)
		return false
	}
	return true
}

// mustWait reports whether ids have to be written before the next message. mu is held.
func (th *thread) mustWait(l *Log) bool {
	if !l.faults.openEarly && th.head > th.indexed && th.head == l.shape.bucketEnd(l.shape.bucketOf(th.head)) {
		return true
	}
	return !l.faults.noLag && (th.head-th.indexed >= uint64(l.shape.lagItems) || th.lag >= l.shape.lagBytes)
}
