package auth

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestRequestCode(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	status, out, _ := f.post("/request-code", `{"phone_number":"+1 (202) 555-0123"}`)
	if status != 200 || fmt.Sprint(out) != "map[expiresIn:600 message:Verification code sent success:true]" {
		t.Errorf("%d %v", status, out)
	}
	if f.sms.sent[0][:12] != "+12025550123" || !strings.Contains(f.sms.sent[0], "Your Tolkflip verification code is: ") {
		t.Errorf("sent %q", f.sms.sent[0])
	}
	for in, value := range map[string]any{
		`{}`: nil, `{"phone_number":""}`: "", `{"phone_number":"abc"}`: "abc", `{"phone_number":123}`: 123.0,
		`{"phone_number":["+12025550123"]}`: []any{"+12025550123"}, `{"phone_number":null}`: "null",
	} {
		status, out, _ := f.post("/request-code", in)
		list, _ := out["errors"].([]any)
		if status != 400 || len(list) != 1 {
			t.Errorf("%s: %d %v", in, status, out)
			continue
		}
		e := list[0].(body)
		if e["type"] != "field" || e["msg"] != "Invalid phone number format" || e["path"] != "phone_number" || e["location"] != "body" {
			t.Errorf("%s: %v", in, e)
		}
		if v, sent := e["value"]; value != "null" && (fmt.Sprint(v) != fmt.Sprint(value) || sent != (value != nil)) {
			t.Errorf("%s: value %v, sent %v", in, v, sent)
		}
	}
	f.want(200, "", "/request-code", `{"phone_number":12025550199}`)
}

func TestResendGap(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	const ask = `{"phone_number":"+12025550123"}`
	first := f.want(200, "", "/request-code", ask)
	_, code := f.sms.last(t)
	f.clock.pass(59 * time.Second)
	second := f.want(200, "", "/request-code", ask)
	if n, _ := f.sms.last(t); n != 1 || fmt.Sprint(first) != fmt.Sprint(second) {
		t.Errorf("%d sent, then %v", n, second)
	}
	f.want(200, "", "/verify", `{"phone_number":"+12025550123","code":"`+code+`"}`) // the first code still stands
	f.clock.pass(2 * time.Second)
	f.want(200, "", "/request-code", ask)
	if n, _ := f.sms.last(t); n != 2 {
		t.Errorf("%d sent after the gap, want 2", n)
	}
}

func TestFailedSendLetsTheNextThrough(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	const ask = `{"phone_number":"+12025550123"}`
	f.sms.failWith(errors.New("provider down"))
	f.want(500, "Failed to send verification code", "/request-code", ask)
	f.sms.failWith(nil)
	f.want(200, "", "/request-code", ask)
	f.want(200, "", "/request-code", ask)
	if n, _ := f.sms.last(t); n != 1 {
		t.Errorf("%d sent, want 1", n)
	}
	f.sms.failWith(fmt.Errorf("code 21211: %w", ErrNumber))
	f.want(400, "Invalid phone number format", "/request-code", `{"phone_number":"+12025550124"}`)
}

func TestCodeLimits(t *testing.T) {
	t.Parallel()
	f := start(t, func(c *Config, _ *Deps) { c.CodesPerHour, c.CodesPerDay, c.CodesPerAddress = 2, 3, 4 })
	ask := func(phone string) (int, string) {
		f.clock.pass(61 * time.Second)
		status, _, h := f.post("/request-code", `{"phone_number":"`+phone+`"}`)
		return status, h.Get("Retry-After")
	}
	for i, want := range []int{200, 200, 429} {
		if got, after := ask("+12025550101"); got != want || (got == 429) != (after != "") {
			t.Errorf("hour, %d: %d, retry after %q", i, got, after)
		}
	}
	f.clock.pass(time.Hour)
	for i, want := range []int{200, 429} {
		if got, _ := ask("+12025550101"); got != want {
			t.Errorf("day, %d: %d", i, got)
		}
	}
	f.clock.pass(time.Hour)
	for i, want := range []int{200, 200, 200, 200, 429} {
		if got, _ := ask(fmt.Sprintf("+1202555020%d", i)); got != want {
			t.Errorf("address, %d: %d", i, got)
		}
	}
	f.at("198.51.100.2")
	if got, _ := ask("+12025550209"); got != 200 {
		t.Errorf("another address: %d", got)
	}
}

func TestDev(t *testing.T) {
	t.Parallel()
	f := start(t, func(c *Config, d *Deps) { c.Dev, c.CodesPerAddress, d.SMS = true, 1, nil })
	f.at("127.0.0.1")
	var code string
	for range 3 { // neither a gap nor, from loopback, a limit by address
		out := f.want(200, "", "/request-code", `{"phone_number":"+12025550123"}`)
		code, _ = out["code"].(string)
		if len(code) != 6 || out["expiresIn"] != 600.0 {
			t.Fatalf("%v", out)
		}
	}
	if logs := f.logs.String(); !strings.Contains(logs, code) || strings.Contains(logs, "2025550123") {
		t.Errorf("log %q", logs)
	}
	f.want(200, "", "/verify", `{"phone_number":"+12025550123","code":"`+code+`"}`)
}

func TestNoProvider(t *testing.T) {
	t.Parallel()
	f := start(t, func(_ *Config, d *Deps) { d.SMS = nil })
	f.want(503, noProvider, "/request-code", `{"phone_number":"+12025550123"}`)
	f.want(400, "Invalid phone number format", "/request-code", `{"phone_number":"x"}`)
}

// TestLadder climbs the rungs of both ways to try a code.
func TestLadder(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/verify", "/verify-code"} {
		f := start(t, nil)
		phone := "+12025550123"
		code := f.code(phone)
		try := func(code string) string { return `{"phone_number":"` + phone + `","code":` + code + `}` }
		wrong := `"` + other(code) + `"`
		for i, in := range []string{wrong, "123456", wrong} { // a number is a try, and never right
			out := f.want(400, "Invalid verification code", path, try(in))
			if out["attemptsRemaining"] != float64(2-i) {
				t.Errorf("%s, try %d: %v", path, i, out)
			}
		}
		f.want(429, "Too many failed attempts", path, try(`"`+code+`"`))
		f.want(400, "Verification code expired", path, try(`"`+code+`"`))
		f.want(200, "", path, try(`"`+f.code(phone)+`"`))
		f.want(400, "Verification code expired", path, try(`"`+code+`"`)) // used up
		code = f.code(phone)
		f.clock.pass(10*time.Minute + time.Second)
		f.want(400, "Verification code expired", path, try(`"`+code+`"`))
		if strings.Contains(f.logs.String(), code) || strings.Contains(f.logs.String(), "2025550123") {
			t.Errorf("%s: a code or phone in the log: %s", path, f.logs)
		}
	}
}

// TestNumberIsNeverRight sends the right digits as a number.
func TestNumberIsNeverRight(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	const phone = "+12025550123"
	code := f.code(phone)
	for code[0] == '0' { // no JSON number begins so
		code = f.code(phone)
	}
	out := f.want(400, "Invalid verification code", "/verify", `{"phone_number":"`+phone+`","code":`+code+`}`)
	if out["attemptsRemaining"] != 2.0 {
		t.Errorf("%v", out)
	}
	f.want(200, "", "/verify", `{"phone_number":"`+phone+`","code":"`+code+`"}`)
}

func TestVerifyRules(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	for in, fields := range map[string]string{
		`{}`:                              "phone_number code",
		`{"phone_number":"+12025550123"}`: "code",
		`{"phone_number":"+12025550123","code":"12345"}`:                                                    "code",
		`{"phone_number":"+12025550123","code":"1234567"}`:                                                  "code",
		`{"phone_number":"+12025550123","code":12345}`:                                                      "code",
		`{"phone_number":"+12025550123","code":true}`:                                                       "code",
		`{"phone_number":"+12025550123","code":"123456","display_name":5}`:                                  "display_name",
		`{"phone_number":"+12025550123","code":"123456","display_name":"a\u0000"}`:                          "display_name",
		`{"phone_number":"+12025550123","code":"123456","display_name":"` + strings.Repeat("a", 101) + `"}`: "display_name",
		`{"phone_number":"+12025550123","code":"123456","primary_language":"klingon"}`:                      "primary_language",
		`{"phone_number":"+12025550123","code":"123456","primary_language":5}`:                              "primary_language",
		`{"phone_number":"x","code":"123456","deviceId":""}`:                                                "phone_number deviceId",
	} {
		status, out, _ := f.post("/verify", in)
		var got []string
		list, _ := out["errors"].([]any)
		for _, e := range list {
			got = append(got, e.(body)["path"].(string))
		}
		if status != 400 || strings.Join(got, " ") != fields {
			t.Errorf("%s: %d %v, want %s", in, status, out, fields)
		}
	}
}

func TestNewCode(t *testing.T) {
	t.Parallel()
	var first [10]int
	for range 5000 {
		c, err := newCode()
		if err != nil || len(c) != 6 || strings.Trim(c, "0123456789") != "" {
			t.Fatalf("%q %v", c, err)
		}
		first[c[0]-'0']++
	}
	for d, n := range first {
		if n < 300 { // 500 expected; 9 standard deviations off
			t.Errorf("first digit %d came %d times in 5000", d, n)
		}
	}
}
