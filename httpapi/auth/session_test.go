package auth

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/proto/token"
	"github.com/tolkflip/tolkflip/store"
)

const phone = "+12025550123"

func userOf(t *testing.T, out body) id.User {
	t.Helper()
	text, _ := out["userId"].(string)
	u, err := id.Parse(text)
	if err != nil {
		t.Fatalf("userId %q: %v", text, err)
	}
	return id.User{ID: u}
}

func TestVerifyCreatesThenLogsIn(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	out := f.enter(phone, "")
	user := out["user"].(body)
	want := fmt.Sprint(body{
		"userId": out["userId"], "phoneNumber": phone, "displayName": phone, "primaryLanguage": "en",
		"additionalLanguages": []any{}, "avatarUrl": "",
	})
	if fmt.Sprint(user) != want || out["success"] != true {
		t.Errorf("%v\nwant %s", user, want)
	}
	for _, same := range [][3]string{{"token", "accessToken", "access_token"}, {"refreshToken", "refresh_token", "refresh_token"}, {"userId", "user_id", "user_id"}} {
		if out[same[0]] == "" || out[same[0]] != out[same[1]] || out[same[1]] != out[same[2]] {
			t.Errorf("%v differ: %v", same, out)
		}
	}
	c, err := f.check(out["token"])
	if err != nil || c.User != userOf(t, out) || c.Phone != phone || c.Session.String() != out["sessionId"] || c.Type != token.Access {
		t.Errorf("%+v %v", c, err)
	}
	if life := c.Expires - c.IssuedAt; life != 30*24*3600 || out["expiresIn"] != float64(life) {
		t.Errorf("the app's token lives %d s", life)
	}
	if _, err := f.check(out["refreshToken"]); err == nil {
		t.Error("a refresh token was taken for an access token")
	}
	stored, err := f.users.ByPhone(context.Background(), phone)
	if err != nil || stored.Name != "" || stored.Created != f.clock.in(0) {
		t.Errorf("%+v %v", stored, err)
	}
	again := f.enter(phone, `,"display_name":"Ann","primary_language":"de"`)
	if again["userId"] != out["userId"] || again["user"].(body)["displayName"] != phone {
		t.Errorf("an existing user was changed: %v", again["user"])
	}
	named := f.enter("+12025550124", `,"display_name":" Bob ","primary_language":"de-AT"`)["user"].(body)
	if named["displayName"] != "Bob" || named["primaryLanguage"] != "de" {
		t.Errorf("%v", named)
	}
}

func TestSplitFlow(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	me := `{"phone_number":"` + phone + `"}`
	register := `{"phone_number":"` + phone + `","display_name":"Ann","primary_language":"fr","additional_languages":["de","es"]}`
	verify := func() {
		t.Helper()
		f.want(200, "", "/verify-code", `{"phone_number":"`+phone+`","code":"`+f.code(phone)+`"}`)
	}
	f.want(403, "Phone number not verified", "/login", me)
	f.want(403, "Phone number not verified", "/register", register)
	verify()
	f.at("198.51.100.99")
	f.want(403, "Phone number not verified", "/login", me) // another address
	f.at("198.51.100.1")
	for range 2 {
		out := f.want(404, "User not found", "/login", me) // leaves the grant
		if out["success"] != false {
			t.Errorf("%v", out)
		}
	}
	for in, text := range map[string]string{
		`{"phone_number":"` + phone + `"}`:                                                              "Phone number and display name are required",
		`{"display_name":"Ann"}`:                                                                        "Phone number and display name are required",
		`{"phone_number":"` + phone + `","display_name":""}`:                                            "Phone number and display name are required",
		`{"phone_number":"x","display_name":"Ann"}`:                                                     "Invalid phone number format",
		`{"phone_number":"` + phone + `","display_name":"Ann","primary_language":"xx"}`:                 "Unsupported language",
		`{"phone_number":"` + phone + `","display_name":"Ann","additional_languages":"de"}`:             "Invalid value",
		`{"phone_number":"` + phone + `","display_name":"Ann","additional_languages":["xx"]}`:           "Unsupported language",
		`{"phone_number":"` + phone + `","display_name":"Ann","additional_languages":["de","fr","es"]}`: "Maximum 2 additional languages allowed",
	} {
		f.want(400, text, "/register", in)
	}
	out := f.want(201, "", "/register", register)
	user := out["user"].(body)
	if user["displayName"] != "Ann" || user["primaryLanguage"] != "fr" || fmt.Sprint(user["additionalLanguages"]) != "[de es]" {
		t.Errorf("%v", user)
	}
	if c, err := f.check(out["access_token"]); err != nil || c.Expires-c.IssuedAt != 3600 {
		t.Errorf("%+v %v", c, err)
	}
	f.want(403, "Phone number not verified", "/login", me) // the grant was used up
	verify()
	f.want(409, "User already exists", "/register", register)
	again := f.want(200, "", "/login", me)
	if again["user_id"] != out["user_id"] || again["sessionId"] == out["sessionId"] {
		t.Errorf("%v", again)
	}
	f.want(403, "Phone number not verified", "/login", me)
	verify()
	f.clock.pass(5*time.Minute + time.Second)
	f.want(403, "Phone number not verified", "/login", me)
	f.want(400, "Phone number is required", "/login", `{}`)
	f.want(400, "Phone number and code are required", "/verify-code", me)
}

// TestGrantOnce has many use one grant at once.
func TestGrantOnce(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	f.enter(phone, "")
	f.want(200, "", "/verify-code", `{"phone_number":"`+phone+`","code":"`+f.code(phone)+`"}`)
	var mu sync.Mutex
	var wg sync.WaitGroup
	got := map[int]int{}
	for range 8 {
		wg.Go(func() {
			status, _, _ := f.post("/login", `{"phone_number":"`+phone+`"}`)
			mu.Lock()
			defer mu.Unlock()
			got[status]++
		})
	}
	wg.Wait()
	if got[200] != 1 || got[403] != 7 {
		t.Errorf("%v", got)
	}
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	in := f.enter(phone, "")
	f.clock.pass(time.Minute)
	for _, key := range []string{"refreshToken", "refresh_token"} {
		out := f.want(200, "", "/refresh", fmt.Sprintf(`{%q:%q}`, key, in["refreshToken"]))
		c, err := f.check(out["token"])
		if err != nil || c.User != userOf(t, in) || c.Phone != phone || c.Expires-c.IssuedAt != 3600 || out["accessToken"] != out["token"] || out["access_token"] != out["token"] {
			t.Errorf("%v: %+v %v", out, c, err)
		}
		if out["refreshToken"] != in["refreshToken"] || out["sessionId"] != in["sessionId"] {
			t.Errorf("the refresh token changed: %v", out)
		}
	}
	f.want(400, "Refresh token required", "/refresh", `{}`)
	f.want(400, "Refresh token required", "/refresh", `{"refreshToken":5}`)
	f.want(401, "Invalid refresh token", "/refresh", `{"refreshToken":"x.y.z"}`)
	f.want(401, "Invalid token type", "/refresh", fmt.Sprintf(`{"refreshToken":%q}`, in["token"]))

	f.clock.pass(30*24*time.Hour - 31*time.Minute)
	out := f.want(200, "", "/refresh", fmt.Sprintf(`{"refreshToken":%q}`, in["refreshToken"]))
	if out["expiresIn"] != float64(30*60) { // not longer than the session
		t.Errorf("%v", out["expiresIn"])
	}
	f.clock.pass(time.Hour)
	f.want(401, "Invalid refresh token", "/refresh", fmt.Sprintf(`{"refreshToken":%q}`, in["refreshToken"]))
}

func TestRotate(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	in := f.enter(phone, "")
	rotate := func(tok any) string { return fmt.Sprintf(`{"refreshToken":%q,"rotate":true}`, tok) }
	next := f.want(200, "", "/refresh", rotate(in["refreshToken"]))
	if next["refreshToken"] == in["refreshToken"] || next["refresh_token"] != next["refreshToken"] {
		t.Fatalf("%v", next)
	}
	third := f.want(200, "", "/refresh", rotate(next["refreshToken"]))
	if _, err := f.check(third["token"]); err != nil {
		t.Fatal(err)
	}
	// An old one again: the session is over, for the thief and for the victim.
	f.want(401, "Invalid refresh token", "/refresh", fmt.Sprintf(`{"refreshToken":%q}`, in["refreshToken"]))
	f.want(401, "Invalid refresh token", "/refresh", rotate(third["refreshToken"]))
	if _, err := f.check(third["token"]); err == nil {
		t.Error("the access token still works")
	}
	if len(f.closer.closed) != 1 || f.closer.closed[0].String() != in["sessionId"] {
		t.Errorf("closed %v", f.closer.closed)
	}
}

func TestSessionsPerDevice(t *testing.T) {
	t.Parallel()
	f := start(t, func(c *Config, _ *Deps) { c.Sessions, c.CodesPerHour, c.CodesPerDay = 2, 100, 100 })
	phone1 := f.enter(phone, `,"deviceId":"phone"`)
	again := f.enter(phone, `,"device_id":"phone"`)
	if _, err := f.check(phone1["token"]); err == nil {
		t.Error("the device's old session still works")
	}
	tablet := f.enter(phone, `,"deviceId":"tablet"`)
	if _, err := f.check(again["token"]); err != nil {
		t.Error("another device ended the session")
	}
	f.clock.pass(time.Second)
	f.enter(phone, "") // a third: the oldest goes
	if _, err := f.check(again["token"]); err == nil {
		t.Error("the oldest session still works")
	}
	if _, err := f.check(tablet["token"]); err != nil {
		t.Error("a younger session was ended")
	}
	if len(f.closer.closed) != 2 {
		t.Errorf("%d sessions' sockets closed, want 2", len(f.closer.closed))
	}
}

func TestLogout(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	const done = "Logged out successfully"
	a, b, victim := f.enter(phone, ""), f.enter(phone, ""), f.enter("+12025550124", "")
	bearer := func(tok any) []string { return []string{"Authorization", fmt.Sprint("Bearer ", tok)} }
	for _, in := range []string{``, `{}`, fmt.Sprintf(`{"userId":%q}`, victim["userId"]), `{"refreshToken":"x"}`} {
		if out := f.want(200, "", "/logout", in); out["message"] != done || out["success"] != true {
			t.Errorf("a stranger: %v", out)
		}
	}
	out := f.want(200, "", "/logout", fmt.Sprintf(`{"userId":%q}`, victim["userId"]), bearer(a["token"])...)
	if out["message"] != done {
		t.Errorf("%v", out)
	}
	if _, err := f.check(a["token"]); err == nil {
		t.Error("the token works after logout")
	}
	f.want(401, "Invalid refresh token", "/refresh", fmt.Sprintf(`{"refreshToken":%q}`, a["refreshToken"]))
	for who, tok := range map[string]any{"another session": b["token"], "the victim": victim["token"]} {
		if _, err := f.check(tok); err != nil {
			t.Errorf("%s was logged out: %v", who, err)
		}
	}
	f.want(200, "", "/logout", fmt.Sprintf(`{"refresh_token":%q}`, b["refreshToken"]))
	if _, err := f.check(b["token"]); err == nil {
		t.Error("the token works after logout by refresh token")
	}
}

func TestBlocked(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	in := f.enter(phone, "")
	yes := true
	if _, err := f.users.Update(context.Background(), userOf(t, in), store.UserPatch{Blocked: &yes}); err != nil {
		t.Fatal(err)
	}
	f.want(403, "Account blocked", "/refresh", fmt.Sprintf(`{"refreshToken":%q}`, in["refreshToken"]))
	f.want(403, "Account blocked", "/verify", `{"phone_number":"`+phone+`","code":"`+f.code(phone)+`"}`)
	f.want(200, "", "/verify-code", `{"phone_number":"`+phone+`","code":"`+f.code(phone)+`"}`)
	f.want(403, "Account blocked", "/login", `{"phone_number":"`+phone+`"}`)
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	seen := 0
	for _, rt := range (&service{}).routes() {
		seen++
		if rt.Method != "POST" || len(rt.Gateway) < 2 || !strings.HasPrefix(rt.Gateway[0], "/api/auth/") || rt.Failed == "" {
			t.Errorf("%+v", rt)
		}
		// Every door answers a stranger's garbage in JSON, and never with a 5xx.
		for _, in := range []string{``, `[]`, `{"phone_number":{}}`, `{"rotate":"x"}`, "\x00", `{"code":`} {
			if status, _, _ := f.post(rt.Path, in); status >= 500 {
				t.Errorf("%s %q: %d", rt.Path, in, status)
			}
		}
	}
	if seen != 7 {
		t.Errorf("%d routes, want 7", seen)
	}
}
