package scenario

// bitmap is a growing set of small numbers.
type bitmap []uint64

// add puts n in and reports whether it was there already.
func (b *bitmap) add(n int) (was bool) {
	for n>>6 >= len(*b) {
		*b = append(*b, 0)
	}
	bit := uint64(1) << (n & 63)
	was = (*b)[n>>6]&bit != 0
	(*b)[n>>6] |= bit
	return was
}

// reset empties it and keeps the memory.
func (b *bitmap) reset() {
	clear(*b)
	*b = (*b)[:0]
}

// receipts checks what comes back of numbers 0, 1, 2, …: each once, in order.
type receipts struct {
	seen    bitmap
	next    int
	Count   int64 // different ones
	Doubled int64
	Late    int64 // came after a higher one
}

func (r *receipts) add(n int) {
	if r.seen.add(n) {
		r.Doubled++
		return
	}
	r.Count++
	if n < r.next {
		r.Late++
		return
	}
	r.next = n + 1
}

func (r *receipts) reset() {
	seen := r.seen
	seen.reset()
	*r = receipts{seen: seen}
}

// line checks a thread's seq on one connection: dense and rising from the first that is seen.
type line struct {
	last    uint64
	Gaps    int64 // numbers that were skipped
	Rewound int64 // numbers at or below one that was seen
}

func (l *line) add(seq uint64) {
	switch {
	case seq == 0: // the server numbers nothing
	case l.last == 0 || seq == l.last+1:
		l.last = seq
	case seq > l.last:
		l.Gaps += int64(seq - l.last - 1)
		l.last = seq
	default:
		l.Rewound++
	}
}
