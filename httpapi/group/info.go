package group

import (
	"context"
	"strings"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/httpapi/row"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// Row is a group as clients read it. Metadata holds the settings; Settings is the same again under the
// name that they are set by.
type Row struct {
	GroupID     id.Thread      `json:"group_id"`
	ThreadID    id.Thread      `json:"thread_id"`
	AvatarURL   string         `json:"avatar_url"`
	CreatedAt   row.Time       `json:"created_at"`
	CreatedBy   id.User        `json:"created_by"`
	Description string         `json:"description"`
	GroupName   string         `json:"group_name"`
	MemberCount int            `json:"member_count"`
	Metadata    map[string]any `json:"metadata"`
	Settings    map[string]any `json:"settings"`
}

func rowOf(g *store.Group) Row {
	v := view(g.Settings)
	return Row{
		GroupID: g.ID, ThreadID: g.ID, AvatarURL: g.Avatar, CreatedAt: row.Time(g.Created), CreatedBy: g.CreatedBy,
		Description: g.Description, GroupName: g.Name, MemberCount: g.Members, Metadata: v, Settings: v,
	}
}

// done is what a change answers.
type done struct {
	Success bool   `json:"success"`
	Message string `json:"message"`
}

type (
	getIn struct {
		Group id.Thread `path:"groupId" missing:"Group not found" json:"-"`
	}
	getOut struct {
		Group Row `json:"group"`
	}
)

// get is for members: a group's name and picture are not for everybody who learns its id.
func (s *Service) get(ctx context.Context, c httpapi.Caller, in getIn) (getOut, error) {
	g, _, err := s.member(ctx, in.Group, c.User, notMember)
	if err != nil {
		return getOut{}, err
	}
	return getOut{Group: rowOf(&g)}, nil
}

type updateIn struct {
	Group       id.Thread `path:"groupId" missing:"Group not found" json:"-"`
	UserID      id.User   `json:"userId"`
	Name        *string   `json:"name"`
	Description *string   `json:"description"`
	GroupIcon   *string   `json:"groupIcon"`
}

// update changes what is named; nothing to change is a success too.
func (s *Service) update(ctx context.Context, c httpapi.Caller, in updateIn) (done, error) {
	ok := done{Success: true, Message: "Group updated successfully"}
	if err := sameActor(in.UserID, c.User, "userId"); err != nil {
		return done{}, err
	}
	if in.Name != nil {
		name := strings.TrimSpace(*in.Name)
		if name == "" {
			return done{}, proto.BadField("name", "name must not be empty")
		}
		in.Name = &name
	}
	if err := s.checkInfo(in.Name, in.Description, in.GroupIcon); err != nil {
		return done{}, err
	}
	g, m, err := s.member(ctx, in.Group, c.User, notMember)
	if err != nil {
		return done{}, err
	}
	if m.Role != store.Admin && holds(&g, onlyAdminsEdit) {
		return done{}, proto.Fail(proto.Forbidden, "Only admins can edit group information")
	}
	if in.Name == nil && in.Description == nil && in.GroupIcon == nil {
		return ok, nil
	}
	p := store.GroupPatch{Name: in.Name, Description: in.Description, Avatar: in.GroupIcon}
	if _, err := s.groups.Update(ctx, in.Group, p); err != nil {
		return done{}, notFound(err, "", "Group not found")
	}
	return ok, nil
}

type deleteIn struct {
	Group  id.Thread `path:"groupId" missing:"Group not found" json:"-"`
	UserID id.User   `json:"userId"`
}

// remove deletes the group when its maker asks, and lets anybody else leave it.
func (s *Service) remove(ctx context.Context, c httpapi.Caller, in deleteIn) (done, error) {
	if err := sameActor(in.UserID, c.User, "userId"); err != nil {
		return done{}, err
	}
	g, m, err := s.member(ctx, in.Group, c.User, notMember)
	if err != nil {
		return done{}, err
	}
	if g.CreatedBy != c.User {
		return done{Success: true, Message: "Left group successfully"}, s.leave(ctx, m)
	}
	var all []id.User
	if err := s.each(ctx, g.ID, func(m *store.Member) { all = append(all, m.User) }); err != nil {
		return done{}, err
	}
	if err := s.groups.Delete(ctx, g.ID); err != nil {
		return done{}, notFound(err, "", "Group not found")
	}
	s.rooms.MembersChanged(g.ID, nil, all)
	return done{Success: true, Message: "Group deleted successfully"}, nil
}
