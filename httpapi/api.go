package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"github.com/fasthttp/router"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/tolkflip/tolkflip/proto"
)

// API is what the ports of one process share: settings, limits, metrics and the count of connections.
type API struct {
	// Fixed after New.
	cfg     Config
	deps    Deps
	log     *slog.Logger
	metrics *metrics
	cors    cors
	expose  fasthttp.RequestHandler // GET /metrics
	base    context.Context         //nolint:containedctx // ends the calls in flight when Close is called
	stop    context.CancelFunc

	open    atomic.Int64 // HTTP connections of all ports
	lingers lingers      // refused ones, which are no longer among those
}

// New makes the kit. Close ends what is in flight.
func New(cfg Config, deps Deps, log *slog.Logger, reg prometheus.Registerer) (*API, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := deps.validate(); err != nil {
		return nil, err
	}
	base, stop := context.WithCancel(context.Background())
	return &API{
		cfg: cfg, deps: deps, log: log, base: base, stop: stop,
		metrics: newMetrics(reg),
		cors:    newCORS(cfg.Origins),
		expose:  exposition(deps.Metrics),
	}, nil
}

// Close cancels the context of every call that still runs. It comes after the servers' Shutdown.
func (a *API) Close() {
	a.stop()
	a.lingers.close()
}

// Server serves one Service.
type Server struct {
	api     *API
	service Service
	router  *router.Router
	http    *fasthttp.Server
	sockets map[string]bool
	other   *mounted // what matched no route, for metrics

	mu        sync.Mutex // guards the below
	listeners []*bounded
	closed    bool
}

// mounted is a route as it stands on a port.
type mounted struct {
	Route
	service string
	names   []string // of the path parameters, by position
	counts  *routeCounts
}

func (m *mounted) name() string {
	if m == nil {
		return "none"
	}
	return m.service + " " + m.Method + " " + m.Path
}

func (m *mounted) streams() bool { return m != nil && m.Stream > 0 }

func (m *mounted) failed() string {
	if m == nil || m.Failed == "" {
		return textInternal
	}
	return m.Failed
}

// Server makes the server of one service's port. Two routes of the same method and path are an error, as
// is a path that the router cannot take.
func (a *API) Server(svc Service) (s *Server, err error) {
	defer func() {
		if p := recover(); p != nil { // the router's way of refusing a path
			s, err = nil, fmt.Errorf("httpapi: routes of %s: %v", svc.Name, p)
		}
	}()
	s = &Server{api: a, service: svc, router: router.New(), sockets: map[string]bool{}}
	for _, p := range svc.Sockets {
		s.sockets[p] = true
	}
	s.router.RedirectTrailingSlash = false
	s.router.RedirectFixedPath = false
	s.router.HandleOPTIONS = false
	s.router.NotFound = s.notFound
	s.router.MethodNotAllowed = s.methodNotAllowed
	s.other = &mounted{service: svc.Name, Route: Route{Path: "other"}, counts: a.metrics.route(svc.Name, "other", "other")}
	for _, rt := range append(s.builtin(), svc.Routes...) {
		s.mount(rt)
	}
	s.http = a.fasthttp(s)
	return s, nil
}

func (s *Server) mount(rt Route) {
	pattern, names := positional(rt.Path)
	m := &mounted{Route: rt, service: s.service.Name, names: names}
	m.counts = s.api.metrics.route(s.service.Name, rt.Method, rt.Path)
	h := func(rc *fasthttp.RequestCtx) {
		r := rc.UserValue(requestKey).(*Request) //nolint:forcetypeassert // set for every request
		if err := r.enter(m); err != nil {
			r.fail(err)
			return
		}
		if r.asking {
			return
		}
		if rt.Stream == 0 {
			if err := r.readBody(); err != nil {
				r.fail(err)
				return
			}
		}
		if err := rt.Handle.run(r); err != nil {
			r.fail(err)
		}
	}
	s.router.Handle(rt.Method, pattern, h)
	if rt.Method == fasthttp.MethodGet {
		s.router.Handle(fasthttp.MethodHead, pattern, h)
	}
}

const requestKey = "httpapi"

// enter lets a request into a route, once: one that was asked about before its body came is in already.
func (r *Request) enter(m *mounted) error {
	if r.route != nil {
		return nil
	}
	r.route = m
	err := r.admit()
	if err == nil {
		err = r.limitBody()
	}
	r.refused = err != nil
	return err
}

// admit checks who asks and whether they may ask once more.
func (r *Request) admit() error {
	r.Caller.Address = r.api.clientAddress(r.rc)
	err := r.authenticate()
	if limited := r.limit(); limited != nil {
		return limited
	}
	return err
}

func (s *Server) notFound(rc *fasthttp.RequestCtx) {
	s.unmatched(rc, Refuse(404, proto.NotFound, textNotFound))
}

func (s *Server) methodNotAllowed(rc *fasthttp.RequestCtx) {
	s.unmatched(rc, Refuse(405, proto.Invalid, textMethod))
}

// unmatched answers what no route takes. Below /api/ it counts against the address like any request.
func (s *Server) unmatched(rc *fasthttp.RequestCtx, err error) {
	r := rc.UserValue(requestKey).(*Request) //nolint:forcetypeassert // set for every request
	if len(rc.Path()) >= 5 && string(rc.Path()[:5]) == "/api/" {
		r.Caller.Address = r.api.clientAddress(rc)
		if limited := r.limit(); limited != nil {
			err = limited
		}
	}
	r.fail(err)
}

// Serve answers the connections of ln until Shutdown, and then returns nil; after it, too. It may be
// called for several listeners.
func (s *Server) Serve(ln net.Listener) error {
	b := &bounded{Listener: ln, api: s.api}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ln.Close()
	}
	s.listeners = append(s.listeners, b)
	s.mu.Unlock()
	return s.http.Serve(b)
}

// Shutdown closes the listeners, lets the requests in flight end and closes idle connections. When ctx
// ends first its error is returned, and what is in flight goes on.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	var errs []error
	for _, b := range s.listeners { // fasthttp would miss one that Serve is about to hand to it
		errs = append(errs, b.Close())
	}
	s.mu.Unlock()
	return errors.Join(append(errs, s.http.ShutdownWithContext(ctx))...)
}

// Routes are the routes of the port, the kit's own among them.
func (s *Server) Routes() []Route { return append(s.builtin(), s.service.Routes...) }
