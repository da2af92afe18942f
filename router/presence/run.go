package presence

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
)

// tick is how often Run looks for what is due, when nothing wakes it.
const tick = time.Second

func compareUsers(a, b id.User) int { return bytes.Compare(a.ID[:], b.ID[:]) }

// Run tells changes until ctx ends, and then writes what was last seen. It runs once.
func (s *Service) Run(ctx context.Context) error {
	s.flushed, s.earned, s.tokens = s.now(), s.now(), s.burst()
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		wait := s.pass(ctx)
		if wait == 0 {
			select {
			case <-ctx.Done():
			case <-s.kick:
			case <-t.C:
			}
		} else { // changes wait for their rate
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
		}
		if ctx.Err() != nil {
			s.flush(context.WithoutCancel(ctx))
			return nil
		}
	}
}

func (s *Service) burst() float64 { return max(1, float64(s.cfg.Rate)/10) }

// pass does what there is to do, and gives the time after which there is more.
func (s *Service) pass(ctx context.Context) (wait time.Duration) {
	s.endWatches()
	s.expire()
	if s.now().Sub(s.flushed) >= s.cfg.Flush {
		s.flush(ctx)
	}
	now := s.now()
	s.tokens = min(s.burst(), s.tokens+now.Sub(s.earned).Seconds()*float64(s.cfg.Rate))
	s.earned = now
	for s.tokens >= 1 && ctx.Err() == nil {
		s.in.Lock()
		u, ok := s.in.changes.pop()
		s.in.Unlock()
		if !ok {
			return 0
		}
		s.tokens--
		s.tell(ctx, u)
	}
	s.in.Lock()
	defer s.in.Unlock()
	if s.in.changes.len() == 0 {
		return 0
	}
	return max(time.Millisecond, time.Duration((1-s.tokens)/float64(s.cfg.Rate)*float64(time.Second)))
}

// endWatches ends the watches of connections that were closed, and gives their memory back.
func (s *Service) endWatches() {
	s.in.Lock()
	closed := s.in.closed
	s.in.closed = fifo[router.Conn]{}
	s.in.Unlock()
	for closed.n > 0 {
		s.graph.closed(closed.pop())
	}
	s.graph.sweepAll()
}

// expire finds those whose debounce or lease is over and who have not come back.
func (s *Service) expire() {
	for {
		now := s.now()
		s.in.Lock()
		u, ok := s.in.linger.pop(now)
		if !ok {
			u, ok = s.in.leases.pop(now)
		}
		s.in.Unlock()
		if !ok {
			return
		}
		if s.router.Online(u) {
			continue
		}
		s.in.Lock()
		if !s.in.linger.has(u) && !s.in.leases.has(u) {
			hidden := s.in.wishes[u].at != 0 && s.in.wishes[u].status == proto.Offline
			delete(s.in.wishes, u)
			if !hidden {
				s.change(u)
			}
		}
		s.in.Unlock()
	}
}

// flush writes when people were last seen. Until the store has it, readers look into the map.
func (s *Service) flush(ctx context.Context) {
	s.flushed = s.now()
	s.in.Lock()
	batch := s.in.seen
	s.in.seen, s.in.writing = make(map[id.User]int64), batch
	s.in.Unlock()
	if len(batch) > 0 {
		if err := s.store.Users.Seen(ctx, batch); err != nil {
			s.metrics.dropped[dropSeen].Add(float64(len(batch)))
			s.failed(err)
		}
	}
	s.in.Lock()
	s.in.writing = nil
	s.in.Unlock()
}

// failed logs the first of a row of failures of the store.
func (s *Service) failed(err error) {
	if !s.failing {
		s.log.Error("presence: use the store", "err", err)
	}
	s.failing = true
}

// tell tells u's state, as it is now, to those who may know it.
func (s *Service) tell(ctx context.Context, u id.User) {
	ev, err := s.of(ctx, u)
	if err == nil {
		err = s.audience(ctx, u)
	}
	if err != nil {
		s.metrics.dropped[dropChange].Inc()
		s.failed(err)
		return
	}
	s.failing = false
	s.metrics.told.Inc()
	s.router.Deliver(s.people, 0, &ev)
	s.tellWatchers(ctx, u, &ev)
}

// audience gathers the people of u's threads, in the order of their ids.
func (s *Service) audience(ctx context.Context, u id.User) error {
	peers, err := s.store.Threads.Peers(ctx, u, s.cfg.Threads)
	if err != nil {
		return err
	}
	s.people = append(s.people[:0], peers...)
	var groups []id.Thread
	if left := s.cfg.Threads - len(peers); left > 0 {
		if groups, err = s.store.Members.GroupsOf(ctx, u, id.Thread{}, left); err != nil {
			return err
		}
	}
	for _, g := range groups {
		list, err := s.store.Members.List(ctx, g, id.User{}, s.cfg.SmallGroup+1)
		if err != nil {
			return err
		}
		if len(list) > s.cfg.SmallGroup {
			continue
		}
		for i := range list {
			s.people = append(s.people, list[i].User)
		}
		if len(s.people) > 2*s.cfg.Told {
			break
		}
	}
	slices.SortFunc(s.people, compareUsers)
	s.people = slices.Compact(s.people)
	s.people = slices.DeleteFunc(s.people, func(p id.User) bool { return p == u })
	if len(s.people) > s.cfg.Told {
		s.metrics.dropped[dropAudience].Add(float64(len(s.people) - s.cfg.Told))
		s.people = s.people[:s.cfg.Told]
	}
	return nil
}

// outsider is a watcher who is not among the people told already.
type outsider struct {
	conn router.Conn
	user id.User
}

// tellWatchers tells the connections that watch u and whose users were not told as people of u's threads.
func (s *Service) tellWatchers(ctx context.Context, u id.User, ev *proto.PresenceOf) {
	var rest []outsider
	s.graph.each(u, func(c router.Conn, w id.User, granted bool) {
		if _, told := slices.BinarySearchFunc(s.people, w, compareUsers); !told && granted {
			rest = append(rest, outsider{c, w})
		}
	})
	s.conns = s.conns[:0]
	ask := s.asking(u)
	for i, o := range rest {
		if i == s.cfg.Checks {
			s.metrics.dropped[dropCheck].Add(float64(len(rest) - i))
			break
		}
		ok, err := ask.shares(ctx, o.user)
		if err != nil {
			s.metrics.dropped[dropCheck].Add(float64(len(rest) - i))
			s.failed(err)
			break
		}
		if ok {
			s.conns = append(s.conns, o.conn)
		}
	}
	if len(s.conns) > 0 {
		s.router.Sink().Deliver(s.conns, 0, ev)
	}
}
