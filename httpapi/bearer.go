package httpapi

import (
	"bytes"
	"crypto/subtle"
	"errors"

	"github.com/tolkflip/tolkflip/proto"
)

// authenticate fills Caller as the route's Auth asks. X-User-Id and the like are never looked at.
func (r *Request) authenticate() error {
	switch r.route.Auth {
	case Bearer:
		return r.bearer()
	case Optional:
		_ = r.bearer() // without a good token the caller is a stranger
		return nil
	case Internal:
		key := r.rc.Request.Header.Peek("X-Internal-Key")
		want := r.api.cfg.InternalKey
		if want == "" || subtle.ConstantTimeCompare(key, []byte(want)) != 1 {
			r.api.metrics.refuse(refusedToken)
			return proto.Fail(proto.Unauthenticated, "Internal credential required")
		}
		return nil
	default:
		return nil
	}
}

// bearer takes the second word of Authorization, whatever the scheme is called, as the clients expect.
func (r *Request) bearer() error {
	fields := bytes.Fields(r.rc.Request.Header.Peek("Authorization"))
	if len(fields) < 2 {
		r.api.metrics.refuse(refusedNoToken)
		return proto.Fail(proto.Unauthenticated, textNoToken)
	}
	claims, err := r.api.deps.Tokens.Check(fields[1])
	if err != nil {
		r.api.metrics.refuse(refusedToken)
		return badToken(err)
	}
	r.Caller.User, r.Caller.Session, r.Caller.Phone = claims.User, claims.Session, claims.Phone
	return nil
}

// rejected is a refused token: the text that the clients match on, and the reason beside it.
type rejected struct{ reason string }

func (e rejected) Error() string { return textBadToken }

// Reply gives 401.
func (e rejected) Reply() (int, any) {
	return 401, Problem{Error: textBadToken, Code: proto.Unauthenticated.String(), Reason: e.reason}
}

func badToken(err error) error {
	var p *proto.Error
	if !errors.As(err, &p) {
		return proto.Unexpected(err)
	}
	if p.Code != proto.Unauthenticated {
		return p
	}
	return rejected{p.Message}
}
