package redis

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/memory"
	"github.com/tolkflip/tolkflip/store/storetest"
)

// quick is a configuration as servers have it, or quicker, for tests of what fails.
func quick(t testing.TB, url string) Config {
	t.Helper()
	c, real := configOf(t, url), Default()
	c.Timeout, c.DialTimeout, c.DeadAfter = 2*real.Timeout, real.DialTimeout, real.DeadAfter
	c.LeaseLife, c.LeaseBeat = 3*time.Second, 200*time.Millisecond
	c.HealthEvery, c.EchoEvery = 100*time.Millisecond, 500*time.Millisecond
	limits, err := memory.NewLimits(memory.DefaultCache(), memory.NewMetrics(nil))
	must(t, err)
	c.Fallback = limits
	return c
}

// TestOnlyKeysOfOurs runs the whole contract on a server that nobody else uses, and looks at every key there.
func TestOnlyKeysOfOurs(t *testing.T) {
	t.Parallel()
	s := begin(t)
	var prefix sync.Map
	var seen atomic.Int64
	t.Run("contract", func(t *testing.T) {
		storetest.Caches(t, func(tb testing.TB) storetest.Cache {
			c := configOf(tb, "redis://"+s.addr())
			prefix.Store(c.Prefix, true)
			cache := openCache(tb, c, new(atomic.Int64))
			tb.Cleanup(func() { seen.Add(int64(look(tb, s, &prefix))) }) // before openCache's own deletes them
			return cache
		})
	})
	look(t, s, &prefix)
	t.Logf("%d keys were looked at", seen.Load())
	if seen.Load() == 0 {
		t.Error("no key was looked at")
	}
}

// look checks every key of a server.
func look(t testing.TB, s *server, prefixes *sync.Map) (n int) {
	t.Helper()
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{s.addr()}, DisableCache: true, ForceSingleClient: true})
	must(t, err)
	defer c.Close()
	ctx := context.Background()
	list, err := c.Do(ctx, c.B().Keys().Pattern("*").Build()).AsStrSlice()
	must(t, err)
	for _, key := range list {
		ours := false
		prefixes.Range(func(p, _ any) bool {
			ours = ours || strings.HasPrefix(key, p.(string))
			return !ours
		})
		if !ours {
			t.Errorf("%q has no prefix of ours", key)
		}
		if life(t, c, key) == -1 {
			t.Errorf("%q never expires", key)
		}
	}
	return len(list)
}

// TestCheckOfKeysCanFail leaves a key that never expires.
func TestCheckOfKeysCanFail(t *testing.T) {
	t.Parallel()
	s := begin(t)
	c := configOf(t, "redis://"+s.addr())
	st := openStore(t, c)
	s.ask("set", c.Prefix+"x", "1")
	failed := &recorder{TB: t}
	checkKeys(failed, st, c.Prefix)
	if failed.errors != 1 {
		t.Fatalf("%d keys were found to live for ever", failed.errors)
	}
}

type recorder struct {
	testing.TB
	errors int
}

func (r *recorder) Errorf(string, ...any) { r.errors++ }

// TestEmptied empties the server while everything is in use.
func TestEmptied(t *testing.T) {
	t.Parallel()
	s := begin(t)
	survives(t, "redis://"+s.addr(), func() { s.ask("flushall") })
}

// TestRestartedEmpty kills the server and starts it without any data.
func TestRestartedEmpty(t *testing.T) {
	t.Parallel()
	s := begin(t)
	survives(t, "redis://"+s.addr(), func() {
		s.kill()
		s.restart()
	})
}

// TestSentinelFailover kills the primary.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	e := beginSentinels(t)
	survives(t, e.url(), func() { e.servers[0].kill() })
}

// TestClusterFailover kills a primary of a cluster.
func TestClusterFailover(t *testing.T) {
	t.Parallel()
	list := beginCluster(t)
	survives(t, clusterURL(list), func() { list[0].kill() })
}

// TestClusterEmptied empties all primaries of a cluster.
func TestClusterEmptied(t *testing.T) {
	t.Parallel()
	list := beginCluster(t)
	survives(t, clusterURL(list), func() {
		for _, s := range list[:3] {
			s.ask("flushall")
		}
	})
}

// survives uses everything, lets break happen, and sees that everything works again by itself: leases and
// listeners without a call, the rest at the next.
func survives(t *testing.T, url string, broken func()) {
	t.Helper()
	c := quick(t, url)
	a := openStore(t, c)
	of := c
	of.Node = node()
	b := openStore(t, of)

	users := make([]id.User, 700) // in nearly every bucket
	for i := range users {
		users[i] = id.NewUser()
	}
	waitFor(t, func() bool { return a.Leases().Hold(t.Context(), users...) == nil }) // a slow machine is no failure
	heard := storetest.Hear(t, b.Fanout(), nil)
	heard.Missed(1)
	u := users[0]
	first, second := store.Place{At: 1, Thread: id.NewGroup()}, store.Place{At: 2, Thread: id.NewGroup()}
	fill(t, a.Recency(), u, first)

	ctx, cancel := context.WithCancel(t.Context())
	var calls, failures atomic.Int64
	var wrong atomic.Pointer[error]
	var wait sync.WaitGroup
	for range 4 { // the traffic
		wait.Go(func() {
			for ctx.Err() == nil {
				_, err := a.Codes().Try(ctx, "+1555", "1")
				calls.Add(1)
				if err != nil && ctx.Err() == nil {
					failures.Add(1)
					if !errors.Is(err, store.ErrBusy) {
						wrong.Store(&err)
					}
				}
				if _, err := a.Limits().Take(ctx, "k", 1<<30, time.Hour); err != nil && ctx.Err() == nil {
					wrong.Store(&err) // it falls back
				}
			}
		})
	}
	waitFor(t, func() bool { return calls.Load() > 100 })
	start := time.Now()
	before := heard.Count()
	broken()
	_ = a.Recency().Touch(t.Context(), second.Thread, second.At, []id.User{u}) // may fail

	waitFor(t, func() bool {
		of, err := b.Leases().Of(t.Context(), users)
		if err != nil {
			return false
		}
		for _, nodes := range of {
			if len(nodes) != 1 || nodes[0] != c.Node {
				return false
			}
		}
		return true
	})
	t.Logf("every lease was seen again after %v", time.Since(start).Round(time.Millisecond))
	waitFor(t, func() bool { return a.Healthy() == nil && b.Healthy() == nil })
	t.Logf("healthy after %v", time.Since(start).Round(time.Millisecond))
	waitFor(t, func() bool { return works(t, a, b) })
	if strings.Contains(t.Name(), "Failover") || strings.Contains(t.Name(), "Restarted") {
		waitFor(t, func() bool { return heard.Count() > before }) // its connection was lost
	}
	hears(t, a, heard)

	// The list is not held any more, or it has the touch: never the old one.
	waitFor(t, func() bool {
		places, known, err := a.Recency().Newest(t.Context(), u, store.Place{}, 10)
		if known && (len(places) != 2 || places[0] != second) {
			t.Errorf("a list without what was touched: %v", places)
		}
		return err == nil
	})
	cancel()
	wait.Wait()
	if err := wrong.Load(); err != nil {
		t.Errorf("a call failed with %v", *err)
	}
	t.Logf("%d of %d tries at codes were busy", failures.Load(), calls.Load())
}

// fill makes a list held.
func fill(t *testing.T, r store.Recency, u id.User, places ...store.Place) {
	waitFor(t, func() bool {
		_, known, err := r.Newest(t.Context(), u, store.Place{}, 1)
		if err != nil || !known {
			_ = r.Fill(t.Context(), u, places) // tried again
		}
		return known
	})
}

// works reports whether all that is asked for is answered.
func works(t *testing.T, a, b *Store) bool {
	name := id.NewGroup().String()
	if a.Codes().Put(t.Context(), name, "1", time.Hour, 3) != nil {
		return false
	}
	if v, err := b.Codes().Try(t.Context(), name, "1"); err != nil || !v.OK {
		return false
	}
	r, err := a.Responses().Get(t.Context(), name)
	if err != nil || a.Responses().Put(t.Context(), name, r.Ticket, []byte("x"), time.Hour) != nil {
		return false
	}
	r, err = b.Responses().Get(t.Context(), name)
	return err == nil && r.Found
}

// hears publishes until one is heard.
func hears(t *testing.T, a *Store, heard *storetest.Heard) {
	waitFor(t, func() bool {
		_ = a.Fanout().Publish(t.Context(), store.Revocation{User: id.NewUser(), At: 1, Expires: 2}) // may fail yet
		return heard.ToldSome()
	})
}

// TestAway has no server for a while: who asks is told so at once, limits are counted here, and the listener
// reads the main store.
func TestAway(t *testing.T) {
	t.Parallel()
	s := begin(t)
	c := quick(t, "redis://"+s.addr())
	a := openStore(t, c)
	heard := storetest.Hear(t, a.Fanout(), nil)
	heard.Missed(1)
	u := id.NewUser()
	s.kill()

	err := a.Codes().Put(t.Context(), "+1555", "123456", time.Hour, 3)
	if !errors.Is(err, store.ErrBusy) {
		t.Fatalf("a code without a server: %v", err)
	}
	for i := range 5 {
		taken, err := a.Limits().Take(t.Context(), "k", 3, time.Hour)
		if err != nil || taken.OK != (i < 3) {
			t.Fatalf("take %d: %+v, %v", i, taken, err)
		}
	}
	if err := a.Leases().Hold(t.Context(), u); !errors.Is(err, store.ErrBusy) {
		t.Fatalf("a lease without a server: %v", err)
	}
	waitFor(t, func() bool { return a.Healthy() != nil })
	for _, part := range []string{s.addr(), "connection refused", "nothing listens there"} {
		if err := a.Healthy(); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %q", err, part)
		}
	}
	if err := a.Fanout().Publish(t.Context(), store.Revocation{}); !errors.Is(err, store.ErrBusy) {
		t.Fatalf("published without a server: %v", err)
	}
	heard.Missed(heard.Count() + 3) // again and again while it is deaf
	before := heard.Count()

	s.restart()
	waitFor(t, func() bool { return a.Healthy() == nil })
	waitFor(t, func() bool {
		of, err := a.Leases().Of(t.Context(), []id.User{u})
		return err == nil && len(of[0]) == 1
	})
	heard.Missed(before + 1)
}

// TestPublisherAlone loses only the publisher's connection: the others must be told that they missed some.
func TestPublisherAlone(t *testing.T) {
	t.Parallel()
	s := begin(t)
	a, b := openStore(t, quick(t, "redis://"+s.addr())), (*Store)(nil)
	of := a.client.cfg
	of.Node = node()
	b = openStore(t, of)
	heard := storetest.Hear(t, b.Fanout(), nil)
	heard.Missed(1)
	before := heard.Count()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Fanout().Publish(ctx, store.Revocation{}); !errors.Is(err, store.ErrBusy) || !errors.Is(err, context.Canceled) {
		t.Fatalf("published by a caller that is gone: %v", err)
	}
	heard.Missed(before + 1)
}

// TestSilent stops the server's process: calls end in time, and after a few at once.
func TestSilent(t *testing.T) {
	t.Parallel()
	s := begin(t)
	c := quick(t, "redis://"+s.addr())
	c.HealthEvery = time.Hour
	a := openStore(t, c)
	s.signal(syscall.SIGSTOP)
	var why []reason
	for range breakAfter + 1 {
		err := a.Codes().Put(t.Context(), "+1555", "1", time.Hour, 3)
		var f *failure
		if !errors.As(err, &f) {
			t.Fatalf("a silent server: %v", err)
		}
		why = append(why, f.why)
	}
	if why[0] != failedTimeout || why[breakAfter] != failedShort {
		t.Errorf("calls ended by %v", why)
	}
	s.signal(syscall.SIGCONT)
	waitFor(t, func() bool { return a.Codes().Put(t.Context(), "+1555", "1", time.Hour, 3) == nil })
}

// TestFailedTouch fails a touch of a list that is held: it must not be given again as it was.
func TestFailedTouch(t *testing.T) {
	t.Parallel()
	s := begin(t)
	c := quick(t, "redis://"+s.addr())
	a := openStore(t, c)
	r := a.Recency()
	u, th := id.NewUser(), id.NewGroup()
	fill(t, r, u)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Touch(ctx, th, 5, []id.User{u}); !errors.Is(err, store.ErrBusy) {
		t.Fatalf("touched by a caller that is gone: %v", err)
	}
	if places, known, err := r.Newest(t.Context(), u, store.Place{}, 1); err != nil || known {
		t.Fatalf("the list is still given: %v, %v", places, err)
	}
}

// TestDeadNodeLapses kills a node for real and waits.
func TestDeadNodeLapses(t *testing.T) {
	t.Parallel()
	s := begin(t)
	c := quick(t, "redis://"+s.addr())
	c.LeaseLife, c.LeaseBeat = time.Second, 100*time.Millisecond
	a := openStore(t, c)
	of := c
	of.Node = node()
	b := openStore(t, of)
	u := id.NewUser()
	for _, s := range []*Store{a, b} {
		waitFor(t, func() bool { return s.Leases().Hold(t.Context(), u) == nil })
	}
	die(a)
	waitFor(t, func() bool {
		list, err := b.Leases().Of(t.Context(), []id.User{u})
		return err == nil && len(list[0]) == 1 && list[0][0] == of.Node
	})
}

// TestOldReign brings a list back that a replica had before it lacked the last touch.
func TestOldReign(t *testing.T) {
	t.Parallel()
	primary := begin(t)
	replica := begin(t, "--replicaof", "127.0.0.1 "+strings.TrimPrefix(primary.addr(), "127.0.0.1:"), "--repl-diskless-sync-delay", "0")
	waitFor(t, func() bool { return strings.Contains(primary.ask("info", "replication"), "state=online") })
	c := configOf(t, "redis://"+primary.addr())
	a := openStore(t, c)
	u := id.NewUser()
	_, _, err := a.Recency().Newest(t.Context(), u, store.Place{}, 1)
	must(t, err)
	must(t, a.Recency().Fill(t.Context(), u, []store.Place{{At: 1, Thread: id.NewGroup()}}))
	key := a.recency.key(u)
	waitFor(t, func() bool { return strings.TrimSpace(replica.ask("exists", key)) == "1" })
	replica.ask("replicaof", "no", "one") // it takes over
	c.Addresses = []string{replica.addr()}
	b := openStore(t, c)
	if places, known, err := b.Recency().Newest(t.Context(), u, store.Place{}, 1); err != nil || known {
		t.Fatalf("a list of another reign is held: %v, %v", places, err)
	}
	if _, known, err := a.Recency().Newest(t.Context(), u, store.Place{}, 1); err != nil || !known {
		t.Fatalf("the list is not held where it was filled: %v", err)
	}
}
