package presence

import (
	"errors"
	"slices"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/store"
)

// Watch answers with the states of r.Users as the caller may know them, and makes the caller's connection
// hear of changes, for those with whom its user shares a thread, now or once they do.
func (s *Service) Watch(c router.Caller, r *proto.Request) {
	users := slices.Clone(r.Users)
	slices.SortFunc(users, compareUsers)
	users = slices.Compact(users)
	if err := s.watch(c, r.Ref, users); err != nil {
		s.fail(c, r.Ref, err)
	}
}

func (s *Service) watch(c router.Caller, ref []byte, users []id.User) error {
	if len(users) > proto.MaxWatch {
		return proto.BadField("userIds", "userIds has too many entries")
	}
	ask := s.asking(c.User)
	list := make([]wanted, len(users))
	for i, u := range users {
		ok, err := ask.shares(s.base, u)
		if err != nil {
			return err
		}
		list[i] = wanted{u, ok}
	}
	if !s.graph.add(c, list, s.cfg.Watches) {
		s.metrics.dropped[dropWatch].Inc()
		return proto.Fail(proto.TooMany, "too many watches on this connection")
	}
	if !s.router.Attached(c) { // it was closed meanwhile, and its end may have been told already
		s.graph.closed(c.Conn)
		return nil
	}
	to := []router.Conn{c.Conn}
	for _, w := range list { // after the watch stands: a change from here on is told as well
		p := proto.PresenceOf{User: w.user}
		if w.granted {
			var err error
			if p, err = s.of(s.base, w.user); err != nil {
				return err
			}
		}
		p.Ref = ref
		s.router.Sink().Deliver(to, 0, &p)
	}
	return nil
}

// Unwatch ends watches. There is no answer.
func (s *Service) Unwatch(c router.Caller, r *proto.Request) {
	s.graph.remove(c.Conn, r.Users)
	s.wake()
}

// fail answers a request that was refused.
func (s *Service) fail(c router.Caller, ref []byte, err error) {
	var e *proto.Error
	if !errors.As(err, &e) {
		e = store.Failure(err)
	}
	if e.Code == proto.Internal {
		s.log.Error("presence rule", "err", e.Cause)
	}
	s.router.Sink().Deliver([]router.Conn{c.Conn}, 0, &proto.Failure{Ref: ref, Err: e})
}
