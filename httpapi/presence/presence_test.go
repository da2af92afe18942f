package presence

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/tolkflip/tolkflip/httpapi/apitest"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
)

func TestMain(m *testing.M) { apitest.Main(m) }

// rules are the rules of presence and typing by hand: who knows whom, who said what.
type rules struct {
	mu     sync.Mutex
	knows  map[[2]id.User]bool
	states map[id.User]proto.PresenceOf
	asked  []int
	typed  []string
	refuse error
}

func (r *rules) Of(_ context.Context, asker id.User, users []id.User) ([]proto.PresenceOf, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, len(users))
	var out []proto.PresenceOf
	for _, u := range users {
		p := proto.PresenceOf{User: u}
		if asker == u || r.knows[[2]id.User{asker, u}] {
			p = r.states[u]
			p.User = u
		}
		out = append(out, p)
	}
	return out, nil
}

func (r *rules) Set(_ context.Context, u id.User, st proto.Status) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := proto.PresenceOf{Status: st}
	if st == proto.Offline {
		p.LastSeen = 1_700_000_000_000
	}
	r.states[u] = p
	return nil
}

func (r *rules) SetTyping(_ context.Context, u id.User, t id.Thread, receiver id.User, on bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		return r.refuse
	}
	r.typed = append(r.typed, fmt.Sprint(u, t, receiver, on))
	return nil
}

func start(t *testing.T) (*apitest.Server, *rules) {
	t.Helper()
	r := &rules{knows: map[[2]id.User]bool{}, states: map[id.User]proto.PresenceOf{}}
	return apitest.Start(t, New(r, r).API()), r
}

func TestDoors(t *testing.T) {
	t.Parallel()
	_, r := start(t)
	apitest.Doors(t, New(r, r).API(), id.NewUser())
}

func TestSet(t *testing.T) {
	t.Parallel()
	s, _ := start(t)
	me, other := id.NewUser(), id.NewUser()
	own := "/api/presence/" + me.String()
	for _, c := range []struct {
		gateway      bool
		path         string
		body         any
		answer, then string
	}{
		{false, "/online", nil, "online", "online"},
		{true, "/api/presence/offline", "", "offline", "offline"},
		{true, "/api/presence/online", map[string]any{"device_id": "d", "metadata": map[string]any{"status": "hacked", "lastSeen": 1}}, "online", "online"},
		{true, own + "/status", map[string]any{"status": "away"}, "away", "away"},
		{false, own + "/status", map[string]any{"status": "online"}, "online", "online"},
		{true, "/api/v1/presence/update", map[string]any{"userId": me, "status": "offline"}, "offline", "offline"},
		{true, "/api/v1/presence/update", map[string]any{"status": "online"}, "online", "online"},
		{false, "/offline", nil, "offline", "offline"},
	} {
		client := s.As(me)
		if c.gateway {
			client = s.ViaGateway(me)
		}
		r := client.Want(200, "POST", c.path, c.body)
		if r.Body["success"] != true || r.Body["status"] != c.answer {
			t.Errorf("%s: %s", c.path, r.Text)
		}
		if got := s.As(me).Want(200, "GET", "/user/"+me.String(), nil).Body["status"]; got != c.then {
			t.Errorf("after %s: %v, want %s", c.path, got, c.then)
		}
	}
	me1 := s.ViaGateway(me)
	me1.Refused(403, "Unauthorized", "", "POST", "/api/presence/"+other.String()+"/status", map[string]any{"status": "online"})
	me1.Refused(403, "Unauthorized", "userId", "POST", "/api/v1/presence/update", map[string]any{"userId": other, "status": "online"})
	for _, bad := range []any{"", "hacked", "ONLINE"} {
		me1.Refused(400, "status must be online, away or offline", "status", "POST", own+"/status", map[string]any{"status": bad})
	}
	me1.Refused(400, "status must be a string", "status", "POST", own+"/status", map[string]any{"status": 1})
	me1.Refused(400, "metadata must be an object", "metadata", "POST", "/api/presence/online", map[string]any{"metadata": "x"})
}

func TestOf(t *testing.T) {
	t.Parallel()
	s, r := start(t)
	me, friend, stranger := id.NewUser(), id.NewUser(), id.NewUser()
	r.knows[[2]id.User{me, friend}] = true
	r.states[friend] = proto.PresenceOf{Status: proto.Away, LastSeen: 5}
	r.states[stranger] = proto.PresenceOf{Status: proto.Online, LastSeen: 5}
	for path, want := range map[string]string{
		"/api/presence/user/" + friend.String():   `{"success":true,"userId":"` + friend.String() + `","status":"away","lastSeen":5}`,
		"/api/presence/" + friend.String():        `{"success":true,"userId":"` + friend.String() + `","status":"away","lastSeen":5}`,
		"/api/presence/user/" + stranger.String(): `{"success":true,"userId":"` + stranger.String() + `","status":"offline","lastSeen":null}`,
	} {
		if got := s.ViaGateway(me).Want(200, "GET", path, nil); got.Text != want {
			t.Errorf("%s: %s, want %s", path, got.Text, want)
		}
	}
	s.ViaGateway(me).Refused(404, "User not found", "", "GET", "/api/presence/user/x", nil)
	s.ViaGateway(me).Refused(403, "Forbidden", "", "GET", "/api/presence/online/users", nil)
	s.As(me).Refused(403, "Forbidden", "", "GET", "/online/users", nil)

	upper := strings.ToUpper(friend.String())
	got := s.ViaGateway(me).Want(200, "POST", "/api/presence/users/batch", map[string]any{"userIds": []any{friend, stranger, friend, upper}})
	want := map[string]any{
		friend.String():   map[string]any{"status": "away", "lastSeen": 5.0},
		upper:             map[string]any{"status": "away", "lastSeen": 5.0},
		stranger.String(): map[string]any{"status": "offline", "lastSeen": nil},
	}
	if !maps.EqualFunc(got.Body["presences"].(map[string]any), want, func(a, b any) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
		t.Errorf("batch: %s", got.Text)
	}
	if last := r.asked[len(r.asked)-1]; last != 2 {
		t.Errorf("the rules were asked for %d people, want 2", last)
	}
}

func TestBatchLimits(t *testing.T) {
	t.Parallel()
	s, _ := start(t)
	me := s.As(id.NewUser())
	ids := make([]id.User, 1001)
	for i := range ids {
		ids[i] = id.NewUser()
	}
	me.Refused(400, "userIds must hold at most 1000 ids", "userIds", "POST", "/users/batch", map[string]any{"userIds": ids})
	r := me.Want(200, "POST", "/users/batch", map[string]any{"userIds": ids[:1000]})
	if got := len(r.Body["presences"].(map[string]any)); got != 1000 {
		t.Errorf("%d answers", got)
	}
	if r := me.Want(200, "POST", "/users/batch", map[string]any{"userIds": []id.User{}}); r.Text != `{"success":true,"presences":{}}` {
		t.Errorf("empty batch: %s", r.Text)
	}
	for _, bad := range []string{`{}`, `{"userIds":null}`, `{"userIds":{}}`, `{"userIds":"x"}`, `{"userIds":7}`} {
		me.Refused(400, "userIds must be an array", "userIds", "POST", "/users/batch", bad)
	}
	for _, bad := range []string{`"x"`, `1`, `null`, `{}`} {
		me.Refused(400, "userIds must be user ids", "userIds[1]", "POST", "/users/batch", `{"userIds":["`+ids[0].String()+`",`+bad+`]}`)
	}
}

func TestTyping(t *testing.T) {
	t.Parallel()
	s, r := start(t)
	me, thread, peer := id.NewUser(), id.NewGroup(), id.NewUser()
	for _, c := range []struct {
		body   string
		thread id.Thread
		peer   id.User
		on     bool
	}{
		{`{"threadId":"` + thread.String() + `","isTyping":true}`, thread, id.User{}, true},
		{`{"threadId":"` + thread.String() + `","isTyping":false}`, thread, id.User{}, false},
		{`{"threadId":"` + thread.String() + `"}`, thread, id.User{}, false},
		{`{"threadId":"` + thread.String() + `","isTyping":1}`, thread, id.User{}, true},
		{`{"threadId":"` + thread.String() + `","isTyping":0.0}`, thread, id.User{}, false},
		{`{"threadId":"` + thread.String() + `","isTyping":"false"}`, thread, id.User{}, true},
		{`{"threadId":"` + thread.String() + `","isTyping":""}`, thread, id.User{}, false},
		{`{"threadId":"` + thread.String() + `","isTyping":null}`, thread, id.User{}, false},
		{`{"threadId":"` + thread.String() + `","isTyping":[]}`, thread, id.User{}, true},
		{`{"receiverId":"` + peer.String() + `","isTyping":true}`, id.Thread{}, peer, true},
	} {
		if got := s.ViaGateway(me).Want(200, "POST", "/api/presence/typing", c.body); got.Text != `{"success":true}` {
			t.Errorf("%s: %s", c.body, got.Text)
		}
		if got := r.typed[len(r.typed)-1]; got != fmt.Sprint(me, c.thread, c.peer, c.on) {
			t.Errorf("%s: rules were told %s", c.body, got)
		}
	}
	told := len(r.typed)
	s.As(me).Refused(400, "userId and threadId required", "threadId", "POST", "/typing", `{"isTyping":true}`)
	s.As(me).Refused(400, "threadId must be a UUID", "threadId", "POST", "/typing", `{"threadId":"t","isTyping":true}`)
	r.refuse = proto.Fail(proto.Forbidden, "not a member")
	s.As(me).Refused(403, "not a member", "", "POST", "/typing", `{"threadId":"`+thread.String()+`","isTyping":true}`)
	if len(r.typed) != told {
		t.Errorf("rules were told of refused ones: %v", r.typed[told:])
	}
}

func FuzzTruth(f *testing.F) {
	for _, s := range []string{"true", "0", "-0", "1e-400", `""`, `"0"`, "null", "[]", "{}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var in struct{ V truth }
		if json.Unmarshal([]byte(`{"V":`+string(b)+`}`), &in) != nil {
			return
		}
		var v struct{ V any }
		if json.Unmarshal([]byte(`{"V":`+string(b)+`}`), &v) != nil {
			return
		}
		want := v.V != nil && v.V != false && v.V != "" && v.V != 0.0
		if bool(in.V) != want {
			t.Fatalf("%s is %v, want %v", b, in.V, want)
		}
	})
}
