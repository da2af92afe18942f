package group

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

type (
	createIn struct {
		Name        string   `json:"name"`
		CreatorID   id.User  `json:"creatorId"`
		Description string   `json:"description"`
		MemberIDs   []string `json:"memberIds"`
		GroupIcon   string   `json:"groupIcon"`
	}
	createOut struct {
		Success bool      `json:"success"`
		GroupID id.Thread `json:"groupId"`
		Message string    `json:"message"`
		Group   Row       `json:"group"`
	}
)

// create makes a group of the caller, who is its admin and counts once, and of the people named. Every
// one of them must exist: a row for somebody who does not would never go away.
func (s *Service) create(ctx context.Context, c httpapi.Caller, in createIn) (createOut, error) {
	if err := sameActor(in.CreatorID, c.User, "creatorId"); err != nil {
		return createOut{}, err
	}
	name := strings.TrimSpace(in.Name)
	if name == "" {
		return createOut{}, proto.BadField("name", "Name and creator ID are required")
	}
	if err := s.checkInfo(&name, &in.Description, &in.GroupIcon); err != nil {
		return createOut{}, err
	}
	others, err := s.parseMembers(c.User, in.MemberIDs)
	if err != nil {
		return createOut{}, err
	}
	g := store.Group{
		ID: s.new(), Name: name, Description: in.Description, Avatar: in.GroupIcon,
		CreatedBy: c.User, Created: s.now().UnixMilli(), Members: 1 + len(others),
	}
	members, err := s.firstMembers(ctx, &g, others)
	if err != nil {
		return createOut{}, err
	}
	if err := s.groups.Create(ctx, g, members); err != nil {
		return createOut{}, notFound(err, "", "Group not found")
	}
	s.metrics.created.Inc()
	s.metrics.members.Add(float64(len(members)))
	added := make([]id.User, len(members))
	for i := range members {
		added[i] = members[i].User
	}
	s.rooms.MembersChanged(g.ID, added, nil)
	return createOut{Success: true, GroupID: g.ID, Message: "Group created successfully", Group: rowOf(&g)}, nil
}

// named is a member id of a request, with its place there.
type named struct {
	user id.User
	at   int
}

// parseMembers reads ids, leaves out the creator and repetitions, and keeps the order.
func (s *Service) parseMembers(creator id.User, texts []string) ([]named, error) {
	if len(texts) > s.cfg.MaxMembers {
		return nil, proto.BadField("memberIds", fmt.Sprintf("memberIds must hold at most %d ids", s.cfg.MaxMembers))
	}
	seen := make(map[id.User]struct{}, len(texts)+1)
	seen[creator] = struct{}{}
	list := make([]named, 0, len(texts))
	for i, t := range texts {
		v, err := id.Parse(t)
		if err != nil || v.IsZero() {
			return nil, proto.BadField(fmt.Sprintf("memberIds[%d]", i), "memberIds must be user ids")
		}
		u := id.User{ID: v}
		if _, twice := seen[u]; twice {
			continue
		}
		seen[u] = struct{}{}
		list = append(list, named{user: u, at: i})
	}
	return list, nil
}

// firstMembers makes the rows: the creator first. A name that nobody bears is refused.
func (s *Service) firstMembers(ctx context.Context, g *store.Group, others []named) ([]store.Member, error) {
	creator, err := s.people.Get(ctx, g.CreatedBy)
	if err != nil {
		return nil, notFound(err, "creatorId", "User not found")
	}
	members := make([]store.Member, 1, len(others)+1)
	members[0] = store.Member{Group: g.ID, User: g.CreatedBy, Role: store.Admin, Joined: g.Created, Language: language(&creator)}
	people, errs := s.lookUp(ctx, others)
	for i, o := range others {
		if errs[i] != nil {
			return nil, notFound(errs[i], fmt.Sprintf("memberIds[%d]", o.at), "User not found: "+o.user.String())
		}
		members = append(members, store.Member{Group: g.ID, User: o.user, Joined: g.Created, Language: language(&people[i])})
	}
	return members, nil
}

// lookUps is how many people one request looks up at once: enough that ten thousand are found within
// seconds also where the store is a network away.
const lookUps = 16

// lookUp reads people, each with an error of its own. After the first error no more are begun behind it.
func (s *Service) lookUp(ctx context.Context, list []named) ([]store.User, []error) {
	people, errs := make([]store.User, len(list)), make([]error, len(list))
	var next atomic.Int64
	var failed atomic.Bool
	var workers sync.WaitGroup
	for range min(lookUps, len(list)) {
		workers.Go(func() {
			for !failed.Load() {
				i := int(next.Add(1)) - 1
				if i >= len(list) {
					return
				}
				if people[i], errs[i] = s.person(ctx, list[i].user); errs[i] != nil {
					failed.Store(true)
				}
			}
		})
	}
	workers.Wait()
	return people, errs
}

// person is somebody who may be made a member: a blocked one reads like none.
func (s *Service) person(ctx context.Context, u id.User) (store.User, error) {
	p, err := s.people.Get(ctx, u)
	if err == nil && p.Blocked {
		return store.User{}, store.ErrNotFound
	}
	return p, err
}

// checkInfo judges what a group says of itself; nil is not given. An empty icon takes the icon away.
func (s *Service) checkInfo(name, description, icon *string) error {
	for _, f := range []struct {
		field string
		text  *string
		most  int
	}{{"name", name, s.cfg.MaxName}, {"description", description, s.cfg.MaxDescription}, {"groupIcon", icon, s.cfg.MaxAvatar}} {
		if f.text == nil {
			continue
		}
		if len(*f.text) > f.most {
			return proto.BadField(f.field, fmt.Sprintf("%s must be at most %d bytes", f.field, f.most))
		}
		if !utf8.ValidString(*f.text) {
			return proto.BadField(f.field, f.field+" must be UTF-8")
		}
	}
	if icon == nil || *icon == "" {
		return nil
	}
	u, err := url.Parse(*icon)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return proto.BadField("groupIcon", "groupIcon must be an http or https URL")
	}
	return nil
}
