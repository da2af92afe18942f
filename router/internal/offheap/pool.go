package offheap

import "unsafe"

// chunkBytes is about the size of a Pool's chunks. They never move.
const chunkBytes = 32 << 10

// Pool hands out Ts by index, from chunks that never move, so that growth copies nothing and costs at
// most one chunk too much. T contains no pointers and begins with a uint32, which links the items that
// are free. Indices start at 1: 0 can say "none". Not safe for concurrent use. The zero Pool is empty.
type Pool[T any] struct {
	chunks []Slice[T]
	free   uint32 // the first free item
	next   uint32 // the first index that was never used
	live   int
}

// Len is the number of items in use.
func (p *Pool[T]) Len() int { return p.live }

// At is the item with an index that New gave.
func (p *Pool[T]) At(i uint32) *T {
	per := perChunk[T]()
	return &p.chunks[i/per].Items[i%per]
}

// New gives the index of a zero item.
func (p *Pool[T]) New() uint32 {
	p.live++
	if i := p.free; i != 0 {
		t := p.At(i)
		p.free = *(*uint32)(unsafe.Pointer(t))
		*t = *new(T)
		return i
	}
	if p.next == 0 {
		p.next = 1
	}
	i := p.next
	p.next++
	if int(i/perChunk[T]()) == len(p.chunks) {
		p.chunks = append(p.chunks, Make[T](int(perChunk[T]())))
	}
	return i
}

// Free takes an item back. When none is left all memory is given back.
func (p *Pool[T]) Free(i uint32) {
	if p.live--; p.live == 0 {
		for k := range p.chunks {
			p.chunks[k].Free()
		}
		*p = Pool[T]{}
		return
	}
	*(*uint32)(unsafe.Pointer(p.At(i))) = p.free
	p.free = i
}

// perChunk is a power of two, so that the compiler makes shifts of the divisions where it knows T.
func perChunk[T any]() uint32 {
	var t T
	n := uint32(1)
	for uintptr(2*n)*unsafe.Sizeof(t) <= chunkBytes {
		n *= 2
	}
	return n
}

// Bytes is the memory that the Pool has.
func (p *Pool[T]) Bytes() int {
	var t T
	return len(p.chunks) * int(perChunk[T]()) * int(unsafe.Sizeof(t))
}
