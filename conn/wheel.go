package conn

// wheel is a loop's deadlines: a slot is in the bucket of the tick at which it must be looked at, at most
// one turn ahead. It is lazy: traffic only writes slot.last, and a slot whose deadline moved meanwhile is
// filed again when its bucket comes up. A list goes through the slots themselves, so a connection costs
// nothing beyond its slot; it is doubly linked, so that a closed connection leaves it at once and its
// slot may move to another loop.
type wheel struct {
	slots  *table
	heads  [wheelSize]int32 // slot + 1 of the first, 0 = none
	cursor uint32           // the tick whose bucket is looked at, or was last
}

const wheelSize = 1024 // ticks a turn

// link files the slot under tick due, or the nearest that the wheel has.
func (w *wheel) link(fd int, s *slot, due uint32) {
	if s.has(linked) {
		w.unlink(s)
	}
	due = max(due, w.cursor+1)
	due = min(due, w.cursor+wheelSize-1)
	head := &w.heads[due%wheelSize]
	s.bucket, s.prev, s.next = due%wheelSize, 0, *head
	if *head != 0 {
		w.slots.at(int(*head - 1)).prev = int32(fd + 1)
	}
	*head = int32(fd + 1)
	s.flags |= linked
}

// unlink takes the slot out of its bucket, if it is in one.
func (w *wheel) unlink(s *slot) {
	if !s.has(linked) {
		return
	}
	if s.prev == 0 {
		w.heads[s.bucket] = s.next
	} else {
		w.slots.at(int(s.prev - 1)).next = s.next
	}
	if s.next != 0 {
		w.slots.at(int(s.next - 1)).prev = s.prev
	}
	s.flags &^= linked
}

// pop gives a slot whose bucket has come up by tick now, or false when there is none. The slot leaves its
// bucket: whoever got it files it again or closes it.
func (w *wheel) pop(now uint32) (fd int, ok bool) {
	for {
		if head := w.heads[w.cursor%wheelSize]; head != 0 {
			fd = int(head - 1)
			w.unlink(w.slots.at(fd))
			return fd, true
		}
		if w.cursor == now {
			return 0, false
		}
		w.cursor++
	}
}
