package apitest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto/id"
)

// Doors knocks at every route of a service, on its port and on the gateway: nobody comes in without a
// token, and no path, query or body that a client can send makes a 5xx or an answer that is not a JSON
// object. Bodies are extra ones, beside those that every service is tried with.
func Doors(t *testing.T, svc httpapi.Service, user id.User, bodies ...string) {
	t.Helper()
	s := Start(t, svc)
	for _, r := range svc.Routes {
		knock(t, r, r.Path, s.As(id.User{}), s.As(user), append(append(bodies, junk()...), fields()...))
		for _, path := range r.Gateway {
			knock(t, r, path, s.ViaGateway(id.User{}), s.ViaGateway(user), append(bodies, junk()...))
		}
	}
}

// knock tries one path: every query and body with parameters that name the user, and a few with others.
func knock(t *testing.T, r httpapi.Route, path string, anonymous, known *Client, bodies []string) {
	t.Helper()
	for i, p := range paths(path, known.user) {
		if got := anonymous.Do(r.Method, p, nil); r.Auth == httpapi.Bearer && got.Status != http.StatusUnauthorized {
			t.Errorf("%s %s without a token: %d %s", r.Method, p, got.Status, got.Text)
		}
		tries := make([]string, 0, len(bodies))
		if r.Method == http.MethodGet {
			for _, q := range queries() {
				if got := known.Do(r.Method, p+q, nil); !fair(got) {
					t.Errorf("%s %s: %d %s", r.Method, p+q, got.Status, got.Text)
				}
			}
			tries = append(tries, bodies[:2]...)
		} else if tries = append(tries, bodies...); i > 0 {
			tries = tries[:min(8, len(tries))]
		}
		for _, b := range tries {
			if got := known.Do(r.Method, p, b); !fair(got) {
				t.Errorf("%s %s %.200s: %d %s", r.Method, p, b, got.Status, got.Text)
			}
		}
	}
}

// fair reports whether a reply is one that a client's own input may cause.
func fair(r Reply) bool {
	return r.Status < 500 && r.Body != nil && (r.Status < 400 || r.Body["error"] != nil)
}

// paths fills the parameters of a path with ids that exist, that do not, and with what is none.
func paths(pattern string, user id.User) []string {
	fills := []string{user.String(), id.NewUser().String(), "00000000-0000-0000-0000-000000000000", "x", "%00", "null", "-1", "%ff"}
	if !strings.Contains(pattern, "{") {
		return []string{pattern}
	}
	all := make([]string, 0, len(fills))
	for _, f := range fills {
		parts := strings.Split(pattern, "/")
		for i, p := range parts {
			if strings.HasPrefix(p, "{") {
				parts[i] = f
			}
		}
		all = append(all, strings.Join(parts, "/"))
	}
	return all
}

// queries are pages that cannot be.
func queries() []string {
	return []string{
		"?limit=-1", "?limit=x", "?limit=999999999999999999999", "?limit=1e3", "?limit=2147483647&offset=1", "?offset=-5", "?offset=x",
		"?offset=9223372036854775807", "?since=-1", "?since=x", "?pageState=zz", "?pageState=00",
		"?pageState=" + strings.Repeat("ab", 1000), "?pageState=" + strings.Repeat("00", 24) + "&limit=0",
	}
}

// junk are bodies of the wrong form.
func junk() []string {
	return []string{
		"", "{}", "[]", "null", "1", "{", "\x00", `{"a":` + strings.Repeat("[", 10_000) + "}", `"x"`,
		`{"userIds":[1]}`, `{"userIds":["x"]}`, `{"memberIds":["x"]}`, `{"settings":{"x":{}}}`,
	}
}

// fields are objects in which a key that some service knows has a value of any kind.
func fields() []string {
	var all []string
	for _, key := range []string{
		"name", "description", "groupIcon", "memberIds", "creatorId", "userId", "newMemberId", "role", "newRole", "settings",
		"status", "threadId", "thread_id", "receiverId", "receiver_id", "senderId", "sender_id", "content", "messageType",
		"message_type", "mediaUrls", "media_urls", "encryptedContent", "encrypted_content", "replyTo", "reply_to", "originalLanguage",
		"clientMessageId", "client_message_id", "tempMessageId", "messageId", "message_id", "isTyping", "preferredLanguage",
		"showOriginal", "enableEmotionDetection", "userIds", "device_id", "metadata", "seq",
		"data", "fileName", "contentType",
	} {
		for _, value := range []string{"null", "true", "-1", "1e400", `""`, `"x"`, "[null]", `{"a":null}`} {
			all = append(all, `{"`+key+`":`+value+`}`)
		}
	}
	return all
}
