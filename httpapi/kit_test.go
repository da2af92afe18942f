package httpapi

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/valyala/fasthttp/fasthttputil"
	"go.uber.org/goleak"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/proto/token"
	"github.com/tolkflip/tolkflip/store"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp/stackless.funcWorker"), // gzip's, one a core
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2")) // sleeps up to 10 s after the pool is stopped
}

var errDown = errors.New("down")

// tokens accepts "good:<user>" and refuses "old" as expired.
type tokens struct{}

func (tokens) Check(tok []byte) (token.Claims, error) {
	if string(tok) == "old" {
		return token.Claims{}, proto.Fail(proto.Unauthenticated, "token_expired")
	}
	user, ok := strings.CutPrefix(string(tok), "good:")
	v, err := id.Parse(user)
	if !ok || err != nil {
		return token.Claims{}, proto.Fail(proto.Unauthenticated, "invalid_token")
	}
	return token.Claims{User: id.User{ID: v}, Phone: "+15550100"}, nil
}

// limits counts in memory; its windows never end.
type limits struct {
	mu   sync.Mutex
	n    map[string]int
	fail bool
}

func (l *limits) Take(_ context.Context, key string, limit int, window time.Duration) (store.Taken, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail {
		return store.Taken{}, errDown
	}
	if l.n == nil {
		l.n = map[string]int{}
	}
	l.n[key]++
	return store.Taken{OK: l.n[key] <= limit, Remaining: limit - l.n[key], Reset: window - 500*time.Millisecond}, nil
}

const alice = "11111111-1111-4111-8111-111111111111"

// fixture is one service on an in-memory listener.
type fixture struct {
	t      *testing.T
	api    *API
	server *Server
	ln     *fasthttputil.InmemoryListener
	client *http.Client
	reg    *prometheus.Registry
	limits *limits
}

func start(t *testing.T, svc Service, edit func(*Config, *Deps)) *fixture {
	t.Helper()
	f := &fixture{t: t, reg: prometheus.NewRegistry(), limits: &limits{}}
	cfg, deps := Default(), Deps{Tokens: tokens{}, Limits: f.limits, Metrics: f.reg}
	if edit != nil {
		edit(&cfg, &deps)
	}
	var err error
	if f.api, err = New(cfg, deps, slog.New(slog.DiscardHandler), f.reg); err != nil {
		t.Fatal(err)
	}
	if f.server, err = f.api.Server(svc); err != nil {
		t.Fatal(err)
	}
	f.ln = fasthttputil.NewInmemoryListener()
	done := make(chan error, 1)
	go func() { done <- f.server.Serve(f.ln) }()
	transport := &http.Transport{
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return f.ln.Dial() },
		DisableCompression: true,
	}
	f.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := f.server.Shutdown(context.Background()); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		f.api.Close()
	})
	return f
}

// do sends one request; headers come in pairs.
func (f *fixture) do(method, path, body string, headers ...string) (*http.Response, string) {
	f.t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, "http://test"+path, in)
	if err != nil {
		f.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := f.client.Do(req)
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

// raw sends bytes on a new connection and gives the first reply.
func (f *fixture) raw(request string) (*http.Response, string) {
	f.t.Helper()
	c, err := f.ln.Dial()
	if err != nil {
		f.t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		f.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
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

type echoIn struct {
	ID    id.User  `path:"id" missing:"User not found" json:"-"`
	Limit int      `query:"limit" json:"-"`
	Since *int64   `query:"since" json:"-"`
	Name  string   `json:"name"`
	Count int      `json:"count"`
	Tags  []string `json:"tags"`
	Peer  id.User  `json:"peer"`
}

func (in *echoIn) Validate() error {
	if in.Name == "bad" {
		return proto.BadField("name", "name is bad")
	}
	return nil
}

type echoOut struct {
	Success bool     `json:"success"`
	ID      id.User  `json:"id"`
	Limit   int      `json:"limit"`
	Since   *int64   `json:"since"`
	Name    string   `json:"name"`
	Tags    []string `json:"tags"`
	By      id.User  `json:"by"`
}

func echo(_ context.Context, c Caller, in echoIn) (echoOut, error) {
	switch in.Name {
	case "panic":
		panic("secret of " + in.Name)
	case "broken":
		return echoOut{}, errDown
	case "busy":
		return echoOut{}, store.ErrBusy
	case "gone":
		return echoOut{}, proto.Fail(proto.NotFound, "Thing not found")
	}
	return echoOut{true, in.ID, in.Limit, in.Since, in.Name, in.Tags, c.User}, nil
}

func testService() Service {
	return Service{
		Name:    "test",
		Health:  Health{Name: "test-service", Status: "healthy"},
		Sockets: []string{"/ws"},
		Routes: []Route{
			{Method: "POST", Path: "/echo/{id}", Auth: Bearer, Handle: Handle(201, echo), Failed: "Failed to echo"},
			{Method: "GET", Path: "/echo/{id}", Auth: Public, Handle: Handle(200, echo)},
			{Method: "GET", Path: "/me", Auth: Optional, Handle: Handle(200, func(_ context.Context, c Caller, _ struct{}) (echoOut, error) {
				return echoOut{By: c.User}, nil
			})},
			{Method: "POST", Path: "/inner", Auth: Internal, Handle: Handle(200, func(context.Context, Caller, struct{}) (struct{}, error) {
				return struct{}{}, nil
			})},
		},
	}
}

func TestEcho(t *testing.T) {
	t.Parallel()
	f := start(t, testService(), nil)
	res, body := f.do("POST", "/echo/"+alice+"?limit=7", `{"name":"n","tags":["a"],"ID":"`+alice+`","Limit":9}`, "Authorization", "Bearer good:"+alice)
	want := `{"success":true,"id":"` + alice + `","limit":7,"since":null,"name":"n","tags":["a"],"by":"` + alice + `"}`
	if res.StatusCode != 201 || body != want {
		t.Fatalf("%d %s, want %s", res.StatusCode, body, want)
	}
	if got := res.Header.Get("Content-Type"); got != jsonType {
		t.Errorf("content type %q", got)
	}
}

// value reads a counter or gauge.
func value(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.GetCounter().GetValue() + out.GetGauge().GetValue()
}
