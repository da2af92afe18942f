package httpapi

import (
	"context"
	"log/slog"
	"net/netip"
	"strconv"
	"time"

	"github.com/tolkflip/tolkflip/proto"
)

// limitTimeout is how long a request waits for its limit's count. Over it the request goes through.
const limitTimeout = time.Second

// limit counts the request against its user, or its address where no user is known. A store of limits
// that fails lets requests through, counted: it is a cache, and must not take the service down.
func (r *Request) limit() error {
	if r.route != nil && (r.route.Unlimited || r.route.Auth == Internal) {
		return nil
	}
	key, most := "", r.api.cfg.UserLimit
	if user := !r.Caller.User.IsZero(); user {
		key = "user:" + r.Caller.User.String()
	} else {
		if r.api.cfg.Dev && r.Caller.Address.IsLoopback() {
			return nil
		}
		key, most = "address:"+AddressKey(r.Caller.Address), r.api.cfg.AddressLimit
	}
	ctx, cancel := context.WithTimeout(r.api.base, limitTimeout)
	defer cancel()
	got, err := r.api.deps.Limits.Take(ctx, "http:"+key, most, r.api.cfg.LimitWindow)
	if err != nil {
		r.api.metrics.limitErrors.Inc()
		r.api.log.Warn("count a request", slog.String("id", r.id), slog.Any("error", err))
		return nil
	}
	h := &r.rc.Response.Header
	reset := seconds(got.Reset)
	h.Set("RateLimit-Policy", strconv.Itoa(most)+";w="+strconv.Itoa(int(r.api.cfg.LimitWindow/time.Second)))
	h.Set("RateLimit-Limit", strconv.Itoa(most))
	h.Set("RateLimit-Remaining", strconv.Itoa(max(got.Remaining, 0)))
	h.Set("RateLimit-Reset", reset)
	if got.OK {
		return nil
	}
	h.Set("Retry-After", reset)
	r.api.metrics.refuse(refusedLimit)
	if r.Caller.User.IsZero() {
		return proto.Fail(proto.TooMany, textTooMany)
	}
	return proto.Fail(proto.TooMany, textTooManyUser)
}

// AddressKey is the text by which a client is counted: an IPv4 address, or the /64 of an IPv6 one, since
// that is what one customer is given.
func AddressKey(a netip.Addr) string {
	a = a.Unmap()
	if a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}
