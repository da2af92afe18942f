package gateway

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/httpapi/apitest"
	"github.com/tolkflip/tolkflip/proto/id"
)

func TestMain(m *testing.M) { apitest.Main(m) }

func handle(id string) httpapi.Handler {
	return httpapi.Handle(200, func(context.Context, httpapi.Caller, struct{}) (map[string]string, error) {
		return map[string]string{"handler": id}, nil
	})
}

func services() []httpapi.Service {
	return []httpapi.Service{
		{
			Name: "user", Health: httpapi.Health{Name: "user", Status: "healthy"},
			Routes: []httpapi.Route{
				{Method: "GET", Path: "/row/{user}", Gateway: []string{"/api/users/{user}", "/api/v1/user/{user}"}, Handle: handle("row")},
				{Method: "GET", Path: "/search", Gateway: []string{"/api/users/search"}, Handle: handle("search")},
				{Method: "GET", Path: "/inner", Handle: handle("inner")},
			},
		},
		{
			Name: "group", Health: httpapi.Health{Name: "group-service", Status: "ok"},
			Routes: []httpapi.Route{
				{Method: "GET", Path: "/api/users/{id}/groups", Gateway: []string{"/api/users/{id}/groups"}, Auth: httpapi.Bearer, Handle: handle("groups")},
			},
		},
		httpapi.Unbuilt("media", httpapi.Health{Name: "media", Status: "healthy"}, "/api/media", "/api/v1/media"),
	}
}

func serve(t *testing.T) func(method, path string) (int, map[string]any) {
	t.Helper()
	now := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	svc, err := New(Config{
		Services: services(), Started: now.Add(-90 * time.Second), Now: func() time.Time { return now },
		Pages:     func(rc *fasthttp.RequestCtx) { rc.SetContentType("text/html"); rc.SetBodyString(`{"page":true}`) },
		PagePaths: []string{"/"},
	})
	if err != nil {
		t.Fatal(err)
	}
	nobody := apitest.Start(t, svc).As(id.User{})
	return func(method, path string) (int, map[string]any) {
		r := nobody.Do(method, path, nil)
		return r.Status, r.Body
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	do := serve(t)
	for _, c := range []struct {
		method, path string
		status       int
		key          string
		want         any
	}{
		{"GET", "/", 200, "page", true},
		{"GET", "/api/users/x", 200, "handler", "row"},
		{"GET", "/api/v1/user/x", 200, "handler", "row"},
		{"GET", "/api/users/search", 200, "handler", "search"},
		{"GET", "/api/users/x/groups", 401, "error", "No token provided"},
		{"GET", "/inner", 404, "error", "Endpoint not found"},
		{"GET", "/row/x", 404, "error", "Endpoint not found"},
		{"GET", "/api/usersfoo", 404, "error", "Endpoint not found"},
		{"GET", "/API/users/x", 404, "error", "Endpoint not found"},
		{"GET", "/api/users/x/", 404, "error", "Endpoint not found"},
		{"POST", "/api/users/search", 405, "error", "Method not allowed"},
		{"GET", "/api/users/health", 200, "service", "user"},
		{"GET", "/api/groups/health", 200, "service", "group-service"},
		{"GET", "/api/media/health", 200, "service", "media"},
		{"POST", "/api/media/upload", 501, "error", "media is not available on this server"},
		{"GET", "/api/media/a/b/c", 501, "success", false},
		{"DELETE", "/api/media", 501, "success", false},
		{"POST", "/api/v1/media/upload", 501, "success", false},
		{"GET", "/openapi.json", 200, "openapi", "3.1.0"},
		{"GET", "/api/auth/health", 404, "error", "Endpoint not found"}, // auth does not run here
	} {
		if status, body := do(c.method, c.path); status != c.status || body[c.key] != c.want {
			t.Errorf("%s %s: %d %v, want %d with %s=%v", c.method, c.path, status, body, c.status, c.key, c.want)
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	status, body := serve(t)("GET", "/health")
	got, _ := json.Marshal(body)
	want := `{"backends":{"group":"healthy","media":"unavailable","user":"healthy"},"service":"api-gateway",` +
		`"services":{"group":"/api/groups","media":"/api/media","user":"/api/users"},"status":"healthy",` +
		`"timestamp":"2026-01-02T03:04:05.006Z","uptime":90}`
	if status != 200 || string(got) != want {
		t.Errorf("%d %s\nwant %s", status, got, want)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{}); err == nil {
		t.Error("a gateway without a clock was made")
	}
	if _, err := New(Config{Now: time.Now, PagePaths: []string{"/"}}); err == nil {
		t.Error("a gateway with paths and no pages was made")
	}
}
