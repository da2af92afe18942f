package storetest

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// Groups is the contract of store.Groups.
func Groups(t *testing.T, open Open) {
	t.Helper()
	subtest(t, open, "create and get", groupsCreate)
	subtest(t, open, "ten thousand members in one write", groupsLarge)
	subtest(t, open, "update", groupsUpdate)
	subtest(t, open, "delete", groupsDelete)
	subtest(t, open, "seq goes on after delete", groupsSeq)
	subtest(t, open, "results belong to the caller", groupsOwnership)
}

func aGroup() store.Group {
	return store.Group{
		ID: id.NewGroup(), Name: "Climbers", Description: "d", Avatar: "a", CreatedBy: id.NewUser(),
		Created: 1_700_000_000_000, Settings: map[string]string{"k": "v", "empty": ""},
	}
}

func groupsCreate(t *testing.T, s Set) {
	g := aGroup()
	a := store.Member{Group: g.ID, User: g.CreatedBy, Role: store.Admin, Joined: 5, Language: "en"}
	b := store.Member{Group: g.ID, User: id.NewUser(), Joined: 6}
	twice := a
	twice.Role = store.PlainMember
	must(t, s.Groups.Create(t.Context(), g, []store.Member{a, b, twice}))
	g.Members = 2
	if r := got(s.Groups.Get(t.Context(), g.ID))(t); !reflect.DeepEqual(r, g) {
		t.Fatalf("Get = %+v, want %+v", r, g)
	}
	for _, m := range []store.Member{a, b} {
		if r := got(s.Members.Get(t.Context(), g.ID, m.User))(t); r != m {
			t.Fatalf("member = %+v, want %+v", r, m)
		}
	}
	if err := s.Groups.Create(t.Context(), g, nil); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("second group of an id: %v", err)
	}
	bare := store.Group{ID: id.NewGroup()}
	must(t, s.Groups.Create(t.Context(), bare, nil))
	if r := got(s.Groups.Get(t.Context(), bare.ID))(t); !reflect.DeepEqual(r, bare) {
		t.Fatalf("Get = %+v, want %+v", r, bare)
	}
	if _, err := s.Groups.Get(t.Context(), id.NewGroup()); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("unknown group: %v", err)
	}
}

func groupsLarge(t *testing.T, s Set) {
	g := aGroup()
	list := make([]store.Member, 10_000)
	for i := range list {
		list[i] = store.Member{Group: g.ID, User: id.NewUser(), Joined: int64(i), Language: "en"}
	}
	must(t, s.Groups.Create(t.Context(), g, list))
	if r := got(s.Groups.Get(t.Context(), g.ID))(t); r.Members != len(list) {
		t.Fatalf("%d members", r.Members)
	}
	if r := got(s.Members.List(t.Context(), g.ID, id.User{}, len(list)+1))(t); len(r) != len(list) {
		t.Fatalf("%d member rows", len(r))
	}
	if r := got(s.Members.GroupsOf(t.Context(), list[9999].User, id.Thread{}, 10))(t); !reflect.DeepEqual(r, []id.Thread{g.ID}) {
		t.Fatalf("groups of the last member: %v", r)
	}
	must(t, s.Groups.Delete(t.Context(), g.ID))
	if r := got(s.Members.List(t.Context(), g.ID, id.User{}, 10))(t); len(r) != 0 {
		t.Fatalf("%d members after Delete", len(r))
	}
}

func groupsUpdate(t *testing.T, s Set) {
	g := aGroup()
	must(t, s.Groups.Create(t.Context(), g, []store.Member{{Group: g.ID, User: id.NewUser()}}))
	g.Members = 1
	name, empty := "Boulderers", ""
	for _, c := range []struct {
		patch store.GroupPatch
		want  func()
	}{
		{store.GroupPatch{}, func() {}},
		{store.GroupPatch{Name: &name}, func() { g.Name = name }},
		{store.GroupPatch{Description: &empty, Avatar: &empty}, func() { g.Description, g.Avatar = "", "" }},
		{
			store.GroupPatch{Settings: map[string]string{"k": "w", "new": "n"}},
			func() { g.Settings = map[string]string{"k": "w", "new": "n", "empty": ""} },
		},
	} {
		c.want()
		if r := got(s.Groups.Update(t.Context(), g.ID, c.patch))(t); !reflect.DeepEqual(r, g) {
			t.Fatalf("Update = %+v, want %+v", r, g)
		}
		if r := got(s.Groups.Get(t.Context(), g.ID))(t); !reflect.DeepEqual(r, g) {
			t.Fatalf("Get = %+v, want %+v", r, g)
		}
	}
	if _, err := s.Groups.Update(t.Context(), id.NewGroup(), store.GroupPatch{Name: &name}); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("unknown group: %v", err)
	}
}

func groupsDelete(t *testing.T, s Set) {
	g, other := aGroup(), aGroup()
	u := id.NewUser()
	must(t, s.Groups.Create(t.Context(), g, []store.Member{{Group: g.ID, User: u}}))
	must(t, s.Groups.Create(t.Context(), other, []store.Member{{Group: other.ID, User: u}}))
	must(t, s.Groups.Delete(t.Context(), g.ID))
	name := "x"
	_, err := s.Groups.Get(t.Context(), g.ID)
	_, updateErr := s.Groups.Update(t.Context(), g.ID, store.GroupPatch{Name: &name})
	_, memberErr := s.Members.Get(t.Context(), g.ID, u)
	_, threadErr := s.Threads.Get(t.Context(), g.ID)
	for what, err := range map[string]error{
		"Get": err, "Update": updateErr, "Members.Get": memberErr, "Threads.Get": threadErr,
		"Members.Add": s.Members.Add(t.Context(), store.Member{Group: g.ID, User: u}),
		"Delete":      s.Groups.Delete(t.Context(), g.ID),
	} {
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s after Delete: %v", what, err)
		}
	}
	if r := got(s.Members.GroupsOf(t.Context(), u, id.Thread{}, 10))(t); !reflect.DeepEqual(r, []id.Thread{other.ID}) {
		t.Fatalf("GroupsOf = %v", r)
	}
	list, _, err := s.Threads.ByUser(t.Context(), u, nil, 10)
	must(t, err)
	if len(list) != 1 || list[0].ID != other.ID {
		t.Fatalf("ByUser = %+v", list)
	}
}

func groupsSeq(t *testing.T, s Set) {
	g := aGroup()
	must(t, s.Groups.Create(t.Context(), g, []store.Member{{Group: g.ID, User: g.CreatedBy}}))
	for i := range 2 {
		if e := send(t, s.Log, groupMessage(g.ID, g.CreatedBy)); e.Seq != uint64(i)+1 {
			t.Fatalf("seq = %d", e.Seq)
		}
	}
	must(t, s.Groups.Delete(t.Context(), g.ID))
	if h := got(s.Log.Head(t.Context(), g.ID))(t); h != 2 {
		t.Fatalf("head after Delete = %d", h)
	}
	if e := send(t, s.Log, groupMessage(g.ID, g.CreatedBy)); e.Seq != 3 {
		t.Fatalf("seq after Delete = %d", e.Seq)
	}
	if _, err := s.Threads.Get(t.Context(), g.ID); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("a message brought the thread back: %v", err)
	}
}

func groupsOwnership(t *testing.T, s Set) {
	g := aGroup()
	must(t, s.Groups.Create(t.Context(), g, nil))
	g.Settings["k"] = "changed"
	got(s.Groups.Get(t.Context(), g.ID))(t).Settings["k"] = "changed"
	got(s.Groups.Update(t.Context(), g.ID, store.GroupPatch{}))(t).Settings["k"] = "changed"
	if r := got(s.Groups.Get(t.Context(), g.ID))(t); r.Settings["k"] != "v" {
		t.Fatal("the stored record was changed from outside")
	}
}

// Members is the contract of store.Members.
func Members(t *testing.T, open Open) {
	t.Helper()
	subtest(t, open, "add, remove and roles", membersChange)
	subtest(t, open, "one of several adds at once wins", membersRace)
	subtest(t, open, "list by id", membersList)
	subtest(t, open, "groups of a user by id", membersGroups)
}

func membersChange(t *testing.T, s Set) {
	g := aGroup()
	must(t, s.Groups.Create(t.Context(), g, nil))
	m := store.Member{Group: g.ID, User: id.NewUser(), Role: store.Admin, Joined: 7, Language: "de"}
	must(t, s.Members.Add(t.Context(), m))
	if err := s.Members.Add(t.Context(), m); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("second Add: %v", err)
	}
	lost := m
	lost.Group = id.NewGroup()
	if err := s.Members.Add(t.Context(), lost); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Add to an unknown group: %v", err)
	}
	if r := got(s.Members.Get(t.Context(), g.ID, m.User))(t); r != m {
		t.Fatalf("Get = %+v, want %+v", r, m)
	}
	must(t, s.Members.SetRole(t.Context(), g.ID, m.User, store.PlainMember))
	m.Role = store.PlainMember
	if r := got(s.Members.Get(t.Context(), g.ID, m.User))(t); r != m {
		t.Fatalf("Get after SetRole = %+v, want %+v", r, m)
	}
	if r := got(s.Groups.Get(t.Context(), g.ID))(t); r.Members != 1 {
		t.Fatalf("%d members", r.Members)
	}
	stranger := id.NewUser()
	_, getErr := s.Members.Get(t.Context(), g.ID, stranger)
	for what, err := range map[string]error{
		"Get": getErr, "Remove": s.Members.Remove(t.Context(), g.ID, stranger),
		"SetRole": s.Members.SetRole(t.Context(), g.ID, stranger, store.Admin),
	} {
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s of a stranger: %v", what, err)
		}
	}
	if _, err := s.Members.Get(t.Context(), g.ID, stranger); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("SetRole made a row: %v", err)
	}
	must(t, s.Members.Remove(t.Context(), g.ID, m.User))
	if _, err := s.Members.Get(t.Context(), g.ID, m.User); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Get after Remove: %v", err)
	}
	if r := got(s.Groups.Get(t.Context(), g.ID))(t); r.Members != 0 {
		t.Fatalf("%d members after Remove", r.Members)
	}
	if r := got(s.Members.GroupsOf(t.Context(), m.User, id.Thread{}, 10))(t); len(r) != 0 {
		t.Fatalf("GroupsOf after Remove = %v", r)
	}
}

func membersRace(t *testing.T, s Set) {
	g := aGroup()
	must(t, s.Groups.Create(t.Context(), g, nil))
	people := make([]id.User, 200)
	for i := range people {
		people[i] = id.NewUser()
	}
	won := make(chan struct{}, 4*len(people))
	all(4, func(i int) {
		for n := range people {
			u := people[(n+i/2*len(people)/2)%len(people)] // two beside each other, two elsewhere
			switch err := s.Members.Add(t.Context(), store.Member{Group: g.ID, User: u, Joined: int64(i)}); {
			case err == nil:
				won <- struct{}{}
			case !errors.Is(err, store.ErrConflict):
				t.Error(err)
			}
		}
	})
	r := got(s.Groups.Get(t.Context(), g.ID))(t)
	if len(won) != len(people) || r.Members != len(people) {
		t.Fatalf("%d adds won, %d members counted", len(won), r.Members)
	}
}

func membersList(t *testing.T, s Set) {
	g := aGroup()
	var want []store.Member
	for range 23 {
		want = append(want, store.Member{Group: g.ID, User: id.NewUser()})
	}
	must(t, s.Groups.Create(t.Context(), g, want))
	slices.SortFunc(want, func(a, b store.Member) int { return bytes.Compare(a.User.ID[:], b.User.ID[:]) })
	var list []store.Member
	after := id.User{}
	for {
		page := got(s.Members.List(t.Context(), g.ID, after, 5))(t)
		if len(page) == 0 {
			break
		}
		list = append(list, page...)
		after = page[len(page)-1].User
	}
	if !reflect.DeepEqual(list, want) {
		t.Fatalf("List = %+v", list)
	}
	if r := got(s.Members.List(t.Context(), id.NewGroup(), id.User{}, 5))(t); len(r) != 0 {
		t.Fatalf("members of an unknown group: %+v", r)
	}
}

func membersGroups(t *testing.T, s Set) {
	u := id.NewUser()
	var want []id.Thread
	for range 7 {
		g := aGroup()
		must(t, s.Groups.Create(t.Context(), g, nil))
		must(t, s.Members.Add(t.Context(), store.Member{Group: g.ID, User: u}))
		want = append(want, g.ID)
	}
	slices.SortFunc(want, func(a, b id.Thread) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	var list []id.Thread
	after := id.Thread{}
	for {
		page := got(s.Members.GroupsOf(t.Context(), u, after, 3))(t)
		if len(page) == 0 {
			break
		}
		list = append(list, page...)
		after = page[len(page)-1]
	}
	if !reflect.DeepEqual(list, want) {
		t.Fatalf("GroupsOf = %v, want %v", list, want)
	}
}
