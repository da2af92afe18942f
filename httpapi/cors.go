package httpapi

import (
	"slices"

	"github.com/valyala/fasthttp"
)

// cors answers browsers that come from another origin.
type cors struct {
	any     bool
	origins []string
}

func newCORS(origins []string) cors {
	return cors{any: slices.Contains(origins, "*"), origins: origins}
}

// exposed are the reply headers that scripts of another origin may read.
const exposed = "RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, RateLimit-Policy, Retry-After, X-Request-Id"

// write sets the headers that every reply carries. A listed origin is echoed and may send credentials;
// "*" never does both.
func (c cors) write(rc *fasthttp.RequestCtx) {
	h := &rc.Response.Header
	if c.any {
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Expose-Headers", exposed)
		return
	}
	h.Add("Vary", "Origin")
	origin := rc.Request.Header.Peek("Origin")
	if len(origin) == 0 || !slices.Contains(c.origins, string(origin)) {
		return
	}
	h.SetBytesV("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
	h.Set("Access-Control-Expose-Headers", exposed)
}

// preflight adds what a preflight asks for, and reports whether it was one.
func (c cors) preflight(rc *fasthttp.RequestCtx) bool {
	if len(rc.Request.Header.Peek("Access-Control-Request-Method")) == 0 {
		return false
	}
	h := &rc.Response.Header
	h.Set("Access-Control-Allow-Methods", "GET,HEAD,PUT,PATCH,POST,DELETE")
	h.Add("Vary", "Access-Control-Request-Headers")
	if asked := rc.Request.Header.Peek("Access-Control-Request-Headers"); len(asked) > 0 {
		h.SetBytesV("Access-Control-Allow-Headers", asked)
	}
	h.Set("Access-Control-Max-Age", "600")
	return true
}

// securityHeaders go on every reply. A handler that serves a page may replace them.
var securityHeaders = [...][2]string{ //nolint:gochecknoglobals // a table
	{"Content-Security-Policy", "default-src 'self';base-uri 'self';font-src 'self' https: data:;form-action 'self';" +
		"frame-ancestors 'self';img-src 'self' data:;object-src 'none';script-src 'self';script-src-attr 'none';" +
		"style-src 'self' https: 'unsafe-inline';upgrade-insecure-requests"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Origin-Agent-Cluster", "?1"},
	{"Referrer-Policy", "no-referrer"},
	{"Strict-Transport-Security", "max-age=15552000; includeSubDomains"},
	{"X-Content-Type-Options", "nosniff"},
	{"X-DNS-Prefetch-Control", "off"},
	{"X-Download-Options", "noopen"},
	{"X-Frame-Options", "SAMEORIGIN"},
	{"X-Permitted-Cross-Domain-Policies", "none"},
	{"X-XSS-Protection", "0"},
}

// writeHeaders sets what every reply carries, whatever becomes of the request.
func (a *API) writeHeaders(rc *fasthttp.RequestCtx, id string) {
	h := &rc.Response.Header
	for i := range securityHeaders {
		h.Set(securityHeaders[i][0], securityHeaders[i][1])
	}
	h.Set("X-Request-Id", id)
	h.Set("Cache-Control", "no-store")
	a.cors.write(rc)
}
