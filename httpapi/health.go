package httpapi

import (
	"errors"
	"log/slog"
	"maps"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"

	"github.com/tolkflip/tolkflip/proto"
)

// builtin are the routes of every port.
func (s *Server) builtin() []Route {
	return []Route{
		{Method: "GET", Path: "/health", Unlimited: true, Handle: s.service.Health.Handler()},
		{Method: "GET", Path: "/ready", Unlimited: true, Handle: Raw(s.api.ready)},
		{Method: "GET", Path: "/metrics", Unlimited: true, Handle: Raw(func(r *Request) error {
			s.api.expose(r.rc)
			return nil
		})},
	}
}

// Handler answers GET /health: alive, whatever else is wrong.
func (h Health) Handler() Handler {
	return Raw(func(r *Request) error {
		body := map[string]any{"status": h.Status, "service": h.Name}
		if h.More != nil {
			maps.Copy(body, h.More())
		}
		r.Reply(200, body)
		return nil
	})
}

// ready answers GET /ready: 200, or 503 with what fails. What a failure says of the inside is logged, not told.
func (a *API) ready(r *Request) error {
	var failing map[string]error
	if a.deps.Ready != nil {
		failing = a.deps.Ready.Ready()
	}
	if len(failing) == 0 {
		r.Reply(200, map[string]any{"status": "ready"})
		return nil
	}
	told := make(map[string]string, len(failing))
	for part, err := range failing {
		told[part] = "failing"
		var p *proto.Error
		if errors.As(err, &p) && p.Message != "" {
			told[part] = p.Message
		}
		a.log.Warn("not ready", slog.String("part", part), slog.Any("error", err))
	}
	r.Reply(503, map[string]any{"status": "unready", "success": false, "error": "Not ready", "failing": told})
	return nil
}

func exposition(g prometheus.Gatherer) fasthttp.RequestHandler {
	return fasthttpadaptor.NewFastHTTPHandler(promhttp.HandlerFor(g, promhttp.HandlerOpts{}))
}
