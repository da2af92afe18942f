package memory_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/memory"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestFullRecencyForgets fills in far more than there is room for: what is still known is right.
func TestFullRecencyForgets(t *testing.T) {
	t.Parallel()
	const places = 32 * 100
	cfg, _ := cache(func(c *memory.CacheConfig) { c.Places = places })
	reg := prometheus.NewRegistry()
	r, err := memory.NewRecency(cfg, memory.NewMetrics(reg))
	must(t, err)
	users := make([]id.User, 1000)
	for i := range users {
		users[i] = id.NewUser()
		_, _, err := r.Newest(t.Context(), users[i], store.Place{}, 1)
		must(t, err)
		must(t, r.Fill(t.Context(), users[i], []store.Place{{At: int64(i), Thread: id.NewGroup()}, {At: -1, Thread: id.NewGroup()}}))
		must(t, r.Touch(t.Context(), id.NewGroup(), int64(i)+1, users[i:i+1]))
	}
	known := 0
	for i, u := range users {
		list, ok, err := r.Newest(t.Context(), u, store.Place{}, 10)
		must(t, err)
		if !ok {
			continue
		}
		if known++; len(list) != 3 || list[0].At != int64(i)+1 {
			t.Fatalf("user %d: %v", i, list)
		}
	}
	if known == 0 || known*3 > places {
		t.Errorf("%d lists are known", known)
	}
	if counter(t, reg, "tolkflip_recency_evicted_total") == 0 {
		t.Error("nothing was counted")
	}
	big := make([]store.Place, places)
	for i := range big {
		big[i].Thread = id.NewGroup()
	}
	must(t, r.Fill(t.Context(), users[999], big))
	if _, ok, err := r.Newest(t.Context(), users[999], store.Place{}, 1); ok || err != nil {
		t.Errorf("a list that does not fit is known: %v", err)
	}
}

func TestFullBoardRefuses(t *testing.T) {
	t.Parallel()
	cfg, c := cache(func(c *memory.CacheConfig) { c.Leases = 3 })
	reg := prometheus.NewRegistry()
	b, err := memory.NewBoard(cfg, memory.NewMetrics(reg))
	must(t, err)
	one, two := b.Leases(store.Node{ID: id.ID{1}}), b.Leases(store.Node{ID: id.ID{2}})
	u, v, w := id.NewUser(), id.NewUser(), id.NewUser()
	must(t, one.Hold(t.Context(), u, v))
	must(t, two.Hold(t.Context(), u))
	must(t, two.Hold(t.Context(), u))
	if err := two.Hold(t.Context(), w); !errors.Is(err, store.ErrBusy) {
		t.Fatalf("a lease too many: %v", err)
	}
	if n := counter(t, reg, "tolkflip_leases_refused_total"); n != 1 {
		t.Errorf("counted %v", n)
	}
	one.Abandon()
	c.pass(cfg.LeaseLapse)
	if _, err := two.Of(t.Context(), []id.User{u}); err != nil {
		t.Fatal(err)
	}
	must(t, two.Hold(t.Context(), w))
	must(t, two.Close())
	if list, err := two.Of(t.Context(), []id.User{u, w}); err != nil || len(list[0])+len(list[1]) != 0 {
		t.Errorf("held after Close: %v, %v", list, err)
	}
}

func TestFullResponsesForget(t *testing.T) {
	t.Parallel()
	cfg, _ := cache(func(c *memory.CacheConfig) { c.Responses = 16 * 10_000 })
	reg := prometheus.NewRegistry()
	r, err := memory.NewResponses(cfg, memory.NewMetrics(reg))
	must(t, err)
	found := 0
	for i := range 1000 {
		must(t, r.Put(t.Context(), strconv.Itoa(i), 0, make([]byte, 1000), time.Hour))
	}
	for i := range 1000 {
		v, err := r.Get(t.Context(), strconv.Itoa(i))
		must(t, err)
		if v.Found {
			found++
		}
	}
	if found == 0 || found > 160 {
		t.Errorf("%d values are kept", found)
	}
	if counter(t, reg, "tolkflip_responses_evicted_total") == 0 {
		t.Error("nothing was counted")
	}
	must(t, r.Put(t.Context(), "big", 0, make([]byte, 60_000), time.Hour)) // more than a shard holds
	if v, err := r.Get(t.Context(), "big"); v.Found || err != nil {
		t.Errorf("found %v, %v", v.Found, err)
	}
}

// TestSlowListener is told less than all, and that it missed some.
func TestSlowListener(t *testing.T) {
	t.Parallel()
	cfg, _ := cache(nil)
	reg := prometheus.NewRegistry()
	b, err := memory.NewBoard(cfg, memory.NewMetrics(reg))
	must(t, err)
	pause, missed := make(chan struct{}), make(chan struct{}, 10)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	told := 0
	go func() {
		defer close(done)
		b.Fanout(store.Node{ID: id.ID{1}}).Listen(ctx, func(store.Revocation) { told++ }, func(context.Context) error {
			missed <- struct{}{}
			<-pause
			return nil
		})
	}()
	<-missed // the first, which does not return yet
	for range 10_000 {
		must(t, b.Fanout(store.Node{ID: id.ID{2}}).Publish(t.Context(), store.Revocation{}))
	}
	close(pause)
	<-missed
	cancel()
	<-done
	if told == 0 || told >= 10_000 {
		t.Errorf("told of %d", told)
	}
	if n := counter(t, reg, "tolkflip_fanout_overflow_total"); n != 1 {
		t.Errorf("counted %v", n)
	}
}
