package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/store"
)

// Replier is an error that has a status and a JSON body of its own, where the clients know one.
type Replier interface {
	error
	Reply() (status int, body any)
}

// Refuse makes a Replier of a status and a text that the clients know; code goes beside them.
func Refuse(status int, code proto.Code, text string) error {
	return refusal{status: status, text: text, code: code}
}

// RefuseFor is Refuse with 429 and a Retry-After.
func RefuseFor(text string, after time.Duration) error {
	return refusal{status: 429, text: text, code: proto.TooMany, after: max(after, time.Second)}
}

// Problem is the body of every error that is not a Replier.
type Problem struct {
	Success   bool   `json:"success"` // false
	Error     string `json:"error"`
	Code      string `json:"code"`
	Field     string `json:"field,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Hint      string `json:"hint,omitempty"`
	RequestID string `json:"requestId,omitempty"`
}

// Status is the HTTP status of a code.
func Status(c proto.Code) int {
	switch c {
	case proto.Invalid:
		return 400
	case proto.Unauthenticated:
		return 401
	case proto.Forbidden:
		return 403
	case proto.NotFound:
		return 404
	case proto.Conflict:
		return 409
	case proto.TooMany:
		return 429
	case proto.Busy:
		return 503
	default:
		return 500
	}
}

// Texts that clients match on.
const (
	textNotFound    = "Endpoint not found"
	textMethod      = "Method not allowed"
	textNoToken     = "No token provided"
	textBadToken    = "Invalid token"
	textTooLarge    = "Payload too large"
	textTooMany     = "Too many requests from this IP, please try again later."
	textTooManyUser = "Too many requests, please try again later."
	textInternal    = "Internal server error"
	textBusy        = "Service busy, please try again"
	textMissing     = "Not found"
	hintNotJSON     = "the body was ignored: its Content-Type is not application/json"
)

// refusal is an error with a status of its own.
type refusal struct {
	status int
	text   string
	code   proto.Code
	after  time.Duration // Retry-After, where above 0
}

func (e refusal) Error() string { return e.text }

// Reply gives the status and a Problem.
func (e refusal) Reply() (int, any) {
	return e.status, Problem{Error: e.text, Code: e.code.String()}
}

func unbuilt(service string) error {
	return Refuse(501, proto.Internal, service+" is not available on this server")
}

// classify turns what a call returned into the one error type. Errors of a store that a service let
// through have an obvious meaning; anything else is our fault.
func classify(err error) *proto.Error {
	var p *proto.Error
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, store.ErrBusy), errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrDeposed),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &proto.Error{Code: proto.Busy, Message: textBusy, Cause: err}
	case errors.Is(err, store.ErrNotFound):
		return &proto.Error{Code: proto.NotFound, Message: textMissing, Cause: err}
	case errors.Is(err, store.ErrConflict):
		return &proto.Error{Code: proto.Conflict, Message: "Conflict", Cause: err}
	default:
		return proto.Unexpected(err)
	}
}

// fail replies with err.
func (r *Request) fail(err error) {
	var own Replier
	if errors.As(err, &own) {
		status, body := own.Reply()
		if ref, ok := own.(refusal); ok && ref.after > 0 {
			r.rc.Response.Header.Set("Retry-After", seconds(ref.after))
		}
		if p, ok := body.(Problem); ok {
			p.Hint = r.hint(status)
			body = p
		}
		r.Reply(status, body)
		return
	}
	e := classify(err)
	p := Problem{Error: e.Message, Code: e.Code.String(), Field: e.Field}
	status := Status(e.Code)
	switch e.Code {
	case proto.Internal:
		p.Error, p.RequestID = r.route.failed(), r.id
		r.api.log.Error("request", slog.String("id", r.id), slog.String("route", r.route.name()), slog.Any("error", err))
	case proto.Busy:
		p.RequestID = r.id
		r.rc.Response.Header.Set("Retry-After", "1")
		r.api.log.Warn("request", slog.String("id", r.id), slog.String("route", r.route.name()), slog.Any("error", err))
	case proto.Unauthenticated:
		r.rc.Response.Header.Set("WWW-Authenticate", "Bearer")
	default:
		p.Hint = r.hint(status)
	}
	if p.Error == "" {
		p.Error = e.Code.String()
	}
	r.Reply(status, p)
}

// hint helps one whose body was not read because it did not say that it is JSON.
func (r *Request) hint(status int) string {
	if status == 400 && r.kept != nil && len(*r.kept) > 0 && !isJSON(r.rc.Request.Header.ContentType()) {
		return hintNotJSON
	}
	return ""
}

// seconds writes a duration as whole seconds, rounded up.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
