package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/httpapi/auth"
	apichat "github.com/tolkflip/tolkflip/httpapi/chat"
	"github.com/tolkflip/tolkflip/httpapi/gateway"
	"github.com/tolkflip/tolkflip/httpapi/group"
	apimedia "github.com/tolkflip/tolkflip/httpapi/media"
	"github.com/tolkflip/tolkflip/httpapi/messagestore"
	apipresence "github.com/tolkflip/tolkflip/httpapi/presence"
	"github.com/tolkflip/tolkflip/httpapi/user"
	"github.com/tolkflip/tolkflip/httpapi/web"
)

// buildServices makes the REST services and binds the port of each that --services wants.
func (s *server) buildServices(from *settings) error {
	cfg := httpapi.Default()
	cfg.Dev = s.cfg.Dev
	cfg.CallTimeout = s.cfg.HTTPTimeout
	cfg.Origins = strings.Split(s.cfg.AllowedOrigins, ",")
	cfg.TrustedProxies, _ = parseProxies(s.cfg.TrustedProxies) // complete has checked it
	cfg.AddressLimit, cfg.UserLimit = s.cfg.LimitAddress, s.cfg.LimitUser
	var err error
	s.api, err = httpapi.New(cfg, httpapi.Deps{
		Tokens: s.gate, Limits: s.stores.limits, Ready: s, Metrics: s.registry,
		Upgrade: func(c net.Conn, service string, head []byte) error { return s.engine.Adopt(c, service, head) },
	}, s.log.With("part", "http"), s.registry)
	if err != nil {
		return err
	}
	services, err := s.services(from)
	if err != nil {
		return err
	}
	var pictures []string // from where the page shows files
	if s.cfg.BlobPublicURL != "" {
		pictures = append(pictures, s.cfg.BlobPublicURL)
	}
	front, err := gateway.New(gateway.Config{
		Services: services, Pages: web.Handler(pictures...), PagePaths: web.Paths(), Started: time.Now(), Now: time.Now,
	})
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	front.Sockets = socketPaths("gateway")
	byName := map[string]httpapi.Service{"gateway": front}
	for _, svc := range services {
		svc.Sockets = socketPaths(svc.Name)
		byName[svc.Name] = svc
	}
	for i, name := range serviceNames() {
		if !wanted(s.cfg.Services, name) {
			continue
		}
		if s.servers[name], err = s.api.Server(byName[name]); err != nil {
			return fmt.Errorf("service %s: %w", name, err)
		}
		if err := s.listen(i, name); err != nil {
			return err
		}
	}
	return nil
}

// services are all but the gateway.
func (s *server) services(from *settings) ([]httpapi.Service, error) {
	people, err := s.peopleServices(from)
	if err != nil {
		return nil, err
	}
	groups, err := group.New(group.Default(), group.Deps{
		Groups: s.stores.groups, Members: s.stores.members, People: s.stores.users, Rooms: s.chat, Registry: s.registry,
	})
	if err != nil {
		return nil, fmt.Errorf("group: %w", err)
	}
	files, err := s.files()
	if err != nil {
		return nil, err
	}
	threads := apichat.New(apichat.Deps{
		Rules: s.chat, Threads: s.stores.threads, Cursors: s.stores.cursors, Log: s.stores.log,
		People: s.stores.users, Groups: s.stores.groups, Online: s.presence.OnlineCount,
	})
	healthy := func(name string) httpapi.Health { return httpapi.Health{Name: name, Status: "healthy"} }
	return append(
		people, threads.API(),
		httpapi.Unbuilt("translation", healthy("translation"), "/api/translate"),
		httpapi.Unbuilt("transcription", healthy("transcription"), "/api/transcribe"),
		files.API(),
		apipresence.New(s.presence, s.chat).API(),
		messagestore.New(s.chat, threads).API(),
		httpapi.Unbuilt("notification", healthy("notification"), "/api/notifications"),
		httpapi.Unbuilt("webrtc", httpapi.Health{Name: "webrtc-service", Status: "ok"}, "/api/calls", "/api/webrtc"),
		groups.API(),
	), nil
}

// files are the media service.
func (s *server) files() (*apimedia.Service, error) {
	cfg := apimedia.Default()
	cfg.Timeout = s.cfg.HTTPTimeout
	files, err := apimedia.New(cfg, apimedia.Deps{
		Blobs: s.stores.blobs, Records: s.stores.media, Threads: s.chat, Messages: s.stores.log,
		Limits: s.stores.limits, LinkKey: s.signer.links, Now: time.Now,
	}, s.log.With("part", "media"), s.registry)
	if err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	return files, nil
}

// peopleServices are auth and user.
func (s *server) peopleServices(from *settings) ([]httpapi.Service, error) {
	login := auth.Default()
	login.Dev, login.Region = s.cfg.Dev, s.cfg.DefaultRegion
	login.AccessLife, login.SessionLife = s.cfg.AccessTTL, s.cfg.SessionTTL
	deps := auth.Deps{
		Users: s.stores.users, Sessions: s.stores.sessions, Codes: s.stores.codes, Limits: s.stores.limits,
		Tokens: s.signer, Gate: s.gate, Now: time.Now,
	}
	if s.cfg.TwilioAccountSID != "" {
		account := auth.DefaultTwilio()
		account.AccountSID, account.From, account.AuthToken = s.cfg.TwilioAccountSID, s.cfg.TwilioFrom, from.secrets["twilio-auth-token"]
		var err error
		if s.sms, err = auth.NewTwilio(account); err != nil {
			return nil, usageError{fmt.Errorf("--twilio-account-sid: %w", err)}
		}
		deps.SMS = s.sms
	}
	logins, err := auth.New(login, deps, s.log.With("part", "auth"), s.registry)
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	profiles := user.Default()
	profiles.Region = s.cfg.DefaultRegion
	people, err := user.New(profiles, user.Deps{
		Users: s.stores.users, Devices: s.stores.devices, Peers: s.stores.threads, Limits: s.stores.limits,
		Circle: user.SharedThreads{Threads: s.stores.threads, Members: s.stores.members}, Rules: s.chat, Now: time.Now,
	}, s.registry)
	if err != nil {
		return nil, fmt.Errorf("user: %w", err)
	}
	return []httpapi.Service{logins, people}, nil
}

// Ready says what keeps the server from serving well: httpapi.Readiness.
func (s *server) Ready() map[string]error {
	failing := s.health.failing()
	if s.draining.Load() {
		failing["server"] = errors.New("stopping")
	}
	return failing
}
