package group

import (
	"context"
	"errors"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// leave takes a member out and keeps the group in order: with an admin, or deleted when it is empty.
func (s *Service) leave(ctx context.Context, m store.Member) error {
	if m.Role == store.Admin {
		if _, err := s.keepAdmin(ctx, m.Group, m.User); err != nil {
			return err
		}
	}
	if err := s.members.Remove(ctx, m.Group, m.User); err != nil {
		return notFound(err, "", "Member not found")
	}
	s.rooms.MembersChanged(m.Group, nil, []id.User{m.User})
	people := 1
	if m.Role == store.Admin {
		var err error
		if people, err = s.keepAdmin(ctx, m.Group, id.User{}); err != nil {
			return err
		}
	}
	if people > 0 {
		return nil
	}
	if err := s.groups.Delete(ctx, m.Group); err != nil {
		return notFound(err, "", "Group not found")
	}
	return nil
}

// change gives a member another role. The only member of a group stays its admin.
func (s *Service) change(ctx context.Context, m store.Member, to store.Role) error {
	if to != store.Admin {
		others, err := s.keepAdmin(ctx, m.Group, m.User)
		if err != nil {
			return err
		}
		if others == 0 {
			return proto.Fail(proto.Conflict, "A group must keep an admin")
		}
	}
	if err := s.members.SetRole(ctx, m.Group, m.User, to); err != nil {
		return notFound(err, "", "Member not found")
	}
	if to == store.Admin {
		return nil
	}
	_, err := s.keepAdmin(ctx, m.Group, id.User{})
	return err
}

// keepAdmin sees to it that somebody besides one person (who may be absent) is admin: where nobody is,
// the one who joined first becomes it. It returns how many people there are besides that person. It
// looks again when the heir left meanwhile, so it ends.
func (s *Service) keepAdmin(ctx context.Context, g id.Thread, besides id.User) (people int, err error) {
	for {
		var heir store.Member
		admin := false
		people = 0
		err = s.each(ctx, g, func(m *store.Member) {
			if m.User == besides {
				return
			}
			people++
			admin = admin || m.Role == store.Admin
			if people == 1 || m.Joined < heir.Joined {
				heir = *m
			}
		})
		if err != nil || admin || people == 0 {
			return people, err
		}
		if err = s.members.SetRole(ctx, g, heir.User, store.Admin); !errors.Is(err, store.ErrNotFound) {
			return people, err
		}
	}
}
