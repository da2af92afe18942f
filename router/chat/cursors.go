package chat

import (
	"context"
	"errors"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/store"
)

// receipt is a request to move a cursor: to a seq, or to where a message stands.
type receipt struct {
	user    id.User
	conn    router.Conn // not told; 0 = all of the user's are
	thread  id.Thread   // may be absent when message is not
	seq     uint64
	message id.Message
}

// Delivered notes that the caller's device holds a thread up to a seq.
func (s *Service) Delivered(c router.Caller, r *proto.Request) {
	if err := s.delivered(s.base, receipt{c.User, c.Conn, r.Thread, r.Seq, r.Message}); err != nil {
		s.fail(c, r.Ref, err)
	}
}

// Read notes that the caller has read a thread up to a seq or a message.
func (s *Service) Read(c router.Caller, r *proto.Request) {
	if err := s.read(s.base, receipt{c.User, c.Conn, r.Thread, r.Seq, r.Message}); err != nil {
		s.fail(c, r.Ref, err)
	}
}

// MarkDelivered is Delivered for REST: up to seq, or up to a message when one is given.
func (s *Service) MarkDelivered(ctx context.Context, u id.User, t id.Thread, seq uint64, m id.Message) error {
	return s.delivered(ctx, receipt{u, 0, t, seq, m})
}

// MarkRead is Read for REST: up to seq, or up to a message when one is given.
func (s *Service) MarkRead(ctx context.Context, u id.User, t id.Thread, seq uint64, m id.Message) error {
	return s.read(ctx, receipt{u, 0, t, seq, m})
}

func (s *Service) delivered(ctx context.Context, r receipt) error {
	p, before, after, err := s.advance(ctx, &r, func(seq uint64) store.Cursor { return store.Cursor{Delivered: seq} })
	if err != nil || after.Delivered <= before.Delivered {
		return err
	}
	return s.tell(ctx, p, &r, &proto.DeliveredTo{Thread: r.thread, Seq: after.Delivered, User: r.user})
}

func (s *Service) read(ctx context.Context, r receipt) error {
	p, before, after, err := s.advance(ctx, &r, func(seq uint64) store.Cursor { return store.Cursor{Read: seq} })
	if err != nil || after.Read <= before.Read {
		return err
	}
	ev := &proto.ReadTo{Thread: r.thread, Seq: after.Read, User: r.user}
	if after.Read == r.seq {
		ev.Message = r.message
	}
	if ev.Message.IsZero() { // clients of the first generation know messages only by their ids
		if list, err := s.store.Log.After(ctx, r.thread, after.Read-1, 1); err == nil && len(list) == 1 {
			ev.Message = list[0].ID
		}
	}
	return s.tell(ctx, p, &r, ev)
}

// advance moves the cursor of a member, never beyond the durable head. It fills r's thread and seq.
func (s *Service) advance(ctx context.Context, r *receipt, to func(uint64) store.Cursor) (p place, before, after store.Cursor, err error) {
	if !r.message.IsZero() {
		m, err := s.store.Log.Find(ctx, r.message)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return p, before, after, errNoMessage
		case err != nil:
			return p, before, after, store.Failure(err)
		case r.thread.IsZero():
			r.thread = m.Thread
			if s.Member(ctx, m.Thread, r.user) != nil { // another's message reads like none
				return p, before, after, errNoMessage
			}
		case r.thread != m.Thread:
			return p, before, after, errNoMessage
		}
		r.seq = m.Seq
	}
	if r.thread.IsZero() {
		return p, before, after, proto.BadField("threadId", "threadId is required without messageId")
	}
	if r.seq == 0 {
		return p, before, after, proto.BadField("seq", "seq must be at least 1")
	}
	if p, err = s.member(ctx, r.thread, r.user); err != nil {
		return p, before, after, err
	}
	head, err := s.store.Log.Head(ctx, r.thread)
	if err != nil {
		return p, before, after, store.Failure(err)
	}
	if r.seq > head {
		r.seq, r.message = head, id.Message{}
	}
	if r.seq == 0 {
		return p, before, after, nil
	}
	before, after, err = s.store.Cursors.Advance(ctx, r.thread, r.user, to(r.seq))
	if err != nil {
		return p, before, after, store.Failure(err)
	}
	return p, before, after, nil
}

// tell sends a receipt to the other side and to the user's own other connections, which show the same
// thread as read; in a group to all members if there are few enough.
func (s *Service) tell(ctx context.Context, p place, r *receipt, ev proto.Event) error {
	if !p.group {
		e := s.tellings.Get().(*telling)
		defer s.tellings.Put(e)
		e.users = append(e.users[:0], p.other(r.user), r.user)
		s.router.Deliver(e.users, r.conn, ev)
		return nil
	}
	if ok, err := s.small(ctx, r.thread); !ok || err != nil {
		return err
	}
	room, err := s.room(ctx, r.thread, r.user)
	if err != nil {
		return err
	}
	defer room.Release()
	room.Multicast(r.conn, ev)
	return nil
}
