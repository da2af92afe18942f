package chat

import (
	"context"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
)

// Post is a message to write: into a thread, or to a person.
type Post struct {
	Thread   id.Thread
	Receiver id.User
	Draft    proto.Draft // read until the call returns, not kept
}

// Sent is what became of a Post.
type Sent struct {
	Message   id.Message
	Thread    id.Thread
	Receiver  id.User // absent in a group
	Seq       uint64
	Sent      int64 // Unix milliseconds
	Language  string
	Duplicate bool // the log had it already: this is what came of the first
}

// Send writes a message for a socket. It returns when the message is with the log; MessageSent or
// MessageError ends it, over Sink.Finish. Nothing of r is kept. A connection whose session was revoked may
// still be open for a moment, and still have messages that came before: they are refused.
func (s *Service) Send(c router.Caller, r *proto.Request) {
	x := s.sendings.Get().(*sending)
	x.conn = c.Conn
	err := x.prepare(s.base, c.User, Post{r.Thread, r.Receiver, r.Draft})
	if err == nil {
		x.ref = x.keep(r.Ref)
		if p, ok := s.router.Enter(c); ok {
			s.store.Log.Append(&x.Entry)
			p.Leave()
			return
		}
		err = errRevoked
	}
	e := s.coded(err)
	s.metrics.sends[sendRefused].Inc()
	s.sink.Finish(c.Conn, &proto.MessageError{Ref: r.Ref, ClientID: r.Draft.ClientID, Err: e})
	x.recycle()
}

// Post writes a message and waits until it is durable. When ctx ends first the outcome is not known and
// the error is Busy: a retry with the same client id settles it.
func (s *Service) Post(ctx context.Context, from id.User, p Post) (Sent, error) {
	x := s.sendings.Get().(*sending)
	if err := x.prepare(ctx, from, p); err != nil {
		s.metrics.sends[sendRefused].Inc()
		x.recycle()
		return Sent{}, err
	}
	x.await()
	s.store.Log.Append(&x.Entry)
	defer x.release()
	select {
	case <-x.done:
	case <-ctx.Done():
		return Sent{}, errUnknown
	}
	if x.Err != nil {
		return Sent{}, outcome(x.Err)
	}
	return Sent{x.ID, x.Thread, x.Receiver, x.Seq, x.Sent, string(x.Language), x.Duplicate}, nil
}

// prepare fills x, or says why it must not be sent.
func (x *sending) prepare(ctx context.Context, from id.User, p Post) error {
	s := x.service
	if err := check(&p.Draft); err != nil {
		return err
	}
	sender, err := s.writer(ctx, from)
	if err != nil {
		return err
	}
	if err := x.address(ctx, from, p); err != nil {
		return err
	}
	if len(p.Draft.ClientID) > 0 {
		x.ID = id.ClientMessage(from, p.Draft.ClientID)
	} else {
		if x.ID, err = id.NewMessage(); err != nil {
			return proto.Unexpected(err)
		}
	}
	x.Sender = from
	x.Sent = s.now().UnixMilli()
	x.copy(&p.Draft, &sender.language)
	return nil
}

// check refuses what breaks a limit of a message's own.
func check(d *proto.Draft) error {
	switch {
	case len(d.Content) > proto.MaxContent:
		return proto.BadField("content", "content is too long")
	case len(d.Encrypted) > proto.MaxContent:
		return proto.BadField("encryptedContent", "encryptedContent is too long")
	case len(d.ClientID) > proto.MaxClientID:
		return proto.BadField("clientMessageId", "clientMessageId is too long")
	case len(d.Language) > proto.MaxLanguage:
		return proto.BadField("originalLanguage", "originalLanguage is too long")
	case len(d.MediaURLs) > proto.MaxMediaURLs:
		return proto.BadField("mediaUrls", "mediaUrls has too many entries")
	case len(d.Content) == 0 && len(d.Encrypted) == 0 && len(d.MediaURLs) == 0:
		return proto.BadField("content", "content is required without mediaUrls and encryptedContent")
	}
	for _, u := range d.MediaURLs {
		if len(u) > proto.MaxMediaURL {
			return proto.BadField("mediaUrls", "mediaUrls has an entry that is too long")
		}
	}
	return nil
}

// address finds out where the message goes and whether the sender may write there.
func (x *sending) address(ctx context.Context, from id.User, p Post) error {
	s := x.service
	if !p.Receiver.IsZero() {
		if p.Receiver == from {
			return proto.BadField("receiverId", "receiverId is the sender")
		}
		x.Thread = id.Direct(from, p.Receiver)
		if !p.Thread.IsZero() && p.Thread != x.Thread {
			return proto.BadField("threadId", "threadId is not the thread with receiverId")
		}
		return x.addressee(ctx, p.Receiver)
	}
	if p.Thread.IsZero() {
		return proto.BadField("threadId", "threadId or receiverId is required")
	}
	at, err := s.place(ctx, p.Thread)
	if err != nil {
		return err
	}
	x.Thread = p.Thread
	if !at.group {
		if from != at.a && from != at.b {
			return errNoThread
		}
		return x.addressee(ctx, at.other(from))
	}
	if x.room, err = s.room(ctx, p.Thread, from); err != nil {
		return err
	}
	x.inRoom = true
	return s.mayWrite(ctx, p.Thread, from)
}

func (x *sending) addressee(ctx context.Context, u id.User) error {
	x.Receiver = u
	return x.service.reachable(ctx, u)
}
