package store

import (
	"context"
	"errors"

	"github.com/tolkflip/tolkflip/proto"
)

// passes reports whether a failure passes by itself: whoever comes again may be served.
func passes(err error) bool {
	for _, e := range []error{ErrBusy, ErrClosed, ErrDeposed, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Failure is what a client is told of a store's failure that means nothing else to the caller: Busy, which
// clients retry, for what passes by itself, and our own fault otherwise.
func Failure(err error) *proto.Error {
	if passes(err) {
		return &proto.Error{Code: proto.Busy, Message: "busy, try again", Cause: err}
	}
	return proto.Unexpected(err)
}
