package group

import (
	"net/http"

	"github.com/tolkflip/tolkflip/httpapi"
)

// API is the service as the kit serves it. The paths are the same on the gateway.
func (s *Service) API() httpapi.Service {
	route := func(method, path, failed string, h httpapi.Handler) httpapi.Route {
		return httpapi.Route{
			Method: method, Path: path, Gateway: []string{path}, Auth: httpapi.Bearer, Failed: failed, Handle: h,
		}
	}
	const group = "/api/groups/{groupId}"
	return httpapi.Service{
		Name:   "group",
		Health: httpapi.Health{Name: "group-service", Status: "ok"},
		Routes: []httpapi.Route{
			route(http.MethodPost, "/api/groups", "Failed to create group", httpapi.Handle(http.StatusCreated, s.create)),
			route(http.MethodGet, group, "Failed to fetch group", httpapi.Handle(http.StatusOK, s.get)),
			route(http.MethodPut, group, "Failed to update group", httpapi.Handle(http.StatusOK, s.update)),
			route(http.MethodDelete, group, "Failed to delete/leave group", httpapi.Handle(http.StatusOK, s.remove)),
			route(http.MethodPut, group+"/settings", "Failed to update group settings", httpapi.Handle(http.StatusOK, s.set)),
			route(http.MethodGet, group+"/members", "Failed to fetch group members", httpapi.Handle(http.StatusOK, s.list)),
			route(http.MethodPost, group+"/members", "Failed to add member", httpapi.Handle(http.StatusCreated, s.add)),
			route(http.MethodDelete, group+"/members/{memberId}", "Failed to remove member", httpapi.Handle(http.StatusOK, s.drop)),
			route(http.MethodPut, group+"/members/{memberId}/role", "Failed to update member role", httpapi.Handle(http.StatusOK, s.setRole)),
			route(http.MethodGet, "/api/users/{userId}/groups", "Failed to fetch user groups", httpapi.Handle(http.StatusOK, s.ofUser)),
		},
	}
}
