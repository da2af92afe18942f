package conn

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/tolkflip/tolkflip/router"
)

// seat fills the slot of a new socket and names its connection. A socket that is refused stays the
// caller's.
func (s *Server) seat(fd int, port uint8, peer netip.AddrPort, with flags) (*loop, router.Conn, refusal) {
	if s.stopping.Load() {
		return nil, 0, refusedStopping
	}
	if s.open.Add(1) > int64(s.config.MaxConnections) {
		s.open.Add(-1)
		return nil, 0, refusedFull
	}
	address := peer.Addr().As16()
	if s.config.PerAddress > 0 {
		if !s.addresses.enter(address, s.config.PerAddress) {
			s.open.Add(-1)
			return nil, 0, refusedAddress
		}
		with |= counted
	}
	sl, err := s.slots.open(fd)
	if err != nil {
		s.complain(&s.stats.refused[refusedTable], "seat a connection", err)
		if with&counted != 0 {
			s.addresses.leave(address)
		}
		s.open.Add(-1)
		return nil, 0, refusedTable
	}
	l := s.loops[s.turn.Add(1)%uint64(len(s.loops))]
	key, c := sl.claim(fd, l.index)
	sl.flags, sl.peer, sl.remote, sl.port = with, address, peer.Port(), port
	sl.level, sl.dialect, sl.side = 0, 0, 0
	sl.key.Store(key)
	return l, c, notRefused
}

// unseat undoes seat for a socket that no loop has heard of.
func (s *Server) unseat(fd int) {
	sl := s.slots.at(fd)
	if sl.has(counted) {
		s.addresses.leave(sl.peer)
	}
	sl.flags = 0
	sl.retire()
	s.open.Add(-1)
}

// complain logs an error that may come for every connection: the first, the second, the fourth time and so
// on of what n counts, which the caller goes on to add to.
func (s *Server) complain(n *atomic.Int64, what string, err error) {
	if k := n.Load() + 1; k&(k-1) == 0 {
		s.log.Error(what, "error", err, "times", k)
	}
}

// refuse answers a socket that has no seat with 503 and closes it.
func (s *Server) refuse(fd int, why refusal) {
	s.stats.refused[why].Add(1)
	answer(fd, 503, why.message())
	_ = unix.Close(fd) // nothing could be done about an error
}

// addressTable counts the connections of each client address, when there is a cap.
type addressTable struct {
	mu struct {
		sync.Mutex
		open map[[16]byte]int
	}
}

// enter counts one more and reports whether it is within the cap.
func (t *addressTable) enter(a [16]byte, limit int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.open == nil {
		t.mu.open = make(map[[16]byte]int)
	}
	if t.mu.open[a] >= limit {
		return false
	}
	t.mu.open[a]++
	return true
}

// leave counts one less.
func (t *addressTable) leave(a [16]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.open[a]--; t.mu.open[a] <= 0 {
		delete(t.mu.open, a)
	}
}
