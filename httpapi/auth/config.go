package auth

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto/token"
	"github.com/tolkflip/tolkflip/store"
)

// Config is what an operator may set of the service.
type Config struct {
	// Dev returns verification codes in the reply and logs them; loopback addresses have no limit.
	Dev bool
	// Region (ISO 3166) reads phone numbers without a country code; empty: none.
	Region string

	AccessLife  time.Duration // of an access token
	SessionLife time.Duration // of a session and its refresh token
	Sessions    int           // of one user at most; the oldest goes

	CodeLife  time.Duration
	CodeTries int           // wrong ones until a code is gone
	ResendGap time.Duration // between two codes for one phone
	GrantLife time.Duration // from a verified code to /login or /register

	CodesPerHour    int // for one phone
	CodesPerDay     int // for one phone
	CodesPerAddress int // for one address and hour
}

// Default is what serves well where nothing is configured.
func Default() Config {
	return Config{
		AccessLife:      time.Hour,
		SessionLife:     30 * 24 * time.Hour,
		Sessions:        20,
		CodeLife:        10 * time.Minute,
		CodeTries:       3,
		ResendGap:       time.Minute,
		GrantLife:       5 * time.Minute,
		CodesPerHour:    10,
		CodesPerDay:     30,
		CodesPerAddress: 30,
	}
}

// Validate says what cannot be served with.
func (c Config) Validate() error {
	for _, d := range []time.Duration{c.AccessLife, c.SessionLife, c.CodeLife, c.ResendGap, c.GrantLife} {
		if d < time.Second {
			return errors.New("auth: every life and gap must be at least a second")
		}
	}
	if c.AccessLife > c.SessionLife {
		return errors.New("auth: an access token must not outlive its session")
	}
	for _, n := range []int{c.Sessions, c.CodeTries, c.CodesPerHour, c.CodesPerDay, c.CodesPerAddress} {
		if n < 1 {
			return errors.New("auth: every limit must be at least 1")
		}
	}
	return nil
}

// Tokens makes and reads tokens; token.Signer does.
type Tokens interface {
	Sign(c token.Claims) (string, error)
	Verify(tok []byte, want token.Type, now time.Time) (token.Claims, error)
}

// Gate makes the end of a session known: to the store, to the memory that judges tokens, and to the open
// sockets; router.Gate does.
type Gate interface {
	// Revoke stores r and ends what it concerns.
	Revoke(ctx context.Context, r store.Revocation) error
	// Removed is told which sessions Sessions.Open ended.
	Removed(ss []store.Session)
}

// Deps are the values that the service calls. All but SMS are needed.
type Deps struct {
	Users    store.Users
	Sessions store.Sessions
	Codes    store.Codes
	Limits   store.Limits
	Tokens   Tokens
	Gate     Gate
	SMS      SMS // absent: only with Dev can a code be had
	Now      func() time.Time
}

// service holds the rules of logging in.
type service struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	metrics *metrics
}

// New makes the service.
func New(cfg Config, deps Deps, log *slog.Logger, reg prometheus.Registerer) (httpapi.Service, error) {
	if err := cfg.Validate(); err != nil {
		return httpapi.Service{}, err
	}
	if deps.Users == nil || deps.Sessions == nil || deps.Codes == nil || deps.Limits == nil ||
		deps.Tokens == nil || deps.Gate == nil || deps.Now == nil {
		return httpapi.Service{}, errors.New("auth: Deps is incomplete")
	}
	s := &service{cfg: cfg, deps: deps, log: log, metrics: newMetrics(reg)}
	return httpapi.Service{
		Name:   "auth",
		Health: httpapi.Health{Name: "auth", Status: "healthy"},
		Routes: s.routes(),
	}, nil
}

func (s *service) routes() []httpapi.Route {
	post := func(name, failed string, auth httpapi.Auth, h httpapi.Handler, root bool) httpapi.Route {
		gateway := []string{"/api/auth/" + name, "/api/v1/auth/" + name}
		if root {
			gateway = append(gateway, "/"+name)
		}
		return httpapi.Route{
			Method: "POST", Path: "/" + name, Gateway: gateway, Auth: auth, Handle: h, Failed: failed,
		}
	}
	return []httpapi.Route{
		post("request-code", "Failed to send verification code", httpapi.Public, httpapi.Handle(200, s.requestCode), true),
		post("verify", "Verification failed", httpapi.Public, httpapi.Handle(200, s.verify), false),
		post("verify-code", "Verification failed", httpapi.Public, httpapi.Handle(200, s.verifyCode), true),
		post("login", "Login failed", httpapi.Public, httpapi.Handle(200, s.login), true),
		post("register", "Registration failed", httpapi.Public, httpapi.Handle(201, s.register), true),
		post("refresh", "Token refresh failed", httpapi.Public, httpapi.Handle(200, s.refresh), true),
		post("logout", "Logout failed", httpapi.Optional, httpapi.Handle(200, s.logout), false),
	}
}
