package group

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

type (
	// People says who exists.
	People interface {
		Get(ctx context.Context, u id.User) (store.User, error)
	}
	// Rooms is told of changes of membership and of settings, after they are durable, and of people who are
	// about to be added.
	Rooms interface {
		// Expect makes what a group holds count as read by one who is going to be added.
		Expect(ctx context.Context, group id.Thread, u id.User) error
		MembersChanged(group id.Thread, added, removed []id.User)
		GroupChanged(group id.Thread)
	}
)

// Config are the limits of a group.
type Config struct {
	MaxMembers     int // people beside the one who made it
	MaxName        int // bytes
	MaxDescription int // bytes
	MaxAvatar      int // bytes
	MaxSettings    int // keys
}

// Default gives the limits that clients are promised.
func Default() Config {
	return Config{MaxMembers: 10_000, MaxName: 256, MaxDescription: 4096, MaxAvatar: 2048, MaxSettings: 32}
}

// Validate refuses limits that are not positive.
func (c Config) Validate() error {
	if c.MaxMembers < 1 || c.MaxName < 1 || c.MaxDescription < 1 || c.MaxAvatar < 1 || c.MaxSettings < len(defaults()) {
		return errors.New("group: a limit is too small")
	}
	return nil
}

// Deps are the parts that the service works with. All are needed.
type Deps struct {
	Groups   store.Groups
	Members  store.Members
	People   People
	Rooms    Rooms
	Registry prometheus.Registerer
}

// Service holds the rules of groups. It has no state of its own.
type Service struct {
	cfg     Config
	groups  store.Groups
	members store.Members
	people  People
	rooms   Rooms
	metrics *Metrics

	now func() time.Time
	new func() id.Thread
}

// New makes the service.
func New(cfg Config, d Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Service{
		cfg: cfg, groups: d.Groups, members: d.Members, people: d.People, rooms: d.Rooms,
		metrics: newMetrics(d.Registry), now: time.Now, new: id.NewGroup,
	}, nil
}

// Metrics are the counters that operators' dashboards name.
type Metrics struct {
	created, members prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		created: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "groups_created_total", Help: "Groups that were made.",
		}),
		members: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "group_members_total", Help: "Memberships that were made: first members of groups and people added later.",
		}),
	}
	reg.MustRegister(m.created, m.members)
	return m
}

// member gives the group and the actor's place in it, or the refusal: not_found for a group that does not
// exist, forbidden with the given text for one who is not in it.
func (s *Service) member(ctx context.Context, g id.Thread, actor id.User, refusal string) (store.Group, store.Member, error) {
	grp, err := s.groups.Get(ctx, g)
	if err != nil {
		return store.Group{}, store.Member{}, notFound(err, "", "Group not found")
	}
	m, err := s.members.Get(ctx, g, actor)
	if errors.Is(err, store.ErrNotFound) {
		return store.Group{}, store.Member{}, proto.Fail(proto.Forbidden, refusal)
	}
	if err != nil {
		return store.Group{}, store.Member{}, fmt.Errorf("read member: %w", err)
	}
	return grp, m, nil
}

// admin is member for what only admins may do: whoever else asks reads the refusal.
func (s *Service) admin(ctx context.Context, g id.Thread, actor id.User, refusal string) (store.Group, error) {
	grp, m, err := s.member(ctx, g, actor, refusal)
	if err != nil {
		return store.Group{}, err
	}
	if m.Role != store.Admin {
		return store.Group{}, proto.Fail(proto.Forbidden, refusal)
	}
	return grp, nil
}

const notMember = "You are not a member of this group"

// sameActor refuses a body that names somebody else as the one who acts.
func sameActor(named, actor id.User, field string) error {
	if named.IsZero() || named == actor {
		return nil
	}
	return &proto.Error{Code: proto.Forbidden, Field: field, Message: "Unauthorized"}
}

// notFound gives a store's ErrNotFound the text and field that the client reads; other errors pass.
func notFound(err error, field, text string) error {
	if errors.Is(err, store.ErrNotFound) {
		return &proto.Error{Code: proto.NotFound, Field: field, Message: text}
	}
	return err
}

// language is what a member's row says of a user who chose none.
func language(u *store.User) string {
	if u.Language == "" {
		return httpapi.DefaultLanguage
	}
	return u.Language
}
