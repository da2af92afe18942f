package memory_test

import (
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/memory"
	"github.com/tolkflip/tolkflip/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, edit func(*memory.Config)) *memory.Store {
	t.Helper()
	cfg := memory.Default()
	if edit != nil {
		edit(&cfg)
	}
	s, err := memory.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // nothing to report: memory
	return s
}

func TestContract(t *testing.T) {
	storetest.All(t, func(tb testing.TB) storetest.Set { return storetest.Of(open(tb, nil)) })
}

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func cache(edit func(*memory.CacheConfig)) (memory.CacheConfig, *clock) {
	c := &clock{at: time.Unix(1_700_000_000, 0)}
	cfg := memory.DefaultCache()
	cfg.Now = c.now
	if edit != nil {
		edit(&cfg)
	}
	return cfg, c
}

func openCache(t testing.TB, cfg memory.CacheConfig, pass storetest.Clock) storetest.Cache {
	t.Helper()
	m := memory.NewMetrics(nil)
	codes, err1 := memory.NewCodes(cfg, m)
	limits, err2 := memory.NewLimits(cfg, m)
	recency, err3 := memory.NewRecency(cfg, m)
	responses, err4 := memory.NewResponses(cfg, m)
	board, err5 := memory.NewBoard(cfg, m)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	joined := map[store.Node]*memory.Leases{}
	return storetest.Cache{
		Codes: codes, Limits: limits, Recency: recency, Responses: responses, Pass: pass,
		Node: func(n store.Node) storetest.Node {
			mu.Lock()
			defer mu.Unlock()
			joined[n] = board.Leases(n)
			return storetest.Node{Leases: joined[n], Fanout: board.Fanout(n)}
		},
		Kill: func(n store.Node) {
			mu.Lock()
			defer mu.Unlock()
			joined[n].Abandon()
		},
	}
}

func TestContractCaches(t *testing.T) {
	storetest.Caches(t, func(tb testing.TB) storetest.Cache {
		cfg, c := cache(nil)
		return openCache(tb, cfg, c.pass)
	})
}

func counter(t *testing.T, reg prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no %s", name)
	return 0
}

func TestFullCodesRefuseAndRecover(t *testing.T) {
	t.Parallel()
	cfg, c := cache(func(c *memory.CacheConfig) { c.Codes = 10 })
	reg := prometheus.NewRegistry()
	codes, err := memory.NewCodes(cfg, memory.NewMetrics(reg))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if err := codes.Put(t.Context(), strconv.Itoa(i), "1", time.Minute, 3); err != nil {
			t.Fatal(err)
		}
	}
	if err := codes.Put(t.Context(), "one more", "1", time.Minute, 3); !errors.Is(err, store.ErrBusy) {
		t.Fatalf("a full table: %v", err)
	}
	if err := codes.Put(t.Context(), "3", "2", time.Minute, 3); err != nil {
		t.Fatalf("a known phone: %v", err)
	}
	if n := counter(t, reg, "tolkflip_codes_refused_total"); n != 1 {
		t.Fatalf("counted %v", n)
	}
	c.pass(time.Minute)
	if err := codes.Put(t.Context(), "one more", "1", time.Minute, 3); err != nil {
		t.Fatalf("after all have expired: %v", err)
	}
}

func TestFullLimitsForget(t *testing.T) {
	t.Parallel()
	cfg, _ := cache(func(c *memory.CacheConfig) { c.Windows = 64 })
	limits, err := memory.NewLimits(cfg, memory.NewMetrics(nil))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10_000 {
		if r, err := limits.Take(t.Context(), strconv.Itoa(i), 1, time.Minute); err != nil || !r.OK {
			t.Fatalf("key %d: %+v, %v", i, r, err)
		}
	}
}

func TestQueueBudgets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit  func(*memory.Config)
		fits  int
		bytes int
	}{
		"items": {func(c *memory.Config) { c.QueueItems = 5 }, 5, 10},
		"bytes": {func(c *memory.Config) { c.QueueBytes = 5 * (1000 + 128) }, 5, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pause, paused := make(chan struct{}), make(chan struct{}, 100)
			s := open(t, func(cfg *memory.Config) {
				c.edit(cfg)
				cfg.BeforeWrite = func(*store.Entry) error {
					paused <- struct{}{}
					<-pause
					return nil
				}
			})
			outcomes := make(chan error, 100)
			add := func() {
				m := store.Message{ID: id.Message{ID: id.NewGroup().ID}, Thread: id.NewGroup(), Content: make([]byte, c.bytes)}
				s.Log().Append(&store.Entry{Message: m, Done: func(e *store.Entry) { outcomes <- e.Err }})
			}
			add()
			<-paused // the first left the queue
			for range c.fits {
				add()
			}
			if len(outcomes) != 0 {
				t.Fatalf("refused %v within the budget", <-outcomes)
			}
			add()
			if err := <-outcomes; !errors.Is(err, store.ErrBusy) {
				t.Fatalf("over the budget: %v", err)
			}
			close(pause)
			for range c.fits + 1 {
				if err := <-outcomes; err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestHookRefuses(t *testing.T) {
	t.Parallel()
	s := open(t, func(c *memory.Config) { c.BeforeWrite = func(*store.Entry) error { return store.ErrBusy } })
	done := make(chan error, 1)
	thread := id.NewGroup()
	s.Log().Append(&store.Entry{
		Message: store.Message{ID: id.Message{ID: id.NewGroup().ID}, Thread: thread},
		Done:    func(e *store.Entry) { done <- e.Err },
	})
	if err := <-done; !errors.Is(err, store.ErrBusy) {
		t.Fatal(err)
	}
	if h, _ := s.Log().Head(t.Context(), thread); h != 0 {
		t.Fatalf("head = %d", h)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	if _, err := memory.New(memory.Config{}); err == nil {
		t.Fatal("an empty configuration was accepted")
	}
	if _, err := memory.NewCodes(memory.CacheConfig{}, nil); err == nil {
		t.Fatal("an empty configuration was accepted")
	}
}
