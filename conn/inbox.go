package conn

import (
	"sync"
	"sync/atomic"

	"github.com/tolkflip/tolkflip/router"
)

// item is one thing that another goroutine wants done on a loop: a frame for a connection, or an operation.
type item struct {
	conn  router.Conn
	frame *frame    // one reference
	do    operation // nil: deliver frame to conn
}

// operation is everything that is not a plain delivery. apply runs on the loop that the item went to; c
// may name a connection that is gone.
type operation interface {
	apply(l *loop, c router.Conn, f *frame)
}

// inbox is what other goroutines have for a loop, in the order in which they put it in. The loop takes
// all of it at once. The doorbell is rung only by the first who finds it not armed, so a busy loop is
// not woken again for what it will see anyway.
type inbox struct {
	mu struct {
		sync.Mutex
		items  []item
		bytes  int  // of the frames of droppable items
		armed  bool // the doorbell was rung and the pass that answers it has not ended
		closed bool
	}
	depth   atomic.Int64 // items, for the metrics
	ringers atomic.Int32 // goroutines that were told to ring and have not yet
}

// verdict is what became of a push.
type verdict uint8

const (
	putBehind verdict = iota
	putFirst
	putFull
	putClosed
)

// put adds deliveries unless they are over the budget. putFirst: the caller must ring the doorbell.
func (b *inbox) put(items []item, bytes, maxItems, maxBytes int) verdict {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.mu.closed:
		return putClosed
	case len(b.mu.items)+len(items) > maxItems && len(b.mu.items) > 0, b.mu.bytes+bytes > maxBytes && b.mu.bytes > 0:
		return putFull
	}
	b.mu.items = append(b.mu.items, items...)
	b.mu.bytes += bytes
	return b.arm()
}

// must adds an item whatever the budget: operations and answers, of which a connection has a bounded
// number under way.
func (b *inbox) must(it item) verdict {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.closed {
		return putClosed
	}
	b.mu.items = append(b.mu.items, it)
	return b.arm()
}

// note adds an item that may wait for the next pass, at the latest the next tick's.
func (b *inbox) note(it item) verdict {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.closed {
		return putClosed
	}
	b.mu.items = append(b.mu.items, it)
	return putBehind
}

func (b *inbox) arm() verdict {
	if b.mu.armed {
		return putBehind
	}
	b.mu.armed = true
	b.ringers.Add(1)
	return putFirst
}

// take gives the loop all items and leaves it spare's memory.
func (b *inbox) take(spare []item) []item {
	b.mu.Lock()
	defer b.mu.Unlock()
	items := b.mu.items
	b.mu.items, b.mu.bytes = spare[:0], 0
	b.depth.Store(int64(len(items)))
	return items
}

// rest ends a pass. With more work to do, or items that came meanwhile, the doorbell stays armed and the
// loop must ring it itself.
func (b *inbox) rest(more bool) (ring bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.armed = more || len(b.mu.items) > 0
	return b.mu.armed
}

// close refuses everything from now on and gives what is left.
func (b *inbox) close() []item {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.closed = true
	items := b.mu.items
	b.mu.items = nil
	return items
}
