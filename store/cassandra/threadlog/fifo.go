package threadlog

// fifo is a queue in a ring that grows as it must, and is given up when it is empty again after it was
// large. The zero value is empty.
type fifo[T any] struct {
	ring  []T // a power of two
	first int
	n     int
}

// fifoKeep is the capacity up to which an empty queue keeps its memory.
const fifoKeep = 64

func (q *fifo[T]) len() int { return q.n }

// at is the i-th of what waits; i is below len.
func (q *fifo[T]) at(i int) *T { return &q.ring[(q.first+i)&(len(q.ring)-1)] }

func (q *fifo[T]) push(v T) {
	if q.n == len(q.ring) {
		ring := make([]T, max(4, 2*q.n))
		k := copy(ring, q.ring[q.first:])
		copy(ring[k:], q.ring[:q.first])
		q.ring, q.first = ring, 0
	}
	q.n++
	*q.at(q.n - 1) = v
}

// pop takes the first; there is one.
func (q *fifo[T]) pop() T {
	var none T
	p := q.at(0)
	v := *p
	*p = none
	q.first = (q.first + 1) & (len(q.ring) - 1)
	q.n--
	if q.n == 0 && len(q.ring) > fifoKeep {
		*q = fifo[T]{}
	}
	return v
}
