package web_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"
	"go.uber.org/goleak"

	"github.com/tolkflip/tolkflip/httpapi/web"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2")) // sleeps up to 10 s after the pool is stopped
}

// client speaks to a server of the files over a connection in memory, and unpacks nothing by itself.
func client(t *testing.T) *http.Client {
	t.Helper()
	ln := fasthttputil.NewInmemoryListener()
	srv := &fasthttp.Server{Handler: web.Handler(), NoDefaultServerHeader: true}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	tr := &http.Transport{
		DisableCompression: true,
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return ln.Dial() },
	}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		if err := srv.Shutdown(); err != nil { // closes ln
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &http.Client{Transport: tr}
}

func do(t *testing.T, c *http.Client, method, path string, header ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://web"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

func TestEveryFile(t *testing.T) {
	t.Parallel()
	c := client(t)
	for _, path := range web.Paths() {
		resp, body := do(t, c, "GET", path)
		h := resp.Header
		if resp.StatusCode != 200 || len(body) == 0 {
			t.Errorf("%s: status %d, %d bytes", path, resp.StatusCode, len(body))
		}
		if csp := h.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'self'; ") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: headers %v", path, h)
		}
		tag := h.Get("ETag")
		if !regexp.MustCompile(`^"[0-9a-f]{24}"$`).MatchString(tag) {
			t.Errorf("%s: ETag %q", path, tag)
		}

		again, rest := do(t, c, "GET", path, "If-None-Match", `"other", W/`+tag)
		if again.StatusCode != 304 || len(rest) != 0 || again.Header.Get("ETag") != tag {
			t.Errorf("%s: revalidated: status %d, %d bytes, ETag %q", path, again.StatusCode, len(rest), again.Header.Get("ETag"))
		}

		head, none := do(t, c, "HEAD", path)
		if head.StatusCode != 200 || len(none) != 0 || head.ContentLength != int64(len(body)) || head.Header.Get("ETag") != tag {
			t.Errorf("%s: HEAD: status %d, %d bytes, length %d", path, head.StatusCode, len(none), head.ContentLength)
		}
	}
}

func TestGzip(t *testing.T) {
	t.Parallel()
	c := client(t)
	_, plain := do(t, c, "GET", "/tolkflip.js")
	resp, packed := do(t, c, "GET", "/tolkflip.js", "Accept-Encoding", "br, gzip")
	if resp.Header.Get("Content-Encoding") != "gzip" || resp.Header.Get("Vary") != "Accept-Encoding" {
		t.Fatalf("headers %v", resp.Header)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("unpacked %d bytes, want %d; error %v", len(got), len(plain), err)
	}
	if len(packed)*2 > len(plain) {
		t.Errorf("%d of %d bytes", len(packed), len(plain))
	}
	tag := resp.Header.Get("ETag")
	if again, _ := do(t, c, "GET", "/tolkflip.js", "Accept-Encoding", "gzip", "If-None-Match", tag); again.StatusCode != 304 {
		t.Errorf("status %d for the packed one's own ETag", again.StatusCode)
	}
	if other, _ := do(t, c, "GET", "/tolkflip.js", "If-None-Match", tag); other.StatusCode != 200 {
		t.Errorf("status %d: the packed one's ETag must not stand for the plain one", other.StatusCode)
	}
}

func TestContentTypes(t *testing.T) {
	t.Parallel()
	c := client(t)
	for path, want := range map[string]string{
		"/":                     "text/html; charset=utf-8",
		"/tolkflip.js":          "text/javascript; charset=utf-8",
		"/app.js":               "text/javascript; charset=utf-8",
		"/app.css":              "text/css; charset=utf-8",
		"/icon.svg":             "image/svg+xml",
		"/icon-192.png":         "image/png",
		"/favicon.ico":          "image/x-icon",
		"/tolkflip.webmanifest": "application/manifest+json",
	} {
		if resp, _ := do(t, c, "GET", path); resp.Header.Get("Content-Type") != want {
			t.Errorf("%s: status %d, type %q, want %q", path, resp.StatusCode, resp.Header.Get("Content-Type"), want)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	c := client(t)
	for _, one := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/index.html", 404, `{"error":"Endpoint not found"}`},
		{"GET", "/static/app.js", 404, `{"error":"Endpoint not found"}`},
		{"GET", "/../web.go", 404, `{"error":"Endpoint not found"}`},
		{"POST", "/nothing", 404, `{"error":"Endpoint not found"}`},
		{"POST", "/", 405, `{"error":"Method not allowed"}`},
		{"DELETE", "/app.js", 405, `{"error":"Method not allowed"}`},
	} {
		resp, body := do(t, c, one.method, one.path)
		if resp.StatusCode != one.status || string(body) != one.body || resp.Header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("%s %s: %d %s %s", one.method, one.path, resp.StatusCode, resp.Header.Get("Content-Type"), body)
		}
		if (one.status == 405) != (resp.Header.Get("Allow") == "GET, HEAD") {
			t.Errorf("%s %s: Allow %q", one.method, one.path, resp.Header.Get("Allow"))
		}
	}
}

// TestPageIsWhole follows what the page and its modules name: every path must be served, nothing may come
// from elsewhere, and nothing that the policy refuses may be in the page.
func TestPageIsWhole(t *testing.T) {
	t.Parallel()
	c := client(t)
	paths := web.Paths()
	_, page := do(t, c, "GET", "/")
	named := regexp.MustCompile(`(?:href|src)="([^"]+)"`).FindAllSubmatch(page, -1)
	if len(named) < 4 {
		t.Fatalf("the page names only %d files", len(named))
	}
	for _, m := range named {
		if p := string(m[1]); !strings.HasPrefix(p, "#") && !slices.Contains(paths, p) {
			t.Errorf("the page names %s, which is not served", p)
		}
	}
	for _, bad := range []string{"style=", "onclick", "onload", "javascript:", "<style"} {
		if bytes.Contains(page, []byte(bad)) {
			t.Errorf("the page holds %q, which the policy refuses", bad)
		}
	}
	if bytes.Count(page, []byte("<script")) != bytes.Count(page, []byte("<script type=\"module\" src=")) {
		t.Error("the page holds a script that is not a file")
	}
	imported := regexp.MustCompile(`(?m)^(?:import|export) .*from "([^"]+)";$`)
	unsafe := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc`)
	for _, p := range paths {
		if !strings.HasSuffix(p, ".js") {
			continue
		}
		_, src := do(t, c, "GET", p)
		for _, m := range imported.FindAllSubmatch(src, -1) {
			to := string(m[1])
			if !path.IsAbs(to) {
				to = path.Join(path.Dir(p), to)
			}
			if !slices.Contains(paths, to) {
				t.Errorf("%s imports %s, which is not served", p, to)
			}
		}
		if m := unsafe.Find(src); m != nil {
			t.Errorf("%s uses %s: text goes into the page as text nodes only", p, m)
		}
	}
}
