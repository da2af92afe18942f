package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sys/unix"

	"github.com/tolkflip/tolkflip/conn"
	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/httpapi/auth"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/router/chat"
	"github.com/tolkflip/tolkflip/router/presence"
)

// server is the whole product in one process: stores, rules, services and event loops.
type server struct {
	cfg      Config
	log      *slog.Logger
	registry *prometheus.Registry
	urls     map[string]string // by service
	draining atomic.Bool
	fatal    chan error

	// In the order of their start. What is nil was not started.
	data     *dataDir
	signer   tokenSecret
	stores   *stores
	health   *health
	engine   *conn.Server
	router   *router.Router
	gate     *router.Gate
	chat     *chat.Service
	presence *presence.Service
	sms      *auth.Twilio
	api      *httpapi.API
	servers  map[string]*httpapi.Server // by service
	serving  sync.WaitGroup             // of servers
	control  *controlServer

	endBackground context.CancelFunc // ends background: presence, health, revocations of other nodes
	background    sync.WaitGroup
}

// newServer builds and binds everything. Nothing is served before run. What it opened is closed again
// when it fails.
func newServer(ctx context.Context, cfg Config, from *settings, log *slog.Logger) (_ *server, err error) {
	s := &server{
		cfg: cfg, log: log, registry: prometheus.NewRegistry(), fatal: make(chan error, 1),
		urls: map[string]string{}, servers: map[string]*httpapi.Server{},
	}
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop(context.WithoutCancel(ctx)))
		}
	}()
	if s.data, err = openDataDir(cfg.Data); err != nil {
		return nil, err
	}
	if s.signer, err = jwtSigner(cfg.JWTSecretFile, from.secrets["jwt-secret"], from.from("jwt-secret"), cfg.Data, true); err != nil {
		return nil, err
	}
	if s.stores, err = openStores(ctx, opening{
		cfg: cfg, from: from, node: s.data.node, data: s.data.path, key: s.signer.key, log: log, reg: s.registry, end: s.fail,
	}); err != nil {
		return nil, err
	}
	s.health = newHealth(s.stores.parts, log.With("part", "health"), s.registry)
	if err = s.buildRules(ctx); err != nil {
		return nil, err
	}
	if err = s.buildServices(from); err != nil {
		return nil, err
	}
	return s, nil
}

// buildRules makes the event loops and what sockets can trigger on them.
func (s *server) buildRules(ctx context.Context) error {
	limits := conn.Default()
	s.cfg.apply(&limits)
	var err error
	if s.engine, err = conn.New(limits, s.log.With("part", "conn"), s.registry); err != nil {
		return fmt.Errorf("event loops: %w", err)
	}
	s.router = router.New(s.engine, s.registry)
	if s.gate, err = router.NewGate(ctx, s.signer.Signer, s.stores.sessions, s.router, time.Now); err != nil {
		return fmt.Errorf("load revocations: %w", err)
	}
	s.chat, err = chat.New(chat.Default(), s.router, s.engine, chat.Stores{
		Log: s.stores.log, Threads: s.stores.threads, Users: s.stores.users,
		Groups: s.stores.groups, Members: s.stores.members, Cursors: s.stores.cursors,
	}, s.log.With("part", "chat"), s.registry)
	if err != nil {
		return fmt.Errorf("chat: %w", err)
	}
	s.presence, err = presence.New(presence.Default(), s.router, presence.Stores{
		Users: s.stores.users, Threads: s.stores.threads, Members: s.stores.members,
	}, s.log.With("part", "presence"), s.registry)
	if err != nil {
		return fmt.Errorf("presence: %w", err)
	}
	return nil
}

// fail ends the server from inside: a store that cannot keep its promises any more. It never blocks.
func (s *server) fail(err error) {
	select {
	case s.fatal <- err:
	default: // an earlier failure ends it already
	}
}

// serve opens the doors.
func (s *server) serve() error {
	for name, srv := range s.servers {
		s.serving.Go(func() {
			if err := srv.Serve(s.engine.HTTP(name)); err != nil {
				s.fail(fmt.Errorf("service %s: %w", name, err))
			}
		})
	}
	if err := s.engine.Start(conn.Rules{Gate: s.gate, Table: s.router, Chat: s.chat, Presence: s.presence}); err != nil {
		return fmt.Errorf("event loops: %w", err)
	}
	background, end := context.WithCancel(context.Background())
	s.endBackground = end
	s.background.Go(func() {
		if err := s.presence.Run(background); err != nil {
			s.fail(fmt.Errorf("presence: %w", err))
		}
	})
	s.background.Go(func() { s.health.run(background) })
	if s.stores.fanout != nil {
		s.background.Go(func() { s.stores.fanout.Listen(background, s.gate.Told, s.gate.Reload) })
	}
	var err error
	s.control, err = serveControl(s.data.in("control.sock"), s)
	return err
}

// run serves until ctx ends or a part fails, then stops all parts. ready is called once everything is
// reachable.
func (s *server) run(ctx context.Context, ready func()) error {
	err := s.serve()
	if err == nil {
		ready()
		select {
		case <-ctx.Done():
			s.log.Info("stopping", "drain", s.cfg.Drain)
		case err = <-s.fatal:
			s.log.Error("stopping", "err", err)
		}
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Drain+10*time.Second)
	defer cancel()
	return errors.Join(err, s.stop(stopping))
}

// stop ends what was started, the doors first and the stores last: sockets are closed over the drain
// window, requests under way finish, and what they wrote is durable.
func (s *server) stop(ctx context.Context) error {
	s.draining.Store(true)
	var all error
	failed := func(what string, err error) {
		if err != nil {
			all = errors.Join(all, fmt.Errorf("stop %s: %w", what, err))
		}
	}
	if s.control != nil {
		s.control.close()
	}
	if s.engine != nil {
		failed("event loops", s.engine.Shutdown(ctx))
	}
	for name, srv := range s.servers {
		failed("service "+name, srv.Shutdown(ctx))
	}
	s.serving.Wait()
	if s.api != nil {
		s.api.Close()
	}
	if s.sms != nil {
		s.sms.Close()
	}
	if s.endBackground != nil {
		s.endBackground()
		s.background.Wait()
	}
	if s.stores != nil {
		failed("stores", s.stores.close())
	}
	if s.data != nil {
		failed("data directory", s.data.close())
	}
	return all
}

// listen binds a service's port. With --port-base 0 it is any free one.
func (s *server) listen(index int, name string) error {
	port := 0
	if s.cfg.PortBase != 0 {
		port = s.cfg.PortBase + index
	}
	address, err := s.engine.Listen(conn.Port{Name: name, Addr: net.JoinHostPort(s.cfg.Host, strconv.Itoa(port)), Sockets: socketPaths(name)})
	if errors.Is(err, unix.EADDRINUSE) {
		return fmt.Errorf("port %d (%s) is taken; give another range with --port-base, or 0 for free ports", port, name)
	} else if err != nil {
		return fmt.Errorf("listen for %s: %w", name, err)
	}
	host, bound, err := net.SplitHostPort(address.String())
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	s.urls[name] = "http://" + net.JoinHostPort(host, bound)
	return nil
}

// apply gives the engine its share of the settings.
func (c *Config) apply(l *conn.Config) {
	if c.Loops > 0 {
		l.Loops = c.Loops
	}
	if c.MaxConnections > 0 {
		l.MaxConnections = c.MaxConnections
	}
	l.PerAddress = c.MaxPerAddress
	l.OutboundBytes = c.OutboundLimit
	l.AuthTimeout = c.AuthTimeout
	l.PingAfter = c.PingAfter
	l.DrainWindow = c.Drain
}
