package conn

import (
	"slices"

	"github.com/tolkflip/tolkflip/proto/ws"
)

// request acts on the head of a request, once all of it has come: an upgrade at one of the port's paths
// makes the connection a WebSocket, everything else goes to the port's HTTP server. ok is false when the
// connection is not the loop's to read any more.
func (l *loop) request(fd int, s *slot, b []byte) (used int, ok bool) {
	h := &l.head
	switch ws.ParseHead(b, h) {
	case ws.NeedMore:
		return 0, true
	case ws.TooLarge:
		l.refuse(fd, s, 431, "request head too large")
		return 0, false
	case ws.Malformed:
		l.refuse(fd, s, 400, "malformed request")
		return 0, false
	case ws.Ready:
	}
	p := l.server.ports[s.port]
	switch {
	case h.WebSocket() && slices.Contains(p.sockets, string(h.Path)):
		return h.Size, l.upgrade(fd, s, h)
	case s.has(isAdopted):
		l.refuse(fd, s, 426, "not a WebSocket handshake")
	default:
		l.handOver(fd, s, p, b)
	}
	return 0, false
}

// upgrade answers a WebSocket handshake.
func (l *loop) upgrade(fd int, s *slot, h *ws.Head) bool {
	if status := h.Refuse(); status != 0 {
		l.refuse(fd, s, status, "not a valid WebSocket handshake")
		return false
	}
	tok, given := ws.QueryValue(h.Query, "token")
	if given {
		var ok bool
		if tok, ok = ws.AppendUnescaped(nil, tok); !ok {
			tok = nil
		}
	} else if h.Authorization != nil {
		tok, given = ws.Bearer(h.Authorization), true
	}
	s.flags |= isSocket
	s.mark = l.now
	l.stats.sockets.add(1)
	l.stats.upgrades.add(1)
	key := s.key.Load()
	l.write(fd, s, ws.AppendAccept(l.scratch[:0], h.Key, h.Protocol()))
	if s.key.Load() != key {
		return false
	}
	l.schedule(fd, s)
	if given {
		l.message(fd, s, aToken, tok)
	}
	return s.key.Load() == key
}

// refuse answers a request that goes no further with a JSON error, and ends the connection when the client
// has read it.
func (l *loop) refuse(fd int, s *slot, status int, message string) {
	l.server.stats.refused[refusedHead].Add(1)
	if s.side != 0 {
		l.giveIn(l.sides.all[s.side])
	}
	s.flags |= isClosing | isDeaf
	s.mark = l.now
	l.schedule(fd, s)
	key := s.key.Load()
	l.write(fd, s, ws.AppendRefusal(l.scratch[:0], status, message))
	if s.key.Load() == key && (s.side == 0 || l.sides.all[s.side].size == 0) {
		l.said(fd, s)
		if s.side != 0 {
			l.rest(s, l.sides.all[s.side])
		}
	}
}

// handOver gives a connection to the port's HTTP server, with what was read from it. The registration goes
// first: with the descriptor duplicated, closing ours would leave it in epoll for ever.
func (l *loop) handOver(fd int, s *slot, p *port, b []byte) {
	if err := l.poll.Delete(fd); err != nil {
		l.drop(fd, s, closedByError)
		return
	}
	h := handed{fd: fd, peer: s.address(), read: append([]byte(nil), b...)}
	l.release(fd, s)
	l.retire(s)
	l.stats.handed.add(1)
	if !p.http.offer(h) {
		l.server.stats.refused[refusedHTTPFull].Add(1)
		h.refuse("too many HTTP connections")
	}
}
