package proto

import "strings"

// Code says what kind of failure an Error is. Both doors translate it: a REST handler into a status, a
// socket into the `code` of an error frame. The zero value is Internal, so that an error nobody
// classified can never look like the client's own fault.
type Code uint8

const (
	Internal        Code = iota // our fault; the message says nothing of the cause
	Invalid                     // the request cannot be understood or breaks a limit
	Unauthenticated             // no token, or one that is not accepted
	Forbidden                   // known, and not allowed
	NotFound                    // not there, or not the caller's to see
	Conflict                    // contradicts what is already stored
	TooMany                     // over a limit of the caller's
	Busy                        // over a limit of ours; the same request may succeed later
)

// String is the code's name on the wire.
func (c Code) String() string {
	switch c {
	case Invalid:
		return "invalid"
	case Unauthenticated:
		return "unauthenticated"
	case Forbidden:
		return "forbidden"
	case NotFound:
		return "not_found"
	case Conflict:
		return "conflict"
	case TooMany:
		return "too_many"
	case Busy:
		return "busy"
	default:
		return "internal"
	}
}

// Retryable reports whether the same request may succeed later without being changed.
func (c Code) Retryable() bool { return c == Busy || c == TooMany || c == Internal }

// Error is the one error type that reaches a client. Message is written for the client and holds no
// secret, no phone number and no content; Field names the input that is at fault, where one is, and the
// message names it too: a socket's frame carries nothing else.
// Cause is logged once, at the edge, and never sent.
type Error struct {
	Code    Code
	Field   string
	Message string
	Cause   error
}

// Error gives code, field, message and cause, for logs.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Code.String())
	if e.Field != "" {
		b.WriteString(" (" + e.Field + ")")
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.Cause != nil {
		b.WriteString(": " + e.Cause.Error())
	}
	return b.String()
}

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Cause }

// Fail makes an Error without a field or cause.
func Fail(code Code, message string) *Error { return &Error{Code: code, Message: message} }

// BadField is the Invalid error about one input.
func BadField(field, message string) *Error {
	return &Error{Code: Invalid, Field: field, Message: message}
}

// Unexpected wraps what a store or the system reported. The client reads only "internal error".
func Unexpected(cause error) *Error {
	return &Error{Code: Internal, Message: "internal error", Cause: cause}
}
