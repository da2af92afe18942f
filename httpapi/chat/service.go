package chat

import (
	"context"
	"net/http"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

type (
	// Rules are what router/chat decides.
	Rules interface {
		// Member refuses one who may not see the thread.
		Member(ctx context.Context, t id.Thread, u id.User) error
		// Page gives messages of a thread with seq < before (0 = the newest), rising, at most limit, and
		// whether nothing is older. It refuses who is not a member.
		Page(ctx context.Context, u id.User, t id.Thread, before uint64, limit int) ([]store.Message, bool, error)
		// MarkRead moves the caller's cursor forward, to a seq (at most the head) or a message, and tells
		// the others.
		MarkRead(ctx context.Context, u id.User, t id.Thread, seq uint64, m id.Message) error
	}
	// People gives names.
	People interface {
		Get(ctx context.Context, u id.User) (store.User, error)
	}
	// Groups gives the names of groups.
	Groups interface {
		Get(ctx context.Context, g id.Thread) (store.Group, error)
	}
	// Cursors say how far members got.
	Cursors interface {
		Of(ctx context.Context, u id.User, threads []id.Thread) ([]store.Cursor, error)
		In(ctx context.Context, t id.Thread, limit int) ([]store.CursorOf, error)
	}
	// Log is read to tell a member's own messages from unread ones.
	Log interface {
		Before(ctx context.Context, t id.Thread, before uint64, limit int) ([]store.Message, error)
	}
	// Threads lists conversations and keeps their settings.
	Threads interface {
		ByUser(ctx context.Context, u id.User, after []byte, limit int) ([]store.ThreadOf, []byte, error)
		Settings(ctx context.Context, t id.Thread, u id.User) (store.ThreadSettings, error)
		SetSettings(ctx context.Context, t id.Thread, u id.User, p store.ThreadSettingsPatch) (store.ThreadSettings, error)
	}
)

// Deps are the parts that the service works with. All are needed.
type Deps struct {
	Rules   Rules
	Threads Threads
	Cursors Cursors
	Log     Log
	People  People
	Groups  Groups
	Online  func() int // distinct users with an open connection
}

// Service holds the REST rules of chat. It has no state of its own.
type Service struct {
	rules   Rules
	threads Threads
	cursors Cursors
	log     Log
	people  People
	groups  Groups
	online  func() int
}

// New makes the service.
func New(d Deps) *Service {
	return &Service{
		rules: d.Rules, threads: d.Threads, cursors: d.Cursors, log: d.Log, people: d.People, groups: d.Groups, online: d.Online,
	}
}

// API is the service as the kit serves it.
func (s *Service) API() httpapi.Service {
	route := func(method, path, gateway, failed string, h httpapi.Handler) httpapi.Route {
		return httpapi.Route{
			Method: method, Path: path, Gateway: []string{gateway}, Auth: httpapi.Bearer, Failed: failed, Handle: h,
		}
	}
	const thread = "/threads/{threadId}"
	return httpapi.Service{
		Name: "chat",
		Health: httpapi.Health{
			Name: "chat", Status: "healthy",
			More: func() map[string]any { return map[string]any{"activeConnections": s.online()} },
		},
		Sockets: []string{"/ws"},
		Routes: []httpapi.Route{
			route(http.MethodGet, "/threads", "/api/chat/threads", "Failed to fetch threads",
				httpapi.Handle(http.StatusOK, s.list)),
			route(http.MethodGet, thread+"/messages", "/api/chat"+thread+"/messages", "Failed to fetch messages",
				httpapi.Handle(http.StatusOK, s.newestFirst)),
			route(http.MethodGet, thread+"/settings", "/api/chat"+thread+"/settings", "Failed to fetch settings",
				httpapi.Handle(http.StatusOK, s.settings)),
			route(http.MethodPost, thread+"/settings", "/api/chat"+thread+"/settings", "Failed to update settings",
				httpapi.Handle(http.StatusOK, s.setSettings)),
			{
				Method: http.MethodPost, Path: thread + "/read", Auth: httpapi.Bearer, Failed: "Failed to mark as read",
				Gateway: []string{"/api/chat" + thread + "/read", "/api/v1" + thread + "/read"},
				Handle:  httpapi.Handle(http.StatusOK, s.read),
			},
			route(http.MethodGet, "/api/v1/threads/{userId}", "/api/v1/threads/{userId}", "Failed to fetch threads",
				httpapi.Handle(http.StatusOK, s.listOwn)),
			route(http.MethodGet, "/api/v1/messages/{threadId}", "/api/v1/messages/{threadId}", "Failed to fetch messages",
				httpapi.Handle(http.StatusOK, s.oldestFirst)),
		},
	}
}
