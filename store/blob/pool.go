package blob

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/store"
)

// blockBytes is what an upload takes from the pool at a time. A picture of 300 KiB holds two of them, not a
// whole part.
const blockBytes = 256 << 10

// pool lends the memory of the parts of all uploads, in blocks. It lies outside the heap, so that it
// neither doubles under the garbage collector nor stays resident when nothing is uploaded.
//
// A part is one lease, which grows as its bytes arrive and is given back when the part is stored. Leases
// that wait for each other could all be left without the rest of their part, so a block is lent only where
// afterwards the lease that lacks least could still be completed from what is free. That one then ends and
// gives back at least what any other lacks. Within this rule who waits longest is served first.
type pool struct {
	partBlocks int
	waits      prometheus.Counter

	mu      sync.Mutex
	memory  []byte   // nil after unmap
	free    [][]byte // blocks, the last given back first
	total   int
	high    int   // most blocks that were lent at once
	holding []int // leases by how many blocks they hold
	queue   []*waiter
	closed  bool
}

type waiter struct {
	lease   *lease
	granted chan struct{}
}

func newPool(bytes, partBytes int, waits prometheus.Counter) (*pool, error) {
	total := bytes / blockBytes
	memory, err := syscall.Mmap(-1, 0, total*blockBytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("reserve memory for uploads: %w", err)
	}
	p := &pool{partBlocks: partBytes / blockBytes, waits: waits, memory: memory, total: total}
	p.holding = make([]int, p.partBlocks+1)
	for b := range slices.Chunk(memory, blockBytes) {
		p.free = append(p.free, b)
	}
	slices.Reverse(p.free) // low addresses first, so that few uploads touch few pages
	return p, nil
}

// close unmaps the memory once nothing is lent any more.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.idle()
}

// idle gives memory back to the system when nothing is lent.
func (p *pool) idle() {
	switch {
	case len(p.free) < p.total || p.memory == nil:
	case p.closed:
		_ = syscall.Munmap(p.memory) // of a mapping of ours, whole
		p.memory, p.free = nil, nil
	default:
		_ = syscall.Madvise(p.memory, syscall.MADV_DONTNEED) // where it fails the pages stay
	}
}

// lent gives the bytes that are lent, now and at most.
func (p *pool) lent() (now, high int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.memory == nil {
		return 0, p.high * blockBytes
	}
	return (p.total - len(p.free)) * blockBytes, p.high * blockBytes
}

// lends gives l another block where that is safe.
func (p *pool) lends(l *lease) bool {
	if len(p.free) == 0 || p.closed {
		return false
	}
	held := len(l.blocks)
	p.move(held, held+1)
	if !p.completes(len(p.free) - 1) {
		p.move(held+1, held)
		return false
	}
	last := len(p.free) - 1
	l.blocks = append(l.blocks, p.free[last])
	p.free = p.free[:last]
	p.high = max(p.high, p.total-len(p.free))
	return true
}

func (p *pool) move(from, to int) {
	if from > 0 {
		p.holding[from]--
	}
	if to > 0 {
		p.holding[to]++
	}
}

// completes reports whether the lease that lacks least can be completed from free blocks.
func (p *pool) completes(free int) bool {
	for held := p.partBlocks; held > 0; held-- {
		if p.holding[held] > 0 {
			return p.partBlocks-held <= free
		}
	}
	return true
}

// serve lends to those who wait, the longest first.
func (p *pool) serve() {
	p.queue = slices.DeleteFunc(p.queue, func(w *waiter) bool {
		ok := p.lends(w.lease)
		if ok {
			close(w.granted)
		}
		return ok
	})
}

// crowded reports whether somebody waits.
func (p *pool) crowded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue) > 0
}

// lease is the memory of one part. It is used by one goroutine.
type lease struct {
	p      *pool
	blocks [][]byte // guarded by p.mu while growing
	n      int      // bytes in them
}

// grow waits for another block.
func (l *lease) grow(ctx context.Context) error {
	p := l.p
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return store.ErrClosed
	}
	if p.lends(l) {
		p.mu.Unlock()
		return nil
	}
	w := &waiter{l, make(chan struct{})}
	p.queue = append(p.queue, w)
	p.mu.Unlock()
	p.waits.Inc()
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = slices.DeleteFunc(p.queue, func(o *waiter) bool { return o == w })
	return context.Cause(ctx) // a block that was lent in between goes back with the others
}

// release gives all blocks back. The lease can be used again.
func (l *lease) release() {
	if len(l.blocks) == 0 {
		return
	}
	p := l.p
	p.mu.Lock()
	defer p.mu.Unlock()
	p.move(len(l.blocks), 0)
	p.free = append(p.free, l.blocks...)
	clear(l.blocks)
	l.blocks, l.n = l.blocks[:0], 0
	p.serve()
	p.idle()
}

// room is the part of the last block that holds nothing yet; empty where another is needed.
func (l *lease) room() []byte {
	if l.n == len(l.blocks)*blockBytes {
		return nil
	}
	return l.blocks[l.n/blockBytes][l.n%blockBytes:]
}

// full reports whether the lease holds a whole part.
func (l *lease) full() bool { return l.n == l.p.partBlocks*blockBytes }

// pieces calls f with the bytes in order.
func (l *lease) pieces(f func([]byte)) {
	left := l.n
	for _, b := range l.blocks {
		b = b[:min(left, blockBytes)]
		left -= len(b)
		f(b)
	}
}

// reader gives the bytes of a lease, as often as they are wanted.
type reader struct {
	l  *lease
	at int
}

func (r *reader) Read(b []byte) (int, error) {
	if r.at >= r.l.n {
		return 0, io.EOF
	}
	block := r.l.blocks[r.at/blockBytes]
	from := r.at % blockBytes
	n := copy(b, block[from:min(blockBytes, from+r.l.n-r.at)])
	r.at += n
	return n, nil
}

// Seek goes to an offset from the start: it is called to begin again.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekStart || offset < 0 || offset > int64(r.l.n) {
		return 0, fmt.Errorf("blob: seek to %d from %d", offset, whence)
	}
	r.at = int(offset)
	return offset, nil
}
