package group

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/httpapi/apitest"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/memory"
)

func TestMain(m *testing.M) { apitest.Main(m) }

// rooms remembers what it was told.
type rooms struct {
	mu             sync.Mutex
	added, removed map[id.Thread][]id.User
	settings       int // changes
}

func (r *rooms) GroupChanged(id.Thread) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settings++
}

func (r *rooms) Expect(context.Context, id.Thread, id.User) error { return nil }

func (r *rooms) MembersChanged(g id.Thread, added, removed []id.User) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.added[g] = append(r.added[g], added...)
	r.removed[g] = append(r.removed[g], removed...)
}

type fixture struct {
	t      *testing.T
	store  *memory.Store
	rooms  *rooms
	svc    *Service
	server *apitest.Server
	clock  time.Time
	reg    *prometheus.Registry
	people []id.User // of start, in byte order of their ids
}

// start runs the service with some registered people. Each call of the clock is a millisecond later.
func start(t *testing.T, people int, edit func(*Config)) *fixture {
	t.Helper()
	st, err := memory.New(memory.Default())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	f := &fixture{
		t: t, store: st, clock: time.UnixMilli(1_700_000_000_000), reg: prometheus.NewRegistry(),
		rooms: &rooms{added: map[id.Thread][]id.User{}, removed: map[id.Thread][]id.User{}},
	}
	for range people {
		f.people = append(f.people, id.NewUser())
	}
	slices.SortFunc(f.people, func(a, b id.User) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for i, u := range f.people {
		err := st.Users().Create(t.Context(), store.User{ID: u, Phone: fmt.Sprintf("+1555%07d", i), Name: fmt.Sprint("u", i), Language: "de"})
		if err != nil {
			t.Fatal(err)
		}
	}
	cfg := Default()
	if edit != nil {
		edit(&cfg)
	}
	f.svc, err = New(cfg, Deps{
		Groups: st.Groups(), Members: st.Members(), People: st.Users(), Rooms: f.rooms, Registry: f.reg,
	})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	f.svc.now = func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		f.clock = f.clock.Add(time.Millisecond)
		return f.clock
	}
	f.server = apitest.Start(t, f.svc.API())
	return f
}

func (f *fixture) as(i int) *apitest.Client { return f.server.As(f.people[i]) }

// group makes a group of the first person and others.
func (f *fixture) group(others ...int) string {
	f.t.Helper()
	ids := []id.User{}
	for _, i := range others {
		ids = append(ids, f.people[i])
	}
	r := f.as(0).Want(201, "POST", "/api/groups", map[string]any{"name": "The group", "memberIds": ids})
	return "/api/groups/" + r.Body["groupId"].(string)
}

func (f *fixture) id(group string) id.Thread {
	f.t.Helper()
	v, err := id.Parse(group[len("/api/groups/"):])
	if err != nil {
		f.t.Fatal(err)
	}
	return id.Thread{ID: v}
}

// counter reads a metric.
func (f *fixture) counter(name string) float64 {
	f.t.Helper()
	all, err := f.reg.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, m := range all {
		if m.GetName() == name {
			return m.GetMetric()[0].GetCounter().GetValue()
		}
	}
	f.t.Fatalf("no metric %s", name)
	return 0
}

// roles gives each person's role in a group, "" for one who is not in it.
func (f *fixture) roles(group string) []string {
	f.t.Helper()
	out := make([]string, len(f.people))
	for i, u := range f.people {
		if m, err := f.store.Members().Get(context.Background(), f.id(group), u); err == nil {
			out[i] = m.Role.String()
		}
	}
	return out
}

func (f *fixture) wantRoles(group string, want ...string) {
	f.t.Helper()
	if got := f.roles(group); !slices.Equal(got, want) {
		f.t.Errorf("roles %q, want %q", got, want)
	}
}

func TestDoors(t *testing.T) {
	t.Parallel()
	f := start(t, 1, nil)
	apitest.Doors(t, f.svc.API(), f.people[0])
}

func TestCreate(t *testing.T) {
	t.Parallel()
	f := start(t, 3, nil)
	me, two := f.people[0], f.people[1]
	body := map[string]any{
		"name": " Friends ", "description": "d", "groupIcon": "https://cdn.example.com/g.png", "creatorId": me,
		"memberIds": []id.User{two, me, two},
	}
	for _, c := range []*apitest.Client{f.as(0), f.server.ViaGateway(me)} {
		r := c.Want(201, "POST", "/api/groups", body)
		if r.Body["success"] != true || r.Body["message"] != "Group created successfully" {
			t.Errorf("reply %s", r.Text)
		}
		g := c.Want(200, "GET", "/api/groups/"+r.Body["groupId"].(string), nil).Body["group"].(map[string]any)
		for k, want := range map[string]any{
			"group_id": r.Body["groupId"], "group_name": "Friends", "description": "d", "avatar_url": "https://cdn.example.com/g.png",
			"created_by": me.String(), "member_count": 2.0,
		} {
			if g[k] != want {
				t.Errorf("%s is %v, want %v", k, g[k], want)
			}
		}
		if at := g["created_at"].(string); len(at) != 24 || at[:8] != "2023-11-" {
			t.Errorf("created_at %q", at)
		}
		path := "/api/groups/" + r.Body["groupId"].(string)
		f.wantRoles(path, "admin", "member", "")
		if got := f.rooms.added[f.id(path)]; !slices.Equal(got, []id.User{me, two}) {
			t.Errorf("rooms were told %v", got)
		}
	}
	if got := f.counter("groups_created_total"); got != 2 {
		t.Errorf("groups_created_total %v", got)
	}
	if got := f.counter("group_members_total"); got != 4 {
		t.Errorf("group_members_total %v", got)
	}
}

func TestCreateRefused(t *testing.T) {
	t.Parallel()
	f := start(t, 2, func(c *Config) { c.MaxMembers = 3 })
	stranger := id.NewUser()
	many := []id.User{id.NewUser(), id.NewUser(), id.NewUser(), id.NewUser()}
	long := string(bytes.Repeat([]byte("x"), 5000))
	for _, c := range []struct {
		status      int
		text, field string
		body        any
	}{
		{400, "Name and creator ID are required", "name", map[string]any{}},
		{400, "Name and creator ID are required", "name", map[string]any{"name": "  "}},
		{403, "Unauthorized", "creatorId", map[string]any{"name": "n", "creatorId": f.people[1]}},
		{400, "name must be at most 256 bytes", "name", map[string]any{"name": long}},
		{400, "description must be at most 4096 bytes", "description", map[string]any{"name": "n", "description": long}},
		{400, "groupIcon must be at most 2048 bytes", "groupIcon", map[string]any{"name": "n", "groupIcon": long}},
		{400, "groupIcon must be an http or https URL", "groupIcon", map[string]any{"name": "n", "groupIcon": "javascript:alert(1)"}},
		{400, "groupIcon must be an http or https URL", "groupIcon", map[string]any{"name": "n", "groupIcon": "http://%zz"}},
		{400, "memberIds must be user ids", "memberIds[1]", map[string]any{"name": "n", "memberIds": []string{f.people[1].String(), "bob"}}},
		{404, "User not found: " + stranger.String(), "memberIds[1]", map[string]any{"name": "n", "memberIds": []id.User{f.people[1], stranger, id.NewUser()}}},
		{400, "memberIds must hold at most 3 ids", "memberIds", map[string]any{"name": "n", "memberIds": many}},
		{400, "memberIds must be an array", "memberIds", `{"name":"n","memberIds":"x"}`},
		{400, "creatorId must be a UUID", "creatorId", `{"name":"n","creatorId":"me"}`},
		{400, "name must be a string", "name", `{"name":{}}`},
	} {
		f.as(0).Refused(c.status, c.text, c.field, "POST", "/api/groups", c.body)
	}
	yes := true
	if _, err := f.store.Users().Update(t.Context(), f.people[1], store.UserPatch{Blocked: &yes}); err != nil {
		t.Fatal(err)
	}
	f.as(0).Refused(404, "User not found: "+f.people[1].String(), "memberIds[0]", "POST", "/api/groups", map[string]any{"name": "n", "memberIds": f.people[1:]})
	f.server.As(stranger).Refused(404, "User not found", "creatorId", "POST", "/api/groups", map[string]any{"name": "n"})
	if got := f.counter("groups_created_total"); got != 0 || len(f.rooms.added) != 0 {
		t.Errorf("something was created: %v %v", got, f.rooms.added)
	}
}

func TestTenThousand(t *testing.T) {
	t.Parallel()
	f := start(t, 10_002, nil)
	r := f.as(0).Want(201, "POST", "/api/groups", map[string]any{"name": "n", "memberIds": f.people[1:10_001]})
	group := "/api/groups/" + r.Body["groupId"].(string)
	page := f.as(5).Want(200, "GET", group+"/members?limit=5000&offset=9990", nil)
	if page.Body["count"] != 11.0 || page.Body["total"] != 10_001.0 {
		t.Errorf("last page: count %v total %v", page.Body["count"], page.Body["total"])
	}
	rows := page.Body["members"].([]any)
	if got := rows[10].(map[string]any)["user_id"]; got != f.people[10_000].String() {
		t.Errorf("last member %v", got)
	}
	f.as(0).Refused(409, "A group has at most 10000 members", "", "POST", group+"/members", map[string]any{"newMemberId": f.people[10_001]})
	f.as(0).Want(200, "DELETE", group, nil)
	if got := len(f.rooms.removed[f.id(group)]); got != 10_001 {
		t.Errorf("%d were told to go", got)
	}
}

// Reads are for members: a stranger is refused, and a group that is not there reads otherwise.
func TestReads(t *testing.T) {
	t.Parallel()
	f := start(t, 3, nil)
	group := f.group(1)
	none := "/api/groups/" + id.NewGroup().String()
	for _, path := range []string{"", "/members"} {
		f.as(1).Want(200, "GET", group+path, nil)
		f.as(2).Refused(403, notMember, "", "GET", group+path, nil)
		f.as(1).Refused(404, "Group not found", "", "GET", none+path, nil)
		f.as(1).Refused(404, "Group not found", "", "GET", "/api/groups/x"+path, nil)
	}
	f.as(1).Refused(400, "limit must not be negative", "limit", "GET", group+"/members?limit=-1", nil)
	f.as(1).Refused(400, "offset must not be negative", "offset", "GET", group+"/members?offset=-1", nil)
	f.as(1).Refused(400, "limit is invalid", "limit", "GET", group+"/members?limit=ten", nil)
}

func TestMemberPages(t *testing.T) {
	t.Parallel()
	f := start(t, 8, nil)
	group := f.group(1, 2, 3, 4, 5, 6, 7)
	for _, c := range []struct {
		query       string
		first, rows int
	}{
		{"", 0, 8},
		{"?limit=3", 0, 3},
		{"?limit=3&offset=3", 3, 3},
		{"?limit=3&offset=6", 6, 2},
		{"?limit=3&offset=8", 8, 0},
		{"?limit=100000", 0, 8},
		{"?offset=9223372036854775807", 8, 0},
	} {
		r := f.as(3).Want(200, "GET", group+"/members"+c.query, nil)
		rows := r.Body["members"].([]any)
		if len(rows) != c.rows || r.Body["count"] != float64(c.rows) || r.Body["total"] != 8.0 {
			t.Errorf("%s: %s", c.query, r.Text)
			continue
		}
		for i, v := range rows {
			m := v.(map[string]any)
			if m["user_id"] != f.people[c.first+i].String() || m["preferred_language"] != "de" || m["group_id"] != group[len("/api/groups/"):] {
				t.Errorf("%s: row %d is %v", c.query, i, m)
			}
		}
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	f := start(t, 3, nil)
	group := f.group(1)
	f.as(0).Want(200, "PUT", group, map[string]any{"userId": f.people[0], "name": "New", "groupIcon": ""})
	f.as(0).Want(200, "PUT", group, map[string]any{})
	f.as(1).Refused(403, "Only admins can edit group information", "", "PUT", group, map[string]any{"name": "Mine"})
	f.as(2).Refused(403, notMember, "", "PUT", group, map[string]any{"name": "Mine"})
	f.as(0).Refused(403, "Unauthorized", "userId", "PUT", group, map[string]any{"userId": f.people[1], "name": "x"})
	f.as(0).Refused(400, "name must not be empty", "name", "PUT", group, map[string]any{"name": " "})
	f.as(0).Want(200, "PUT", group+"/settings", map[string]any{"settings": map[string]any{"only_admins_can_edit_info": false}})
	f.as(1).Want(200, "PUT", group, map[string]any{"description": "by a member"})
	g := f.as(1).Want(200, "GET", group, nil).Body["group"].(map[string]any)
	if g["group_name"] != "New" || g["description"] != "by a member" {
		t.Errorf("group %v", g)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	f := start(t, 2, func(c *Config) { c.MaxSettings = 7 })
	group := f.group(1)
	get := func() map[string]any {
		return f.as(1).Want(200, "GET", group, nil).Body["group"].(map[string]any)["metadata"].(map[string]any)
	}
	want := map[string]any{
		"only_admins_can_send": false, "only_admins_can_edit_info": true, "only_admins_can_add_members": false,
		"send_messages": true, "edit_group_info": false, "add_members": false,
	}
	check := func() {
		t.Helper()
		if got := get(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("settings %v, want %v", got, want)
		}
	}
	check()
	set := func(v any) any { return map[string]any{"userId": f.people[0], "settings": v} }
	r := f.as(0).Want(200, "PUT", group+"/settings", set(map[string]any{"only_admins_can_send": true, "theme": "dark"}))
	if r.Body["message"] != "Group settings updated successfully" {
		t.Errorf("reply %s", r.Text)
	}
	want["only_admins_can_send"], want["theme"] = true, "dark"
	check()
	f.as(0).Want(200, "PUT", group+"/settings", set(map[string]any{"only_admins_can_send": "false", "theme": 3.5}))
	want["only_admins_can_send"], want["theme"] = false, "3.5"
	check()
	g, err := f.store.Groups().Get(t.Context(), f.id(group))
	if err != nil || g.Settings["only_admins_can_send"] != "false" {
		t.Errorf("stored %v %v", g.Settings, err)
	}
	if f.rooms.settings != 2 {
		t.Errorf("the rules were told of %d changes, want 2", f.rooms.settings)
	}
	six := map[string]any{"a": "", "b": "", "c": "", "d": "", "e": "", "f": ""}
	for _, c := range []struct {
		text, field string
		body        any
	}{
		{"User ID and settings are required", "settings", map[string]any{"userId": f.people[0]}},
		{"settings must be an object", "settings", `{"settings":[]}`},
		{"this setting is true or false", "settings.only_admins_can_send", set(map[string]any{"only_admins_can_send": "yes"})},
		{"this setting is true or false", "settings.add_members", set(map[string]any{"add_members": 1})},
		{"a setting is a boolean, a text or a number", "settings.x", set(map[string]any{"x": nil})},
		{"a setting has at most 256 bytes", "settings.x", set(map[string]any{"x": string(make([]byte, 257))})},
		{"a setting's name has 1 to 64 bytes", "settings", set(map[string]any{"": "x"})},
		{"a group has at most 7 settings", "settings", set(six)},
	} {
		f.as(0).Refused(400, c.text, c.field, "PUT", group+"/settings", c.body)
	}
	// Seed 15: one who is no admin changes nothing, member or not.
	f.as(1).Refused(403, "Only admins can update group settings", "", "PUT", group+"/settings", map[string]any{"settings": map[string]any{}})
	f.server.As(id.NewUser()).Refused(403, "Only admins can update group settings", "", "PUT", group+"/settings", map[string]any{"settings": map[string]any{}})
	f.as(1).Refused(403, "Unauthorized", "userId", "PUT", group+"/settings", set(map[string]any{}))
	check()
}

func TestGroupsOfUser(t *testing.T) {
	t.Parallel()
	f := start(t, 2, nil)
	made := map[string]bool{}
	for range 5 {
		made[f.group(1)[len("/api/groups/"):]] = true
	}
	gone := f.group(1)
	f.as(0).Want(200, "DELETE", gone, nil)
	path := "/api/users/" + f.people[1].String() + "/groups"
	seen := map[string]bool{}
	for _, query := range []string{"?limit=2", "?limit=2&offset=2", "?limit=2&offset=4"} {
		r := f.server.ViaGateway(f.people[1]).Want(200, "GET", path+query, nil)
		rows := r.Body["groups"].([]any)
		if r.Body["count"] != float64(len(rows)) {
			t.Errorf("%s: %s", query, r.Text)
		}
		for _, g := range rows {
			seen[g.(map[string]any)["group_id"].(string)] = true
		}
	}
	if len(seen) != 5 || fmt.Sprint(seen) != fmt.Sprint(made) {
		t.Errorf("saw %v, want %v", seen, made)
	}
	f.as(0).Refused(403, "Unauthorized", "", "GET", path, nil)
	f.as(0).Refused(404, "User not found", "", "GET", "/api/users/me/groups", nil)
	f.as(1).Refused(400, "limit must not be negative", "limit", "GET", path+"?limit=-2", nil)
}
