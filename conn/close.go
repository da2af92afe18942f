package conn

import (
	"golang.org/x/sys/unix"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/proto/ws"
	"github.com/tolkflip/tolkflip/router"
)

// close begins the close handshake: what was sent before goes out, then a close frame, and the connection
// ends when the peer has answered or CloseTimeout is over. For the rules it is gone at once. A connection
// that is no WebSocket yet is cut.
func (l *loop) close(fd int, s *slot, code uint16, reason string, why closeReason) {
	if s.has(isClosing) {
		return
	}
	if !s.has(isSocket) {
		l.drop(fd, s, why)
		return
	}
	l.leave(fd, s)
	l.stats.closed[why].add(1)
	s.flags |= isClosing
	s.mark = l.now
	l.schedule(fd, s)
	l.busy(s).push(l.server.frames.closing(code, reason))
	key := s.key.Load()
	if !s.has(wantWrite) {
		l.flush(fd, s)
	}
	if s.key.Load() == key && s.has(noRead) {
		// The peer's close frame is still to be read; what comes before it is dropped.
		l.resumeReading(fd, s)
	}
}

// fail is close for input that cannot be read any further: what still comes is thrown away, so that the
// kernel does not answer it with a reset before the peer has read why.
func (l *loop) fail(fd int, s *slot, code uint16, reason string, why closeReason) {
	if s.has(isClosing) {
		s.flags |= isDeaf
		return
	}
	s.flags |= isDeaf
	l.close(fd, s, code, reason, why)
}

// slow ends a connection that does not take what is sent to it, and gives the memory back now.
func (l *loop) slow(fd int, s *slot) {
	l.drain(l.busy(s), true)
	l.fail(fd, s, ws.CloseSlow, "reads too slowly", closedSlow)
}

// said goes on when our close frame, or a refusal, is with the kernel. It reports whether the connection
// lives.
func (l *loop) said(fd int, s *slot) bool {
	switch {
	case s.has(peerClose):
		l.drop(fd, s, closedHandshake)
		return false
	case s.has(isDeaf):
		// The peer reads the end of the stream and closes; a failure means that it already has.
		_ = unix.Shutdown(fd, unix.SHUT_WR)
	}
	return true
}

// leave ends a connection for the rules: no message of it is started any more, the router forgets it, and
// its feeders are told. Input buffers go back.
func (l *loop) leave(fd int, s *slot) {
	c := router.Caller{Conn: l.name(fd, s), User: s.user, Session: s.session}
	authed := s.has(isAuthed)
	if authed {
		s.flags &^= isAuthed
		l.stats.authed.add(-1)
	}
	if s.side == 0 {
		if authed {
			l.server.detach(c)
		}
		return
	}
	d := l.sides.all[s.side]
	gone := authed
	if m := d.mail; m != nil {
		d.mail = nil
		c, gone = m.shut()
	}
	if r := d.resume; r != nil {
		d.resume = nil
		r.gone(l)
	}
	if gone {
		l.server.detach(c)
	}
}

// drop cuts a connection: everything of it is given back and its descriptor closed.
func (l *loop) drop(fd int, s *slot, why closeReason) {
	if !s.has(isClosing) {
		l.leave(fd, s)
		l.stats.closed[why].add(1)
	}
	l.release(fd, s)
	l.retire(s)
	// Closing takes the descriptor out of epoll. An error leaves nothing that could be done.
	_ = unix.Close(fd)
}

// release gives the side back with all that is in it.
func (l *loop) release(fd int, s *slot) {
	if s.side == 0 {
		return
	}
	d := l.sides.all[s.side]
	l.drain(d, false)
	l.giveInput(d)
	d.state = ws.State{}
	s.side = 0
	l.sides.takeBack(d)
}

// retire makes the slot match nothing any more.
func (l *loop) retire(s *slot) {
	l.wheel.unlink(s)
	if s.has(counted) {
		l.server.addresses.leave(s.peer)
	}
	if s.has(isSocket) {
		l.stats.sockets.add(-1)
	}
	l.server.open.Add(-1)
	s.user, s.session, s.flags = id.User{}, id.Session{}, 0
	s.retire()
}
