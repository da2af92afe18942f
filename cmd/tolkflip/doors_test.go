package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/proto/token"
)

// door is what a stranger with a good token meets at a route whose parameters name other people's things.
type door struct {
	status int
	body   string // {thread}, {group}, {owner}, {member}, {message} are filled in
}

// doors has a row for every route that needs a token: a route without one fails TestDoors. The owner and
// the member share a thread and a group; the stranger shares nothing with them.
func doors() map[string]door {
	all := map[string]door{
		"GET /threads":                                {200, ""}, // the stranger's own: empty
		"GET /threads/{threadId}/messages":            {404, ""},
		"GET /threads/{threadId}/settings":            {404, ""},
		"POST /threads/{threadId}/settings":           {404, `{"showOriginal":true}`},
		"POST /threads/{threadId}/read":               {404, `{}`},
		"GET /api/v1/messages/{threadId}":             {404, ""},
		"GET /api/v1/threads/{userId}":                {403, ""},
		"POST /api/v1/threads/{threadId}/read":        {404, `{}`},
		"POST /api/v1/messages":                       {404, `{"thread_id":"{thread}","content":"x"}`},
		"GET /messages/{threadId}":                    {404, ""},
		"POST /messages":                              {404, `{"thread_id":"{thread}","content":"x"}`},
		"GET /threads/{userId}":                       {403, ""},
		"PUT /messages/{threadId}/{messageId}/status": {404, `{"status":"read"}`},

		"GET /contacts":                  {200, ""},
		"GET /profile/{id}":              {200, ""}, // without the phone: TestPhoneIsPrivate
		"PUT /profile":                   {400, `{}`},
		"GET /search":                    {400, ""},
		"POST /device-token":             {400, `{}`},
		"GET /api/users/{id}":            {200, ""},
		"GET /api/v1/user/{id}":          {200, ""},
		"PUT /api/users/{id}/profile":    {403, `{"display_name":"mine"}`},
		"PUT /api/users/{id}/languages":  {403, `{"native_language":"de"}`},
		"GET /api/users/{userId}/groups": {403, ""},

		"POST /online":                       {200, `{}`},
		"POST /offline":                      {200, `{}`},
		"GET /user/{userId}":                 {200, ""}, // offline, never seen: TestPresenceIsPrivate
		"GET /api/presence/{userId}":         {200, ""},
		"POST /users/batch":                  {200, `{"userIds":["{owner}"]}`},
		"POST /typing":                       {404, `{"threadId":"{thread}","isTyping":true}`},
		"GET /online/users":                  {403, ""},
		"POST /api/presence/{userId}/status": {403, `{"status":"online"}`},
		"POST /api/v1/presence/update":       {403, `{"userId":"{owner}","status":"online"}`},

		"POST /api/groups":                                  {400, `{}`},
		"GET /api/groups/{groupId}":                         {403, ""},
		"PUT /api/groups/{groupId}":                         {403, `{"name":"mine"}`},
		"DELETE /api/groups/{groupId}":                      {403, ""},
		"GET /api/groups/{groupId}/members":                 {403, ""},
		"POST /api/groups/{groupId}/members":                {403, `{"newMemberId":"{stranger}","userId":"{stranger}"}`},
		"DELETE /api/groups/{groupId}/members/{memberId}":   {403, ""},
		"PUT /api/groups/{groupId}/members/{memberId}/role": {403, `{"newRole":"admin"}`},
		"PUT /api/groups/{groupId}/settings":                {403, `{"settings":{"only_admins_can_send":true}}`},

		"POST /upload":            {404, `{"thread_id":"{thread}","data":"eA=="}`},
		"GET /media/{mediaId}":    {404, ""},
		"DELETE /media/{mediaId}": {403, ""},
	}
	for _, path := range []string{"/api/media/media/{mediaId}", "/api/media/{mediaId}"} {
		all["GET "+path], all["DELETE "+path] = all["GET /media/{mediaId}"], all["DELETE /media/{mediaId}"]
	}
	for _, same := range []struct{ prefix, service string }{
		{"/api/chat", "/threads"},
		{"/api/chat", "/threads/{threadId}/messages"},
		{"/api/chat", "/threads/{threadId}/settings"},
		{"/api/chat", "/threads/{threadId}/read"},
		{"/api", "/messages/{threadId}"},
		{"/api", "/messages"},
		{"/api", "/messages/{threadId}/{messageId}/status"},
		{"/api/users", "/contacts"},
		{"/api/users", "/profile/{id}"},
		{"/api/users", "/profile"},
		{"/api/users", "/search"},
		{"/api/users", "/device-token"},
		{"/api/presence", "/online"},
		{"/api/presence", "/offline"},
		{"/api/presence", "/user/{userId}"},
		{"/api/presence", "/users/batch"},
		{"/api/presence", "/typing"},
		{"/api/presence", "/online/users"},
		{"/api/media", "/upload"},
		{"/api/v1/media", "/upload"},
	} {
		for _, method := range []string{"GET", "POST", "PUT"} {
			if d, ok := all[method+" "+same.service]; ok {
				all[method+" "+same.prefix+same.service] = d
			}
		}
	}
	return all
}

// open are the routes that need no token, by path.
func openDoors() []string {
	return []string{
		"/health", "/ready", "/metrics", "/request-code", "/verify", "/verify-code", "/login", "/register", "/refresh", "/logout",
		"/", "/favicon.ico", "/openapi.json", "/{rest:*}",
	}
}

func isOpen(path string) bool {
	for _, prefix := range []string{"/api/v1/auth", "/api/auth"} {
		path = strings.TrimPrefix(path, prefix)
	}
	for _, o := range openDoors() {
		if path == o {
			return true
		}
	}
	for _, unbuilt := range []string{"/api/translate", "/api/transcribe", "/api/notifications", "/api/calls", "/api/webrtc"} {
		if path == unbuilt || path == unbuilt+"/{rest:*}" {
			return true
		}
	}
	if strings.HasSuffix(path, "/{mediaId}/content") {
		return true // a link's signature, or a token: TestMedia
	}
	return strings.HasSuffix(path, "/health") || strings.HasPrefix(path, "/app") || strings.HasPrefix(path, "/icon") || strings.HasPrefix(path, "/tolkflip.")
}

// house is two people with a thread and a group, and a stranger.
type house struct {
	*testServer
	owner, member, stranger person
	fill                    *strings.Replacer // of paths and bodies
	badTokens               map[string]string
}

func newHouse(t *testing.T, on stack) *house {
	t.Helper()
	h := &house{testServer: startOn(t, on, func(c *Config) { c.LimitUser = 1 << 20 })}
	var numbers phones
	for _, p := range []*person{&h.owner, &h.member, &h.stranger} {
		*p = must[person](t, "register")(register(t.Context(), h.URL, numbers.number(), "somebody"))
	}
	status, sent, err := call(t.Context(), "POST", h.URL+"/api/messages", h.owner.Token, map[string]any{"receiverId": h.member.ID, "content": "private"})
	if err != nil || status != 200 {
		t.Fatalf("write: %d %v %v", status, sent, err)
	}
	status, group, err := call(t.Context(), "POST", h.URL+"/api/groups", h.owner.Token, map[string]any{"name": "private", "memberIds": []string{h.member.ID}})
	if err != nil || status != 201 {
		t.Fatalf("make a group: %d %v %v", status, group, err)
	}
	thread, message := fmt.Sprint(sent["threadId"]), fmt.Sprint(sent["messageId"])
	status, file, err := call(t.Context(), "POST", h.URL+"/api/media/upload", h.owner.Token, map[string]any{"thread_id": thread, "data": "cHJpdmF0ZQ=="})
	if err != nil || status != 200 {
		t.Fatalf("upload: %d %v %v", status, file, err)
	}
	h.fill = strings.NewReplacer(
		"{threadId}", thread, "{thread}", thread, "{groupId}", fmt.Sprint(group["groupId"]), "{group}", fmt.Sprint(group["groupId"]),
		"{userId}", h.owner.ID, "{id}", h.owner.ID, "{owner}", h.owner.ID, "{memberId}", h.member.ID, "{member}", h.member.ID,
		"{mediaId}", fmt.Sprint(file["mediaId"]), "{messageId}", message, "{message}", message, "{stranger}", h.stranger.ID, "{rest:*}", "x",
	)
	h.badTokens = badTokens(t, h.testServer, h.owner)
	return h
}

// badTokens are tokens of the owner that no door may take.
func badTokens(t *testing.T, s *testServer, owner person) map[string]string {
	t.Helper()
	now := time.Now().Unix()
	other := must[*token.Signer](t, "signer")(token.NewSigner(bytes.Repeat([]byte("other"), 8)))
	raw := func(head string, key string) string {
		encode := base64.RawURLEncoding.EncodeToString
		body := encode([]byte(head)) + "." + encode(fmt.Appendf(nil, `{"userId":%q,"iat":%d,"exp":%d}`, owner.ID, now, now+3600))
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(body))
		if key == "" {
			return body + "."
		}
		return body + "." + encode(mac.Sum(nil))
	}
	return map[string]string{
		"expired":          signFor(t, s.signer.Signer, owner, func(c *token.Claims) { c.IssuedAt, c.Expires = now-7200, now-3600 }),
		"wrong signature":  signFor(t, other, owner, nil),
		"alg none":         raw(`{"alg":"none","typ":"JWT"}`, ""),
		"alg HS512":        raw(`{"alg":"HS512","typ":"JWT"}`, s.secret),
		"refresh":          signFor(t, s.signer.Signer, owner, func(c *token.Claims) { c.Type, c.ID = token.Refresh, [16]byte{1} }),
		"published secret": raw(`{"alg":"HS256","typ":"JWT"}`, "your-jwt-secret-change-in-production"),
		"not a token":      "x",
	}
}

// signFor makes an access token of a person, in a session that is not stored.
func signFor(t *testing.T, signer *token.Signer, p person, edit func(*token.Claims)) string {
	t.Helper()
	v := must[id.ID](t, "id")(id.Parse(p.ID))
	now := time.Now().Unix()
	c := token.Claims{User: id.User{ID: v}, Session: id.NewSession(), Type: token.Access, IssuedAt: now, Expires: now + 3600}
	if edit != nil {
		edit(&c)
	}
	return must[string](t, "sign")(signer.Sign(c))
}

// ask makes one request and gives the status and the JSON body.
func (h *house) ask(t *testing.T, ctx context.Context, url, method, token, contentType string, body io.Reader) (int, map[string]any) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Error(err)
		return 0, nil
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Errorf("%s %s: %v", method, url, err)
		return 0, nil
	}
	defer reply.Body.Close()
	out := map[string]any{}
	if b, err := io.ReadAll(reply.Body); err != nil || json.Unmarshal(b, &out) != nil {
		t.Errorf("%s %s answered %d with no JSON object: %.200q %v", method, url, reply.StatusCode, b, err)
	}
	return reply.StatusCode, out
}

func (h *house) eachRoute(each func(service string, r httpapi.Route, url string)) {
	for service, srv := range h.servers {
		for _, r := range srv.Routes() {
			each(service, r, h.URLs[service]+h.fill.Replace(r.Path))
		}
	}
}

// TestDoors tries every route of every port without a token, with bad ones, and as a stranger.
func TestDoors(t *testing.T) { onStacks(t, testDoors) }

func testDoors(t *testing.T, on stack) {
	h := newHouse(t, on)
	rows := doors()
	guarded := 0
	h.eachRoute(func(service string, r httpapi.Route, url string) {
		name := service + " " + r.Method + " " + r.Path
		if r.Auth != httpapi.Bearer {
			if !isOpen(r.Path) {
				t.Errorf("%s needs no token and is not listed as open", name)
			}
			return
		}
		guarded++
		row, ok := rows[r.Method+" "+r.Path]
		if !ok {
			t.Errorf("%s has no row in doors", name)
			return
		}
		contentType := ""
		if row.body != "" {
			contentType = "application/json"
		}
		body := func() io.Reader { return strings.NewReader(h.fill.Replace(row.body)) }
		if status, out := h.ask(t, t.Context(), url, r.Method, "", contentType, body()); status != 401 || out["error"] != "No token provided" {
			t.Errorf("%s without a token: %d %v", name, status, out)
		}
		for kind, bad := range h.badTokens {
			if status, out := h.ask(t, t.Context(), url, r.Method, bad, contentType, body()); status != 401 || out["error"] != "Invalid token" {
				t.Errorf("%s with a token that is %s: %d %v", name, kind, status, out)
			}
		}
		if status, out := h.ask(t, t.Context(), url, r.Method, h.stranger.Token, contentType, body()); status != row.status {
			t.Errorf("%s as a stranger: %d %v, want %d", name, status, out, row.status)
		}
	})
	if guarded < 60 {
		t.Errorf("only %d routes need a token", guarded)
	}
}

// TestBadBodies sends every route that takes a body what no route can want.
func TestBadBodies(t *testing.T) { onStacks(t, testBadBodies) }

func testBadBodies(t *testing.T, on stack) {
	h := newHouse(t, on)
	bad := map[string]string{
		"an array":      `[]`,
		"a number":      `7`,
		"broken":        `{"a":`,
		"nested":        strings.Repeat(`{"a":`, 10000) + `1` + strings.Repeat(`}`, 10000),
		"NUL":           "{\"content\":\"\x00\"}",
		"invalid UTF-8": "{\"content\":\"\xff\xfe\"}",
		"wrong types":   `{"content":{},"thread_id":[],"receiverId":7,"name":[],"memberIds":"x","userId":{},"phone_number":{},"code":[],"status":7,"settings":3,"userIds":{},"display_name":7,"isTyping":{},"newMemberId":[],"newRole":{},"refreshToken":7,"token":{},"showOriginal":"x","native_language":7}`,
		"oversize":      `{"content":"` + strings.Repeat("x", 1<<20) + `"}`,
	}
	var asking sync.WaitGroup // what is too large is read away for a while, so the routes are asked side by side
	h.eachRoute(func(service string, r httpapi.Route, url string) {
		if r.Method != "POST" && r.Method != "PUT" {
			return
		}
		token := signFor(t, h.signer.Signer, h.owner, nil) // of a session of its own, since /logout ends it
		bodyless := strings.HasSuffix(r.Path, "/offline")
		asking.Go(func() {
			for kind, body := range bad {
				status, out := h.ask(t, t.Context(), url, r.Method, token, "application/json", strings.NewReader(body))
				taken := status < 400 && (kind == "wrong types" || bodyless)
				refused := status >= 400 && status < 500 && status != 401 && (out["error"] != nil || out["errors"] != nil)
				if !taken && !refused && (r.Auth == httpapi.Bearer || status != 401) && status != 501 {
					t.Errorf("%s %s %s with a body that is %s: %d %v", service, r.Method, r.Path, kind, status, out)
				}
			}
		})
	})
	asking.Wait()
}
