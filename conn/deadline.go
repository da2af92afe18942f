package conn

import (
	"github.com/tolkflip/tolkflip/proto/ws"
)

// wait is what a connection is waited for: what its deadline means.
type wait uint8

const (
	forHead    wait = iota // the request's head
	forToken               // an accepted token
	forTraffic             // anything; then it is pinged
	forPong                // anything, after a ping
	forExpiry              // a fresh token
	forClose               // the peer's half of the close handshake
)

// deadline is the tick at which the slot must be looked at, and for what. Traffic moves it without
// touching the wheel.
func (l *loop) deadline(s *slot) (due uint32, w wait) {
	t := &l.server.ticks
	switch {
	case s.has(isClosing):
		return s.mark + t.close, forClose
	case !s.has(isSocket):
		return s.mark + t.header, forHead
	case !s.has(isAuthed):
		return s.mark + t.auth, forToken
	}
	// What came in the tick of the ping came after it: a ping follows ticks of silence.
	if s.has(isPinged) && s.last < s.mark {
		due, w = s.mark+t.pong, forPong
	} else {
		due, w = s.last+t.ping, forTraffic
	}
	if s.expires <= due {
		due, w = s.expires, forExpiry
	}
	return due, w
}

// expire acts on the deadlines that have come, so many a pass, and reports whether there are more.
func (l *loop) expire() (more bool) {
	acted := 0
	for range looksAPass {
		fd, ok := l.wheel.pop(l.now)
		if !ok {
			return false
		}
		s := l.slots.at(fd)
		due, w := l.deadline(s)
		if due > l.now {
			l.wheel.link(fd, s, due)
			continue
		}
		l.miss(fd, s, w)
		if acted++; acted == expiresAPass {
			return true
		}
	}
	return true
}

// miss acts on a deadline that was missed.
func (l *loop) miss(fd int, s *slot, w wait) {
	defer l.guard(fd, s.key.Load())
	switch w {
	case forHead:
		l.refuse(fd, s, 408, "the request's head took too long")
	case forToken:
		l.close(fd, s, ws.CloseSilent, "not authenticated in time", closedUnauthenticated)
	case forTraffic, forPong:
		if s.has(noRead) { // the silence is ours
			s.last = l.now
			l.schedule(fd, s)
			return
		}
		if w == forPong {
			l.close(fd, s, ws.CloseSilent, "silent for too long", closedSilent)
			return
		}
		s.flags |= isPinged
		s.mark = l.now
		l.stats.pings.add(1)
		l.schedule(fd, s)
		if s.side == 0 || l.sides.all[s.side].size == 0 {
			l.write(fd, s, l.server.ping[:])
		}
	case forExpiry:
		l.close(fd, s, ws.CloseToken, "token_expired", closedExpired)
	case forClose:
		l.drop(fd, s, closedHandshake)
	}
}
