package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tolkflip/tolkflip/httpapi/apitest"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router/chat"
	"github.com/tolkflip/tolkflip/store"
)

func TestMain(m *testing.M) { apitest.Main(m) }

type fixture struct {
	*apitest.World
	*apitest.Server
	svc        *Service
	t          *testing.T
	alice, bob id.User
	eve        id.User // nobody's friend
}

func start(t *testing.T) *fixture {
	t.Helper()
	w := apitest.NewWorld(t)
	svc := New(Deps{
		Rules: w.Chat, Threads: w.Store.Threads(), Cursors: w.Store.Cursors(), Log: w.Store.Log(),
		People: w.Store.Users(), Groups: w.Store.Groups(),
		Online: func() int { users, _ := w.Router.Counts(); return users },
	})
	return &fixture{
		World: w, Server: apitest.Start(t, svc.API()), svc: svc, t: t,
		alice: w.User("alice"), bob: w.User("bob"), eve: w.User("eve"),
	}
}

func (f *fixture) direct() id.Thread { return id.Direct(f.alice, f.bob) }

// rows gives a list of objects in a reply.
func rows(t *testing.T, r apitest.Reply, key string) []map[string]any {
	t.Helper()
	list, ok := r.Body[key].([]any)
	if !ok {
		t.Fatalf("no %s in %s", key, r.Text)
	}
	out := make([]map[string]any, len(list))
	for i, v := range list {
		out[i] = v.(map[string]any)
	}
	return out
}

func column(list []map[string]any, key string) string {
	var b strings.Builder
	for _, r := range list {
		fmt.Fprintf(&b, "%v ", r[key])
	}
	return strings.TrimSpace(b.String())
}

func TestDoors(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.Say(f.alice, f.bob, "hi")
	apitest.Doors(t, f.svc.API(), f.alice, `{"preferredLanguage":"xx"}`, `{"seq":0}`, `{"messageId":"`+id.NewUser().String()+`"}`)
}

func TestHealth(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.Connect(f.alice)
	f.Connect(f.alice)
	f.Connect(f.bob)
	r := f.As(id.User{}).Want(200, "GET", "/health", nil)
	if r.Body["status"] != "healthy" || r.Body["service"] != "chat" || r.Body["activeConnections"] != 2.0 {
		t.Errorf("health %s", r.Text)
	}
}

// Seed 5: ten messages in one thread are one entry, with the unread ones counted and the newest shown.
func TestThreads(t *testing.T) {
	t.Parallel()
	f := start(t)
	for i := range 10 {
		f.Say(f.alice, f.bob, fmt.Sprint("message ", i))
	}
	r := f.ViaGateway(f.bob).Want(200, "GET", "/api/chat/threads", nil)
	list := rows(t, r, "threads")
	if len(list) != 1 || r.Body["pageState"] != nil || r.Body["success"] != true {
		t.Fatalf("threads: %s", r.Text)
	}
	for k, want := range map[string]any{
		"thread_id": f.direct().String(), "participant_id": f.bob.String(), "other_participant_id": f.alice.String(),
		"thread_type": "direct", "unread_count": 10.0, "last_message_preview": "message 9", "is_archived": false,
		"name": "alice", "avatar_url": "https://cdn.example.com/alice", "seq": 10.0,
	} {
		if list[0][k] != want {
			t.Errorf("%s is %v, want %v", k, list[0][k], want)
		}
	}
	for _, k := range []string{"last_message_time", "created_at"} {
		if at, ok := list[0][k].(string); !ok || len(at) != 24 {
			t.Errorf("%s is %v", k, list[0][k])
		}
	}
	unread := func(u id.User, want float64) {
		t.Helper()
		if got := rows(t, f.As(u).Want(200, "GET", "/threads", nil), "threads")[0]["unread_count"]; got != want {
			t.Errorf("unread %v, want %v", got, want)
		}
	}
	unread(f.alice, 0) // one's own are not unread
	if err := f.Chat.MarkRead(t.Context(), f.bob, f.direct(), 7, id.Message{}); err != nil {
		t.Fatal(err)
	}
	unread(f.bob, 3)
	f.Say(f.bob, f.alice, "answer") // from a device that did not report what it read
	unread(f.bob, 0)
	unread(f.alice, 1)
	f.Say(f.alice, f.bob, "once more")
	f.Say(f.alice, f.bob, "and again")
	unread(f.bob, 2)
	unread(f.alice, 0)
	for range 95 {
		f.Say(f.alice, f.bob, "on and on")
	}
	unread(f.bob, 97)
	unread(f.alice, 0)
	f.Say(f.bob, f.alice, "stop")
	unread(f.bob, 0)
	unread(f.alice, 1)
	f.Say(f.bob, f.alice, "please")
	unread(f.alice, 2)
	if list := rows(t, f.As(f.eve).Want(200, "GET", "/threads", nil), "threads"); len(list) != 0 {
		t.Errorf("a stranger has %v", list)
	}
}

func TestThreadPages(t *testing.T) {
	t.Parallel()
	f := start(t)
	want := map[string]bool{f.Group("team", f.alice, f.bob).String(): true}
	for i := range 6 {
		f.Say(f.alice, f.User(fmt.Sprint("friend", i)), "hi")
	}
	for _, tt := range []string{"/threads", "/api/v1/threads/" + f.alice.String()} {
		seen, names, state := map[string]bool{}, map[string]bool{}, ""
		for page := 0; page < 10; page++ {
			r := f.As(f.alice).Want(200, "GET", tt+"?limit=3"+state, nil)
			for _, row := range rows(t, r, "threads") {
				if seen[row["thread_id"].(string)] {
					t.Errorf("%s: %v came twice", tt, row["thread_id"])
				}
				seen[row["thread_id"].(string)] = true
				names[row["name"].(string)] = true
			}
			next, more := r.Body["pageState"].(string)
			if !more {
				break
			}
			state = "&pageState=" + next
		}
		if len(seen) != 7 || !names["team"] || !names["friend5"] {
			t.Errorf("%s: saw %v %v", tt, seen, names)
		}
		for g := range want {
			if !seen[g] {
				t.Errorf("%s: the group is missing", tt)
			}
		}
	}
	f.As(f.alice).Refused(400, "limit must not be negative", "limit", "GET", "/threads?limit=-1", nil)
	f.As(f.alice).Refused(400, "limit is invalid", "limit", "GET", "/threads?limit=all", nil)
	for _, bad := range []string{"zz", "0", "00ff", strings.Repeat("00", 300)} {
		f.As(f.alice).Refused(400, "pageState is not one that this server gave", "pageState", "GET", "/threads?pageState="+bad, nil)
	}
	f.ViaGateway(f.alice).Refused(403, "Unauthorized", "", "GET", "/api/v1/threads/"+f.bob.String(), nil)
}

// Seed 6: 120 messages are pages of 50, 50 and 20 without a repetition, and then no more.
func TestMessagePages(t *testing.T) {
	t.Parallel()
	f := start(t)
	for i := range 120 {
		f.Say(f.alice, f.bob, fmt.Sprint(i+1))
	}
	path := "/api/chat/threads/" + f.direct().String() + "/messages"
	for _, c := range []struct {
		query string
		sizes []int
	}{
		{"?limit=50", []int{50, 50, 20}},
		{"?", []int{50, 50, 20}},
		{"?limit=0", []int{50, 50, 20}},
		{"?limit=60", []int{60, 60}},
		{"?limit=120", []int{120}},
		{"?limit=100000", []int{120}},
		{"?limit=119", []int{119, 1}},
		{"?limit=1&since=1", []int{1, 1, 1}},
	} {
		next, state := 120, ""
		for n, want := range c.sizes {
			r := f.ViaGateway(f.bob).Want(200, "GET", path+c.query+state, nil)
			list := rows(t, r, "messages")
			if len(list) != want {
				t.Errorf("%s: page %d has %d", c.query, n, len(list))
			}
			for _, m := range list {
				if m["content"] != fmt.Sprint(next) || m["seq"] != float64(next) {
					t.Fatalf("%s: got %v, want message %d", c.query, m["content"], next)
				}
				next--
			}
			s, more := r.Body["pageState"].(string)
			if last := next == 0; more == last {
				t.Errorf("%s: page %d ends at %d with pageState %v", c.query, n, next, r.Body["pageState"])
			}
			state = "&pageState=" + s
		}
	}
}

func TestMessagesCutOff(t *testing.T) {
	t.Parallel()
	f := start(t)
	for range 200 {
		f.Say(f.alice, f.bob, "m")
	}
	// More than 200 are never in one answer.
	f.Say(f.alice, f.bob, "m")
	path := "/threads/" + f.direct().String() + "/messages"
	r := f.As(f.bob).Want(200, "GET", path+"?limit=100000", nil)
	if n := len(rows(t, r, "messages")); n != 200 || r.Body["pageState"] == nil {
		t.Errorf("%d messages, pageState %v", n, r.Body["pageState"])
	}
	// Nor more than about a mebibyte; what is left out comes with the next page.
	big := strings.Repeat("x", proto.MaxContent)
	for range 40 {
		f.Say(f.alice, f.bob, big)
	}
	total, state := 0, ""
	for pages := 0; total < 241 && pages < 20; pages++ {
		r := f.As(f.bob).Want(200, "GET", path+"?limit=100"+state, nil)
		if len(r.Text) > 3<<19 {
			t.Errorf("a page of %d bytes", len(r.Text))
		}
		total += len(rows(t, r, "messages"))
		s, _ := r.Body["pageState"].(string)
		state = "&pageState=" + s
	}
	if total != 241 {
		t.Errorf("saw %d messages", total)
	}
}

func TestMessageRefusals(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.Say(f.alice, f.bob, "secret")
	group := f.Group("team", f.alice, f.bob)
	direct := "/threads/" + f.direct().String() + "/messages"
	for _, v1 := range []bool{false, true} {
		at := func(t string) string {
			if v1 {
				return "/api/v1/messages/" + t
			}
			return "/threads/" + t + "/messages"
		}
		// A stranger cannot tell a direct thread of others from none.
		f.As(f.eve).Refused(404, "no such thread", "", "GET", at(f.direct().String()), nil)
		f.As(f.eve).Refused(404, "no such thread", "", "GET", at(id.NewGroup().String()), nil)
		f.As(f.eve).Refused(403, "not a member of this group", "", "GET", at(group.String()), nil)
		f.As(f.alice).Refused(404, "Thread not found", "", "GET", at("x"), nil)
	}
	f.As(f.alice).Refused(400, "limit must not be negative", "limit", "GET", direct+"?limit=-1", nil)
	f.As(f.alice).Refused(400, "limit is invalid", "limit", "GET", direct+"?limit=99999999999999999999", nil)
	f.As(f.alice).Refused(400, "since must be Unix milliseconds", "since", "GET", direct+"?since=-1", nil)
	f.As(f.alice).Refused(400, "since is invalid", "since", "GET", direct+"?since=yesterday", nil)
	f.As(f.alice).Refused(400, "pageState is not one that this server gave", "pageState", "GET", direct+"?pageState=0011", nil)
	r := f.As(f.bob).Want(200, "GET", "/threads/"+group.String()+"/messages", nil)
	if r.Text != `{"success":true,"messages":[],"pageState":null}` {
		t.Errorf("empty thread: %s", r.Text)
	}
}

// Status is what the other side's cursor says, for whoever looks.
func TestMessageStatus(t *testing.T) {
	t.Parallel()
	f := start(t)
	for range 3 {
		f.Say(f.alice, f.bob, "x")
	}
	f.Say(f.bob, f.alice, "y")
	if err := f.Chat.MarkRead(t.Context(), f.bob, f.direct(), 1, id.Message{}); err != nil {
		t.Fatal(err)
	}
	if err := f.Chat.MarkDelivered(t.Context(), f.bob, f.direct(), 2, id.Message{}); err != nil {
		t.Fatal(err)
	}
	for _, u := range []id.User{f.alice, f.bob} {
		r := f.As(u).Want(200, "GET", "/threads/"+f.direct().String()+"/messages", nil)
		if got := column(rows(t, r, "messages"), "status"); got != "sent sent delivered read" {
			t.Errorf("statuses %s", got)
		}
	}
}

// The web client draws from top to bottom.
func TestOldestFirst(t *testing.T) {
	t.Parallel()
	f := start(t)
	for i := range 4 {
		f.Say(f.alice, f.bob, fmt.Sprint(i))
	}
	path := "/api/v1/messages/" + f.direct().String()
	r := f.ViaGateway(f.alice).Want(200, "GET", path+"?limit=3", nil)
	list := rows(t, r, "messages")
	if got := column(list, "content"); got != "1 2 3" {
		t.Errorf("contents %s", got)
	}
	if _, ok := list[0]["translations"].(map[string]any); !ok {
		t.Errorf("no translations in %v", list[0])
	}
	r = f.ViaGateway(f.alice).Want(200, "GET", path+"?limit=3&pageState="+r.Body["pageState"].(string), nil)
	if got := column(rows(t, r, "messages"), "content"); got != "0" {
		t.Errorf("older contents %s", got)
	}
}

// log is a thread whose times are given, behind the rules' Page.
type log struct {
	Rules
	list  []store.Message // rising
	reads int
	err   error
}

func (l *log) Page(_ context.Context, _ id.User, _ id.Thread, before uint64, limit int) ([]store.Message, bool, error) {
	l.reads++
	if l.err != nil {
		return nil, false, l.err
	}
	end := len(l.list)
	if before != 0 {
		end = min(end, int(before-1))
	}
	from := max(0, end-limit)
	return l.list[from:end], from == 0, nil
}

func TestSince(t *testing.T) {
	t.Parallel()
	f := start(t)
	l := &log{Rules: f.Chat}
	for i := range 1000 {
		l.list = append(l.list, store.Message{Seq: uint64(i + 1), Sent: int64(1000 + i)})
	}
	l.list[890].Sent = 5000 // a clock that was set back behind it
	f.svc.rules = l
	path := "/threads/" + f.direct().String() + "/messages?"
	for _, c := range []struct {
		query       string
		first, last int // seq
		n           int
		more        bool
		reads       int
	}{
		{"since=1990", 1000, 891, 11, false, 3}, // 891 is in a page whose others are older,
		{"since=1990&limit=4", 1000, 997, 4, true, 1},
		{"since=1900&limit=200", 1000, 891, 101, false, 3},
		{"since=9000", 0, 0, 0, false, 1},
		{"since=1&limit=200", 1000, 801, 200, true, 2},
		{"limit=7", 1000, 994, 7, true, 1},
	} {
		l.reads = 0
		r := f.As(f.alice).Want(200, "GET", path+c.query, nil)
		list := rows(t, r, "messages")
		if len(list) != c.n || (r.Body["pageState"] != nil) != c.more || l.reads != c.reads {
			t.Errorf("%s: %d messages, pageState %v, %d reads", c.query, len(list), r.Body["pageState"], l.reads)
			continue
		}
		if c.n > 0 && (list[0]["seq"] != float64(c.first) || list[c.n-1]["seq"] != float64(c.last)) {
			t.Errorf("%s: %v to %v", c.query, list[0]["seq"], list[c.n-1]["seq"])
		}
	}
	l.list = l.list[:3] // what is left of a page that the log gave whole is not forgotten
	if r := f.As(f.alice).Want(200, "GET", path+"since=1&limit=2", nil); r.Body["pageState"] == nil {
		t.Errorf("no pageState: %s", r.Text)
	}
	l.err = errors.New("down: secret")
	f.As(f.alice).Refused(500, "Failed to fetch messages", "", "GET", path, nil)
	l.err = store.ErrBusy
	f.As(f.alice).Want(503, "GET", path, nil)
}

func TestSettings(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.Say(f.alice, f.bob, "hi")
	path := "/api/chat/threads/" + f.direct().String() + "/settings"
	alice := f.ViaGateway(f.alice)
	want := func(language string, original, emotion bool) {
		t.Helper()
		r := alice.Want(200, "GET", path, nil)
		text := fmt.Sprintf(`{"success":true,"settings":{"preferredLanguage":%q,"showOriginal":%t,"enableEmotionDetection":%t}}`, language, original, emotion)
		if r.Text != text {
			t.Errorf("settings %s, want %s", r.Text, text)
		}
	}
	want("", true, false)
	alice.Want(200, "POST", path, `{"preferredLanguage":"zh-tw"}`)
	want("zh-TW", true, false)
	alice.Want(200, "POST", path, `{"showOriginal":false,"preferredLanguage":null}`)
	want("zh-TW", false, false)
	if r := alice.Want(200, "POST", path, `{"enableEmotionDetection":true}`); r.Body["success"] != true {
		t.Errorf("reply %s", r.Text)
	}
	want("zh-TW", false, true)
	alice.Want(200, "POST", path, `{}`)
	alice.Refused(400, "Unsupported language", "preferredLanguage", "POST", path, `{"preferredLanguage":"klingon","showOriginal":true}`)
	alice.Refused(400, "showOriginal must be a boolean", "showOriginal", "POST", path, `{"showOriginal":"yes"}`)
	want("zh-TW", false, true)
	alice.Want(200, "POST", path, `{"preferredLanguage":""}`)
	want("", false, true)
	for _, method := range []string{"GET", "POST"} {
		f.ViaGateway(f.eve).Refused(404, "no such thread", "", method, path, nil)
		alice.Refused(404, "Thread not found", "", method, "/api/chat/threads/x/settings", nil)
	}
	// Each member has settings of his own.
	r := f.ViaGateway(f.bob).Want(200, "GET", path, nil)
	if s := r.Body["settings"].(map[string]any); s["showOriginal"] != true {
		t.Errorf("bob's settings %s", r.Text)
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	f := start(t)
	phone := f.Connect(f.alice)
	var sent []chat.Sent
	for range 5 {
		sent = append(sent, f.Say(f.alice, f.bob, "x"))
	}
	f.Told(phone)
	path := "/api/v1/threads/" + f.direct().String() + "/read"
	bob := f.ViaGateway(f.bob)
	read := func(body any, told ...string) {
		t.Helper()
		if r := bob.Want(200, "POST", path, body); r.Text != `{"success":true}` {
			t.Errorf("reply %s", r.Text)
		}
		if got := f.Told(phone); !slices.Equal(got, told) {
			t.Errorf("%v: the author was told %q, want %q", body, got, told)
		}
	}
	receipt := func(seq int) string {
		return fmt.Sprintf("read %d %s by %s", seq, sent[seq-1].Message, f.bob)
	}
	read(map[string]any{"seq": 2}, receipt(2))
	read(map[string]any{"seq": 1}) // never back
	read(map[string]any{"messageId": sent[2].Message}, receipt(3))
	read(map[string]any{"userId": f.bob}, receipt(5))
	read(nil)
	if row := rows(t, bob.Want(200, "GET", "/api/chat/threads", nil), "threads")[0]; row["unread_count"] != 0.0 {
		t.Errorf("unread %v", row["unread_count"])
	}
	bob.Refused(403, "Unauthorized", "userId", "POST", path, map[string]any{"userId": f.alice})
	bob.Refused(400, "seq must be a number in range", "seq", "POST", path, `{"seq":-1}`)
	bob.Refused(404, "no such message", "", "POST", path, map[string]any{"messageId": id.NewUser()})
	f.ViaGateway(f.eve).Refused(404, "no such thread", "", "POST", path, nil)
	empty := f.Group("team", f.alice, f.bob)
	bob.Want(200, "POST", "/api/v1/threads/"+empty.String()+"/read", nil)
}
