// Package httpapi is the kit that every REST service is built with: a service is a table of routes over
// plain functions, and the kit does the rest the same way on every port.
//
//	type (
//		getIn  struct {
//			User id.User `path:"id" missing:"User not found" json:"-"` // does not parse: 404 with that text
//			Lang string  `query:"lang" json:"-"`
//		}
//		getOut struct {
//			Success bool   `json:"success"`
//			Name    string `json:"name"`
//		}
//	)
//
//	func (s *service) get(ctx context.Context, c httpapi.Caller, in getIn) (getOut, error) { … }
//
//	func New(…) httpapi.Service {
//		s := &service{…}
//		return httpapi.Service{
//			Name:   "user",
//			Health: httpapi.Health{Name: "user", Status: "healthy"},
//			Routes: []httpapi.Route{{
//				Method: "GET", Path: "/profile/{id}", Gateway: []string{"/api/users/profile/{id}"},
//				Auth: httpapi.Bearer, Failed: "Failed to fetch profile",
//				Handle: httpapi.Handle(200, s.get),
//			}},
//		}
//	}
//
// A request goes: request id, CORS and security headers, preflight, route, token, limit, declared length,
// the body, then the route's Handler: decode → Validate → call → encode. In is filled from the JSON body first (only when
// Content-Type is JSON; any other body counts as the empty object, as the clients expect, and an error
// then carries a hint), then its `path:"…"` and `query:"…"` fields, which the body can never set, then by
// its FromRequest(*Request) error, if it has one; then its Validate() error, if it has one, judges it.
// The status is the one given to Handle, unless Out has a Status() int.
//
// An error is a *proto.Error, whose code gives the status (status.go), or a Replier, which brings its own
// status and body; anything else is a 500 that says nothing. Every error body is a JSON object with
// success:false, error (the text), code, and where they apply field, reason, hint and requestId. Cause is
// logged, once, here.
//
// Decisions.
//
// Compression is gzip only, at the fastest level, above Config.CompressAbove: the bodies are JSON lists
// on which better levels save little and cost much of two cores.
//
// Bodies are read behind the door. fasthttp reads a body before it calls anybody unless it streams, so all
// ports stream, one byte is read ahead (it knows no fewer), and the kit reads the rest once it knows who
// asks: a stranger costs no buffer. fasthttp holds a streamed body to no size and no deadline; Body and
// Config.patience do, and ReplyStream does for what goes out. A route that streams is a Raw one with
// Route.Stream. A client that is refused while it sends large bodies is read on for a moment behind the
// reply (linger.go), since a reset would overtake it; "Expect: 100-continue" is answered at the door.
//
// Path parameters are registered by position, not by name, so that two services may name the same
// segment of the gateway differently.
//
// The nesting of a body is bounded by a scan before the decoder sees it: sonic stops by itself, but at a
// depth of thousands and on a native stack.
package httpapi
