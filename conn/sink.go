package conn

import (
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/proto/ws"
	"github.com/tolkflip/tolkflip/router"
)

var (
	_ router.Sink     = (*Server)(nil)
	_ router.Replayer = (*Server)(nil)
)

// Loops implements router.Sink.
func (s *Server) Loops() int { return len(s.loops) }

// Deliver implements router.Sink.
func (s *Server) Deliver(to []router.Conn, except router.Conn, ev proto.Event) {
	switch len(to) {
	case 0:
	case 1:
		if to[0] != except {
			s.deliver(to[0], ev)
		}
	default:
		s.deliverAll(to, except, ev)
	}
}

// deliver sends one event to one connection.
func (s *Server) deliver(c router.Conn, ev proto.Event) {
	l := s.loopOf(c)
	if l == nil {
		s.stats.dropped[dropGone].Add(1)
		return
	}
	f := s.frames.event(s.dialects[c.Dialect()], ev)
	one := [1]item{{conn: c, frame: f}}
	if !s.settle(l, l.inbox.put(one[:], len(f.bytes), s.config.InboxItems, s.config.InboxBytes), 1) {
		s.frames.release(f, 1)
	}
}

// batch is the memory of one deliverAll.
type batch struct {
	items  [][]item // by loop
	bytes  []int
	frames [maxDialects]*frame
	counts [maxDialects]int32
}

// deliverAll encodes once per dialect and locks each inbox once.
func (s *Server) deliverAll(to []router.Conn, except router.Conn, ev proto.Event) {
	b, ok := s.batches.Get().(*batch)
	if !ok {
		b = &batch{items: make([][]item, len(s.loops)), bytes: make([]int, len(s.loops))}
	}
	for _, c := range to {
		if c == except {
			continue
		}
		if s.loopOf(c) == nil {
			s.stats.dropped[dropGone].Add(1)
			continue
		}
		d := c.Dialect()
		f := b.frames[d]
		if f == nil {
			f = s.frames.event(s.dialects[d], ev)
			f.bulk = len(to) > bulkAbove
			b.frames[d] = f
		}
		b.counts[d]++
		b.items[c.Loop()] = append(b.items[c.Loop()], item{conn: c, frame: f})
		b.bytes[c.Loop()] += len(f.bytes)
	}
	for d, f := range b.frames {
		if f != nil && b.counts[d] > 1 {
			f.refs.Add(b.counts[d] - 1)
		}
	}
	for i, items := range b.items {
		if len(items) == 0 {
			continue
		}
		l := s.loops[i]
		if !s.settle(l, l.inbox.put(items, b.bytes[i], s.config.InboxItems, s.config.InboxBytes), int64(len(items))) {
			for _, it := range items {
				s.frames.release(it.frame, 1)
			}
		}
		clear(items)
		b.items[i], b.bytes[i] = items[:0], 0
	}
	b.frames, b.counts = [maxDialects]*frame{}, [maxDialects]int32{}
	s.batches.Put(b)
}

// settle rings the doorbell after a put that asks for it. It reports false when what was put in was not
// taken, and counts it.
func (s *Server) settle(l *loop, v verdict, n int64) bool {
	switch v {
	case putBehind:
	case putFirst:
		l.wake()
	case putFull:
		s.stats.dropped[dropInbox].Add(n)
		return false
	case putClosed:
		s.stats.dropped[dropGone].Add(n)
		return false
	}
	return true
}

// multicast delivers one event to a list of connections of one loop.
type multicast struct {
	server *Server
	list   []router.Conn
	except router.Conn
	frames [maxDialects]*frame // one reference each
}

func (m *multicast) apply(l *loop, _ router.Conn, _ *frame) {
	for _, f := range m.frames {
		if f != nil {
			f.refs.Add(int32(len(m.list)))
		}
	}
	l.placed += len(m.list)
	var used [maxDialects]int32
	gone := int64(0)
	for _, c := range m.list {
		if c == m.except {
			continue
		}
		s := l.find(c)
		if s == nil || s.has(isClosing) {
			gone++
			continue
		}
		d := c.Dialect()
		used[d]++
		l.enqueue(int(c.Slot()), s, m.frames[d], false)
	}
	l.stats.dropped[dropGone].add(gone)
	for d, f := range m.frames {
		if f != nil {
			m.server.frames.release(f, int32(len(m.list))-used[d]+1)
		}
	}
	m.recycle()
}

// recycle gives the operation back for the next multicast.
func (m *multicast) recycle() {
	s := m.server
	*m = multicast{}
	s.casts.Put(m)
}

// Multicast implements router.Sink.
func (s *Server) Multicast(byLoop [][]router.Conn, except router.Conn, ev proto.Event) {
	var frames [maxDialects]*frame
	many := 0
	for _, list := range byLoop {
		many += len(list)
	}
	for i, list := range byLoop {
		if len(list) == 0 || i >= len(s.loops) {
			continue
		}
		m, ok := s.casts.Get().(*multicast)
		if !ok {
			m = &multicast{}
		}
		m.server, m.list, m.except = s, list, except
		bytes := 0
		for d := range s.dialectsOf(list) {
			if frames[d] == nil {
				frames[d] = s.frames.event(s.dialects[d], ev)
				frames[d].bulk = many > bulkAbove
			}
			frames[d].refs.Add(1)
			m.frames[d] = frames[d]
			bytes += len(frames[d].bytes)
		}
		one := [1]item{{do: m}}
		l := s.loops[i]
		if !s.settle(l, l.inbox.put(one[:], bytes, s.config.InboxItems, s.config.InboxBytes), int64(len(list))) {
			for _, f := range m.frames {
				if f != nil {
					s.frames.release(f, 1)
				}
			}
			m.recycle()
		}
	}
	for _, f := range frames {
		if f != nil {
			s.frames.release(f, 1)
		}
	}
}

// dialectsOf yields the dialects that occur in a list.
func (s *Server) dialectsOf(list []router.Conn) func(func(int) bool) {
	return func(yield func(int) bool) {
		if len(s.dialects) == 1 {
			yield(0)
			return
		}
		var seen uint16
		for _, c := range list {
			seen |= 1 << c.Dialect()
		}
		for d := range s.dialects {
			if seen&(1<<d) != 0 && !yield(d) {
				return
			}
		}
	}
}

// Finish implements router.Sink.
func (s *Server) Finish(to router.Conn, ev proto.Event) {
	if s.loopOf(to) == nil {
		s.stats.dropped[dropGone].Add(1)
		return
	}
	s.must(to, s.frames.event(s.dialects[to.Dialect()], ev), finish{})
}

// finish is a delivery that ends a send in flight.
type finish struct{}

func (finish) apply(l *loop, c router.Conn, f *frame) {
	l.deliver(c, f)
	if s := l.find(c); s != nil && s.side != 0 {
		if m := l.sides.all[s.side].mail; m != nil {
			m.finished()
			l.clearMail(s, m)
		}
	}
}

// mailAtRest has the loop look whether a mailbox is still needed.
type mailAtRest struct{}

func (mailAtRest) apply(l *loop, c router.Conn, _ *frame) {
	if s := l.find(c); s != nil && s.side != 0 {
		if m := l.sides.all[s.side].mail; m != nil {
			l.clearMail(s, m)
		}
	}
}

// clearMail gives a mailbox back that nothing is in.
func (l *loop) clearMail(s *slot, m *mailbox) {
	if m.inFlight.Load() > 0 || !m.vacant() {
		return
	}
	d := l.sides.all[s.side]
	d.mail = nil
	l.server.keepMail(m)
	l.rest(s, d)
}

// resumeReading has the loop go on with a connection whose mailbox has room again.
type resumeReading struct{}

func (resumeReading) apply(l *loop, c router.Conn, _ *frame) {
	if s := l.find(c); s != nil {
		l.resumeReading(int(c.Slot()), s)
	}
}

// admitted makes a connection an authenticated one, or moves its expiry.
type admitted struct {
	user    id.User
	session id.Session
	ticks   uint32 // until the token expires
}

func (a *admitted) apply(l *loop, c router.Conn, _ *frame) {
	s := l.find(c)
	if s == nil || s.has(isClosing) {
		return
	}
	if !s.has(isAuthed) {
		l.stats.authed.add(1)
	}
	s.flags |= isAuthed
	s.user, s.session = a.user, a.session
	s.expires = uint32(min(uint64(l.now)+uint64(a.ticks), 1<<32-1))
	l.schedule(int(c.Slot()), s)
}

// Close implements router.Sink.
func (s *Server) Close(c router.Conn, code uint16, reason string) {
	s.must(c, nil, &ending{code: code, reason: reason})
}

// CloseSession implements router.Sink.
func (s *Server) CloseSession(c router.Conn, session id.Session, code uint16, reason string) {
	s.must(c, nil, &ending{code: code, reason: reason, session: session})
}

// ending is the operation of Close and CloseSession.
type ending struct {
	code    uint16
	reason  string
	session id.Session // absent: whatever the session
}

func (o *ending) apply(l *loop, c router.Conn, _ *frame) {
	s := l.find(c)
	if s == nil || !o.session.IsZero() && s.session != o.session {
		return
	}
	why := closedByRule
	switch o.code {
	case ws.CloseInternal:
		why = closedByPanic
	case ws.CloseToken:
		why = closedToken
	case ws.CloseGoingAway:
		why = closedDraining
	}
	l.close(int(c.Slot()), s, o.code, o.reason, why)
}

// loopOf is the loop of a connection, or nil for a name that no loop of ours gave.
func (s *Server) loopOf(c router.Conn) *loop {
	if i := c.Loop(); i < len(s.loops) && c.Generation() != 0 && c.Dialect() < len(s.dialects) {
		return s.loops[i]
	}
	return nil
}

// must has a loop do something about a connection, whatever its budget, and reports false when the loop
// has ended. With a frame comes a reference.
func (s *Server) must(c router.Conn, f *frame, do operation) bool {
	l := s.loopOf(c)
	if l != nil {
		v := l.inbox.must(item{conn: c, frame: f, do: do})
		if v == putFirst {
			l.wake()
		}
		if v != putClosed {
			return true
		}
	}
	if f != nil {
		s.frames.release(f, 1)
	}
	return false
}

// note is must for what can wait for the loop's next pass.
func (s *Server) note(c router.Conn, do operation) {
	if l := s.loopOf(c); l != nil {
		l.inbox.note(item{conn: c, do: do})
	}
}
