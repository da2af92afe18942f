package chat

import (
	"errors"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/store"
)

// Refusals that carry nothing of the request.
var (
	errBusy       = proto.Fail(proto.Busy, "busy, try again")
	errLeaving    = proto.Fail(proto.Busy, "this server is going away, try again")
	errConflict   = proto.Fail(proto.Conflict, "this id was used for another message")
	errRevoked    = proto.Fail(proto.Unauthenticated, "this session is over")
	errOnlyAdmins = proto.Fail(proto.Forbidden, "only admins can write here")
	errBlocked    = proto.Fail(proto.Forbidden, "this account is blocked")
	errNoMessage  = proto.Fail(proto.NotFound, "no such message")
	errUnknown    = proto.Fail(proto.Busy, "not known yet; try again with the same clientMessageId")
	errResuming   = proto.Fail(proto.Busy, "a resume is under way on this connection")
)

// outcome is what a sender reads of the log's error.
func outcome(err error) *proto.Error {
	switch {
	case errors.Is(err, store.ErrBusy):
		return errBusy
	case errors.Is(err, store.ErrConflict):
		return errConflict
	case errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrDeposed):
		return errLeaving
	default:
		return store.Failure(err)
	}
}

// coded gives err as the *proto.Error that it is or becomes, and logs what is our own fault.
func (s *Service) coded(err error) *proto.Error {
	var e *proto.Error
	if !errors.As(err, &e) {
		e = store.Failure(err)
	}
	if e.Code == proto.Internal {
		s.log.Error("chat rule", "err", e.Cause)
	}
	return e
}

// fail answers a socket's request that was refused.
func (s *Service) fail(c router.Caller, ref []byte, err error) {
	s.metrics.refused.Inc()
	s.sink.Deliver([]router.Conn{c.Conn}, 0, &proto.Failure{Ref: ref, Err: s.coded(err)})
}
