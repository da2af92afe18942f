package group

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

func TestAdd(t *testing.T) {
	t.Parallel()
	f := start(t, 8, nil)
	group := f.group(1)
	members := group + "/members"
	// Node's dialect: userId acts, newMemberId is added.
	r := f.as(0).Want(201, "POST", members, map[string]any{"userId": f.people[0], "newMemberId": f.people[2], "role": "admin"})
	if r.Body["message"] != "Member added successfully" || r.Body["success"] != true {
		t.Errorf("reply %s", r.Text)
	}
	// The ports' dialect: userId is added.
	f.as(0).Want(201, "POST", members, map[string]any{"userId": f.people[3]})
	// From a plain member the role is passed over.
	f.as(1).Want(201, "POST", members, map[string]any{"newMemberId": f.people[4], "role": "admin"})
	f.wantRoles(group, "admin", "member", "admin", "member", "member", "", "", "")
	if got := f.rooms.added[f.id(group)]; !slices.Equal(got, f.people[:5]) {
		t.Errorf("rooms were told %v", got)
	}
	stranger := id.NewUser()
	f.as(0).Refused(400, "User ID and new member ID are required", "newMemberId", "POST", members, map[string]any{})
	f.as(0).Refused(400, "User is already a member of this group", "newMemberId", "POST", members, map[string]any{"newMemberId": f.people[1]})
	f.as(0).Refused(400, "User is already a member of this group", "userId", "POST", members, map[string]any{"userId": f.people[0]})
	f.as(0).Refused(400, badRole, "role", "POST", members, map[string]any{"newMemberId": f.people[5], "role": "owner"})
	f.as(0).Refused(403, "Unauthorized", "userId", "POST", members, map[string]any{"userId": f.people[1], "newMemberId": f.people[5]})
	f.as(0).Refused(404, "User not found", "newMemberId", "POST", members, map[string]any{"newMemberId": stranger})
	f.as(0).Refused(404, "User not found", "userId", "POST", members, map[string]any{"userId": stranger})
	f.as(0).Refused(404, "Group not found", "", "POST", "/api/groups/"+id.NewGroup().String()+"/members", map[string]any{"newMemberId": f.people[5]})
	// Nobody lets himself in.
	f.as(5).Refused(403, notMember, "", "POST", members, map[string]any{"userId": f.people[5]})
	f.as(5).Refused(403, notMember, "", "POST", members, map[string]any{"newMemberId": f.people[5]})
	f.as(0).Want(200, "PUT", group+"/settings", map[string]any{"settings": map[string]any{"only_admins_can_add_members": true}})
	f.as(1).Refused(403, "Only admins can add members", "", "POST", members, map[string]any{"newMemberId": f.people[5]})
	f.as(2).Want(201, "POST", members, map[string]any{"newMemberId": f.people[5]})
	f.wantRoles(group, "admin", "member", "admin", "member", "member", "member", "", "")
}

func TestRemove(t *testing.T) {
	t.Parallel()
	f := start(t, 4, nil)
	group := f.group(1, 2)
	at := func(i int) string { return group + "/members/" + f.people[i].String() }
	f.as(1).Refused(403, "Only admins can remove other members", "", "DELETE", at(2), nil)
	f.as(3).Refused(403, notMember, "", "DELETE", at(2), nil)
	f.as(0).Refused(404, "Member not found", "", "DELETE", at(3), nil)
	f.as(0).Refused(404, "Member not found", "", "DELETE", group+"/members/x", nil)
	f.as(0).Refused(403, "Unauthorized", "userId", "DELETE", at(2), map[string]any{"userId": f.people[2]})
	f.wantRoles(group, "admin", "member", "member", "")
	r := f.as(0).Want(200, "DELETE", at(2), map[string]any{"userId": f.people[0]})
	if r.Body["message"] != "Member removed successfully" {
		t.Errorf("reply %s", r.Text)
	}
	f.as(1).Want(200, "DELETE", at(1), nil)
	f.wantRoles(group, "admin", "", "", "")
	if got := f.rooms.removed[f.id(group)]; !slices.Equal(got, []id.User{f.people[2], f.people[1]}) {
		t.Errorf("rooms were told %v", got)
	}
	// An ex-member sees nothing any more.
	f.as(1).Refused(403, notMember, "", "GET", group, nil)
}

func TestRoles(t *testing.T) {
	t.Parallel()
	f := start(t, 4, nil)
	group := f.group(1, 2)
	role := func(i int) string { return group + "/members/" + f.people[i].String() + "/role" }
	body := func(r string) any { return map[string]any{"newRole": r} }
	f.as(0).Refused(400, "User ID and new role are required", "newRole", "PUT", role(1), map[string]any{})
	f.as(0).Refused(400, badRole, "newRole", "PUT", role(1), body("owner"))
	f.as(1).Refused(403, "Only admins can change member roles", "", "PUT", role(1), body("admin"))
	f.as(3).Refused(403, "Only admins can change member roles", "", "PUT", role(3), body("admin"))
	f.as(0).Refused(404, "Member not found", "", "PUT", role(3), body("admin"))
	f.as(0).Refused(403, "Unauthorized", "userId", "PUT", role(1), map[string]any{"newRole": "admin", "userId": f.people[1]})
	f.wantRoles(group, "admin", "member", "member", "")
	f.as(0).Want(200, "PUT", role(1), body("admin"))
	f.as(0).Want(200, "PUT", role(1), body("admin"))
	f.as(1).Want(200, "PUT", role(0), body("member"))
	f.wantRoles(group, "member", "admin", "member", "")
	// The last admin who gives it up passes it on to the one who joined first.
	f.as(1).Want(200, "PUT", role(1), body("member"))
	f.wantRoles(group, "admin", "member", "member", "")
	alone := f.group()
	f.as(0).Refused(409, "A group must keep an admin", "", "PUT", alone+"/members/"+f.people[0].String()+"/role", body("member"))
	f.wantRoles(alone, "admin", "", "", "")
}

// Seed 15: the creator deletes, the others leave, and the last admin who leaves is followed by the one
// who has been in the group longest.
func TestLeaveAndDelete(t *testing.T) {
	t.Parallel()
	f := start(t, 5, nil)
	group := f.group()
	for _, i := range []int{4, 2, 3} { // joined in this order
		f.as(0).Want(201, "POST", group+"/members", map[string]any{"newMemberId": f.people[i]})
	}
	r := f.as(3).Want(200, "DELETE", group, nil)
	if r.Body["message"] != "Left group successfully" {
		t.Errorf("reply %s", r.Text)
	}
	f.as(3).Refused(403, notMember, "", "DELETE", group, nil)
	f.as(2).Refused(403, "Unauthorized", "userId", "DELETE", group, map[string]any{"userId": f.people[0]})
	f.as(0).Want(200, "DELETE", group+"/members/"+f.people[0].String(), nil)
	f.wantRoles(group, "", "", "member", "", "admin")
	f.as(0).Refused(403, notMember, "", "DELETE", group, nil) // the creator is no member any more
	f.as(4).Want(200, "DELETE", group, nil)
	f.wantRoles(group, "", "", "admin", "", "")
	f.as(2).Want(200, "DELETE", group, nil) // the last one turns off the light
	f.as(2).Refused(404, "Group not found", "", "GET", group, nil)

	group = f.group(1)
	r = f.as(0).Want(200, "DELETE", group, map[string]any{"userId": f.people[0]})
	if r.Body["message"] != "Group deleted successfully" {
		t.Errorf("reply %s", r.Text)
	}
	if got := f.rooms.removed[f.id(group)]; !slices.Equal(got, f.people[:2]) {
		t.Errorf("rooms were told %v", got)
	}
	f.as(0).Refused(404, "Group not found", "", "DELETE", group, nil)
}

// Admins who all leave at once leave an admin behind.
func TestLeaveTogether(t *testing.T) {
	t.Parallel()
	f := start(t, 6, nil)
	for range 50 {
		group := f.group(1, 2, 3, 4, 5)
		for i := 1; i < 5; i++ {
			f.as(0).Want(200, "PUT", group+"/members/"+f.people[i].String()+"/role", map[string]any{"newRole": "admin"})
		}
		var all sync.WaitGroup
		for i := range 5 {
			all.Go(func() {
				if i == 0 { // the creator must not delete it
					f.as(i).Want(200, "DELETE", group+"/members/"+f.people[i].String(), nil)
					return
				}
				f.as(i).Want(200, "DELETE", group, nil)
			})
		}
		all.Wait()
		f.wantRoles(group, "", "", "", "", "", "admin")
	}
}

// heirLeaves is a member list from which the first to be promoted has gone.
type heirLeaves struct {
	store.Members
	once sync.Once
}

func (h *heirLeaves) SetRole(ctx context.Context, g id.Thread, u id.User, r store.Role) error {
	h.once.Do(func() {
		if err := h.Remove(ctx, g, u); err != nil {
			panic(err)
		}
	})
	return h.Members.SetRole(ctx, g, u, r)
}

func TestHeirLeaves(t *testing.T) {
	t.Parallel()
	f := start(t, 3, nil)
	f.svc.members = &heirLeaves{Members: f.store.Members()}
	group := f.group(1, 2)
	f.as(0).Want(200, "DELETE", group+"/members/"+f.people[0].String(), nil)
	f.wantRoles(group, "", "", "admin")
}

var errDown = errors.New("down: secret")

// broken fails to write.
type broken struct{ store.Groups }

func (broken) Create(context.Context, store.Group, []store.Member) error { return errDown }

// busy is over a budget.
type busy struct{ store.Groups }

func (busy) Create(context.Context, store.Group, []store.Member) error { return store.ErrBusy }

func TestStoreFails(t *testing.T) {
	t.Parallel()
	f := start(t, 1, nil)
	groups := f.svc.groups
	f.svc.groups = broken{groups}
	f.as(0).Refused(500, "Failed to create group", "", "POST", "/api/groups", map[string]any{"name": "n"})
	f.svc.groups = busy{groups}
	f.as(0).Want(503, "POST", "/api/groups", map[string]any{"name": "n"})
}
