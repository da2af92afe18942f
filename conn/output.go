package conn

import (
	"golang.org/x/sys/unix"

	"github.com/tolkflip/tolkflip/proto/ws"
)

// busy is the side of a connection, which gets one if it has none.
func (l *loop) busy(s *slot) *side {
	if s.side != 0 {
		return l.sides.all[s.side]
	}
	d := l.sides.lend()
	s.side = d.index
	return d
}

// rest takes the side of a connection back when nothing waits any more.
func (l *loop) rest(s *slot, d *side) {
	if d.idle() {
		s.side = 0
		l.sides.takeBack(d)
	}
}

// enqueue puts a frame, with its reference, into a connection's outbound list and marks it for the next
// flush. past lets a live message pass the holds. Over the budget the connection is given one chance to
// take what waits, and then ends.
func (l *loop) enqueue(fd int, s *slot, f *frame, past bool) {
	d := l.busy(s)
	if f.live && d.resume != nil && !past && d.resume.keep(l, f) {
		return
	}
	d.push(f)
	if d.size > l.server.config.OutboundBytes {
		key := s.key.Load()
		if !s.has(wantWrite) {
			l.flush(fd, s)
		}
		if s.key.Load() == key && s.side != 0 && l.sides.all[s.side].size > l.server.config.OutboundBytes {
			l.slow(fd, s)
		}
		return
	}
	l.soil(fd, s, d, f.bulk)
}

// push adds a frame to the outbound list.
func (d *side) push(f *frame) {
	if len(d.out) == cap(d.out) && d.head > 0 {
		n := copy(d.out, d.out[d.head:])
		clear(d.out[n:])
		d.out, d.head = d.out[:n], 0
	}
	d.out = append(d.out, f)
	d.size += len(f.bytes)
}

// line is the descriptors of connections with output that nobody tried to write yet, in order. A
// connection has one place at most: when it is written to out of its turn it keeps the place, and what
// comes for it meanwhile is written then.
type line struct {
	in   flags // that a slot has while it has a place
	fds  []int32
	head int // first that was not looked at
}

func (q *line) empty() bool { return q.head == len(q.fds) }

func (q *line) push(fd int, s *slot) {
	if !s.has(q.in) {
		s.flags |= q.in
		q.fds = append(q.fds, int32(fd))
	}
}

func (q *line) pop() int {
	fd := int(q.fds[q.head])
	q.head++
	switch {
	case q.empty():
		q.fds, q.head = q.fds[:0], 0
	case q.head > 1024 && q.head > len(q.fds)/2:
		q.fds = q.fds[:copy(q.fds, q.fds[q.head:])]
		q.head = 0
	}
	return fd
}

// soil marks a connection for the next flush: in front, unless all that waits for it came to many others
// as well. An answer does not queue behind thousands of copies of a broadcast.
func (l *loop) soil(fd int, s *slot, d *side, bulk bool) {
	switch {
	case s.has(wantWrite) || d.urgent || bulk && d.dirty:
	case bulk:
		d.dirty = true
		l.dirty.push(fd, s)
	default:
		d.urgent = true
		l.urgent.push(fd, s)
	}
}

// flushDirty writes to a bounded number of connections and, but for the last one's, bytesAPass, those in
// front first. Some of the others get their turn in any case.
func (l *loop) flushDirty() {
	written := &l.stats.bytesOut
	until := written.value() + bytesAPass
	n := l.flushLine(&l.urgent, answersAPass, until)
	l.flushLine(&l.dirty, max(copiesAtLeast, copiesAPass-n), max(until, written.value()+bytesAPass/4))
}

// flushLine writes to at most n connections of a line, and to no further one when the loop has written as
// many bytes as until says. It gives the number of those that it wrote to.
func (l *loop) flushLine(q *line, n int, until int64) (flushed int) {
	for looks := 0; flushed < n && looks < looksAPass && !q.empty() && l.stats.bytesOut.value() < until; looks++ {
		if l.flushNext(q) {
			flushed++
		}
	}
	return flushed
}

// flushNext writes to the first connection of a line, and reports whether there was something to write.
// The descriptor may have become another connection's meanwhile, or was written to out of its turn.
func (l *loop) flushNext(q *line) bool {
	fd := q.pop()
	s := l.slots.at(fd)
	key := s.key.Load()
	if key&0xff != l.mark {
		return false
	}
	s.flags &^= q.in
	if s.side == 0 || !l.sides.all[s.side].marked() {
		return false
	}
	defer l.guard(fd, key)
	l.flush(fd, s)
	return true
}

// flush writes what waits until the kernel's buffer is full. Afterwards the connection may be closed, and
// its side given back.
func (l *loop) flush(fd int, s *slot) {
	d := l.sides.all[s.side]
	d.dirty, d.urgent = false, false
	for d.size > 0 {
		b := d.out[d.head].bytes[d.off:]
		if d.head+1 < len(d.out) && len(b) < mergeBelow {
			b = l.merge(d, b)
		}
		n, errno := writeNow(fd, b)
		if errno == unix.EINTR {
			continue
		}
		l.stats.writes.add(1)
		if errno != 0 && errno != unix.EAGAIN {
			l.drop(fd, s, closedByError)
			return
		}
		if n > 0 {
			if s.has(wantWrite) { // there is room because the peer took something
				s.last = l.now
			}
			l.sent(d, n)
		}
		if n < len(b) {
			if !l.watch(fd, s, s.flags|wantWrite) {
				return
			}
			break
		}
	}
	if d.size == 0 {
		if s.has(wantWrite) && !l.watch(fd, s, s.flags&^wantWrite) {
			return
		}
		if s.has(isClosing) && !l.said(fd, s) {
			return
		}
	}
	if d.resume != nil {
		d.resume.feed(d.size)
	}
	if d.size == 0 {
		l.rest(s, d)
	}
}

// merge copies small frames behind each other, so that they are one write.
func (l *loop) merge(d *side, first []byte) []byte {
	out := append(l.scratch[:0], first...)
	for _, f := range d.out[d.head+1:] {
		if len(f.bytes) >= mergeBelow || len(out)+len(f.bytes) > mergeBytes {
			break
		}
		out = append(out, f.bytes...)
	}
	return out
}

// sent takes n written bytes off the outbound list.
func (l *loop) sent(d *side, n int) {
	d.size -= n
	l.stats.bytesOut.add(int64(n))
	done := int64(0)
	for n > 0 {
		f := d.out[d.head]
		left := len(f.bytes) - d.off
		if n < left {
			d.off += n
			break
		}
		n -= left
		d.out[d.head] = nil
		d.off = 0
		d.head++
		done++
		l.server.frames.release(f, 1)
	}
	l.stats.framesOut.add(done)
	if d.head == len(d.out) {
		d.out, d.head = d.out[:0], 0
	}
}

// write sends a few bytes of our own at once when nothing waits, else behind what does.
func (l *loop) write(fd int, s *slot, b []byte) {
	if s.side == 0 || l.sides.all[s.side].size == 0 {
		n, errno := writeNow(fd, b)
		l.stats.writes.add(1)
		if errno != 0 && errno != unix.EAGAIN && errno != unix.EINTR {
			l.drop(fd, s, closedByError)
			return
		}
		b = b[max(n, 0):]
		l.stats.bytesOut.add(int64(max(n, 0)))
		if len(b) == 0 {
			return
		}
	}
	f := l.server.frames.get(len(b))
	f.bytes = append(f.buf[:0], b...)
	if s.has(wantWrite) || s.side != 0 && l.sides.all[s.side].marked() {
		l.enqueue(fd, s, f, true)
		return
	}
	l.busy(s).push(f)
	l.watch(fd, s, s.flags|wantWrite)
}

// pong answers a ping.
func (l *loop) pong(fd int, s *slot, payload []byte) {
	var b [2 + ws.MaxControl]byte
	l.write(fd, s, ws.AppendFrame(b[:0], ws.Pong, payload))
}

// drain releases everything that waits for a connection, save the rest of a frame that has begun when
// keepBegun is set: without it the peer could not read what follows.
func (l *loop) drain(d *side, keepBegun bool) {
	keep := d.head
	if keepBegun && d.off > 0 {
		keep++
	}
	for _, f := range d.out[keep:] {
		d.size -= len(f.bytes)
		l.server.frames.release(f, 1)
	}
	clear(d.out[keep:])
	d.out = d.out[:keep]
	if keep == d.head {
		d.out, d.head, d.off, d.size = d.out[:0], 0, 0, 0
	}
}

// watch gives a connection new flags and registers it for what they say. It reports whether the connection
// lives.
func (l *loop) watch(fd int, s *slot, now flags) bool {
	was := s.flags
	s.flags = now
	if (was^now)&(wantWrite|noRead) == 0 {
		return true
	}
	l.attachment.FD = fd
	p := &l.attachment
	registered := was&(wantWrite|noRead) != noRead
	var err error
	switch now & (wantWrite | noRead) {
	case 0:
		if registered {
			err = l.poll.ModRead(p, false)
		} else {
			err = l.poll.AddRead(p, false)
		}
	case wantWrite:
		if registered {
			err = l.poll.ModReadWrite(p, false)
		} else {
			err = l.poll.AddReadWrite(p, false)
		}
	default:
		if registered {
			err = l.poll.Delete(fd)
		}
		if err == nil && now&wantWrite != 0 {
			err = l.poll.AddWrite(p, false)
		}
	}
	if err != nil {
		l.server.log.Error("register a connection with epoll", "error", err)
		l.drop(fd, s, closedByError)
		return false
	}
	return true
}
