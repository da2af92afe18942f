package auth

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp/fasthttputil"
	"go.uber.org/goleak"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/proto/token"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/memory"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp/stackless.funcWorker"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// sms keeps what was sent.
type sms struct {
	mu   sync.Mutex
	sent []string // "number text"
	fail error
}

func (s *sms) Send(_ context.Context, to, text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.sent = append(s.sent, to+" "+text)
	return nil
}

func (s *sms) failWith(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *sms) last(t *testing.T) (n int, code string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sent) == 0 {
		t.Fatal("nothing was sent")
	}
	return len(s.sent), s.sent[len(s.sent)-1][len(s.sent[len(s.sent)-1])-6:]
}

// closer notes which sockets the gate closed.
type closer struct {
	mu     sync.Mutex
	closed []id.Session
}

func (c *closer) CloseUser(id.User, uint16, string) {}

func (c *closer) CloseSession(_ id.User, s id.Session, _ uint16, _ string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = append(c.closed, s)
}

// clock is a time that tests move.
type clock struct{ ms atomic.Int64 }

func (c *clock) now() time.Time           { return time.UnixMilli(c.ms.Load()) }
func (c *clock) pass(d time.Duration)     { c.ms.Add(d.Milliseconds()) }
func newClock() *clock                    { c := &clock{}; c.ms.Store(1_800_000_000_000); return c }
func (c *clock) in(d time.Duration) int64 { return c.now().Add(d).UnixMilli() }

// from is a listener whose connections come from an address of the test's choice.
type from struct {
	*fasthttputil.InmemoryListener
	addr atomic.Pointer[net.TCPAddr]
}

type addressed struct {
	net.Conn
	addr net.Addr
}

func (c addressed) RemoteAddr() net.Addr { return c.addr }

func (l *from) Accept() (net.Conn, error) {
	c, err := l.InmemoryListener.Accept()
	if err != nil {
		return nil, err
	}
	return addressed{c, l.addr.Load()}, nil
}

type fixture struct {
	t      *testing.T
	clock  *clock
	users  store.Users
	ses    store.Sessions
	signer *token.Signer
	gate   *router.Gate
	closer *closer
	sms    *sms
	logs   *strings.Builder
	ln     *from
	client *http.Client
}

// start runs the service with real stores in memory. Without edit it sends SMS.
func start(t *testing.T, edit func(*Config, *Deps)) *fixture {
	t.Helper()
	f := &fixture{t: t, clock: newClock(), closer: &closer{}, sms: &sms{}, logs: &strings.Builder{}}
	reg := prometheus.NewRegistry()
	mem := memory.Default()
	mem.Now = f.clock.now
	db, err := memory.New(mem)
	fatal(t, err)
	t.Cleanup(func() { fatal(t, db.Close()) })
	f.users, f.ses = db.Users(), db.Sessions()
	cache, m := memory.DefaultCache(), memory.NewMetrics(reg)
	cache.Now = f.clock.now
	codes, err := memory.NewCodes(cache, m)
	fatal(t, err)
	limits, err := memory.NewLimits(cache, m)
	fatal(t, err)
	f.signer, err = token.NewSigner([]byte("k3yk3yk3yk3yk3yk3yk3yk3yk3yk3y-0123456789"))
	fatal(t, err)
	f.gate, err = router.NewGate(context.Background(), f.signer, f.ses, f.closer, f.clock.now)
	fatal(t, err)

	cfg := Default()
	deps := Deps{
		Users: f.users, Sessions: f.ses, Codes: codes, Limits: limits, Tokens: f.signer, Gate: f.gate, SMS: f.sms, Now: f.clock.now,
	}
	if edit != nil {
		edit(&cfg, &deps)
	}
	log := slog.New(slog.NewTextHandler(f.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	svc, err := New(cfg, deps, log, reg)
	fatal(t, err)
	kit := httpapi.Default()
	kit.AddressLimit = 1 << 20
	api, err := httpapi.New(kit, httpapi.Deps{Tokens: f.gate, Limits: limits, Metrics: reg}, slog.New(slog.DiscardHandler), reg)
	fatal(t, err)
	t.Cleanup(api.Close)
	server, err := api.Server(svc)
	fatal(t, err)
	f.ln = &from{InmemoryListener: fasthttputil.NewInmemoryListener()}
	f.at("198.51.100.1")
	done := make(chan error, 1)
	go func() { done <- server.Serve(f.ln) }()
	f.client = &http.Client{Transport: &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return f.ln.Dial() },
		DisableKeepAlives: true, // so that at counts for the next request
	}}
	t.Cleanup(func() {
		fatal(t, server.Shutdown(context.Background()))
		fatal(t, <-done)
	})
	return f
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// at sets the address of the requests to come.
func (f *fixture) at(ip string) { f.ln.addr.Store(&net.TCPAddr{IP: net.ParseIP(ip), Port: 1}) }

type body = map[string]any

// post sends a JSON text and reads one.
func (f *fixture) post(path, in string, headers ...string) (int, body, http.Header) {
	f.t.Helper()
	req, err := http.NewRequest("POST", "http://auth"+path, strings.NewReader(in))
	fatal(f.t, err)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := f.client.Do(req)
	fatal(f.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	fatal(f.t, err)
	var out body
	if err := json.Unmarshal(b, &out); err != nil {
		f.t.Fatalf("%s: %d %q: %v", path, res.StatusCode, b, err)
	}
	return res.StatusCode, out, res.Header
}

// want is post with the status and error text that must come (empty: none).
func (f *fixture) want(status int, text, path, in string, headers ...string) body {
	f.t.Helper()
	got, out, _ := f.post(path, in, headers...)
	if e, _ := out["error"].(string); got != status || e != text {
		f.t.Fatalf("%s %s: %d %v, want %d %q", path, in, got, out, status, text)
	}
	return out
}

// code asks for a code and gives what was sent.
func (f *fixture) code(phone string) string {
	f.t.Helper()
	f.clock.pass(61 * time.Second)
	f.want(200, "", "/request-code", `{"phone_number":"`+phone+`"}`)
	_, code := f.sms.last(f.t)
	return code
}

// enter logs in by /verify.
func (f *fixture) enter(phone, more string) body {
	f.t.Helper()
	return f.want(200, "", "/verify", `{"phone_number":"`+phone+`","code":"`+f.code(phone)+`"`+more+`}`)
}

func (f *fixture) check(tok any) (token.Claims, error) {
	text, _ := tok.(string)
	return f.gate.Check([]byte(text))
}

// other gives a code that is not the right one.
func other(code string) string {
	if code[0] == '0' {
		return "1" + code[1:]
	}
	return "0" + code[1:]
}
