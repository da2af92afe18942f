package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// asServer makes this test binary behave as tolkflip itself, so that tests can start a server in a
// process of its own and kill it.
const asServer = "TOLKFLIP_TEST_AS_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		main()
	}
	goleak.VerifyTestMain(m,
		goleak.Cleanup(func(code int) {
			if err := shared.remove(); err != nil {
				fmt.Fprintln(os.Stderr, "what the tests left in the real stores stays:", err)
			}
			os.Exit(code)
		}),
		goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"), // the test client's idle connections
		goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"), // sees the stop when its sleep ends
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),    // one a process, for life
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp/stackless.funcWorker"),      // one a core, for life
	)
}

// testServer is a whole server in this process, on free ports.
type testServer struct {
	*server
	URL  string            // the gateway
	URLs map[string]string // by service
	Data string

	secret string       // signs its tokens
	stop   func() error // ends it early; start's cleanup calls it otherwise
}

// start runs a whole server in this process with --dev on free ports and stores in memory, edited by edit.
func start(t *testing.T, edit func(*Config)) *testServer {
	t.Helper()
	return startOn(t, embedded(), edit)
}

// startOn is start on a stack, which beats edit.
func startOn(t *testing.T, on stack, edit func(*Config)) *testServer {
	t.Helper()
	cfg := Config{}
	defaults(t, &cfg)
	cfg.Dev, cfg.PortBase, cfg.Data, cfg.Store, cfg.Drain = true, 0, filepath.Join(t.TempDir(), "data"), "memory:", 0
	if edit != nil {
		edit(&cfg)
	}
	on.edit(&cfg)
	if err := cfg.complete(); err != nil {
		t.Fatal(err)
	}
	s, err := newServer(t.Context(), cfg, &settings{source: map[string]string{}, secrets: on.secrets}, slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	ready := make(chan struct{})
	go func() { done <- s.run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		cancel()
		t.Fatalf("the server did not start: %v", err)
	}
	stopped := false
	stop := func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	secret := on.secrets["jwt-secret"]
	if secret == "" {
		secret = strings.TrimSpace(string(must[[]byte](t, "secret")(os.ReadFile(filepath.Join(cfg.Data, "jwt-secret")))))
	}
	return &testServer{server: s, URL: s.urls["gateway"], URLs: s.urls, Data: cfg.Data, secret: secret, stop: stop}
}

// defaults fills cfg as the command line would without a flag.
func defaults(t *testing.T, cfg *Config) {
	t.Helper()
	var cli commands
	parser, err := newParser(&cli, &settings{source: map[string]string{}}, io.Discard, io.Discard, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"serve"}); err != nil {
		t.Fatal(err)
	}
	*cfg = cli.Serve.Config
}

// testLog sends a server's log to its test.
type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}
