// Package apitest runs a service on the real kit, without a network: once on its own port and once as the
// gateway mounts it, with tokens that name their user. Doors is a test that every service must pass.
package apitest

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp/fasthttputil"
	"go.uber.org/goleak"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/proto/token"
	"github.com/tolkflip/tolkflip/store"
)

// Main is the TestMain of a service: it fails when goroutines remain, save two of fasthttp's that end by
// themselves within seconds.
func Main(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// Server is a running service.
type Server struct {
	t       testing.TB
	port    *http.Client
	gateway *http.Client
}

// Start serves svc until the test ends.
func Start(t testing.TB, svc httpapi.Service) *Server {
	t.Helper()
	reg := prometheus.NewRegistry()
	cfg := httpapi.Default() // but no test is decided by how fast the machine is
	for _, d := range []*time.Duration{
		&cfg.CallTimeout, &cfg.HeaderTimeout, &cfg.BodyTimeout, &cfg.WriteTimeout, &cfg.IdleTimeout, &cfg.StreamSilence,
	} {
		*d = time.Hour
	}
	api, err := httpapi.New(cfg, httpapi.Deps{Tokens: tokens{}, Limits: limits{}, Metrics: reg}, slog.New(slog.DiscardHandler), reg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	s := &Server{t: t, port: serve(t, api, svc)}
	front := httpapi.Service{Name: "gateway", Health: svc.Health}
	for _, r := range svc.Routes {
		for _, p := range r.Gateway {
			r.Path = p
			front.Routes = append(front.Routes, r)
		}
	}
	s.gateway = serve(t, api, front)
	return s
}

func serve(t testing.TB, api *httpapi.API, svc httpapi.Service) *http.Client {
	t.Helper()
	server, err := api.Server(svc)
	if err != nil {
		t.Fatal(err)
	}
	ln := fasthttputil.NewInmemoryListener()
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	transport := &http.Transport{
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return ln.Dial() },
		DisableCompression: true,
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := server.Shutdown(context.Background()); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return &http.Client{Transport: transport}
}

// tokens accepts "user:<id>".
type tokens struct{}

func (tokens) Check(tok []byte) (token.Claims, error) {
	text, ok := strings.CutPrefix(string(tok), "user:")
	v, err := id.Parse(text)
	if !ok || err != nil {
		return token.Claims{}, proto.Fail(proto.Unauthenticated, "invalid_token")
	}
	return token.Claims{User: id.User{ID: v}}, nil
}

// limits never refuses.
type limits struct{}

func (limits) Take(_ context.Context, _ string, limit int, window time.Duration) (store.Taken, error) {
	return store.Taken{OK: true, Remaining: limit, Reset: window}, nil
}

// Client is one user of the service's own port or of the gateway.
type Client struct {
	t    testing.TB
	http *http.Client
	user id.User
}

// As gives a client with a user's token on the service's own port; an absent user has no token.
func (s *Server) As(u id.User) *Client { return &Client{t: s.t, http: s.port, user: u} }

// ViaGateway is the same client on the gateway.
func (s *Server) ViaGateway(u id.User) *Client { return &Client{t: s.t, http: s.gateway, user: u} }

// Reply is what came back.
type Reply struct {
	Status int
	Header http.Header
	Text   string
	Body   map[string]any // absent when the body is not a JSON object
}

// Do sends a request. The body is a string, sent as it is, or anything else, sent as JSON; nil sends none.
func (c *Client) Do(method, path string, body any) Reply {
	c.t.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			c.t.Fatal(err)
		}
		in = strings.NewReader(string(text))
	}
	if in == nil {
		return c.Send(method, path, nil)
	}
	return c.Send(method, path, in, "Content-Type", "application/json")
}

// Send is Do with a body of any kind and headers in pairs.
func (c *Client) Send(method, path string, body io.Reader, headers ...string) Reply {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, "http://test"+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	if !c.user.IsZero() {
		req.Header.Set("Authorization", "Bearer user:"+c.user.String())
	}
	res, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	r := Reply{Status: res.StatusCode, Header: res.Header, Text: string(text)}
	_ = json.Unmarshal(text, &r.Body) // a body that is no object stays absent
	return r
}

// Want is Do with the status that must come.
func (c *Client) Want(status int, method, path string, body any) Reply {
	c.t.Helper()
	r := c.Do(method, path, body)
	if r.Status != status {
		c.t.Fatalf("%s %s: %d %s, want %d", method, path, r.Status, r.Text, status)
	}
	return r
}

// Refused is Want for an error with a text and, where it is not empty, a field.
func (c *Client) Refused(status int, text, field, method, path string, body any) {
	c.t.Helper()
	r := c.Do(method, path, body)
	got, _ := r.Body["field"].(string)
	if r.Status != status || r.Body["error"] != text || got != field {
		c.t.Errorf("%s %s %v: %d %s, want %d %q field %q", method, path, body, r.Status, r.Text, status, text, field)
	}
}
