package store

import (
	"context"
	"maps"

	"github.com/tolkflip/tolkflip/proto/id"
)

// Group is a conversation of up to 10,000 people. Its id is its thread's id.
type Group struct {
	ID          id.Thread
	Name        string
	Description string
	Avatar      string
	CreatedBy   id.User
	Created     int64
	Members     int // counted from the member rows
	Settings    map[string]string
}

// GroupPatch names the fields to change; nil leaves one as it is. Settings are merged key by key.
type GroupPatch struct {
	Name, Description, Avatar *string
	Settings                  map[string]string
}

// Apply makes p's changes to g. The settings map is replaced by a merged copy, never changed.
func (p GroupPatch) Apply(g *Group) {
	set(&g.Name, p.Name)
	set(&g.Description, p.Description)
	set(&g.Avatar, p.Avatar)
	if len(p.Settings) == 0 {
		return
	}
	merged := make(map[string]string, len(g.Settings)+len(p.Settings))
	maps.Copy(merged, g.Settings)
	maps.Copy(merged, p.Settings)
	g.Settings = merged
}

// Role is a member's standing in a group.
type Role uint8

// The roles.
const (
	PlainMember Role = iota
	Admin
)

// String is the role's name on the wire.
func (r Role) String() string {
	if r == Admin {
		return "admin"
	}
	return "member"
}

// Member is one person in one group.
type Member struct {
	Group    id.Thread
	User     id.User
	Role     Role
	Joined   int64
	Language string
}

// Groups keeps groups themselves.
type Groups interface {
	// Create stores a group with its first members in one write; a user named twice counts once, with the
	// first of the two. ErrConflict when the id is taken.
	Create(ctx context.Context, g Group, members []Member) error
	// Get is ErrNotFound for an unknown or deleted group.
	Get(ctx context.Context, g id.Thread) (Group, error)
	// Update changes the named fields and returns the result; ErrNotFound as Get.
	Update(ctx context.Context, g id.Thread, p GroupPatch) (Group, error)
	// Delete removes the group and its members. Its log's head stays, so that its seq goes on.
	Delete(ctx context.Context, g id.Thread) error
}

// Members keeps who is in which group.
type Members interface {
	// Add is ErrConflict for one who is in it already and ErrNotFound for an unknown group.
	Add(ctx context.Context, m Member) error
	// Remove is ErrNotFound for one who is not in it.
	Remove(ctx context.Context, g id.Thread, u id.User) error
	// SetRole is ErrNotFound for one who is not in it; it never makes a row.
	SetRole(ctx context.Context, g id.Thread, u id.User, r Role) error
	// Get is ErrNotFound for one who is not in it.
	Get(ctx context.Context, g id.Thread, u id.User) (Member, error)
	// List gives members in the order of their ids, those after the given one (absent = from the start).
	List(ctx context.Context, g id.Thread, after id.User, limit int) ([]Member, error)
	// GroupsOf gives the groups that a user is in, in the order of their ids, those after the given one.
	GroupsOf(ctx context.Context, u id.User, after id.Thread, limit int) ([]id.Thread, error)
}
