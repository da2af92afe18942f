package conn

import (
	"github.com/tolkflip/tolkflip/proto/ws"
)

// input takes what was read from a connection.
func (l *loop) input(fd int, s *slot, b []byte) {
	if s.has(isDeaf) {
		return
	}
	if s.side != 0 {
		if d := l.sides.all[s.side]; len(d.in) > 0 {
			if !l.keepInput(fd, s, d, b) {
				return
			}
			b = d.in
		}
	}
	l.parse(fd, s, b)
}

// parse acts on whole frames, or on a whole head, and keeps what is left. b is either what was just read
// or the side's in.
func (l *loop) parse(fd int, s *slot, b []byte) {
	key := s.key.Load()
	used := 0
	if !s.has(isSocket) {
		var ok bool
		if used, ok = l.request(fd, s, b); !ok || s.key.Load() != key {
			return
		}
	}
	if s.has(isSocket) && !s.has(isDeaf) {
		used += l.frames(fd, s, b[used:])
		if s.key.Load() != key {
			return
		}
	}
	l.keepRest(fd, s, b, used)
}

// keepRest keeps what parse did not use.
func (l *loop) keepRest(fd int, s *slot, b []byte, used int) {
	var d *side
	if s.side != 0 {
		d = l.sides.all[s.side]
	}
	switch {
	case used == len(b) || s.has(isDeaf):
		if d != nil {
			l.giveIn(d)
			l.rest(s, d)
		}
	case d != nil && len(d.in) > 0:
		if used > 0 {
			l.server.input.Add(-int64(used))
			d.in = d.in[:copy(d.in, d.in[used:])]
		}
	default:
		l.keepInput(fd, s, l.busy(s), b[used:])
	}
}

// keepInput adds bytes to what is not parsed yet. It reports false when the connection had to end for it.
func (l *loop) keepInput(fd int, s *slot, d *side, b []byte) bool {
	if !l.mayKeep(fd, s, len(b)) {
		return false
	}
	d.in = l.server.buffers.add(d.in, b)
	return true
}

// mayKeep takes n bytes of the budget of incomplete input. Over it the connection ends, and reports false.
func (l *loop) mayKeep(fd int, s *slot, n int) bool {
	if l.server.input.Add(int64(n)) <= l.server.config.InputBytes {
		return true
	}
	l.server.input.Add(-int64(n))
	if !s.has(isSocket) {
		l.refuse(fd, s, 503, "overloaded")
		return false
	}
	d := l.busy(s)
	l.giveInput(d)
	l.fail(fd, s, ws.CloseOverloaded, "overloaded", closedOverloaded)
	return false
}

// giveIn gives the unparsed bytes back.
func (l *loop) giveIn(d *side) {
	l.server.input.Add(-int64(len(d.in)))
	l.server.buffers.put(d.in)
	d.in = nil
}

// giveInput gives back all input that waits.
func (l *loop) giveInput(d *side) {
	l.giveIn(d)
	l.server.input.Add(-int64(len(d.part)))
	l.server.buffers.put(d.part)
	d.part = nil
}

// frames acts on whole frames at the start of b and gives how many bytes they were. It stops early when
// reading has to pause. The connection may be closed afterwards.
func (l *loop) frames(fd int, s *slot, b []byte) (used int) {
	key := s.key.Load()
	limit := l.server.config.MessageBytes
	for used < len(b) && !s.has(isDeaf|noRead) {
		state := &l.fresh
		if s.side != 0 {
			state = &l.sides.all[s.side].state
		}
		f, n, err := state.Next(b[used:], limit)
		if err != nil {
			l.fresh = ws.State{}
			l.stats.broken.add(1)
			l.fail(fd, s, err.Code, err.Reason, closedByProtocol)
			return len(b)
		}
		if n == 0 {
			return used
		}
		used += n
		if state == &l.fresh && l.fresh.Fragmented() {
			l.busy(s).state = l.fresh
			l.fresh = ws.State{}
		}
		l.frame(fd, s, &f)
		if s.key.Load() != key {
			return used
		}
	}
	return used
}

// frame acts on one frame.
func (l *loop) frame(fd int, s *slot, f *ws.Frame) {
	switch f.Op {
	case ws.Ping, ws.Pong:
		switch {
		case s.has(isClosing):
		case !l.withinRate(s):
			l.fail(fd, s, ws.CloseTooFast, "too fast", closedTooFast)
		case f.Op == ws.Ping:
			l.pong(fd, s, f.Payload)
		}
	case ws.Close:
		l.peerCloses(fd, s, f.Payload)
	default:
		if s.has(isClosing) {
			return
		}
		l.data(fd, s, f)
	}
}

// data acts on a message or a fragment of one.
func (l *loop) data(fd int, s *slot, f *ws.Frame) {
	l.stats.framesIn.add(1)
	if f.Op != l.server.dialects[s.dialect].op() {
		// RFC 6455 has 1003 for this, but clients know only 1002 as "never with the same input".
		l.fail(fd, s, ws.CloseProtocol, "unsupported kind of message", closedByProtocol)
		return
	}
	if f.Whole() {
		l.message(fd, s, aMessage, f.Payload)
		return
	}
	d := l.busy(s)
	if !l.mayKeep(fd, s, len(f.Payload)) {
		return
	}
	d.part = l.server.buffers.add(d.part, f.Payload)
	if !f.Fin {
		return
	}
	key := s.key.Load()
	part := d.part
	d.part = nil
	l.server.input.Add(-int64(len(part)))
	l.message(fd, s, aMessage, part)
	l.server.buffers.put(part)
	if s.key.Load() == key && s.side != 0 {
		l.rest(s, l.sides.all[s.side])
	}
}

// message puts a whole message into the connection's mailbox.
func (l *loop) message(fd int, s *slot, kind letterKind, b []byte) {
	if !l.withinRate(s) {
		l.fail(fd, s, ws.CloseTooFast, "too fast", closedTooFast)
		return
	}
	if l.server.input.Load()+int64(len(b)) > l.server.config.InputBytes {
		l.fail(fd, s, ws.CloseOverloaded, "overloaded", closedOverloaded)
		return
	}
	d := l.busy(s)
	if d.mail == nil {
		d.mail = l.newMail(fd, s)
	}
	schedule, full := d.mail.put(kind, b)
	if schedule {
		l.server.queue.push(d.mail)
	}
	if full {
		l.stats.pauses.add(1)
		l.watch(fd, s, s.flags|noRead)
	}
}

// withinRate counts a message, or a control frame, against the rate budget: a bucket that leaks MessagesPerSecond.
func (l *loop) withinRate(s *slot) bool {
	per := l.server.config.MessagesPerSecond
	if per == 0 {
		return true
	}
	if passed := l.now - s.leaked; passed > 0 {
		leak := min(uint64(passed)*uint64(l.server.config.tick)*uint64(per)/1e9, uint64(s.level))
		s.level -= uint16(leak)
		s.leaked = l.now
	}
	s.level++
	return int(s.level) <= l.server.config.MessageBurst+per
}

// resumeReading goes on with a connection that was paused.
func (l *loop) resumeReading(fd int, s *slot) {
	if !s.has(noRead) || !l.watch(fd, s, s.flags&^noRead) || s.side == 0 {
		return
	}
	if d := l.sides.all[s.side]; len(d.in) > 0 {
		l.parse(fd, s, d.in)
	}
}

// peerCloses answers the peer's close frame.
func (l *loop) peerCloses(fd int, s *slot, payload []byte) {
	s.flags |= peerClose | isDeaf
	if s.has(isClosing) {
		if s.side == 0 || l.sides.all[s.side].size == 0 {
			l.drop(fd, s, closedHandshake)
		}
		return
	}
	code, _, _ := ws.ParseClose(payload) // State.Next has checked it
	l.close(fd, s, code, "", closedByPeer)
}
