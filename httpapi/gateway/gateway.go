// Package gateway is the public port: every route of the services that run in this process, under the
// paths that all clients know, the pages, and one health for all. Handlers are called in the process;
// nothing is proxied, so that there is no second connection, no second parsing and no address to leak.
package gateway

import (
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/tolkflip/tolkflip/httpapi"
)

// Config is what the gateway is put together from.
type Config struct {
	Services []httpapi.Service
	// Pages answers GET on PagePaths ("/" among them); web.Handler and web.Paths do. Both may be absent.
	Pages     fasthttp.RequestHandler
	PagePaths []string
	Version   string // of the server, for GET /openapi.json
	Started   time.Time
	Now       func() time.Time
}

// prefix is a path of the gateway below which a service is known: /api/users is user.
type prefix struct{ path, service string }

// prefixes are where GET <path>/health answers for a service.
func prefixes() []prefix {
	return []prefix{
		{"/api/auth", "auth"},
		{"/api/users", "user"},
		{"/api/chat", "chat"},
		{"/api/translate", "translation"},
		{"/api/transcribe", "transcription"},
		{"/api/media", "media"},
		{"/api/presence", "presence"},
		{"/api/messages", "messagestore"},
		{"/api/notifications", "notification"},
		{"/api/webrtc", "webrtc"},
		{"/api/groups", "group"},
	}
}

// New makes the gateway's Service.
func New(cfg Config) (httpapi.Service, error) {
	if cfg.Now == nil || (cfg.Pages == nil) != (len(cfg.PagePaths) == 0) {
		return httpapi.Service{}, errors.New("gateway: Config is incomplete")
	}
	g := httpapi.Service{
		Name:    "gateway",
		Health:  httpapi.Health{Name: "api-gateway", Status: "healthy", More: cfg.health()},
		Sockets: []string{"/ws", "/chat"},
	}
	for _, p := range cfg.PagePaths {
		g.Routes = append(g.Routes, httpapi.Route{
			Method: "GET", Path: p, Unlimited: true, Handle: httpapi.Raw(func(r *httpapi.Request) error {
				cfg.Pages(r.Ctx())
				return nil
			}),
		})
	}
	byName := map[string]httpapi.Service{}
	var public []httpapi.Service // as they are mounted here
	for _, s := range cfg.Services {
		byName[s.Name] = s
		here := httpapi.Service{Name: s.Name}
		for _, rt := range s.Routes {
			for _, path := range rt.Gateway {
				mounted := rt
				mounted.Path, mounted.Gateway = path, nil
				here.Routes = append(here.Routes, mounted)
			}
		}
		public = append(public, here)
		g.Routes = append(g.Routes, here.Routes...)
	}
	for _, p := range prefixes() {
		if s, ok := byName[p.service]; ok {
			g.Routes = append(g.Routes, httpapi.Route{
				Method: "GET", Path: p.path + "/health", Unlimited: true, Handle: s.Health.Handler(),
			})
		}
	}
	described := httpapi.OpenAPI(cfg.Version, public)
	g.Routes = append(g.Routes, httpapi.Route{
		Method: "GET", Path: "/openapi.json", Unlimited: true, Handle: httpapi.Raw(func(r *httpapi.Request) error {
			r.Reply(200, described)
			return nil
		}),
	})
	return g, nil
}

// health is what GET /health adds: the keys of the original, with paths where it told addresses.
func (cfg Config) health() func() map[string]any {
	services, backends := map[string]string{}, map[string]string{}
	paths := map[string]string{}
	for _, p := range prefixes() {
		paths[p.service] = p.path
	}
	for _, s := range cfg.Services {
		services[s.Name] = paths[s.Name]
		state := "healthy"
		if s.Absent {
			state = "unavailable"
		}
		backends[s.Name] = state
		if s.Name == "messagestore" { // the clients' spellings
			backends["message_store"], backends["message-store"] = state, state
		}
	}
	return func() map[string]any {
		now := cfg.Now()
		return map[string]any{
			"timestamp": httpapi.ISO(now.UnixMilli()),
			"uptime":    now.Sub(cfg.Started).Seconds(),
			"services":  services,
			"backends":  backends,
		}
	}
}
