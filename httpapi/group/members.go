package group

import (
	"context"
	"errors"
	"fmt"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/httpapi/row"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

const badRole = `Invalid role. Must be "admin" or "member"`

// parseRole reads a role's name on the wire.
func parseRole(s string) (store.Role, bool) {
	switch s {
	case store.Admin.String():
		return store.Admin, true
	case store.PlainMember.String():
		return store.PlainMember, true
	default:
		return store.PlainMember, false
	}
}

// addIn is read in two ways. With newMemberId, userId is the one who acts; without, userId is the one to
// be added.
type addIn struct {
	Group       id.Thread `path:"groupId" missing:"Group not found" json:"-"`
	UserID      id.User   `json:"userId"`
	NewMemberID id.User   `json:"newMemberId"`
	Role        string    `json:"role"`
}

// add takes one more person in. Only an admin can make one an admin at once: from anybody else the wish
// is passed over, as the clients know it.
func (s *Service) add(ctx context.Context, c httpapi.Caller, in addIn) (done, error) {
	who, field := in.NewMemberID, "newMemberId"
	if who.IsZero() {
		who, field = in.UserID, "userId"
	} else if err := sameActor(in.UserID, c.User, "userId"); err != nil {
		return done{}, err
	}
	if who.IsZero() {
		return done{}, proto.BadField("newMemberId", "User ID and new member ID are required")
	}
	role := store.PlainMember
	if in.Role != "" {
		var ok bool
		if role, ok = parseRole(in.Role); !ok {
			return done{}, proto.BadField("role", badRole)
		}
	}
	g, actor, err := s.member(ctx, in.Group, c.User, notMember)
	if err != nil {
		return done{}, err
	}
	if actor.Role != store.Admin {
		if holds(&g, onlyAdminsAdd) {
			return done{}, proto.Fail(proto.Forbidden, "Only admins can add members")
		}
		role = store.PlainMember
	}
	u, err := s.person(ctx, who)
	if err != nil {
		return done{}, notFound(err, field, "User not found")
	}
	if g.Members > s.cfg.MaxMembers {
		return done{}, &proto.Error{Code: proto.Conflict, Message: fmt.Sprintf("A group has at most %d members", s.cfg.MaxMembers)}
	}
	if err := s.rooms.Expect(ctx, g.ID, who); err != nil {
		return done{}, err
	}
	m := store.Member{Group: g.ID, User: who, Role: role, Joined: s.now().UnixMilli(), Language: language(&u)}
	switch err := s.members.Add(ctx, m); {
	case errors.Is(err, store.ErrConflict):
		return done{}, proto.BadField(field, "User is already a member of this group")
	case err != nil:
		return done{}, notFound(err, "", "Group not found")
	}
	s.metrics.members.Inc()
	s.rooms.MembersChanged(g.ID, []id.User{who}, nil)
	return done{Success: true, Message: "Member added successfully"}, nil
}

type dropIn struct {
	Group  id.Thread `path:"groupId" missing:"Group not found" json:"-"`
	Member id.User   `path:"memberId" missing:"Member not found" json:"-"`
	UserID id.User   `json:"userId"`
}

// drop takes a person out: oneself always, others as an admin.
func (s *Service) drop(ctx context.Context, c httpapi.Caller, in dropIn) (done, error) {
	if err := sameActor(in.UserID, c.User, "userId"); err != nil {
		return done{}, err
	}
	_, target, err := s.member(ctx, in.Group, c.User, notMember)
	if err != nil {
		return done{}, err
	}
	if in.Member != c.User {
		if target.Role != store.Admin {
			return done{}, proto.Fail(proto.Forbidden, "Only admins can remove other members")
		}
		if target, err = s.members.Get(ctx, in.Group, in.Member); err != nil {
			return done{}, notFound(err, "", "Member not found")
		}
	}
	return done{Success: true, Message: "Member removed successfully"}, s.leave(ctx, target)
}

type roleIn struct {
	Group   id.Thread `path:"groupId" missing:"Group not found" json:"-"`
	Member  id.User   `path:"memberId" missing:"Member not found" json:"-"`
	UserID  id.User   `json:"userId"`
	NewRole string    `json:"newRole"`
}

// setRole makes a member an admin or a plain member again.
func (s *Service) setRole(ctx context.Context, c httpapi.Caller, in roleIn) (done, error) {
	if in.NewRole == "" {
		return done{}, proto.BadField("newRole", "User ID and new role are required")
	}
	role, ok := parseRole(in.NewRole)
	if !ok {
		return done{}, proto.BadField("newRole", badRole)
	}
	if err := sameActor(in.UserID, c.User, "userId"); err != nil {
		return done{}, err
	}
	if _, err := s.admin(ctx, in.Group, c.User, "Only admins can change member roles"); err != nil {
		return done{}, err
	}
	target, err := s.members.Get(ctx, in.Group, in.Member)
	if err != nil {
		return done{}, notFound(err, "", "Member not found")
	}
	if target.Role != role {
		if err := s.change(ctx, target, role); err != nil {
			return done{}, err
		}
	}
	return done{Success: true, Message: "Member role updated successfully"}, nil
}

type (
	listIn struct {
		Group  id.Thread `path:"groupId" missing:"Group not found" json:"-"`
		Limit  int       `query:"limit" json:"-"`
		Offset int       `query:"offset" json:"-"`
	}
	// MemberRow is a member as clients read it.
	MemberRow struct {
		GroupID           id.Thread `json:"group_id"`
		UserID            id.User   `json:"user_id"`
		JoinedAt          row.Time  `json:"joined_at"`
		PreferredLanguage string    `json:"preferred_language"`
		Role              string    `json:"role"`
	}
	listOut struct {
		Members []MemberRow `json:"members"`
		Count   int         `json:"count"` // rows in this answer
		Total   int         `json:"total"`
	}
)

// Validate refuses pages that cannot be.
func (in *listIn) Validate() error { return checkPage(in.Limit, in.Offset) }

// list gives members in the order of their ids. An offset costs a walk over what it skips.
func (s *Service) list(ctx context.Context, c httpapi.Caller, in listIn) (listOut, error) {
	g, _, err := s.member(ctx, in.Group, c.User, notMember)
	if err != nil {
		return listOut{}, err
	}
	p := page{skip: in.Offset, left: clamp(in.Limit, 100)}
	out := listOut{Members: []MemberRow{}, Total: g.Members}
	for after := (id.User{}); p.left > 0; {
		ms, err := s.members.List(ctx, g.ID, after, p.want())
		if err != nil {
			return listOut{}, notFound(err, "", "Group not found")
		}
		if len(ms) == 0 {
			break
		}
		after = ms[len(ms)-1].User
		lo, hi := p.take(len(ms))
		for i := lo; i < hi; i++ {
			m := &ms[i]
			out.Members = append(out.Members, MemberRow{
				GroupID: g.ID, UserID: m.User, JoinedAt: row.Time(m.Joined),
				PreferredLanguage: m.Language, Role: m.Role.String(),
			})
		}
	}
	out.Count = len(out.Members)
	return out, nil
}
