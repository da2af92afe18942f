package httpapi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/tolkflip/tolkflip/proto"
)

const streamLimit = 100_000

type counted struct {
	Declared int64 `json:"declared"`
	N        int64 `json:"n"`
}

// streaming is a service whose handler counts what it reads; got hears of every reading.
func streaming(got chan<- error) Service {
	return Service{Name: "test", Routes: []Route{
		{Method: "POST", Path: "/count", Auth: Bearer, Stream: streamLimit, TooLarge: "File too large", Handle: Raw(func(r *Request) error {
			body := r.Stream()
			n, err := io.Copy(io.Discard, body)
			if !errors.Is(err, body.Err()) {
				err = fmt.Errorf("read said %w, Err says %w", err, body.Err())
			}
			got <- err
			if err != nil {
				return fmt.Errorf("wrapped: %w", err)
			}
			r.Reply(200, counted{body.Declared(), n})
			return nil
		})},
		{Method: "POST", Path: "/refuse", Auth: Bearer, Stream: 10 << 20, Handle: Raw(func(*Request) error {
			return proto.Fail(proto.Busy, "full")
		})},
		{Method: "POST", Path: "/memory", Auth: Bearer, Handle: Raw(func(r *Request) error {
			r.Reply(200, counted{0, int64(len(r.Body()))})
			return nil
		})},
	}}
}

const authorized = "Host: x\r\nAuthorization: Bearer good:" + alice + "\r\n"

// talk is a connection to the service, and a reader of its replies.
func (f *fixture) talk() (net.Conn, func() (*http.Response, string)) {
	f.t.Helper()
	c, err := f.ln.Dial()
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	in := bufio.NewReader(c)
	return c, func() (*http.Response, string) {
		f.t.Helper()
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			f.t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			f.t.Fatal(err)
		}
		return res, string(b)
	}
}

func write(t *testing.T, c io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

func TestStreamLimit(t *testing.T) {
	t.Parallel()
	got := make(chan error, 1)
	f := start(t, streaming(got), nil)
	const large = `{"success":false,"error":"File too large","code":"invalid"}`
	for _, c := range []struct {
		name    string
		n       int
		chunked bool
		handled bool
		status  int
		body    string
	}{
		{"empty", 0, false, true, 200, `{"declared":0,"n":0}`},
		{"one byte", 1, false, true, 200, `{"declared":1,"n":1}`},
		{"exact", streamLimit, false, true, 200, `{"declared":100000,"n":100000}`},
		{"one more", streamLimit + 1, false, false, 413, large},
		{"much more", 1 << 20, false, false, 413, large},
		{"chunked", 70_000, true, true, 200, `{"declared":-1,"n":70000}`},
		{"chunked exact", streamLimit, true, true, 200, `{"declared":-1,"n":100000}`},
		{"chunked one more", streamLimit + 1, true, true, 413, large},
		{"chunked much more", 1 << 20, true, true, 413, large},
	} {
		var in io.Reader = strings.NewReader(strings.Repeat("x", c.n))
		if c.chunked {
			in = struct{ io.Reader }{in} // hides the length
		}
		req, err := http.NewRequest("POST", "http://test/count", in)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer good:"+alice)
		res, err := f.client.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != c.status || string(b) != c.body {
			t.Errorf("%s: %d %s %v, want %d %s", c.name, res.StatusCode, b, err, c.status, c.body)
		}
		if c.handled {
			if err := <-got; (err == nil) != (c.status == 200) {
				t.Errorf("%s: the handler read %v", c.name, err)
			}
		}
	}
	if n := value(t, f.api.metrics.refused[refusedBody]); n != 4 {
		t.Errorf("%v counted, want 4", n)
	}
}

// TestDoorBeforeBody declares a body and sends a byte of it: who may not come in hears so at once.
func TestDoorBeforeBody(t *testing.T) {
	t.Parallel()
	f := start(t, streaming(make(chan error, 1)), nil)
	for _, c := range []struct {
		request string
		status  int
	}{
		{"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\nx", 401},
		{"POST /memory HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\nx", 401},
		{"POST /count HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 401},
		{"POST /count HTTP/1.1\r\n" + authorized + "Content-Length: 100001\r\n\r\nx", 413},
		{"POST /memory HTTP/1.1\r\n" + authorized + "Content-Length: 9999999\r\n\r\nx", 413},
		{"POST /nothing HTTP/1.1\r\n" + authorized + "Content-Length: 9999999\r\n\r\nx", 404},
		{"POST /refuse HTTP/1.1\r\n" + authorized + "Content-Length: 9999999\r\n\r\nx", 503},
	} {
		out, reply := f.talk()
		write(t, out, c.request)
		if res, body := reply(); res.StatusCode != c.status {
			t.Errorf("%q: %d %s, want %d", c.request, res.StatusCode, body, c.status)
		}
	}
}

func TestExpect(t *testing.T) {
	t.Parallel()
	got := make(chan error, 1)
	f := start(t, streaming(got), nil)
	for _, c := range []struct {
		head   string
		status int
	}{
		{"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n", 401},
		{"POST /count HTTP/1.1\r\n" + authorized + "Content-Length: 100001\r\n", 413},
		{"POST /memory HTTP/1.1\r\n" + authorized + "Content-Length: 9999999\r\n", 413},
		{"POST /nothing HTTP/1.1\r\n" + authorized + "Content-Length: 5\r\n", 404},
		{"PUT /count HTTP/1.1\r\n" + authorized + "Content-Length: 5\r\n", 405},
	} {
		out, reply := f.talk()
		write(t, out, c.head+"Expect: 100-continue\r\n\r\n")
		res, body := reply()
		if res.StatusCode != c.status || !strings.Contains(body, `"error"`) || !res.Close {
			t.Errorf("%q: %d %s", c.head, res.StatusCode, body)
		}
	}
	for path, want := range map[string]string{"/count": `{"declared":5,"n":5}`, "/memory": `{"declared":0,"n":0}`} {
		out, reply := f.talk()
		write(t, out, "POST "+path+" HTTP/1.1\r\n"+authorized+"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		if res, _ := reply(); res.StatusCode != 100 {
			t.Fatalf("%s: %d, want 100", path, res.StatusCode)
		}
		write(t, out, "12345")
		if res, body := reply(); res.StatusCode != 200 || body != want || res.Header.Get("RateLimit-Remaining") == "" {
			t.Errorf("%s: %d %s, want %s", path, res.StatusCode, body, want)
		}
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
	if n := value(t, f.api.metrics.inFlight); n != 0 {
		t.Errorf("%v in flight", n)
	}
	f.limits.mu.Lock()
	defer f.limits.mu.Unlock()
	if n := f.limits.n["http:user:"+alice]; n != 4 {
		t.Errorf("the user was counted %d times for 4 requests that matched a route", n)
	}
}

func TestSlowStream(t *testing.T) {
	t.Parallel()
	got := make(chan error, 1)
	f := start(t, streaming(got), func(c *Config, _ *Deps) { c.StreamSilence = time.Millisecond })
	out, reply := f.talk()
	write(t, out, "POST /count HTTP/1.1\r\n"+authorized+"Content-Length: 10\r\n\r\n12345")
	res, body := reply()
	if err := <-got; res.StatusCode != 408 || !res.Close || !errors.Is(err, errSlow) {
		t.Errorf("%d %s, the handler read %v", res.StatusCode, body, err)
	}
	if n := value(t, f.api.metrics.refused[refusedSlow]); n != 1 {
		t.Errorf("counted %v times", n)
	}
}

// TestCloseEndsStreams closes the kit while a body is waited for.
func TestCloseEndsStreams(t *testing.T) {
	t.Parallel()
	got := make(chan error, 1)
	f := start(t, streaming(got), func(c *Config, _ *Deps) { c.StreamSilence = time.Hour })
	out, reply := f.talk()
	write(t, out, "POST /count HTTP/1.1\r\n"+authorized+"Content-Length: 10\r\n\r\n12345")
	f.api.Close()
	if res, body := reply(); <-got == nil || res.StatusCode < 400 {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestSlowBody(t *testing.T) {
	t.Parallel()
	f := start(t, streaming(nil), func(c *Config, _ *Deps) { c.BodyTimeout = time.Millisecond })
	out, reply := f.talk()
	write(t, out, "POST /memory HTTP/1.1\r\n"+authorized+"Content-Length: 10\r\n\r\n12345")
	if res, body := reply(); res.StatusCode != 408 || !res.Close {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestCutStream(t *testing.T) {
	t.Parallel()
	got := make(chan error, 1)
	f := start(t, streaming(got), nil)
	for _, request := range []string{
		"Content-Length: 10\r\n\r\n12345",
		"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
		"Transfer-Encoding: chunked\r\n\r\n5\r\n123",
		"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
	} {
		out, _ := f.talk()
		write(t, out, "POST /count HTTP/1.1\r\n"+authorized+request)
		out.Close()
		if err := <-got; !errors.Is(err, ErrCut) {
			t.Errorf("%q: %v", request, err)
		}
	}
}

// TestUnreadBodies keeps a connection whose small body nobody wanted, and lets one who sends a large one
// read the refusal after sending all.
func TestUnreadBodies(t *testing.T) {
	t.Parallel()
	f := start(t, streaming(make(chan error, 1)), nil)
	out, reply := f.talk()
	for range 3 {
		write(t, out, "POST /refuse HTTP/1.1\r\n"+authorized+"Content-Length: 1000\r\n\r\n"+strings.Repeat("x", 1000))
		if res, _ := reply(); res.StatusCode != 503 || res.Close {
			t.Fatalf("%d, close %t", res.StatusCode, res.Close)
		}
	}
	for _, length := range []string{"Content-Length: 4000000", "Transfer-Encoding: chunked"} {
		out, reply := f.talk()
		write(t, out, "POST /refuse HTTP/1.1\r\n"+authorized+length+"\r\n\r\n")
		for range 4 { // each waits for a reader
			write(t, out, strings.Repeat("x", 1_000_000))
		}
		if res, body := reply(); res.StatusCode != 503 || !res.Close || !strings.Contains(body, "full") {
			t.Errorf("%s: %d %s, close %t", length, res.StatusCode, body, res.Close)
		}
		out.Close()
	}
}

// TestLingersAreBounded: over the budget a refused client is not read away, though it is answered; who keeps
// sending is cut when the server stops. Each end is counted.
func TestLingersAreBounded(t *testing.T) {
	t.Parallel()
	f := start(t, streaming(make(chan error, 1)), nil)
	refuse := func() (net.Conn, *http.Response) {
		out, reply := f.talk()
		write(t, out, "POST /refuse HTTP/1.1\r\n"+authorized+"Content-Length: 4000000\r\n\r\nx")
		res, _ := reply()
		return out, res
	}
	settled := func(end lingerEnd) {
		t.Helper()
		for value(t, f.api.metrics.lingers[end]) != 1 {
			runtime.Gosched()
		}
	}
	out, res := refuse()
	if res.StatusCode != 503 || !res.Close {
		t.Errorf("%d, close %t", res.StatusCode, res.Close)
	}
	out.Close()
	settled(lingerDone)

	f.api.lingers.mu.Lock()
	f.api.lingers.n += lingerMost
	f.api.lingers.mu.Unlock()
	out, res = refuse()
	if res.StatusCode != 503 || !res.Close {
		t.Errorf("over the budget: %d, close %t", res.StatusCode, res.Close)
	}
	if n, err := io.Copy(io.Discard, out); n != 0 || err != nil {
		t.Errorf("%d bytes more, %v", n, err)
	}
	settled(lingerFull)
	f.api.lingers.mu.Lock()
	f.api.lingers.n -= lingerMost
	f.api.lingers.mu.Unlock()

	_, res = refuse()
	if res.StatusCode != 503 {
		t.Errorf("%d", res.StatusCode)
	}
	f.api.Close()
	settled(lingerCut)
}

func TestPatience(t *testing.T) {
	t.Parallel()
	c := Config{StreamSilence: 30 * time.Second, StreamRate: 1000}
	for _, tc := range []struct {
		waited time.Duration
		n      int64
		want   time.Duration
	}{
		{0, 0, 30 * time.Second},
		{29 * time.Second, 1, time.Second + time.Millisecond}, // a byte now and then gains nothing
		{30 * time.Second, 0, 0},
		{10 * time.Second, 5_000, 25 * time.Second},
		{10 * time.Second, 100_000, 30 * time.Second},  // never more than the silence
		{100 * time.Second, 70_000, 0},                 // the average is reached right now
		{100 * time.Second, 60_000, -10 * time.Second}, // and here it was missed
	} {
		if got := c.patience(tc.waited, tc.n); got != tc.want {
			t.Errorf("after waiting %v for %d bytes: %v, want %v", tc.waited, tc.n, got, tc.want)
		}
	}
}

// closing tells whether it was closed.
type closing struct {
	io.Reader
	closed chan struct{}
}

func (c closing) Close() error {
	close(c.closed)
	return nil
}

func TestReplyStream(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("0123456789", 20_000)
	closed := make(chan struct{})
	var from io.Reader
	f := start(t, Service{Name: "test", Routes: []Route{{Method: "GET", Path: "/file", Handle: Raw(func(r *Request) error {
		r.SetHeader("Cache-Control", "private")
		if r.IsHead() {
			r.ReplyLength(200, "image/png", int64(len(large)))
			return nil
		}
		r.ReplyStream(200, "image/png", closing{from, closed}, int64(len(large)))
		return nil
	})}}}, nil)
	from = strings.NewReader(large)
	res, body := f.do("GET", "/file", "", "Accept-Encoding", "gzip")
	if res.StatusCode != 200 || body != large || res.ContentLength != int64(len(large)) || res.Header.Get("Content-Type") != "image/png" ||
		res.Header.Get("Content-Encoding") != "" || res.Header.Get("Cache-Control") != "private" {
		t.Errorf("%d %v, %d bytes", res.StatusCode, res.Header, len(body))
	}
	<-closed
	res, body = f.do("HEAD", "/file", "")
	if res.StatusCode != 200 || body != "" || res.ContentLength != int64(len(large)) || res.Header.Get("Content-Type") != "image/png" {
		t.Errorf("HEAD: %d %v, %d bytes", res.StatusCode, res.Header, len(body))
	}
	closed = make(chan struct{})
	from = io.MultiReader(strings.NewReader(large[:100_000]), iotest.ErrReader(errDown))
	res, err := f.client.Get("http://test/file")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.Copy(io.Discard, res.Body); err == nil {
		t.Errorf("a file that broke off reads as whole, %d bytes", n)
	}
	<-closed
}

func TestOrigin(t *testing.T) {
	t.Parallel()
	f := start(t, Service{Name: "test", Routes: []Route{{Method: "GET", Path: "/", Handle: Raw(func(r *Request) error {
		r.Reply(200, map[string]string{"origin": r.Origin()})
		return nil
	})}}}, nil)
	for host, want := range map[string]string{
		"chat.example.com": "http://chat.example.com", "127.0.0.1:3000": "http://127.0.0.1:3000", "[::1]:3000": "http://[::1]:3000",
		`a"b`: "http://localhost",
	} {
		out, reply := f.talk()
		write(t, out, "GET / HTTP/1.1\r\nHost: "+host+"\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n\r\n")
		if _, body := reply(); body != `{"origin":"`+want+`"}` {
			t.Errorf("%s: %s, want %s", host, body, want)
		}
	}
}
