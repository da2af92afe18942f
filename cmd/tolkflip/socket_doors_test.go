package main

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/tolkflip/tolkflip/proto/action"
)

// socketDoor is what a stranger meets at an action that names other people's things.
type socketDoor struct {
	body  string // as in doors
	reply string // empty: none
	code  string
}

// socketDoors has rows for every action that Decode knows: one without fails TestSocketDoors.
func socketDoors() map[string][]socketDoor {
	return map[string][]socketDoor{
		"authenticate": {
			{`{"action":"authenticate","token":"{ownerToken}"}`, "auth_error", ""},
		},
		"send_message": {
			{`{"action":"send_message","threadId":"{thread}","content":"x"}`, "message_error", "not_found"},
			{`{"action":"send_message","threadId":"{group}","content":"x"}`, "message_error", "forbidden"},
			{`{"action":"send_message","threadId":"{thread}","receiverId":"{owner}","content":"x"}`, "message_error", "invalid"},
			{`{"action":"send_message","receiverId":"{stranger}","content":"x"}`, "message_error", "invalid"},
		},
		"history": {
			{`{"action":"history","threadId":"{thread}"}`, "error", "not_found"},
			{`{"action":"history","threadId":"{group}"}`, "error", "forbidden"},
		},
		"delivered": {
			{`{"action":"delivered","threadId":"{thread}","seq":1}`, "error", "not_found"},
			{`{"action":"delivered","threadId":"{group}","seq":1}`, "error", "forbidden"},
			{`{"action":"delivered","threadId":"{thread}","seq":0}`, "error", "invalid"},
		},
		"read_receipt": {
			{`{"action":"read_receipt","threadId":"{thread}","seq":1}`, "error", "not_found"},
			{`{"action":"read_receipt","threadId":"{group}","seq":1}`, "error", "forbidden"},
			{`{"action":"read_receipt","messageId":"{message}"}`, "error", "not_found"},
			{`{"action":"read_receipt","threadId":"{thread}","messageId":"{message}"}`, "error", "not_found"},
		},
		"typing": {
			{`{"action":"typing","threadId":"{thread}"}`, "error", "not_found"},
			{`{"action":"typing","threadId":"{group}"}`, "error", "forbidden"},
			{`{"action":"typing","receiverId":"{stranger}"}`, "error", "invalid"},
			{`{"action":"typing","receiverId":"{owner}","threadId":"{group}"}`, "error", "invalid"},
		},
		"resume":           {{`{"action":"resume","threads":{"{thread}":0,"{group}":0},"all":true}`, "resumed", ""}},
		"presence_watch":   {{`{"action":"presence_watch","userIds":["{owner}"]}`, "presence", ""}},
		"presence_unwatch": {{`{"action":"presence_unwatch","userIds":["{owner}"]}`, "", ""}},
		"ping":             {{`{"action":"ping"}`, "pong", ""}},
	}
}

// refusedToken checks that a socket is told that its token is not taken, and closed with 4401.
func refusedToken(t *testing.T, what string, sock *socket, want string) {
	t.Helper()
	if f, err := sock.receive(); err != nil || f.Type != "auth_error" || f.Error != want {
		t.Errorf("%s: %+v %v", what, f, err)
	}
	var c closed
	if _, err := sock.receive(); !errors.As(err, &c) || c.code != 4401 {
		t.Errorf("%s: %v, want a close with 4401", what, err)
	}
}

// TestSocketTokens opens sockets with bad tokens.
func TestSocketTokens(t *testing.T) {
	t.Parallel()
	h := newHouse(t, embedded())
	for kind, bad := range h.badTokens {
		sock := must[*socket](t, "dial")(dial(t.Context(), h.URL))
		if err := sock.send(map[string]any{"action": "authenticate", "token": bad}); err != nil {
			t.Fatal(err)
		}
		want := "invalid_token"
		if kind == "expired" {
			want = "token_expired"
		}
		refusedToken(t, kind, sock, want)
		sock.close()
	}
}

// TestSocketDoors tries every action without a token, and as a stranger on other people's threads.
func TestSocketDoors(t *testing.T) { onStacks(t, testSocketDoors) }

func testSocketDoors(t *testing.T, on stack) {
	h := newHouse(t, on)
	rows := socketDoors()
	early := must[*socket](t, "dial")(dial(t.Context(), h.URL))
	defer early.close()
	for _, name := range action.Names() {
		if len(rows[name]) == 0 {
			t.Errorf("the action %s has no row in socketDoors", name)
		}
		for _, row := range rows[name] {
			ask := json.RawMessage(strings.ReplaceAll(h.fill.Replace(row.body), "{ownerToken}", h.owner.Token))
			if name != "authenticate" {
				if err := early.send(ask); err != nil {
					t.Fatal(err)
				}
				if f, err := early.receive(); err != nil || f.Type != "error" || f.Code != "unauthenticated" {
					t.Errorf("%s before authenticate: %+v %v", row.body, f, err)
				}
			}
			h.trySocket(t, row, ask)
		}
	}
}

// trySocket asks as the stranger, and after the row's reply pings: nothing else may come before the pong.
func (h *house) trySocket(t *testing.T, row socketDoor, ask json.RawMessage) {
	t.Helper()
	in := must[*socket](t, "connect")(connect(t.Context(), h.URL, h.stranger.Token, nil))
	defer in.close()
	if err := in.send(ask); err != nil {
		t.Fatal(err)
	}
	if row.reply == "auth_error" {
		refusedToken(t, row.body, in, "invalid_token")
		return
	}
	if row.reply != "" {
		f, err := in.receive()
		if err != nil || f.Type != row.reply || f.Code != row.code {
			t.Errorf("%s as a stranger: %+v %v, want %s %s", row.body, f, err, row.reply, row.code)
		}
		if row.reply == "presence" && f.Status != "offline" || len(f.Threads) > 0 || row.code == "" && f.Message != "" {
			t.Errorf("%s tells a stranger %+v", row.body, f)
		}
	}
	if err := in.send(json.RawMessage(`{"action":"ping","ref":"last"}`)); err != nil {
		t.Fatal(err)
	}
	if f, err := in.receive(); err != nil || f.Type != "pong" || string(f.Ref) != `"last"` {
		t.Errorf("%s: then %+v %v, want the pong", row.body, f, err)
	}
}

// TestSocketRefusalsNameTheField sends every action bare, and with each of its keys of a wrong type: the
// refusal must say which key is wrong and how.
func TestSocketRefusalsNameTheField(t *testing.T) {
	t.Parallel()
	h := newHouse(t, embedded())
	keys := []string{
		"resume", "threads", "all", "threadId", "receiverId", "messageId", "seq", "before", "limit", "isTyping", "userIds", "content",
		"messageType", "originalLanguage", "mediaUrls", "encryptedContent", "replyTo", "clientMessageId", "token", "ref",
	}
	in := must[*socket](t, "connect")(connect(t.Context(), h.URL, h.stranger.Token, nil))
	defer in.close()
	check := func(ask string, mentions func(message string) bool) {
		t.Helper()
		if err := in.send(json.RawMessage(h.fill.Replace(ask))); err != nil {
			t.Fatal(err)
		}
		f, err := in.receive()
		if err != nil {
			t.Fatalf("%s: %v", ask, err)
		}
		kind := "error"
		if strings.Contains(ask, `"send_message"`) {
			kind = "message_error"
		}
		if f.Type != kind || f.Code != "invalid" || f.Retryable || !mentions(f.Message) {
			t.Errorf("%s is answered with %+v", ask, f)
		}
	}
	some := func(message string) bool {
		for _, k := range append(keys, "action") {
			if strings.HasPrefix(message, k+" ") {
				return true
			}
		}
		return false
	}
	check(`{"action":"dance"}`, func(m string) bool { return m == "unknown action: dance" })
	check(`{}`, some)
	asked := 0
	for name, rows := range socketDoors() {
		if name != "ping" {
			check(`{"action":"`+name+`"}`, some)
		}
		for _, row := range rows {
			var given map[string]any
			if err := json.Unmarshal([]byte(row.body), &given); err != nil {
				t.Fatal(err)
			}
			for _, k := range keys {
				if _, has := given[k]; !has && k != "ref" && k != "clientMessageId" {
					continue
				}
				bad := maps.Clone(given)
				bad[k] = []map[string]int{{"x": 1}}
				b, err := json.Marshal(bad)
				if err != nil {
					t.Fatal(err)
				}
				asked++
				check(string(b), func(m string) bool { return strings.HasPrefix(m, k+" must ") })
			}
		}
	}
	if asked < 50 {
		t.Errorf("only %d wrong values were tried", asked)
	}
}
