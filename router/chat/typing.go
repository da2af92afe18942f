package chat

import (
	"context"
	"errors"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
)

// telling is the pooled memory of one event about a person.
type telling struct {
	users  []id.User
	typing proto.TypingIn
}

// Typing tells the others of a thread that the caller writes, or stopped.
func (s *Service) Typing(c router.Caller, r *proto.Request) {
	if err := s.SetTyping(s.base, c.User, r.Thread, r.Receiver, r.IsTyping); err != nil {
		s.fail(c, r.Ref, err)
	}
}

// SetTyping tells the others of a thread that u writes, or stopped: the thread itself, or the direct one
// with receiver. Who may not send there may not type there. Nothing is stored, none of u's own connections
// is told, and in a group above the size for it nobody is. Nor is a receiver with whom there is no thread:
// typing is no way to reach a stranger.
func (s *Service) SetTyping(ctx context.Context, u id.User, t id.Thread, receiver id.User, on bool) error {
	switch {
	case receiver == u && !receiver.IsZero():
		return proto.BadField("receiverId", "receiverId is the sender")
	case !receiver.IsZero() && t.IsZero():
		t = id.Direct(u, receiver)
	case t.IsZero():
		return proto.BadField("threadId", "threadId or receiverId is required")
	case !receiver.IsZero() && t != id.Direct(u, receiver):
		return proto.BadField("threadId", "threadId is not the thread with receiverId")
	}
	if _, err := s.writer(ctx, u); err != nil {
		return err
	}
	p, err := s.member(ctx, t, u)
	if errors.Is(err, errNoThread) && !receiver.IsZero() {
		return nil
	}
	if err != nil {
		return err
	}
	e := s.tellings.Get().(*telling)
	defer s.tellings.Put(e)
	e.typing = proto.TypingIn{Thread: t, User: u, IsTyping: on}
	if !p.group {
		if err := s.reachable(ctx, p.other(u)); err != nil {
			return err
		}
		e.users = append(e.users[:0], p.other(u))
		s.router.Deliver(e.users, 0, &e.typing)
		return nil
	}
	if ok, err := s.small(ctx, t); !ok || err != nil {
		return err
	}
	if err := s.mayWrite(ctx, t, u); err != nil {
		return err
	}
	room, err := s.room(ctx, t, u)
	if err != nil {
		return err
	}
	defer room.Release()
	e.users = room.AppendMembers(e.users[:0], u)
	s.router.Deliver(e.users, 0, &e.typing)
	return nil
}
