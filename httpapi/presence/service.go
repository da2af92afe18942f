package presence

import (
	"context"
	"net/http"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
)

type (
	// Rules are what router/presence decides.
	Rules interface {
		// Of gives states in the order of users. One who shares no thread with the asker reads offline,
		// never seen.
		Of(ctx context.Context, asker id.User, users []id.User) ([]proto.PresenceOf, error)
		// Set is what a person says of himself.
		Set(ctx context.Context, u id.User, st proto.Status) error
	}
	// Typing tells the others of a thread that somebody writes. It refuses who is not a member.
	Typing interface {
		SetTyping(ctx context.Context, u id.User, t id.Thread, receiver id.User, on bool) error
	}
)

// Service holds the REST rules of presence. It has no state of its own.
type Service struct {
	rules  Rules
	typing Typing
}

// New makes the service.
func New(r Rules, t Typing) *Service { return &Service{rules: r, typing: t} }

// API is the service as the kit serves it.
func (s *Service) API() httpapi.Service {
	route := func(method, path, failed string, h httpapi.Handler) httpapi.Route {
		return httpapi.Route{
			Method: method, Path: path, Gateway: []string{"/api/presence" + path}, Auth: httpapi.Bearer, Failed: failed, Handle: h,
		}
	}
	const update, get = "Failed to update presence", "Failed to get presence"
	same := func(method, path, failed string, h httpapi.Handler) httpapi.Route {
		r := route(method, path, failed, h)
		r.Gateway = []string{path}
		return r
	}
	return httpapi.Service{
		Name:   "presence",
		Health: httpapi.Health{Name: "presence", Status: "healthy"},
		Routes: []httpapi.Route{
			route(http.MethodPost, "/online", update, httpapi.Handle(http.StatusOK, s.online)),
			route(http.MethodPost, "/offline", update, httpapi.Handle(http.StatusOK, s.offline)),
			route(http.MethodGet, "/user/{userId}", get, httpapi.Handle(http.StatusOK, s.of)),
			route(http.MethodPost, "/users/batch", "Failed to get presences", httpapi.Handle(http.StatusOK, s.batch)),
			route(http.MethodPost, "/typing", "Failed to update typing indicator", httpapi.Handle(http.StatusOK, s.writes)),
			route(http.MethodGet, "/online/users", "Failed to get online users", httpapi.Handle(http.StatusOK, s.everybody)),
			same(http.MethodGet, "/api/presence/{userId}", get, httpapi.Handle(http.StatusOK, s.of)),
			same(http.MethodPost, "/api/presence/{userId}/status", update, httpapi.Handle(http.StatusOK, s.status)),
			same(http.MethodPost, "/api/v1/presence/update", update, httpapi.Handle(http.StatusOK, s.update)),
		},
	}
}
