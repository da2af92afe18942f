// Package offheap keeps large pointer-free arrays outside the Go heap, where the garbage collector does
// not scan them and where they do not raise its next target: a table of 100 MiB would otherwise let
// garbage pile up to another 100 MiB. Small arrays stay in the heap, since a mapping is whole pages.
package offheap

import (
	"syscall"
	"unsafe"
)

// threshold is the size in bytes from which an array is mapped: below it the rounding to pages and the
// mapping itself cost more than they save.
const threshold = 16 << 10

// Slice is an array of Ts, all zero at first. T must not contain pointers: the collector does not see
// them here. The zero Slice is empty.
type Slice[T any] struct {
	Items  []T
	mapped bool
}

// Make gives a Slice of n Ts. When the system refuses a mapping it comes from the heap.
func Make[T any](n int) Slice[T] {
	var t T
	size := uintptr(n) * unsafe.Sizeof(t)
	if size < threshold {
		return Slice[T]{Items: make([]T, n)}
	}
	b, err := syscall.Mmap(-1, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return Slice[T]{Items: make([]T, n)}
	}
	return Slice[T]{Items: unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n), mapped: true}
}

// Free gives the memory back and empties s. Nothing may refer to the items any more.
func (s *Slice[T]) Free() {
	if s.mapped {
		var t T
		b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s.Items))), uintptr(len(s.Items))*unsafe.Sizeof(t))
		if err := syscall.Munmap(b); err != nil {
			panic("offheap: munmap: " + err.Error()) // only possible when the bounds were overwritten
		}
	}
	*s = Slice[T]{}
}
