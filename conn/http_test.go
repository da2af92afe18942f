package conn

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/valyala/fasthttp"
)

// serveHTTP runs a fasthttp server on the rig's port: it tells what it was asked, and hands upgrades back.
func (r *rig) serveHTTP(handler fasthttp.RequestHandler) {
	if handler == nil {
		handler = func(ctx *fasthttp.RequestCtx) {
			if ctx.Request.Header.ConnectionUpgrade() {
				head := append([]byte(nil), ctx.Request.Header.Header()...)
				ctx.HijackSetNoResponse(true)
				ctx.Hijack(func(c net.Conn) {
					if err := r.Adopt(c, "main", head); err != nil {
						r.t.Errorf("adopt: %v", err)
					}
				})
				return
			}
			fmt.Fprintf(ctx, "%s %s %d %s", ctx.Method(), ctx.Path(), len(ctx.PostBody()), ctx.RemoteAddr())
		}
	}
	srv := &fasthttp.Server{Handler: handler, Logger: quiet{}}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(r.HTTP("main")) }()
	r.t.Cleanup(func() {
		srv.CloseOnShutdown = true
		if err := srv.Shutdown(); err != nil {
			r.t.Errorf("fasthttp shutdown: %v", err)
		}
		if err := <-done; err != nil && !errors.Is(err, net.ErrClosed) {
			r.t.Errorf("serve: %v", err)
		}
	})
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// reply reads one HTTP response.
func (p *peer) reply() (int, string) {
	p.t.Helper()
	res, err := http.ReadResponse(p.r, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestHandOverToHTTP(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil)
	r.serveHTTP(nil)
	p := r.dial()
	post := "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
	for cut := 1; cut < len(post); cut++ {
		p := r.dial()
		p.write(post[:cut])
		r.settled()
		p.write(post[cut:])
		if code, body := p.reply(); code != 200 || body != "POST /a 5 "+p.LocalAddr().String() {
			t.Fatalf("cut at %d: %d %q", cut, code, body)
		}
		p.Close()
	}
	// Pipelined, a socket's path without an upgrade among them, then an upgrade on the kept-alive connection.
	p.write(post + "GET /b HTTP/1.1\r\nHost: x\r\n\r\n" + "GET /ws HTTP/1.1\r\nHost: x\r\n\r\n")
	for _, want := range []string{"POST /a 5 ", "GET /b 0 ", "GET /ws 0 "} {
		if code, body := p.reply(); code != 200 || body != want+p.LocalAddr().String() {
			t.Fatalf("got %d %q", code, body)
		}
	}
	r.until("counted", func() bool { return r.withHTTP.Load() == 1 })
	p.write(handshake("/ws?token=tok1"))
	p.accepted()
	p.expect("authenticated")
	c := <-r.rules.attached
	r.look(c.Conn, func(_ *loop, s *slot) {
		if s.address().String() != p.LocalAddr().String() {
			t.Errorf("address %s", s.address())
		}
	})
	p.text(`{"action":"ping"}`)
	p.expect("pong")
	r.until("off the budget", func() bool { return r.withHTTP.Load() == 0 })
	p.Close()
	<-r.rules.detached
}

// Frames right behind the upgrade's head are in the HTTP server's buffer.
func TestAdoptWithBufferedFrames(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil)
	r.serveHTTP(nil)
	p := r.dial()
	p.write("GET /b HTTP/1.1\r\nHost: x\r\n\r\n" + handshake("/chat") + masked(1, true, `{"action":"authenticate","token":"tok1"}`) +
		masked(1, true, `{"action":"ping"}`))
	p.reply()
	p.accepted()
	p.expect("authenticated")
	p.expect("pong")
}

func TestAdoptRefuses(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.MaxConnections = 1 }, nil)
	r.login(1)
	errs := make(chan error, 1)
	r.serveHTTP(nil)
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if err := r.Adopt(a, "main", nil); err == nil {
		t.Error("a pipe was adopted")
	}
	if err := r.Adopt(a, "nowhere", nil); err == nil {
		t.Error("adopted for a port that is not there")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err == nil {
			err = r.Adopt(c, "main", []byte(handshake("/ws")))
			c.Close()
		}
		errs <- err
	}()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := <-errs; err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("over the limit: %v", err)
	}
}

func TestHTTPBudget(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.HTTPConnections = 1 }, nil)
	r.serveHTTP(nil)
	get := "GET /b HTTP/1.1\r\nHost: x\r\n\r\n"
	p := r.dial()
	p.write(get)
	p.reply()
	q := r.dial()
	q.write(get)
	if h := q.head(); !strings.HasPrefix(h, "HTTP/1.1 503") || !strings.Contains(h, "Retry-After: 1\r\n") {
		t.Errorf("got %q", h)
	}
	p.Close()
	r.until("given back", func() bool { return r.withHTTP.Load() == 0 })
	q = r.dial()
	q.write(get)
	if code, _ := q.reply(); code != 200 {
		t.Errorf("got %d", code)
	}
}

func TestHeads(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil)
	line := "GET /ws HTTP/1.1\r\nHost: x\r\nX: "
	for name, c := range map[string]struct {
		in     string
		status string
	}{
		"too large":                     {line + strings.Repeat("a", 9<<10), "431"},
		"too large, whole in one write": {line + strings.Repeat("a", 9<<10) + "\r\n\r\n", "431"},
		"TLS":                           {"\x16\x03\x01\x02\x00\x01", "400"},
		"bare newline":                  {"GET / HTTP/1.1\nHost: x\n\n", "400"},
		"no key":                        {strings.Replace(handshake("/ws"), key, "short", 1), "400"},
		"wrong version":                 {strings.Replace(handshake("/ws"), "Version: 13", "Version: 8", 1), "426"},
		"POST":                          {strings.Replace(handshake("/ws"), "GET", "POST", 1), "405"},
	} {
		p := r.dial()
		p.write(c.in)
		if h := p.head(); !strings.HasPrefix(h, "HTTP/1.1 "+c.status+" ") {
			t.Errorf("%s: got %q", name, h)
		}
		p.Close()
	}
	r.until("gone", func() bool { return r.open.Load() == 0 })
	exact := line + strings.Repeat("a", 8<<10-len(line)-4) + "\r\n\r\n" // 8 KiB with the blank line
	r.serveHTTP(func(ctx *fasthttp.RequestCtx) { ctx.SetStatusCode(204) })
	p := r.dial()
	p.write(exact)
	if code, _ := p.reply(); code != 204 && code != 431 { // the HTTP server's own limit may be a little lower
		t.Errorf("got %d", code)
	}
}

// A listener that nobody accepts from gives what it has back.
func TestHTTPListenerClose(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil)
	p := r.dial()
	p.write("GET /b HTTP/1.1\r\nHost: x\r\n\r\n")
	r.until("queued", func() bool { return r.withHTTP.Load() == 1 })
	ln := r.HTTP("main")
	if ln.Addr().String() != r.addr {
		t.Errorf("address %s", ln.Addr())
	}
	ln.Close()
	ln.Close()
	if h := p.head(); !strings.HasPrefix(h, "HTTP/1.1 503") {
		t.Errorf("got %q", h)
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept: %v", err)
	}
	q := r.dial()
	q.write("GET /b HTTP/1.1\r\nHost: x\r\n\r\n")
	if h := q.head(); !strings.HasPrefix(h, "HTTP/1.1 503") {
		t.Errorf("got %q", h)
	}
	if r.HTTP("nowhere") != nil {
		t.Error("a listener for no port")
	}
}

func TestListenTwice(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil)
	if _, err := r.Listen(Port{Name: "late", Addr: "127.0.0.1:0"}); err == nil {
		t.Error("listening after Start")
	}
	if err := r.Start(r.rules.rules()); err == nil {
		t.Error("started twice")
	}
	if _, _, err := listen(r.addr); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), r.addr) {
		t.Errorf("a taken port: %v", err)
	}
}
