package user

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// Config is what an operator may set of the service.
type Config struct {
	// Region (ISO 3166) reads phone numbers without a country code; empty: none.
	Region string

	CachedUsers int           // profiles in memory at most
	CachedPairs int           // answers to "do they share a thread" in memory at most
	CacheLife   time.Duration // how long one is believed

	Contacts       int // people in one answer of /contacts at most
	Devices        int // push tokens of one user at most; the oldest goes
	SearchesPerDay int // of one user
}

// Default is what serves well where nothing is configured.
func Default() Config {
	return Config{
		CachedUsers: 20_000, CachedPairs: 50_000, CacheLife: time.Minute,
		Contacts: 200, Devices: 20, SearchesPerDay: 500,
	}
}

// Validate says what cannot be served with.
func (c Config) Validate() error {
	for _, n := range []int{c.CachedUsers, c.CachedPairs, c.Contacts, c.Devices, c.SearchesPerDay} {
		if n < 1 {
			return errors.New("user: every limit must be at least 1")
		}
	}
	if c.CacheLife <= 0 {
		return errors.New("user: the life of a cached profile must be above 0")
	}
	return nil
}

// Circle says who may read a person's phone number.
type Circle interface {
	// Share reports whether two people are in one thread, direct or group.
	Share(ctx context.Context, a, b id.User) (bool, error)
}

// Peers lists with whom a user writes; store.Threads does.
type Peers interface {
	Peers(ctx context.Context, u id.User, limit int) ([]id.User, error)
}

// Rules hold what they know of users in memory; router/chat's do.
type Rules interface {
	// UserChanged makes them read a user again.
	UserChanged(u id.User)
}

// Deps are the values that the service calls. All are needed.
type Deps struct {
	Users   store.Users
	Devices store.Devices
	Peers   Peers
	Limits  store.Limits
	Circle  Circle
	Rules   Rules
	Now     func() time.Time
}

type pair struct{ asker, owner id.User }

type service struct {
	cfg     Config
	deps    Deps
	users   *cache[id.User, store.User]
	circles *cache[pair, bool]
	metrics *metrics
}

// New makes the service.
func New(cfg Config, deps Deps, reg prometheus.Registerer) (httpapi.Service, error) {
	s, err := newService(cfg, deps, reg)
	if err != nil {
		return httpapi.Service{}, err
	}
	return httpapi.Service{
		Name:   "user",
		Health: httpapi.Health{Name: "user", Status: "healthy"},
		Routes: s.routes(),
	}, nil
}

func newService(cfg Config, deps Deps, reg prometheus.Registerer) (*service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Users == nil || deps.Devices == nil || deps.Peers == nil || deps.Limits == nil ||
		deps.Circle == nil || deps.Rules == nil || deps.Now == nil {
		return nil, errors.New("user: Deps is incomplete")
	}
	return &service{
		cfg: cfg, deps: deps,
		users:   newCache[id.User, store.User](cfg.CachedUsers, cfg.CacheLife, deps.Now),
		circles: newCache[pair, bool](cfg.CachedPairs, cfg.CacheLife, deps.Now),
		metrics: newMetrics(reg),
	}, nil
}

func (s *service) routes() []httpapi.Route {
	const all = httpapi.Bearer
	return []httpapi.Route{
		{
			Method: "GET", Path: "/profile/{id}", Gateway: []string{"/api/users/profile/{id}"}, Auth: all,
			Handle: httpapi.Handle(200, s.profile), Failed: "Failed to fetch profile",
		},
		{
			Method: "PUT", Path: "/profile", Gateway: []string{"/api/users/profile"}, Auth: all,
			Handle: httpapi.Handle(200, s.update), Failed: "Failed to update profile",
		},
		{
			Method: "GET", Path: "/search", Gateway: []string{"/api/users/search"}, Auth: all,
			Handle: httpapi.Handle(200, s.search), Failed: "Search failed",
		},
		{
			Method: "GET", Path: "/contacts", Gateway: []string{"/api/users/contacts"}, Auth: all,
			Handle: httpapi.Handle(200, s.contacts), Failed: "Failed to fetch contacts",
		},
		{
			Method: "POST", Path: "/device-token", Gateway: []string{"/api/users/device-token"}, Auth: all,
			Handle: httpapi.Handle(200, s.addDevice), Failed: "Failed to update device token",
		},
		{
			Method: "GET", Path: "/api/users/{id}", Gateway: []string{"/api/users/{id}", "/api/v1/user/{id}"}, Auth: all,
			Handle: httpapi.Handle(200, s.row),
		},
		{
			Method: "PUT", Path: "/api/users/{id}/profile", Gateway: []string{"/api/users/{id}/profile"}, Auth: all,
			Handle: httpapi.Handle(200, s.updateRow), Failed: "Failed to update profile",
		},
		{
			Method: "PUT", Path: "/api/users/{id}/languages", Gateway: []string{"/api/users/{id}/languages"}, Auth: all,
			Handle: httpapi.Handle(200, s.setLanguages), Failed: "Failed to update languages",
		},
	}
}

func noUser() error { return proto.Fail(proto.NotFound, "User not found") }

// get reads a person from memory, else from the store.
func (s *service) get(ctx context.Context, u id.User) (store.User, error) {
	v, ticket, ok := s.users.get(u)
	if ok {
		s.metrics.hits.Inc()
		return v, nil
	}
	s.metrics.misses.Inc()
	v, err := s.deps.Users.Get(ctx, u)
	if errors.Is(err, store.ErrNotFound) {
		return v, noUser()
	}
	if err != nil {
		return v, fmt.Errorf("find a user: %w", err)
	}
	s.users.put(u, v, ticket)
	return v, nil
}

// change writes a person, and forgets what was read of them before and while.
func (s *service) change(ctx context.Context, u id.User, p store.UserPatch) (store.User, error) {
	v, err := s.deps.Users.Update(ctx, u, p)
	s.users.drop(u)
	s.deps.Rules.UserChanged(u)
	if errors.Is(err, store.ErrNotFound) {
		return v, noUser()
	}
	if err != nil {
		return v, fmt.Errorf("update a user: %w", err)
	}
	return v, nil
}

// seesPhone reports whether asker may read owner's phone number.
func (s *service) seesPhone(ctx context.Context, asker, owner id.User) (bool, error) {
	if asker == owner {
		return true, nil
	}
	k := pair{asker, owner}
	yes, ticket, ok := s.circles.get(k)
	if ok {
		return yes, nil
	}
	yes, err := s.deps.Circle.Share(ctx, asker, owner)
	if err != nil {
		return false, fmt.Errorf("look for a shared thread: %w", err)
	}
	s.circles.put(k, yes, ticket)
	return yes, nil
}

type metrics struct{ hits, misses prometheus.Counter }

func newMetrics(reg prometheus.Registerer) *metrics {
	reads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tolkflip_user_reads_total", Help: "Profiles read, by where they came from.",
	}, []string{"from"})
	reg.MustRegister(reads)
	return &metrics{hits: reads.WithLabelValues("memory"), misses: reads.WithLabelValues("store")}
}
