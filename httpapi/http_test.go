package httpapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/tolkflip/tolkflip/proto"
)

func TestBodies(t *testing.T) {
	t.Parallel()
	f := start(t, testService(), func(c *Config, _ *Deps) { c.MaxBody = 64 << 10 })
	good := "Bearer good:" + alice
	deep := `{"name":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`
	for _, c := range []struct {
		name, body, contentType string
		status                  int
		err, field, hint        string
	}{
		{"empty", "", "", 201, "", "", ""},
		{"object", `{"name":"a"}`, "", 201, "", "", ""},
		{"unknown key", `{"name":"a","x":{"y":[1,2]}}`, "", 201, "", "", ""},
		{"json with charset", `{"name":"bad"}`, "Application/JSON; charset=utf-8", 400, "name is bad", "name", ""},
		{"json by suffix", `{"name":"bad"}`, "application/vnd.api+json", 400, "name is bad", "name", ""},
		{"other type is ignored", `{"name":"bad"}`, "text/plain", 201, "", "", ""},
		{"null", `null`, "", 400, "Invalid JSON: the body must be an object", "", ""},
		{"array", `[1]`, "", 400, "Invalid JSON: the body must be an object", "", ""},
		{"string", `"x"`, "", 400, "Invalid JSON: the body must be an object", "", ""},
		{"garbage", `{]`, "", 400, "Invalid JSON", "", ""},
		{"cut off", `{"name":"a`, "", 400, "Invalid JSON", "", ""},
		{"two values", `{"name":"a"}{}`, "", 400, "Invalid JSON", "", ""},
		{"NUL", "{\"name\":\"a\x00\"}", "", 400, "Invalid JSON", "", ""},
		{"not UTF-8", "{\"name\":\"\xff\"}", "", 400, "Invalid JSON: not UTF-8", "", ""},
		{"deep", deep, "", 400, "Invalid JSON: nested too deep", "", ""},
		{"string expected", `{"name":5}`, "", 400, "name must be a string", "name", ""},
		{"number expected", `{"count":"5"}`, "", 400, "count must be a number in range", "count", ""},
		{"number too large", `{"count":1e40}`, "", 400, "count must be a number in range", "count", ""},
		{"array expected", `{"tags":{}}`, "", 400, "tags must be an array", "tags", ""},
		{"string expected in array", `{"tags":["a",1]}`, "", 400, "tags must be a string", "tags", ""},
		{"id expected", `{"peer":"nope"}`, "", 400, "peer must be a UUID", "peer", ""},
		{"too large", `{"name":"` + strings.Repeat("a", 64<<10) + `"}`, "", 413, "Payload too large", "", ""},
		{"refused", `{"name":"gone"}`, "", 404, "Thing not found", "", ""},
		{"busy", `{"name":"busy"}`, "", 503, "Service busy, please try again", "", ""},
		{"broken", `{"name":"broken"}`, "", 500, "Failed to echo", "", ""},
		{"panic", `{"name":"panic"}`, "", 500, "Failed to echo", "", ""},
	} {
		headers := []string{"Authorization", good}
		if c.contentType != "" {
			headers = append(headers, "Content-Type", c.contentType)
		}
		res, body := f.do("POST", "/echo/"+alice, c.body, headers...)
		var p Problem
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Errorf("%s: %d %q: %v", c.name, res.StatusCode, body, err)
			continue
		}
		if res.StatusCode != c.status || p.Error != c.err || p.Field != c.field || p.Hint != c.hint {
			t.Errorf("%s: %d %s, want %d %q field %q hint %q", c.name, res.StatusCode, body, c.status, c.err, c.field, c.hint)
		}
		if strings.Contains(body, "down") || strings.Contains(body, "secret") {
			t.Errorf("%s: the reply tells of the inside: %s", c.name, body)
		}
	}
	if got := value(t, f.api.metrics.panics); got != 1 {
		t.Errorf("%v panics counted, want 1", got)
	}
	if got := value(t, f.api.metrics.inFlight); got != 0 {
		t.Errorf("%v requests in flight, want 0", got)
	}
}

func TestHint(t *testing.T) {
	t.Parallel()
	svc := Service{Name: "x", Routes: []Route{{
		Method: "POST", Path: "/", Handle: Handle(200, func(context.Context, Caller, struct{}) (struct{}, error) {
			return struct{}{}, proto.BadField("name", "name is required")
		}),
	}}}
	f := start(t, svc, nil)
	_, body := f.do("POST", "/", `{"name":"a"}`, "Content-Type", "application/x-www-form-urlencoded")
	want := `{"success":false,"error":"name is required","code":"invalid","field":"name","hint":"` + hintNotJSON + `"}`
	if body != want {
		t.Errorf("%s, want %s", body, want)
	}
	if _, body = f.do("POST", "/", `{"name":"a"}`); strings.Contains(body, "hint") {
		t.Errorf("a hint about a body that was read: %s", body)
	}
}

func TestParameters(t *testing.T) {
	t.Parallel()
	f := start(t, testService(), nil)
	for _, c := range []struct {
		path   string
		status int
		want   string
	}{
		{"/echo/" + alice + "?limit=3&since=-9", 200, `"limit":3,"since":-9`},
		{"/echo/" + alice + "?limit=", 200, `"limit":0,"since":null`},
		{"/echo/" + strings.ToUpper(alice), 200, `"id":"` + alice + `"`},
		{"/echo/" + alice + "?limit=x", 400, `"field":"limit"`},
		{"/echo/" + alice + "?limit=99999999999999999999", 400, `"field":"limit"`},
		{"/echo/" + alice + "?since=%ff", 400, `"field":"since"`},
		{"/echo/" + alice + ":private_key", 404, `"error":"User not found"`},
		{"/echo/" + alice[:35] + "%31", 200, `"id":"` + alice + `"`},
		{"/echo/%2e%2e", 404, `"error":"User not found"`},
		{"/echo/", 404, `"error":"Endpoint not found"`},
		{"/echo//" + alice, 404, `"error":"Endpoint not found"`},
		{"/Echo/" + alice, 404, `"error":"Endpoint not found"`},
	} {
		if res, body := f.do("GET", c.path, ""); res.StatusCode != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s, want %d %s", c.path, res.StatusCode, body, c.status, c.want)
		}
	}
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	const key = "0123456789abcdef0123456789abcdef"
	f := start(t, testService(), func(c *Config, _ *Deps) { c.InternalKey = key })
	for _, c := range []struct {
		method, path, header, value string
		status                      int
		want                        string
	}{
		{"POST", "/echo/" + alice, "", "", 401, `{"success":false,"error":"No token provided","code":"unauthenticated"}`},
		{"POST", "/echo/" + alice, "Authorization", "good:" + alice, 401, `"error":"No token provided"`},
		{"POST", "/echo/" + alice, "X-User-Id", alice, 401, `"error":"No token provided"`},
		{"POST", "/echo/" + alice, "Authorization", "Bearer bad", 401, `"error":"Invalid token","code":"unauthenticated","reason":"invalid_token"}`},
		{"POST", "/echo/" + alice, "Authorization", "Bearer old", 401, `"error":"Invalid token","code":"unauthenticated","reason":"token_expired"}`},
		{"POST", "/echo/" + alice, "Authorization", "Whatever good:" + alice, 201, `"by":"` + alice + `"`},
		{"GET", "/me", "", "", 200, `"by":""`},
		{"GET", "/me", "Authorization", "Bearer bad", 200, `"by":""`},
		{"GET", "/me", "Authorization", "Bearer good:" + alice, 200, `"by":"` + alice + `"`},
		{"POST", "/inner", "", "", 401, `"error":"Internal credential required"`},
		{"POST", "/inner", "Authorization", "Bearer good:" + alice, 401, `"error":"Internal credential required"`},
		{"POST", "/inner", "X-Internal-Key", key[:31], 401, `"error":"Internal credential required"`},
		{"POST", "/inner", "X-Internal-Key", key, 200, `{}`},
	} {
		var headers []string
		if c.header != "" {
			headers = []string{c.header, c.value}
		}
		res, body := f.do(c.method, c.path, "", headers...)
		if res.StatusCode != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s %s: %d %s, want %d %s", c.method, c.path, c.value, res.StatusCode, body, c.status, c.want)
		}
	}
	closed := start(t, testService(), nil)
	if res, _ := closed.do("POST", "/inner", "", "X-Internal-Key", ""); res.StatusCode != 401 {
		t.Errorf("without a configured key an empty one gave %d", res.StatusCode)
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	f := start(t, testService(), nil)
	get, full := f.do("GET", "/echo/"+alice, "")
	head, empty := f.do("HEAD", "/echo/"+alice, "")
	if head.StatusCode != 200 || empty != "" || head.ContentLength != int64(len(full)) || head.Header.Get("Content-Type") != get.Header.Get("Content-Type") {
		t.Errorf("HEAD: %d %q, length %d of %d", head.StatusCode, empty, head.ContentLength, len(full))
	}
	for _, c := range []struct {
		method, path string
		status       int
		allow, body  string
	}{
		{"DELETE", "/echo/" + alice, 405, "GET, HEAD, OPTIONS, POST", `{"success":false,"error":"Method not allowed","code":"invalid"}`},
		{"BREW", "/echo/" + alice, 405, "GET, HEAD, OPTIONS, POST", `{"success":false,"error":"Method not allowed","code":"invalid"}`},
		{"POST", "/health", 405, "GET, HEAD, OPTIONS", `{"success":false,"error":"Method not allowed","code":"invalid"}`},
		{"GET", "/nothing", 404, "", `{"success":false,"error":"Endpoint not found","code":"not_found"}`},
		{"GET", "/", 404, "", `{"success":false,"error":"Endpoint not found","code":"not_found"}`},
		{"OPTIONS", "/echo/" + alice, 204, "GET, HEAD, POST, OPTIONS", ""},
		{"OPTIONS", "/nothing", 404, "", `{"success":false,"error":"Endpoint not found","code":"not_found"}`},
	} {
		res, body := f.do(c.method, c.path, "")
		if res.StatusCode != c.status || res.Header.Get("Allow") != c.allow || body != c.body {
			t.Errorf("%s %s: %d allow %q %s, want %d %q %s", c.method, c.path, res.StatusCode, res.Header.Get("Allow"), body, c.status, c.allow, c.body)
		}
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, origin string
		origins      []string
		allow, creds string
	}{
		{"any", "https://a.example", []string{"*"}, "*", ""},
		{"any among others", "https://b.example", []string{"https://a.example", "*"}, "*", ""},
		{"listed", "https://a.example", []string{"https://a.example"}, "https://a.example", "true"},
		{"not listed", "https://b.example", []string{"https://a.example"}, "", ""},
		{"a suffix", "https://a.example.evil", []string{"https://a.example"}, "", ""},
		{"none", "", []string{"https://a.example"}, "", ""},
	} {
		f := start(t, testService(), func(cfg *Config, _ *Deps) { cfg.Origins = c.origins })
		headers := []string{"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,x-a"}
		if c.origin != "" {
			headers = append(headers, "Origin", c.origin)
		}
		res, body := f.do("OPTIONS", "/echo/"+alice, "", headers...)
		if res.StatusCode != 204 || body != "" || res.Header.Get("Access-Control-Allow-Methods") != "GET,HEAD,PUT,PATCH,POST,DELETE" ||
			res.Header.Get("Access-Control-Allow-Headers") != "authorization,x-a" {
			t.Errorf("%s: preflight %d %v", c.name, res.StatusCode, res.Header)
		}
		get, _ := f.do("GET", "/nothing", "", headers...)
		for _, h := range []http.Header{res.Header, get.Header} {
			if h.Get("Access-Control-Allow-Origin") != c.allow || h.Get("Access-Control-Allow-Credentials") != c.creds {
				t.Errorf("%s: %v", c.name, h)
			}
			if varies := strings.Contains(strings.Join(h.Values("Vary"), ","), "Origin"); varies != (c.allow != "*") {
				t.Errorf("%s: Vary %v", c.name, h.Values("Vary"))
			}
		}
		if res.Header.Get("RateLimit-Limit") != "" {
			t.Errorf("%s: a preflight was counted", c.name)
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	f := start(t, testService(), nil)
	big := "POST /echo/" + alice + " HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 9<<10) + "\r\n\r\n"
	notHTTP := "hello\r\n\r\n"
	replies := map[string]*http.Response{}
	replies["404"], _ = f.do("GET", "/nothing", "")
	replies["200"], _ = f.do("GET", "/health", "")
	replies["401"], _ = f.do("POST", "/echo/"+alice, "")
	replies["431"], _ = f.raw(big)
	replies["400"], _ = f.raw(notHTTP)
	for name, res := range replies {
		if fmt.Sprint(res.StatusCode) != name {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
		for _, h := range securityHeaders {
			if res.Header.Get(h[0]) != h[1] {
				t.Errorf("%s: %s is %q", name, h[0], res.Header.Get(h[0]))
			}
		}
		if res.Header.Get("Content-Type") != jsonType || res.Header.Get("Server") != "" || res.Header.Get("X-Request-Id") == "" || res.Header.Get("Date") == "" {
			t.Errorf("%s: %v", name, res.Header)
		}
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	f := start(t, testService(), nil)
	for given, same := range map[string]bool{
		"abc-1.Z_": true, strings.Repeat("a", 64): true,
		"": false, strings.Repeat("a", 65): false, "a b": false, "a\"b": false, "é": false,
	} {
		res, _ := f.do("GET", "/nothing", "", "X-Request-Id", given)
		if got := res.Header.Get("X-Request-Id"); (got == given) != same || got == "" {
			t.Errorf("given %q, got %q", given, got)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	f := start(t, testService(), func(c *Config, _ *Deps) { c.AddressLimit, c.UserLimit = 2, 3 })
	user := []string{"Authorization", "Bearer good:" + alice}
	for i, want := range []int{201, 201, 201, 429, 429} {
		res, body := f.do("POST", "/echo/"+alice, "", user...)
		if res.StatusCode != want || res.Header.Get("RateLimit-Limit") != "3" || res.Header.Get("RateLimit-Policy") != "3;w=900" ||
			res.Header.Get("RateLimit-Remaining") != fmt.Sprint(max(2-i, 0)) || res.Header.Get("RateLimit-Reset") != "900" {
			t.Errorf("%d: %d %v", i, res.StatusCode, res.Header)
		}
		if want == 429 && (res.Header.Get("Retry-After") != "900" || body != `{"success":false,"error":"`+textTooManyUser+`","code":"too_many"}`) {
			t.Errorf("%v %s", res.Header, body)
		}
	}
	// A bad token counts against the address, as does a path that is not there.
	if res, _ := f.do("POST", "/echo/"+alice, "", "Authorization", "Bearer bad"); res.StatusCode != 401 {
		t.Errorf("%d", res.StatusCode)
	}
	if res, _ := f.do("GET", "/api/nothing", ""); res.StatusCode != 404 || res.Header.Get("RateLimit-Remaining") != "0" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	if res, body := f.do("POST", "/echo/"+alice, ""); res.StatusCode != 429 || !strings.Contains(body, textTooMany) {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, _ := f.do("GET", "/health", ""); res.StatusCode != 200 || res.Header.Get("RateLimit-Limit") != "" {
		t.Errorf("health: %d %v", res.StatusCode, res.Header)
	}
	f.limits.mu.Lock()
	f.limits.fail = true
	f.limits.mu.Unlock()
	if res, _ := f.do("POST", "/echo/"+alice, "", user...); res.StatusCode != 201 || value(t, f.api.metrics.limitErrors) != 1 {
		t.Errorf("a broken store of limits: %d", res.StatusCode)
	}
}

func TestClientAddress(t *testing.T) {
	t.Parallel()
	f := start(t, testService(), func(c *Config, _ *Deps) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	})
	for _, c := range []struct {
		peer, forwarded, want string
	}{
		{"203.0.113.9", "198.51.100.1", "203.0.113.9"},
		{"10.0.0.1", "", "10.0.0.1"},
		{"10.0.0.1", "198.51.100.1", "198.51.100.1"},
		{"10.0.0.1", "1.2.3.4, 198.51.100.1", "198.51.100.1"},
		{"10.0.0.1", "198.51.100.1, 10.9.9.9", "198.51.100.1"},
		{"10.0.0.1", "198.51.100.1,garbage", "10.0.0.1"},
		{"10.0.0.1", "garbage, 198.51.100.1", "198.51.100.1"},
		{"::ffff:10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"},
		{"fd00::1", "2001:db8::5", "2001:db8::5"},
	} {
		var rc fasthttp.RequestCtx
		rc.Init(&fasthttp.Request{}, &net.TCPAddr{IP: net.ParseIP(c.peer), Port: 1}, nil)
		if c.forwarded != "" {
			rc.Request.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := f.api.clientAddress(&rc).String(); got != c.want {
			t.Errorf("%s by %q: %s, want %s", c.peer, c.forwarded, got, c.want)
		}
	}
}

func TestAddressKey(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"198.51.100.1": "198.51.100.1", "::ffff:198.51.100.1": "198.51.100.1",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := AddressKey(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestCompression(t *testing.T) {
	t.Parallel()
	f := start(t, testService(), nil)
	long := strings.Repeat("abc ", 1000)
	body := `{"name":"` + long + `"}`
	auth := []string{"Authorization", "Bearer good:" + alice}
	plain, text := f.do("POST", "/echo/"+alice, body, auth...)
	if plain.Header.Get("Content-Encoding") != "" || plain.Header.Get("Vary") != "Accept-Encoding" || !strings.Contains(text, long) {
		t.Fatalf("%v", plain.Header)
	}
	packed, zipped := f.do("POST", "/echo/"+alice, body, append(auth, "Accept-Encoding", "br, gzip")...)
	r, err := gzip.NewReader(bytes.NewReader([]byte(zipped)))
	if err != nil {
		t.Fatalf("%v: %v", packed.Header, err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != text || packed.ContentLength != int64(len(zipped)) {
		t.Errorf("%v, %d of %d bytes", err, len(got), len(text))
	}
	if small, _ := f.do("GET", "/health", "", "Accept-Encoding", "gzip"); small.Header.Get("Content-Encoding") != "" {
		t.Errorf("a small reply was packed")
	}
}

type readiness map[string]error

func (r readiness) Ready() map[string]error { return r }

func TestHealthReadyMetrics(t *testing.T) {
	t.Parallel()
	svc := testService()
	svc.Health.More = func() map[string]any { return map[string]any{"activeConnections": 3} }
	state := readiness{}
	f := start(t, svc, func(_ *Config, d *Deps) { d.Ready = state })
	res, body := f.do("GET", "/health", "")
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil || res.StatusCode != 200 || got["status"] != "healthy" || got["service"] != "test-service" || got["activeConnections"] != 3.0 {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, body = f.do("GET", "/ready", ""); res.StatusCode != 200 || body != `{"status":"ready"}` {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	state["store"], state["cache"] = proto.Fail(proto.Busy, "disk nearly full"), errDown
	res, body = f.do("GET", "/ready", "")
	if res.StatusCode != 503 || !strings.Contains(body, `"store":"disk nearly full"`) || !strings.Contains(body, `"cache":"failing"`) || strings.Contains(body, "down") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	res, body = f.do("GET", "/metrics", "")
	for _, line := range []string{
		`tolkflip_http_requests_total{class="2xx",method="GET",route="/health",service="test"} 1`,
		`tolkflip_http_requests_total{class="5xx",method="GET",route="/ready",service="test"} 1`,
		`tolkflip_http_requests_total{class="2xx",method="POST",route="/echo/{id}",service="test"} 0`,
		`tolkflip_http_refused_total{reason="limit"} 0`,
		`tolkflip_http_in_flight 1`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
	if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

func TestUnbuilt(t *testing.T) {
	t.Parallel()
	f := start(t, Unbuilt("media", Health{Name: "media", Status: "healthy"}, "/api/media"), nil)
	for _, path := range []string{"/upload", "/", "/a/b/c"} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			if res, body := f.do(method, path, ""); res.StatusCode != 501 || !strings.Contains(body, `"error":"media is not available on this server"`) {
				t.Errorf("%s %s: %d %s", method, path, res.StatusCode, body)
			}
		}
	}
	if res, body := f.do("GET", "/health", ""); res.StatusCode != 200 || !strings.Contains(body, `"service":"media"`) {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestRoutesThatClash(t *testing.T) {
	t.Parallel()
	f := start(t, testService(), nil)
	h := Handle(200, func(context.Context, Caller, struct{}) (struct{}, error) { return struct{}{}, nil })
	for name, routes := range map[string][]Route{
		"twice":             {{Method: "GET", Path: "/a", Handle: h}, {Method: "GET", Path: "/a", Handle: h}},
		"twice by position": {{Method: "GET", Path: "/a/{x}", Handle: h}, {Method: "GET", Path: "/a/{y}", Handle: h}},
		"no slash":          {{Method: "GET", Path: "a", Handle: h}},
		"health":            {{Method: "GET", Path: "/health", Handle: h}},
		"five parameters":   {{Method: "GET", Path: "/{a}/{b}/{c}/{d}/{e}", Handle: h}},
	} {
		if _, err := f.api.Server(Service{Name: name, Routes: routes}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := f.api.Server(Service{Name: "names", Routes: []Route{
		{Method: "GET", Path: "/a/{x}", Handle: h}, {Method: "GET", Path: "/a/{y}/b", Handle: h}, {Method: "PUT", Path: "/a/{z}", Handle: h},
	}}); err != nil {
		t.Errorf("other names at one place: %v", err)
	}
}
