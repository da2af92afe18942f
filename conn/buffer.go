package conn

import (
	"math/bits"
	"sync"
	"unsafe"
)

// The size classes of pooled memory: powers of two from 512 B to 2 MiB, which holds the longest message
// with its header and one read behind it. What is larger is made and left to the collector.
const (
	minClass   = 9
	maxClass   = 21
	numClasses = maxClass - minClass + 1
)

// classFor is the smallest class that holds n bytes, or numClasses when none does.
func classFor(n int) int {
	if n <= 1<<minClass {
		return 0
	}
	return min(bits.Len(uint(n-1))-minClass, numClasses)
}

// classOf is the class whose buffers have exactly this capacity, or numClasses.
func classOf(capacity int) int {
	c := classFor(capacity)
	if c < numClasses && capacity == 1<<(minClass+c) {
		return c
	}
	return numClasses
}

// buffers lends byte slices for what only a busy connection has: incomplete input, the fragments of a
// message, mailboxes. Any goroutine may use it.
type buffers struct {
	classes [numClasses]sync.Pool // of *byte: the first byte of an array of the class's size
}

// get gives an empty slice with room for n bytes.
func (p *buffers) get(n int) []byte {
	c := classFor(n)
	if c == numClasses {
		return make([]byte, 0, n)
	}
	size := 1 << (minClass + c)
	if first, ok := p.classes[c].Get().(*byte); ok {
		return unsafe.Slice(first, size)[:0]
	}
	return make([]byte, 0, size)
}

// put takes back what get gave. b must not be used any more; nil is fine.
func (p *buffers) put(b []byte) {
	if c := classOf(cap(b)); c < numClasses {
		p.classes[c].Put(unsafe.SliceData(b[:cap(b)]))
	}
}

// add appends more to b, which get gave or is nil, and gives the old memory back when b has to move.
func (p *buffers) add(b, more []byte) []byte {
	if need := len(b) + len(more); need > cap(b) {
		grown := append(p.get(need), b...)
		p.put(b)
		b = grown
	}
	return append(b, more...)
}
