package messagestore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tolkflip/tolkflip/httpapi/apitest"
	"github.com/tolkflip/tolkflip/httpapi/row"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router/chat"
	"github.com/tolkflip/tolkflip/store"
)

func TestMain(m *testing.M) { apitest.Main(m) }

// lists are the chat service's pages by hand: the messages of a thread, newest first, all delivered.
type lists struct {
	w    *apitest.World
	asks []string
	err  error
}

func (l *lists) Threads(_ context.Context, u id.User, limit int, position string) (row.ThreadPage, error) {
	l.asks = append(l.asks, fmt.Sprint("threads ", u, limit, position))
	return row.ThreadPage{Success: true, Threads: []row.Thread{}}, l.err
}

func (l *lists) Messages(ctx context.Context, u id.User, q row.MessageQuery) (row.MessagePage, error) {
	l.asks = append(l.asks, fmt.Sprint("messages ", u, q))
	page := row.MessagePage{Success: true, Messages: []row.Message{}}
	before, err := row.ParseSeqPosition(q.PageState)
	if err := errors.Join(err, l.err); err != nil {
		return page, err
	}
	list, _, err := l.w.Chat.Page(ctx, u, q.Thread, before, q.Limit)
	for i := range slices.Backward(list) {
		page.Messages = append(page.Messages, row.Of(&list[i], row.Delivered))
	}
	return page, err
}

type fixture struct {
	*apitest.World
	*apitest.Server
	lists           *lists
	svc             *Service
	alice, bob, eve id.User
}

func start(t *testing.T) *fixture {
	t.Helper()
	w := apitest.NewWorld(t)
	l := &lists{w: w}
	svc := New(w.Chat, l)
	return &fixture{World: w, Server: apitest.Start(t, svc.API()), lists: l, svc: svc, alice: w.User("alice"), bob: w.User("bob"), eve: w.User("eve")}
}

func TestDoors(t *testing.T) {
	t.Parallel()
	f := start(t)
	apitest.Doors(t, f.svc.API(), f.alice,
		`{"receiver_id":"`+f.bob.String()+`","content":"x","media_urls":[null]}`,
		`{"receiver_id":"`+f.alice.String()+`","content":"x"}`,
		`{"thread_id":"`+id.NewGroup().String()+`","content":"x"}`)
}

// Seed 7: the id that the receiver's socket reads is the one that the post returned, and a receipt with
// it reaches the author once.
func TestPost(t *testing.T) {
	t.Parallel()
	f := start(t)
	phone, desk, other := f.Connect(f.bob), f.Connect(f.alice), f.Connect(f.eve)
	for i, c := range []struct {
		gateway bool
		path    string
		body    map[string]any
	}{
		{false, "/messages", map[string]any{"receiver_id": f.bob, "content": "hello", "message_type": "voiceNote", "original_language": "de", "media_urls": []string{"https://m/1"}, "encrypted_content": "AAAA\n", "sender_id": f.alice, "status": "read", "is_group": true, "metadata": map[string]any{"a": 1}, "reply_to": id.NewUser()}},
		{false, "/api/messages", map[string]any{"receiverId": f.bob, "content": "hello", "messageType": "voice_note", "originalLanguage": "de", "mediaUrls": []string{"https://m/1"}, "encryptedContent": "AAAA\n", "senderId": f.alice, "isGroup": false, "replyTo": id.NewUser()}},
		{true, "/api/messages", map[string]any{"receiverId": f.bob, "threadId": id.Direct(f.alice, f.bob), "content": "hello", "messageType": "voice_note", "originalLanguage": "de", "mediaUrls": []string{"https://m/1"}, "encryptedContent": "AAAA\n", "replyTo": id.NewUser()}},
		{true, "/api/v1/messages", map[string]any{"thread_id": id.Direct(f.alice, f.bob), "content": "hello", "message_type": "voice_note", "original_language": "de", "media_urls": []string{"https://m/1"}, "encrypted_content": "AAAA\n", "reply_to": id.NewUser()}},
	} {
		client := f.As(f.alice)
		if c.gateway {
			client = f.ViaGateway(f.alice)
		}
		r := client.Want(200, "POST", c.path, c.body)
		seq := float64(i + 1)
		m := r.Body["message"].(map[string]any)
		if r.Body["success"] != true || r.Body["seq"] != seq || r.Body["duplicate"] != false ||
			r.Body["threadId"] != id.Direct(f.alice, f.bob).String() || r.Body["message_id"] != r.Body["messageId"] ||
			r.Body["message_id"] != m["message_id"] {
			t.Errorf("%s: %s", c.path, r.Text)
		}
		stored, err := f.Store.Log().After(t.Context(), id.Direct(f.alice, f.bob), uint64(i), 1)
		if err != nil || len(stored) != 1 {
			t.Fatalf("stored %v %v", stored, err)
		}
		want := row.Of(&stored[0], row.Sent)
		for k, v := range map[string]any{
			"thread_id": want.ThreadID.String(), "message_id": want.MessageID.String(), "sender_id": f.alice.String(), "receiver_id": f.bob.String(),
			"content": "hello", "message_type": "voice_note", "original_language": "de", "encrypted_content": "AAAA\n", "status": "sent",
			"seq": seq, "is_group": false, "reply_to": want.ReplyTo.String(), "client_message_id": nil,
			"timestamp": strings.Trim(string(must(want.Timestamp.MarshalJSON())), `"`),
		} {
			if m[k] != v {
				t.Errorf("%s: %s is %v, want %v", c.path, k, m[k], v)
			}
		}
		if len(m) != 17 {
			t.Errorf("%s: %d keys in %v", c.path, len(m), slices.Sorted(maps.Keys(m)))
		}
		told := fmt.Sprintf("new_message %s %d hello", want.MessageID, i+1)
		if got := f.Told(phone); !slices.Equal(got, []string{told}) {
			t.Errorf("%s: the receiver was told %q", c.path, got)
		}
		if got := f.Told(desk); !slices.Equal(got, []string{told}) {
			t.Errorf("%s: the sender's socket was told %q", c.path, got)
		}
		status := "/api/messages/" + m["thread_id"].(string) + "/" + m["message_id"].(string) + "/status"
		for range 2 {
			f.ViaGateway(f.bob).Want(200, "PUT", status, map[string]any{"status": "read"})
		}
		if got := f.Told(desk); !slices.Equal(got, []string{fmt.Sprintf("read %d %s by %s", i+1, want.MessageID, f.bob)}) {
			t.Errorf("%s: the author was told %q", c.path, got)
		}
		f.Told(phone)
	}
	if got := f.Told(other); got != nil {
		t.Errorf("a stranger was told %q", got)
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// Seed 8: a retry with the same client id is the same message, however the id is spelled, and is
// delivered once.
func TestRetry(t *testing.T) {
	t.Parallel()
	f := start(t)
	phone := f.Connect(f.bob)
	for i, key := range []string{"clientMessageId", "client_message_id", "tempMessageId", "messageId", "message_id"} {
		body := map[string]any{"receiverId": f.bob, "content": "once", key: fmt.Sprint("c-", i)}
		first := f.As(f.alice).Want(200, "POST", "/messages", body)
		again := f.ViaGateway(f.alice).Want(200, "POST", "/api/messages", body)
		for _, k := range []string{"message_id", "messageId", "threadId", "seq", "timestamp", "clientMessageId"} {
			if first.Body[k] == nil || first.Body[k] != again.Body[k] {
				t.Errorf("%s: %s is %v, then %v", key, k, first.Body[k], again.Body[k])
			}
		}
		if first.Body["duplicate"] != false || again.Body["duplicate"] != true || again.Body["clientMessageId"] != fmt.Sprint("c-", i) {
			t.Errorf("%s: %s, then %s", key, first.Text, again.Text)
		}
		// The row of a retry shows how far the first got.
		if m := again.Body["message"].(map[string]any); m["status"] != "delivered" || m["content"] != "once" || m["message_id"] != first.Body["message_id"] {
			t.Errorf("%s: row of the retry %v", key, m)
		}
		if got := f.Told(phone); len(got) != 1 {
			t.Errorf("%s: the receiver was told %q", key, got)
		}
		body["content"] = "twice"
		f.As(f.alice).Refused(409, "this id was used for another message", "", "POST", "/messages", body)
	}
	if head, err := f.Store.Log().Head(t.Context(), id.Direct(f.alice, f.bob)); err != nil || head != 5 {
		t.Errorf("%d messages are stored, %v", head, err)
	}
	// The message is durable: a list that cannot be read does not fail the retry.
	f.lists.err = errors.New("down")
	r := f.As(f.alice).Want(200, "POST", "/messages", map[string]any{"receiverId": f.bob, "content": "once", "clientMessageId": "c-0"})
	if m := r.Body["message"].(map[string]any); m["content"] != "once" || m["seq"] != 1.0 || m["status"] != "sent" {
		t.Errorf("row %v", m)
	}
}

func TestPostRefused(t *testing.T) {
	t.Parallel()
	f := start(t)
	phone := f.Connect(f.bob)
	f.Say(f.bob, f.eve, "for eve")
	group := f.Group("team", f.bob, f.eve)
	f.Told(phone)
	long := strings.Repeat("x", proto.MaxContent+1)
	urls := func(n int, url string) []string { return slices.Repeat([]string{url}, n) }
	for _, c := range []struct {
		status      int
		text, field string
		body        any
	}{
		{403, "Unauthorized", "sender_id", map[string]any{"receiver_id": f.bob, "content": "x", "sender_id": f.eve}},
		{403, "Unauthorized", "senderId", map[string]any{"receiverId": f.bob, "content": "x", "senderId": f.eve}},
		{403, "Unauthorized", "senderId", map[string]any{"receiverId": f.bob, "content": "x", "senderId": f.eve, "sender_id": f.alice}},
		{404, "no such thread", "", map[string]any{"thread_id": id.Direct(f.bob, f.eve), "content": "x"}},
		{404, "no such thread", "", map[string]any{"thread_id": id.NewGroup(), "content": "x"}},
		{403, "not a member of this group", "", map[string]any{"thread_id": group, "content": "x"}},
		{404, "no such user", "", map[string]any{"receiver_id": id.NewUser(), "content": "x"}},
		{400, "receiverId is the sender", "receiverId", map[string]any{"receiver_id": f.alice, "content": "x"}},
		{400, "threadId is not the thread with receiverId", "threadId", map[string]any{"thread_id": group, "receiver_id": f.bob, "content": "x"}},
		{400, "threadId or receiverId is required", "threadId", map[string]any{"content": "x"}},
		{400, "content is required without mediaUrls and encryptedContent", "content", map[string]any{"receiver_id": f.bob}},
		{400, "content is required without mediaUrls and encryptedContent", "content", map[string]any{"receiver_id": f.bob, "content": "", "media_urls": []string{}}},
		{400, "content is too long", "content", map[string]any{"receiver_id": f.bob, "content": long}},
		{400, "encryptedContent is too long", "encryptedContent", map[string]any{"receiver_id": f.bob, "encrypted_content": long}},
		{400, "clientMessageId is too long", "clientMessageId", map[string]any{"receiver_id": f.bob, "content": "x", "tempMessageId": long[:65]}},
		{400, "mediaUrls has too many entries", "mediaUrls", map[string]any{"receiver_id": f.bob, "media_urls": urls(17, "u")}},
		{400, "mediaUrls has an entry that is too long", "mediaUrls", map[string]any{"receiver_id": f.bob, "mediaUrls": urls(1, long[:2049])}},
		{400, "media_urls must not hold empty texts", "media_urls", `{"receiver_id":"` + f.bob.String() + `","media_urls":[null]}`},
		{400, "mediaUrls must not hold empty texts", "mediaUrls", `{"receiver_id":"` + f.bob.String() + `","mediaUrls":[""]}`},
		{400, "content must be a string", "content", `{"receiver_id":"` + f.bob.String() + `","content":{"a":1}}`},
		{400, "receiver_id must be a UUID", "receiver_id", `{"receiver_id":"bob","content":"x"}`},
		{400, "threadId must be a UUID", "threadId", `{"threadId":"t","content":"x"}`},
		{400, "media_urls must be an array", "media_urls", `{"receiver_id":"` + f.bob.String() + `","media_urls":"u"}`},
		{400, "Invalid JSON", "", `{"receiver_id":`},
		{400, "Invalid JSON: the body must be an object", "", `[]`},
	} {
		f.ViaGateway(f.alice).Refused(c.status, c.text, c.field, "POST", "/api/messages", c.body)
	}
	if got := f.Told(phone); got != nil {
		t.Errorf("somebody was told %q", got)
	}
	big := `{"content":"` + strings.Repeat("x", 1<<20) + `"}`
	f.As(f.alice).Refused(413, "Payload too large", "", "POST", "/messages", big)
}

// Status moves cursors, forward only, of members only.
func TestStatus(t *testing.T) {
	t.Parallel()
	f := start(t)
	desk := f.Connect(f.alice)
	direct := id.Direct(f.alice, f.bob)
	var sent []chat.Sent
	for range 3 {
		sent = append(sent, f.Say(f.alice, f.bob, "x"))
	}
	elsewhere := f.Say(f.eve, f.bob, "y")
	f.Told(desk)
	put := func(n int, status, told string) {
		t.Helper()
		r := f.As(f.bob).Want(200, "PUT", fmt.Sprintf("/messages/%s/%s/status", direct, sent[n-1].Message), map[string]any{"status": status})
		if r.Text != `{"success":true}` {
			t.Errorf("reply %s", r.Text)
		}
		if got := strings.Join(f.Told(desk), "|"); got != told {
			t.Errorf("%s %d: the author was told %q, want %q", status, n, got, told)
		}
	}
	put(2, "delivered", "delivered 2 by "+f.bob.String())
	put(1, "delivered", "")
	put(3, "sent", "")
	put(2, "read", fmt.Sprintf("read 2 %s by %s", sent[1].Message, f.bob))
	put(1, "read", "")
	put(2, "sent", "")
	put(3, "delivered", "delivered 3 by "+f.bob.String())
	cursors, err := f.Store.Cursors().Of(t.Context(), f.bob, []id.Thread{direct})
	if err != nil || cursors[0] != (store.Cursor{Delivered: 3, Read: 2}) {
		t.Errorf("cursor %+v %v", cursors, err)
	}
	path := func(t id.Thread, m id.Message) string { return fmt.Sprintf("/api/messages/%s/%s/status", t, m) }
	bob, body := f.ViaGateway(f.bob), map[string]any{"status": "read"}
	for _, bad := range []any{"", "seen", "READ", nil} {
		bob.Refused(400, "status must be sent, delivered or read", "status", "PUT", path(direct, sent[0].Message), map[string]any{"status": bad})
	}
	bob.Refused(400, "status must be a string", "status", "PUT", path(direct, sent[0].Message), `{"status":2}`)
	bob.Refused(404, "no such message", "", "PUT", path(direct, elsewhere.Message), body)
	bob.Refused(404, "no such message", "", "PUT", path(direct, id.ClientMessage(f.bob, []byte("x"))), body)
	bob.Refused(404, "Message not found", "", "PUT", "/api/messages/"+direct.String()+"/x/status", body)
	bob.Refused(404, "Thread not found", "", "PUT", "/api/messages/x/x/status", body)
	f.ViaGateway(f.eve).Refused(404, "no such thread", "", "PUT", path(direct, sent[0].Message), body)
	f.ViaGateway(f.eve).Refused(404, "no such thread", "", "PUT", path(direct, sent[0].Message), map[string]any{"status": "sent"})
	group := f.Group("team", f.bob)
	m := f.SayIn(group, f.bob, "z")
	f.ViaGateway(f.eve).Refused(403, "not a member of this group", "", "PUT", path(group, m.Message), body)
}

func TestLists(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.Say(f.alice, f.bob, "hello")
	direct := id.Direct(f.alice, f.bob)
	for _, r := range []apitest.Reply{
		f.As(f.bob).Want(200, "GET", "/messages/"+direct.String()+"?limit=7&pageState=0000000000000009&since=5", nil),
		f.As(f.bob).Want(200, "GET", "/api/messages/"+direct.String()+"?limit=7&pageState=0000000000000009&since=5", nil),
		f.ViaGateway(f.bob).Want(200, "GET", "/api/messages/"+direct.String()+"?limit=7&pageState=0000000000000009&since=5", nil),
	} {
		if list := r.Body["messages"].([]any); len(list) != 1 || r.Body["success"] != true {
			t.Errorf("messages %s", r.Text)
		}
	}
	f.As(f.bob).Want(200, "GET", "/threads/"+f.bob.String()+"?limit=3&pageState=ab", nil)
	want := fmt.Sprint("messages ", f.bob, row.MessageQuery{Thread: direct, Limit: 7, PageState: "0000000000000009", Since: 5})
	if !slices.Equal(f.lists.asks, []string{want, want, want, fmt.Sprint("threads ", f.bob, 3, "ab")}) {
		t.Errorf("asked %q", f.lists.asks)
	}
	f.As(f.bob).Refused(403, "Unauthorized", "", "GET", "/threads/"+f.alice.String(), nil)
	f.As(f.bob).Refused(400, "limit must not be negative", "limit", "GET", "/threads/"+f.bob.String()+"?limit=-1", nil)
	f.As(f.bob).Refused(400, "limit must not be negative", "limit", "GET", "/messages/"+direct.String()+"?limit=-1", nil)
	f.As(f.bob).Refused(400, "since must be Unix milliseconds", "since", "GET", "/messages/"+direct.String()+"?since=-1", nil)
	f.As(f.eve).Refused(404, "no such thread", "", "GET", "/messages/"+direct.String(), nil)
}
