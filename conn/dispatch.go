package conn

import (
	"errors"
	"runtime/debug"
	"time"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/token"
	"github.com/tolkflip/tolkflip/proto/ws"
	"github.com/tolkflip/tolkflip/router"
)

// Rules is what a socket can set off. All but Table.Detach are called on workers, one at a time a
// connection, in the order in which the client asked; a request is valid until the call returns.
type Rules struct {
	Gate     Gate
	Table    Table
	Chat     Chat
	Presence Presence
}

// Gate decides whether an access token is good. The error is a *proto.Error whose message is the reason
// that the client reads: token_expired or invalid_token.
type Gate interface {
	Check(tok []byte) (token.Claims, error)
}

// Table learns who is connected. Attach is called once a connection, when the client has been told that it
// is authenticated and its resume, if it asked for one, has begun; Detach once after that, on a loop or a
// worker, and must not block.
type Table interface {
	Attach(c router.Caller)
	Detach(c router.Caller)
}

// Chat is the rules of messages. Every Send ends in exactly one Sink.Finish.
type Chat interface {
	Send(c router.Caller, r *proto.Request)
	Resume(c router.Caller, r *proto.Request)
	History(c router.Caller, r *proto.Request)
	Delivered(c router.Caller, r *proto.Request)
	Read(c router.Caller, r *proto.Request)
	Typing(c router.Caller, r *proto.Request)
}

// Presence is the rules of being seen.
type Presence interface {
	Watch(c router.Caller, r *proto.Request)
	Unwatch(c router.Caller, r *proto.Request)
}

// letter acts on one message of a mailbox. A panic in a rule ends that connection and nothing else.
func (w *worker) letter(m *mailbox, kind letterKind, b []byte) {
	defer func() {
		if cause := recover(); cause != nil {
			m.broken = true
			w.server.panicked("rule", cause, debug.Stack())
			w.server.Close(m.conn, ws.CloseInternal, "internal error")
		}
	}()
	r := &w.request
	if kind == aToken {
		r.Reset()
		r.Action, r.Token = proto.Authenticate, b
		w.authenticate(m, r)
		return
	}
	d := w.server.dialects[m.conn.Dialect()]
	if err := d.decode(b, r); err != nil {
		w.refuse(m, r, err)
		return
	}
	w.act(m, r)
}

// act calls the rule of a request.
func (w *worker) act(m *mailbox, r *proto.Request) {
	if r.Action == proto.Authenticate {
		w.authenticate(m, r)
		return
	}
	if !m.authed {
		w.sealed = proto.Error{Code: proto.Unauthenticated, Message: "authenticate first"}
		w.failure = proto.Failure{Ref: r.Ref, Err: &w.sealed}
		w.server.deliver(m.conn, &w.failure)
		return
	}
	rules := &w.server.rules
	switch r.Action {
	case proto.SendMessage:
		m.inFlight.Add(1)
		rules.Chat.Send(m.caller, r)
	case proto.Resume:
		rules.Chat.Resume(m.caller, r)
	case proto.History:
		rules.Chat.History(m.caller, r)
	case proto.Delivered:
		rules.Chat.Delivered(m.caller, r)
	case proto.ReadReceipt:
		rules.Chat.Read(m.caller, r)
	case proto.Typing:
		rules.Chat.Typing(m.caller, r)
	case proto.PresenceWatch:
		rules.Presence.Watch(m.caller, r)
	case proto.PresenceUnwatch:
		rules.Presence.Unwatch(m.caller, r)
	case proto.Ping:
		w.pong = proto.Pong{Ref: r.Ref}
		w.server.deliver(m.conn, &w.pong)
	default:
		w.refuse(m, r, proto.BadField("action", "unknown action"))
	}
}

// refuse answers a message that was not understood.
func (w *worker) refuse(m *mailbox, r *proto.Request, err error) {
	var e *proto.Error
	if !errors.As(err, &e) {
		e = proto.Unexpected(err)
	}
	w.server.stats.invalid.Add(1)
	if r.Action == proto.SendMessage && m.authed {
		w.refusal = proto.MessageError{Ref: r.Ref, ClientID: r.Draft.ClientID, Err: e}
		w.server.deliver(m.conn, &w.refusal)
		return
	}
	w.failure = proto.Failure{Ref: r.Ref, Err: e}
	w.server.deliver(m.conn, &w.failure)
}

// authenticate lets a connection in, or a connection that is in stay longer.
func (w *worker) authenticate(m *mailbox, r *proto.Request) {
	s := w.server
	claims, err := s.rules.Gate.Check(r.Token)
	if err != nil {
		w.shutOut(m, r, err)
		return
	}
	if m.authed && (claims.User != m.caller.User || claims.Session != m.caller.Session) {
		w.shutOut(m, r, proto.Fail(proto.Unauthenticated, invalidToken))
		return
	}
	again := m.authed
	m.caller = router.Caller{Conn: m.conn, User: claims.User, Session: claims.Session}
	m.authed = true
	left := time.Unix(claims.Expires, 0).Sub(s.config.Now())
	s.must(m.conn, nil, &admitted{user: claims.User, session: claims.Session, ticks: s.config.ticks(max(left, 0))})
	s.deliver(m.conn, &proto.Authenticated{Ref: r.Ref, User: claims.User, Session: claims.Session})
	s.stats.authenticated.Add(1)
	if r.Resume.Asked {
		s.rules.Chat.Resume(m.caller, r)
	}
	if again || !m.attach() {
		return
	}
	s.rules.Table.Attach(m.caller)
	// A revocation between the check and Attach found no connection to close.
	if _, err := s.rules.Gate.Check(r.Token); err != nil {
		w.shutOut(m, r, err)
	}
}

// invalidToken is the reason that a client reads when its token is not for it.
const invalidToken = "invalid_token"

// shutOut refuses a token and closes the connection.
func (w *worker) shutOut(m *mailbox, r *proto.Request, err error) {
	reason := invalidToken
	if e := (*proto.Error)(nil); errors.As(err, &e) && e.Message != "" {
		reason = e.Message
	}
	w.server.stats.shutOut.Add(1)
	w.server.deliver(m.conn, &proto.AuthError{Ref: r.Ref, Reason: reason})
	w.server.Close(m.conn, ws.CloseToken, reason)
}

// detach tells the router that a connection is gone.
func (w *worker) detach(c router.Caller) { w.server.detach(c) }

// detach tells the router that a connection is gone. It runs on loops too.
func (s *Server) detach(c router.Caller) {
	defer func() {
		if cause := recover(); cause != nil {
			s.panicked("detach", cause, debug.Stack())
		}
	}()
	s.rules.Table.Detach(c)
}
