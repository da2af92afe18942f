package target

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// TestMain is also the program that Spawn starts: `serve` prints what a server prints and waits for its end.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		serve()
		return
	}
	goleak.VerifyTestMain(m)
}

func serve() {
	if slices.Contains(os.Args, "--broken") {
		return
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	out := os.Stdout
	_, _ = fmt.Fprintln(out, "store pebble:x (default)\ngateway http://127.0.0.1:4000/\ntolkflip ready in 12 ms: http://127.0.0.1:4000/")
	<-end
}

func TestSpawn(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "data")
	s, err := Spawn(t.Context(), self, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.URL != "http://127.0.0.1:4000" || s.Addr.String() != "127.0.0.1:4000" || s.PID == 0 || s.Control != filepath.Join(data, "control.sock") {
		t.Errorf("the server is %+v", s)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if err := s.Stop(); err != nil {
		t.Errorf("stopped twice: %v", err)
	}
	if _, err := Spawn(t.Context(), self, data, []string{"--broken"}); err == nil || !strings.Contains(err.Error(), "data.log") {
		t.Errorf("a server that ends at once gives %v", err)
	}
	if _, err := Spawn(t.Context(), filepath.Join(data, "none"), data, nil); err == nil {
		t.Error("a program that is not there was started")
	}
}

func TestReadyLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line, base string
		ok         bool
	}{
		{"tolkflip ready in 312 ms: http://127.0.0.1:3000/", "http://127.0.0.1:3000/", true},
		{"gateway http://127.0.0.1:3000/", "", false},
		{"tolkflip ready in soon", "", false},
	} {
		if base, ok := readyLine(c.line); base != c.base && c.ok || ok != c.ok {
			t.Errorf("%q gives %q %v", c.line, base, ok)
		}
	}
}

func TestGiven(t *testing.T) {
	t.Parallel()
	s, err := Given("http://127.0.0.1:3000/", 7, "c")
	if err != nil || s.URL != "http://127.0.0.1:3000" || s.Addr.String() != "127.0.0.1:3000" || s.PID != 7 || s.Control != "c" {
		t.Errorf("%+v %v", s, err)
	}
	for _, bad := range []string{"", "nothing", "http://127.0.0.1:99999", "http://\x00"} {
		if _, err := Given(bad, 0, ""); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	if err := s.Stop(); err != nil {
		t.Errorf("a server that was given is stopped: %v", err)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			http.NotFound(w, r)
			return
		}
		_, _ = fmt.Fprint(w, "# HELP a b\n# TYPE a gauge\na 5\nb{x=\"1\"} 2\nb{x=\"2 y\"} 3.5\nc 1e+03\nbroken\nd x\n")
	}))
	defer server.Close()
	s, err := Given(server.URL, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.Metrics(t.Context())
	if err != nil || m["a"] != 5 || m["b"] != 5.5 || m["c"] != 1000 || len(m) != 3 {
		t.Errorf("%v %v", m, err)
	}
	s.URL += "/elsewhere"
	if _, err := s.Metrics(t.Context()); err == nil {
		t.Error("a 404 was read as metrics")
	}
}

func TestCollect(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/gc" {
			http.NotFound(w, r)
			return
		}
		_, _ = fmt.Fprint(w, `{"heapObjects":12,"heapAlloc":345,"goroutines":6}`)
	})}}
	server.Start()
	defer server.Close()
	s := &Server{Control: path}
	if h, err := s.Collect(t.Context()); err != nil || h != (Heap{Objects: 12, Alloc: 345, Goroutines: 6}) {
		t.Errorf("%+v %v", h, err)
	}
	if _, err := (&Server{}).Collect(t.Context()); err == nil {
		t.Error("no control socket, and no error")
	}
}
