package messagestore

import (
	"context"
	"net/http"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/httpapi/row"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router/chat"
)

type (
	// Rules are what router/chat decides.
	Rules interface {
		// Post sends a message and waits until it is durable.
		Post(ctx context.Context, from id.User, p chat.Post) (chat.Sent, error)
		// Member refuses one who may not see the thread.
		Member(ctx context.Context, t id.Thread, u id.User) error
		// MarkDelivered and MarkRead move the caller's cursor forward up to a message of the thread.
		MarkDelivered(ctx context.Context, u id.User, t id.Thread, seq uint64, m id.Message) error
		MarkRead(ctx context.Context, u id.User, t id.Thread, seq uint64, m id.Message) error
	}
	// Lists are the pages that the chat service gives under other paths.
	Lists interface {
		Threads(ctx context.Context, u id.User, limit int, position string) (row.ThreadPage, error)
		Messages(ctx context.Context, u id.User, q row.MessageQuery) (row.MessagePage, error)
	}
)

// Service holds the REST rules of single messages. It has no state of its own.
type Service struct {
	rules Rules
	lists Lists
}

// New makes the service.
func New(r Rules, lists Lists) *Service { return &Service{rules: r, lists: lists} }

// API is the service as the kit serves it.
func (s *Service) API() httpapi.Service {
	post := httpapi.Handle(http.StatusOK, s.post)
	list := httpapi.Handle(http.StatusOK, s.list)
	status := httpapi.Handle(http.StatusOK, s.status)
	const (
		saving, fetching = "Failed to save message", "Failed to fetch messages"
		updating         = "Failed to update message status"
		one              = "/messages/{threadId}/{messageId}/status"
	)
	return httpapi.Service{
		Name:   "messagestore",
		Health: httpapi.Health{Name: "message-store", Status: "healthy"},
		Routes: []httpapi.Route{
			{
				Method: http.MethodPost, Path: "/messages", Gateway: []string{"/api/messages", "/api/v1/messages"},
				Auth: httpapi.Bearer, Failed: saving, Handle: post,
			},
			{
				Method: http.MethodGet, Path: "/messages/{threadId}", Gateway: []string{"/api/messages/{threadId}"},
				Auth: httpapi.Bearer, Failed: fetching, Handle: list,
			},
			{
				Method: http.MethodPut, Path: one, Gateway: []string{"/api" + one},
				Auth: httpapi.Bearer, Failed: updating, Handle: status,
			},
			{
				Method: http.MethodGet, Path: "/threads/{userId}",
				Auth: httpapi.Bearer, Failed: "Failed to fetch threads", Handle: httpapi.Handle(http.StatusOK, s.threads),
			},
			// The other backends' paths on the service's own port.
			{Method: http.MethodPost, Path: "/api/messages", Auth: httpapi.Bearer, Failed: saving, Handle: post},
			{Method: http.MethodGet, Path: "/api/messages/{threadId}", Auth: httpapi.Bearer, Failed: fetching, Handle: list},
			{Method: http.MethodPut, Path: "/api" + one, Auth: httpapi.Bearer, Failed: updating, Handle: status},
		},
	}
}
