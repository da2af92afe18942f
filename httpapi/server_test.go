package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp/fasthttputil"
)

func TestShutdownBeforeServe(t *testing.T) {
	t.Parallel()
	f := start(t, testService(), nil)
	s, err := f.api.Server(testService())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	ln := fasthttputil.NewInmemoryListener()
	if err := s.Serve(ln); err != nil { // returns at once
		t.Errorf("serve after shutdown: %v", err)
	}
	if _, err := ln.Dial(); err == nil {
		t.Error("the listener is still open")
	}
}

// TestShutdownWaits ends a server while a request is in flight: it is answered, and the connection closed.
func TestShutdownWaits(t *testing.T) {
	t.Parallel()
	inside, release := make(chan struct{}), make(chan struct{})
	svc := Service{Name: "x", Routes: []Route{{
		Method: "GET", Path: "/slow", Handle: Handle(200, func(ctx context.Context, _ Caller, _ struct{}) (echoOut, error) {
			close(inside)
			<-release
			return echoOut{Name: "done"}, ctx.Err()
		}),
	}}}
	f := start(t, svc, nil)
	got := make(chan string, 1)
	go func() {
		res, body := f.do("GET", "/slow", "")
		got <- res.Status + " " + body
	}()
	<-inside
	shut := make(chan error, 1)
	go func() { shut <- f.server.Shutdown(context.Background()) }()
	select {
	case err := <-shut:
		t.Fatalf("shutdown did not wait: %v", err)
	default:
	}
	close(release)
	if reply := <-got; !strings.HasPrefix(reply, "200 ") || !strings.Contains(reply, `"done"`) {
		t.Error(reply)
	}
	if err := <-shut; err != nil {
		t.Error(err)
	}
}

func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	f := start(t, testService(), func(c *Config, _ *Deps) { c.MaxConnections = 1 })
	first, err := f.ln.Dial()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(c net.Conn) *http.Response {
		t.Helper()
		if _, err := io.WriteString(c, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	if res := ask(first); res.StatusCode != 200 {
		t.Fatalf("%d", res.StatusCode)
	}
	second, err := f.ln.Dial()
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(second), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	var p Problem
	if err != nil || json.Unmarshal(body, &p) != nil || res.StatusCode != 503 || p.Error != textBusy || p.Code != "busy" ||
		res.Header.Get("Retry-After") != "1" || !res.Close {
		t.Errorf("%d %v %q %v", res.StatusCode, res.Header, body, err)
	}
	if value(t, f.api.metrics.refused[refusedConnections]) != 1 {
		t.Error("not counted")
	}
	second.Close()
	if res := ask(first); res.StatusCode != 200 {
		t.Errorf("the first connection: %d", res.StatusCode)
	}
	first.Close()
}

const upgradeHead = "GET /ws?token=abc HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

func TestUpgrade(t *testing.T) {
	t.Parallel()
	type taken struct{ service, head string }
	got := make(chan taken, 1)
	f := start(t, testService(), func(_ *Config, d *Deps) {
		d.Upgrade = func(c net.Conn, service string, head []byte) error {
			got <- taken{service, string(head)}
			_, err := io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
			return err
		}
	})
	c, err := f.ln.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	if _, err := io.WriteString(c, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"+upgradeHead+"\x81\x80early"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 200 {
		t.Fatalf("%d %v", res.StatusCode, err)
	}
	in := <-got
	if in.service != "test" {
		t.Errorf("service %q", in.service)
	}
	head, rest, ok := strings.Cut(in.head, "\r\n\r\n")
	if !ok || rest != "\x81\x80early" {
		t.Errorf("behind the head came %q", rest)
	}
	req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head + "\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	if req.RequestURI != "/ws?token=abc" || !strings.EqualFold(req.Header.Get("Upgrade"), "websocket") || !strings.Contains(req.Header.Get("Connection"), "Upgrade") ||
		req.Header.Get("Sec-Websocket-Key") != "dGhlIHNhbXBsZSBub25jZQ==" || req.Header.Get("Sec-Websocket-Version") != "13" || req.Host != "x" {
		t.Errorf("head %q", head)
	}
	if line, err := r.ReadString('\n'); err != nil || line != "HTTP/1.1 101 Switching Protocols\r\n" {
		t.Errorf("%q %v", line, err)
	}
}

func TestUpgradeRefused(t *testing.T) {
	t.Parallel()
	f := start(t, testService(), func(_ *Config, d *Deps) {
		d.Upgrade = func(net.Conn, string, []byte) error { return errors.New("full") }
	})
	if res, body := f.raw(upgradeHead); res.StatusCode != 503 || !strings.Contains(body, textBusy) {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	none := start(t, testService(), nil)
	if res, body := none.raw(upgradeHead); res.StatusCode != 501 || !strings.Contains(body, "WebSocket") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, _ := none.raw(strings.Replace(upgradeHead, "/ws", "/nothing", 1)); res.StatusCode != 404 {
		t.Errorf("a path without sockets: %d", res.StatusCode)
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	f := start(t, testService(), func(c *Config, _ *Deps) { c.MaxBody = 1000 })
	post := "POST /echo/" + alice + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good:" + alice + "\r\nContent-Type: application/json\r\n"
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"declared too large": {post + "Content-Length: 5000\r\n\r\n" + strings.Repeat("a", 5000), 413},
		"chunked too large":  {post + "Transfer-Encoding: chunked\r\n\r\n7d0\r\n" + strings.Repeat("a", 2000) + "\r\n0\r\n\r\n", 413},
		"no length":          {post + "Content-Length: x\r\n\r\n", 400},
		"bad chunk":          {post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
		"no HTTP":            {"\x16\x03\x01\x02\x00\r\n\r\n", 400},
	} {
		res, body := f.raw(c.request)
		var p Problem
		if err := json.Unmarshal([]byte(body), &p); err != nil || res.StatusCode != c.status || p.Error == "" || !res.Close && c.status == 400 {
			t.Errorf("%s: %d %q, want %d", name, res.StatusCode, body, c.status)
		}
	}
}
