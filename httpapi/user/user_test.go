package user

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/httpapi/apitest"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/memory"
)

func TestMain(m *testing.M) { apitest.Main(m) }

// circle says that those in it share a thread.
type circle struct {
	mu    sync.Mutex
	pairs map[[2]id.User]bool
	asked int
}

func (c *circle) join(a, b id.User) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pairs[[2]id.User{a, b}], c.pairs[[2]id.User{b, a}] = true, true
}

func (c *circle) Share(_ context.Context, a, b id.User) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	return c.pairs[[2]id.User{a, b}], nil
}

type peers map[id.User][]id.User

func (p peers) Peers(_ context.Context, u id.User, limit int) ([]id.User, error) {
	return p[u][:min(limit, len(p[u]))], nil
}

// counted counts reads of a store.
type counted struct {
	store.Users
	gets atomic.Int64
	// reading, where set, is called within Get, after the read.
	reading func()
}

func (c *counted) Get(ctx context.Context, u id.User) (store.User, error) {
	c.gets.Add(1)
	v, err := c.Users.Get(ctx, u)
	if c.reading != nil {
		c.reading()
	}
	return v, err
}

// changes are the users whom the rules were told to read again.
type changes struct {
	mu  sync.Mutex
	all []id.User
}

func (c *changes) UserChanged(u id.User) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, u)
}

func (c *changes) take() []id.User {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.all
	c.all = nil
	return all
}

type fixture struct {
	*apitest.Server
	svc             *service
	users           *counted
	devices         store.Devices
	circle          *circle
	peers           peers
	changes         changes
	now             *atomic.Int64
	ann, bob, carol id.User
}

const (
	annPhone = "+12025550101"
	bobPhone = "+12025550102"
)

func start(t testing.TB, edit func(*Config)) *fixture {
	t.Helper()
	db, err := memory.New(memory.Default())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	f := &fixture{
		users: &counted{Users: db.Users()}, devices: db.Devices(), now: &atomic.Int64{},
		circle: &circle{pairs: map[[2]id.User]bool{}}, peers: peers{},
		ann: id.NewUser(), bob: id.NewUser(), carol: id.NewUser(),
	}
	f.now.Store(1_800_000_000_123)
	for _, u := range []store.User{
		{ID: f.ann, Phone: annPhone, Name: "Ann", Language: "en", Languages: []string{"de"}, Bio: "hi", Avatar: "https://a.example/a.png", Created: 1_700_000_000_000, LastActive: 1_700_000_000_001},
		{ID: f.bob, Phone: bobPhone, Language: "fr"},
		{ID: f.carol, Phone: "+12025550103", Name: "Carol", Language: "en"},
	} {
		if err := f.users.Create(context.Background(), u); err != nil {
			t.Fatal(err)
		}
	}
	cfg := Default()
	if edit != nil {
		edit(&cfg)
	}
	reg := prometheus.NewRegistry()
	limits, err := memory.NewLimits(memory.DefaultCache(), memory.NewMetrics(reg))
	if err != nil {
		t.Fatal(err)
	}
	deps := Deps{
		Users: f.users, Devices: f.devices, Peers: f.peers, Limits: limits, Circle: f.circle,
		Rules: &f.changes, Now: func() time.Time { return time.UnixMilli(f.now.Load()) },
	}
	if f.svc, err = newService(cfg, deps, reg); err != nil {
		t.Fatal(err)
	}
	f.Server = apitest.Start(t, httpapi.Service{Name: "user", Health: httpapi.Health{Name: "user", Status: "healthy"}, Routes: f.svc.routes()})
	return f
}

func TestProfile(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	own := fmt.Sprintf(`{"success":true,"user":{"userId":"%s","phoneNumber":"+12025550101","displayName":"Ann","avatarUrl":"https://a.example/a.png",`+
		`"primaryLanguage":"en","additionalLanguages":["de"],"createdAt":"2023-11-14T22:13:20.000Z","lastActive":"2023-11-14T22:13:20.001Z"}}`, f.ann)
	if r := f.As(f.ann).Want(200, "GET", "/profile/"+f.ann.String(), nil); r.Text != own {
		t.Errorf("%s\nwant %s", r.Text, own)
	}
	if r := f.ViaGateway(f.ann).Want(200, "GET", "/api/users/profile/"+f.ann.String(), nil); r.Text != own {
		t.Errorf("%s", r.Text)
	}
	bob := func(asker id.User) map[string]any {
		t.Helper()
		u, _ := f.As(asker).Want(200, "GET", "/profile/"+f.bob.String(), nil).Body["user"].(map[string]any)
		return u
	}
	if u := bob(f.ann); u["phoneNumber"] != "" || u["displayName"] != "" {
		t.Errorf("a stranger reads %v", u)
	}
	f.circle.join(f.ann, f.bob)
	f.now.Add(time.Minute.Milliseconds())
	if u := bob(f.ann); u["phoneNumber"] != bobPhone || u["displayName"] != bobPhone {
		t.Errorf("one who shares a thread reads %v", u)
	}
	if list, ok := bob(f.ann)["additionalLanguages"].([]any); !ok || len(list) != 0 {
		t.Error("no languages are not []")
	}
	for _, path := range []string{id.NewUser().String(), "x", f.ann.String() + ":private_key", "00000000-0000-0000-0000-000000000000"} {
		f.As(f.ann).Refused(404, "User not found", "", "GET", "/profile/"+path, nil)
	}
}

func TestRow(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	want := fmt.Sprintf(`{"success":true,"user":{"user_id":"%s","phone_number":"","display_name":"Ann","avatar_url":"https://a.example/a.png",`+
		`"profile_picture":"https://a.example/a.png","bio":"hi","primary_language":"en","additional_languages":["de"],`+
		`"created_at":"2023-11-14T22:13:20.000Z","last_active":"2023-11-14T22:13:20.001Z"}}`, f.ann)
	for _, path := range []string{"/api/users/", "/api/v1/user/"} {
		if r := f.ViaGateway(f.bob).Want(200, "GET", path+f.ann.String(), nil); r.Text != want {
			t.Errorf("%s\nwant %s", r.Text, want)
		}
		f.ViaGateway(f.bob).Refused(404, "User not found", "", "GET", path+"nobody", nil)
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	ann := f.As(f.ann)
	for _, c := range []struct{ in, want string }{
		{`{"display_name":" Anna "}`, `"displayName":"Anna","avatarUrl":"https://a.example/a.png","primaryLanguage":"en","additionalLanguages":["de"]}}`},
		{`{"avatar_url":"http://10.0.0.1:9000/x","display_name":""}`, `"avatarUrl":"http://10.0.0.1:9000/x"`},
		{`{"primary_language":"zh-tw"}`, `"primaryLanguage":"zh-TW"`},
		{`{"additional_languages":["de","DE"]}`, `"additionalLanguages":["de"]`},
		{`{"additional_languages":["zh-TW","fr"]}`, `"additionalLanguages":["fr"]`},
		{`{"additional_languages":[]}`, `"additionalLanguages":[]`},
		{`{"primary_language":"en","additional_languages":["en","es"]}`, `"primaryLanguage":"en","additionalLanguages":["es"]`},
	} {
		if r := ann.Want(200, "PUT", "/profile", c.in); !strings.Contains(r.Text, c.want) {
			t.Errorf("%s: %s, want %s", c.in, r.Text, c.want)
		}
	}
	if r := ann.Want(200, "GET", "/profile/"+f.ann.String(), nil); !strings.Contains(r.Text, `"displayName":"Anna"`) {
		t.Errorf("read back %s", r.Text)
	}
	for _, c := range []struct{ in, text, field string }{
		{`{}`, "No fields to update", ""},
		{`{"display_name":""}`, "No fields to update", ""},
		{`{"display_name":null,"primary_language":""}`, "No fields to update", ""},
		{`{"display_name":5}`, "Invalid value", "display_name"},
		{`{"display_name":"a\u0000"}`, "A name has 1 to 100 characters", "display_name"},
		{`{"avatar_url":""}`, "Invalid value", "avatar_url"},
		{`{"avatar_url":["https://a.example"]}`, "Invalid value", "avatar_url"},
		{`{"primary_language":"xx"}`, "Unsupported language", "primary_language"},
		{`{"primary_language":[]}`, "Invalid value", "primary_language"},
		{`{"additional_languages":"de"}`, "Invalid value", "additional_languages"},
		{`{"additional_languages":[1]}`, "Invalid value", "additional_languages"},
		{`{"additional_languages":["xx"]}`, "Unsupported language", "additional_languages"},
		{`{"additional_languages":["de","fr","es"]}`, "Maximum 2 additional languages allowed", "additional_languages"},
	} {
		ann.Refused(400, c.text, c.field, "PUT", "/profile", c.in)
	}
	f.As(id.NewUser()).Refused(404, "User not found", "", "PUT", "/profile", `{"display_name":"Ghost"}`)
	f.As(id.NewUser()).Refused(404, "User not found", "", "PUT", "/profile", `{"additional_languages":[]}`)
	if r := ann.Do("PUT", "/profile", `{"display_name":5,"avatar_url":"x"}`); len(r.Body["errors"].([]any)) != 2 {
		t.Errorf("%s", r.Text)
	}
}

// TestRulesAreTold: what a person writes is in the language that they have just chosen.
func TestRulesAreTold(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	for _, c := range []struct {
		path string
		body any
	}{
		{"/profile", map[string]any{"primary_language": "it"}},
		{"/api/users/" + f.ann.String() + "/languages", map[string]any{"native_language": "fr"}},
	} {
		f.As(f.ann).Want(200, "PUT", c.path, c.body)
		if got := f.changes.take(); len(got) != 1 || got[0] != f.ann {
			t.Errorf("%s: told of %v", c.path, got)
		}
		f.As(f.ann).Want(400, "PUT", c.path, map[string]any{"primary_language": "xx", "native_language": "xx"})
		if got := f.changes.take(); len(got) != 0 {
			t.Errorf("%s, refused: told of %v", c.path, got)
		}
	}
}

func TestAvatarURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"https://cdn.example.com/a.jpg": true, "example.com": true, "http://10.0.0.1:9000/x": true, "https://[2001:db8::1]/x": true,
		"HTTPS://EXAMPLE.COM/A?b=c#d": true, "example.com:8080/x": true, "https://bücher.example/x": true,
		"http://localhost:9000/x": false, "http://minio:9000/x": false, "//a.com/x": false, "/a.com/x": false, "data:image/png;base64,AA": false,
		"javascript:alert(1)": false, "javascript://a.com/%0aalert(1)": false, "": false, "ftp://a.com/x": false, "https://user:pw@a.com": false,
		"https://a.com/ x": false, "https://a.com/\"x": false, "https://1.2.3": false, "https://a..com": false, "https://-a.com": false,
		"https://": false, "https://a.com/\x00": false, "https://" + strings.Repeat("a", 2048) + ".com": false, "a@b.com": false,
	} {
		if isURL(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

func TestRowUpdates(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	own, other := "/api/users/"+f.ann.String(), "/api/users/"+f.bob.String()
	ann := f.ViaGateway(f.ann)
	if r := ann.Want(200, "PUT", own+"/profile", `{"display_name":"A","profile_picture":"https://b.example/b","bio":"two\nlines"}`); r.Text != `{"success":true}` {
		t.Errorf("%s", r.Text)
	}
	ann.Want(200, "PUT", own+"/languages", `{"native_language":"de","learning_languages":["en","fr"]}`)
	u, err := f.users.Get(context.Background(), f.ann)
	if err != nil || u.Name != "A" || u.Avatar != "https://b.example/b" || u.Bio != "two\nlines" || u.Language != "de" || strings.Join(u.Languages, " ") != "en fr" {
		t.Errorf("%+v %v", u, err)
	}
	ann.Want(200, "PUT", own+"/profile", `{"profile_picture":"","bio":""}`)
	if u, _ = f.users.Get(context.Background(), f.ann); u.Avatar != "" || u.Bio != "" {
		t.Errorf("%+v", u)
	}
	ann.Refused(403, "Unauthorized", "", "PUT", other+"/profile", `{"display_name":"A"}`)
	ann.Refused(403, "Unauthorized", "", "PUT", other+"/languages", `{"native_language":"de"}`)
	ann.Refused(400, "No fields to update", "", "PUT", own+"/profile", `{}`)
	ann.Refused(400, "No fields to update", "", "PUT", own+"/languages", `{}`)
	ann.Refused(400, "profile_picture must be a URL", "profile_picture", "PUT", own+"/profile", `{"profile_picture":"x"}`)
	ann.Refused(400, "bio has up to 500 characters", "bio", "PUT", own+"/profile", `{"bio":"`+strings.Repeat("a", 501)+`"}`)
	ann.Refused(400, "display_name must be a string", "display_name", "PUT", own+"/profile", `{"display_name":{}}`)
	ann.Refused(400, "Unsupported language", "native_language", "PUT", own+"/languages", `{"native_language":"xx"}`)
	ann.Refused(400, "Unsupported language", "learning_languages", "PUT", own+"/languages", `{"learning_languages":["xx"]}`)
	ghost := id.NewUser()
	f.ViaGateway(ghost).Refused(404, "User not found", "", "PUT", "/api/users/"+ghost.String()+"/profile", `{"bio":"boo"}`)
}

func TestSearch(t *testing.T) {
	t.Parallel()
	f := start(t, func(c *Config) { c.SearchesPerDay = 8 })
	carol := f.As(f.carol)
	want := fmt.Sprintf(`{"success":true,"user":{"userId":"%s","phoneNumber":"+12025550102","displayName":"+12025550102","avatarUrl":"","primaryLanguage":"fr","additionalLanguages":[]}}`, f.bob)
	for _, q := range []string{url.QueryEscape(bobPhone), bobPhone /* the raw + arrives as a space */, "12025550102", url.QueryEscape("+1 (202) 555-0102")} {
		if r := carol.Want(200, "GET", "/search?phone="+q, nil); r.Text != want {
			t.Errorf("%s: %s\nwant %s", q, r.Text, want)
		}
	}
	for range 2 {
		carol.Refused(404, "User not found", "", "GET", "/search?phone=%2B12025550199", nil)
	}
	carol.Refused(404, "User not found", "", "GET", "/search?phone=abc", nil)
	carol.Refused(400, "Phone number required", "phone", "GET", "/search", nil)
	carol.Refused(400, "Phone number required", "phone", "GET", "/search?phone=", nil)
	carol.Refused(400, "Phone number required", "phone", "GET", "/search?phone=+", nil)
	carol.Want(404, "GET", "/search?phone=1", nil)
	if r := carol.Want(429, "GET", "/search?phone="+bobPhone, nil); r.Header.Get("Retry-After") == "" {
		t.Errorf("%v", r.Header)
	}
	f.As(f.ann).Want(200, "GET", "/search?phone="+bobPhone, nil)
}

func TestContacts(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	f.peers[f.ann] = []id.User{f.bob, f.carol, f.bob, id.NewUser(), f.ann}
	r := f.As(f.ann).Want(200, "GET", "/contacts", nil)
	list, _ := r.Body["contacts"].([]any)
	if len(list) != 2 || list[0].(map[string]any)["userId"] != f.bob.String() || list[0].(map[string]any)["phoneNumber"] != bobPhone || list[1].(map[string]any)["displayName"] != "Carol" {
		t.Errorf("%s", r.Text)
	}
	if r := f.As(f.carol).Want(200, "GET", "/contacts", nil); r.Text != `{"success":true,"contacts":[]}` {
		t.Errorf("%s", r.Text)
	}
}

func TestDeviceToken(t *testing.T) {
	t.Parallel()
	f := start(t, func(c *Config) { c.Devices = 2 })
	add := func(u id.User, in string) {
		t.Helper()
		if r := f.As(u).Want(200, "POST", "/device-token", in); r.Text != `{"success":true}` {
			t.Errorf("%s", r.Text)
		}
		f.now.Add(1)
	}
	list := func(u id.User) string {
		t.Helper()
		ds, err := f.devices.List(context.Background(), u)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, d := range ds {
			out = append(out, d.Platform+"="+d.Token)
		}
		return strings.Join(out, " ")
	}
	add(f.ann, `{"token":"one","platform":"android"}`)
	add(f.ann, `{"token":"two","platform":"ios"}`)
	if got := list(f.ann); got != "android=one ios=apns:two" {
		t.Error(got)
	}
	add(f.ann, `{"token":"apns:three"}`)
	if got := list(f.ann); got != "ios=apns:two ios=apns:three" {
		t.Errorf("over the limit: %s", got)
	}
	add(f.bob, `{"token":"two","platform":"ios"}`)
	if a, b := list(f.ann), list(f.bob); a != "ios=apns:three" || b != "ios=apns:two" {
		t.Errorf("%s | %s", a, b)
	}
	f.As(f.ann).Refused(400, "User ID and token required", "token", "POST", "/device-token", `{"platform":"ios"}`)
	f.As(f.ann).Refused(400, "User ID and token required", "token", "POST", "/device-token", `{"token":""}`)
	f.As(f.ann).Refused(400, "token must be a string", "token", "POST", "/device-token", `{"token":5}`)
	f.As(f.ann).Refused(400, "token is invalid", "token", "POST", "/device-token", `{"token":"`+strings.Repeat("a", 4097)+`"}`)
	f.As(id.NewUser()).Refused(404, "User not found", "", "POST", "/device-token", `{"token":"x"}`)
}

func TestReadsComeFromMemory(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	read := func() string {
		t.Helper()
		return f.As(f.bob).Want(200, "GET", "/profile/"+f.ann.String(), nil).Text
	}
	for range 5 {
		read()
	}
	if n := f.users.gets.Load(); n != 1 || f.circle.asked != 1 {
		t.Errorf("%d reads of the store, %d questions about threads", n, f.circle.asked)
	}
	f.As(f.ann).Want(200, "PUT", "/profile", `{"display_name":"New"}`)
	if !strings.Contains(read(), `"New"`) {
		t.Error("an old name was read after an update")
	}
	name := "Elsewhere"
	if _, err := f.users.Update(context.Background(), f.ann, store.UserPatch{Name: &name}); err != nil { // by another node
		t.Fatal(err)
	}
	if !strings.Contains(read(), `"New"`) {
		t.Error("the cache was not used")
	}
	f.now.Add(time.Minute.Milliseconds())
	if !strings.Contains(read(), name) {
		t.Error("an entry outlived its time")
	}
}

// TestSlowReadDoesNotUndoAWrite lets an update happen while a read of the store is on its way back.
func TestSlowReadDoesNotUndoAWrite(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	name := "New"
	f.users.reading = func() {
		f.users.reading = nil
		if _, err := f.svc.change(context.Background(), f.ann, store.UserPatch{Name: &name}); err != nil {
			t.Error(err)
		}
	}
	if u, err := f.svc.get(context.Background(), f.ann); err != nil || u.Name != "Ann" {
		t.Fatalf("%+v %v", u, err)
	}
	if u, err := f.svc.get(context.Background(), f.ann); err != nil || u.Name != name {
		t.Errorf("%+v %v: the old value was kept", u, err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	c := newCache[int, int](64, time.Minute, func() time.Time { return now })
	put := func(k, v int) {
		_, ticket, _ := c.get(k)
		c.put(k, v, ticket)
	}
	put(-1, 7)
	for k := range 10_000 {
		put(k, k)
		if v, _, ok := c.get(-1); !ok || v != 7 { // read again and again: it stays
			t.Fatalf("the entry in use went at %d", k)
		}
	}
	if v, _, ok := c.get(9999); !ok || v != 9999 {
		t.Errorf("the newest entry: %d %v", v, ok)
	}
	if n := c.len(); n != 64 {
		t.Errorf("%d entries, want 64", n)
	}
	for range 10_000 { // dropping and filling again takes no new place
		c.drop(5)
		put(5, 5)
	}
	if n := c.len(); n != 64 {
		t.Errorf("%d entries after drops, want 64", n)
	}
	c.drop(5)
	if _, _, ok := c.get(5); ok {
		t.Error("a dropped entry was read")
	}
}

type threads map[id.Thread]bool

func (th threads) Get(_ context.Context, t id.Thread) (store.Thread, error) {
	if !th[t] {
		return store.Thread{}, store.ErrNotFound
	}
	return store.Thread{ID: t}, nil
}

type members struct {
	in   map[id.User][]id.Thread
	fail error
}

func (m members) Get(_ context.Context, g id.Thread, u id.User) (store.Member, error) {
	for _, of := range m.in[u] {
		if of == g {
			return store.Member{}, nil
		}
	}
	return store.Member{}, errors.Join(store.ErrNotFound, m.fail)
}

func (m members) GroupsOf(_ context.Context, u id.User, _ id.Thread, _ int) ([]id.Thread, error) {
	return m.in[u], m.fail
}

func TestDoors(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	apitest.Doors(t, httpapi.Service{Name: "user", Routes: f.svc.routes()}, f.ann,
		`{"display_name":{"a":1}}`, `{"additional_languages":[[]]}`, `{"token":1e400}`, `{"learning_languages":[null]}`)
}

func TestSharedThreads(t *testing.T) {
	t.Parallel()
	a, b, c, d := id.NewUser(), id.NewUser(), id.NewUser(), id.NewUser()
	g, h := id.NewGroup(), id.NewGroup()
	s := SharedThreads{
		Threads: threads{id.Direct(b, a): true},
		Members: members{in: map[id.User][]id.Thread{a: {h, g}, c: {g}, d: {id.NewGroup()}}},
	}
	for other, want := range map[id.User]bool{b: true, c: true, d: false, id.NewUser(): false} {
		if got, err := s.Share(context.Background(), a, other); got != want || err != nil {
			t.Errorf("%v %v, want %v", got, err, want)
		}
	}
	s.Members = members{fail: errors.New("down")}
	if _, err := s.Share(context.Background(), a, c); err == nil {
		t.Error("a broken store passed for an answer")
	}
}
