package conn

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
)

func TestDrain(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.DrainWindow = 300 * time.Millisecond }, nil)
	const n = 40
	var peers []*peer
	for i := range byte(n) {
		p, _ := r.login(i)
		peers = append(peers, p)
	}
	idle := r.dial()
	r.until("accepted", func() bool { return r.open.Load() == n+1 })
	done := make(chan error, 1)
	go func() { done <- r.Shutdown(context.Background()) }()
	for _, p := range peers {
		p.expectClose(1001)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	idle.expectEnd()
	if c, err := net.Dial("tcp", r.addr); err == nil {
		c.Close()
		t.Error("still listening")
	}
	if got := len(r.rules.detached); got != n {
		t.Errorf("%d were detached", got)
	}
	// All of it is harmless now.
	c := router.MakeConn(0, 0, 1, 1)
	r.Deliver([]router.Conn{c, c}, 0, &proto.Pong{})
	r.Deliver([]router.Conn{c}, 0, &proto.Pong{})
	r.Multicast([][]router.Conn{{c}}, 0, &proto.Pong{})
	r.Finish(c, &proto.Pong{})
	r.Hold(c, []id.Thread{thread(1)})
	r.Close(c, 1001, "")
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if err := r.Adopt(a, "main", nil); err == nil {
		t.Error("adopted after the shutdown")
	}
	if err := r.Shutdown(context.Background()); err != nil {
		t.Errorf("shutdown again: %v", err)
	}
}

// A client that does not answer is cut when the wait is over.
func TestShutdownCuts(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil)
	p, _ := r.login(1)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Shutdown(ctx) }()
	p.expectAnswer(1001)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	p.expectEnd()
	<-r.rules.detached
}

// A feeder that runs while the server goes down is told that its connection is gone.
func TestShutdownTellsFeeders(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil)
	_, c := r.login(1)
	enter, leave := make(chan struct{}), make(chan struct{})
	f := newFeeder(t, func() bool {
		close(enter)
		<-leave
		return true
	})
	r.Feed(c, f)
	<-enter
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	done := make(chan error, 1)
	go func() { done <- r.Shutdown(ctx) }()
	r.until("cut", func() bool { return r.open.Load() == 0 })
	close(leave)
	<-done
	if len(f.gone) != 1 {
		t.Errorf("told %d times", len(f.gone))
	}
}

func TestNeverStarted(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	s, err := New(Default(), slog.New(slog.DiscardHandler), reg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Default(), slog.New(slog.DiscardHandler), reg); err == nil {
		t.Error("two servers in one registry")
	}
	if _, err := s.Listen(Port{Name: "a", Addr: "127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Listen(Port{Name: "a", Addr: "127.0.0.1:0"}); err == nil {
		t.Error("two ports of one name")
	}
	c := router.MakeConn(0, 0, 1, 5)
	s.Deliver([]router.Conn{c}, 0, &proto.Pong{})
	s.Multicast([][]router.Conn{{c}}, 0, &proto.Pong{})
	if err := s.Start(Rules{}); err == nil {
		t.Error("started without rules")
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := s.Start((&fakeRules{}).rules()); !errors.Is(err, ErrShutDown) {
		t.Errorf("started after the shutdown: %v", err)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	if err := Default().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*Config){
		"loops":   func(c *Config) { c.Loops = 0 },
		"many":    func(c *Config) { c.Loops = 251 },
		"workers": func(c *Config) { c.Workers = 0 },
		"message": func(c *Config) { c.MessageBytes = 17 << 20 },
		"input":   func(c *Config) { c.InputBytes = 1000 },
		"ping":    func(c *Config) { c.PingAfter = 0 },
		"drain":   func(c *Config) { c.DrainWindow = -1 },
		"zero":    func(c *Config) { *c = Config{} },
		"clock":   func(c *Config) { c.Now = nil },
	} {
		c := Default()
		edit(&c)
		if _, err := New(c, slog.New(slog.DiscardHandler), prometheus.NewRegistry()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	s, err := New(Default(), slog.New(slog.DiscardHandler), reg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown(context.Background())
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := 0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			series++
			if v := m.GetCounter().GetValue() + m.GetGauge().GetValue(); v != 0 {
				t.Errorf("%s begins at %v", f.GetName(), v)
			}
		}
	}
	if want := 32 + int(refusals) - 1 + int(dropReasons) + int(closeReasons); series != want {
		t.Errorf("%d series, want %d", series, want)
	}
	names := map[string]bool{}
	for i := range closeReasons {
		names[i.String()] = true
	}
	if len(names) != int(closeReasons) {
		t.Errorf("reasons %v", names)
	}
}

// TestDrainOfFew gives a drain window that nobody would wait for.
func TestDrainOfFew(t *testing.T) {
	t.Parallel()
	for _, people := range []byte{0, 1} {
		r := start(t, func(c *Config) { c.DrainWindow = time.Hour }, nil)
		var all []*peer
		for n := range people {
			p, _ := r.login(n + 1)
			all = append(all, p)
		}
		done := make(chan error, 1)
		go func() { done <- r.Shutdown(context.Background()) }()
		for _, p := range all {
			p.expectClose(1001)
		}
		if err := <-done; err != nil {
			t.Errorf("with %d connections: %v", people, err)
		}
	}
}
