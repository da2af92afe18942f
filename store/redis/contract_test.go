package redis

import (
	"context"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/goleak"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/storetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The driver closes connections that a cluster does not need any more five seconds later.
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"), // a refresh that waits its second
	)
}

// The contract on each kind of real server, which variables name.

func TestContractStandalone(t *testing.T) {
	at := variable(t, "TOLKFLIP_TEST_REDIS")
	contract(t, "redis://"+at)
}

func TestContractSentinel(t *testing.T) {
	name, hosts, _ := strings.Cut(variable(t, "TOLKFLIP_TEST_SENTINEL"), "@")
	contract(t, "redis+sentinel://"+hosts+"/"+name)
}

func TestContractCluster(t *testing.T) {
	contract(t, "redis+cluster://"+variable(t, "TOLKFLIP_TEST_CLUSTER"))
}

func variable(t *testing.T, name string) string {
	t.Helper()
	v := os.Getenv(name) //nolint:forbidigo // a real server is named by a variable
	if v == "" {
		t.Skipf("%s names no server", name)
	}
	return v
}

func contract(t *testing.T, url string) {
	t.Helper()
	var seen atomic.Int64
	storetest.Caches(t, func(tb testing.TB) storetest.Cache { return openCache(tb, configOf(tb, url), &seen) })
	t.Logf("%d keys that tests left were looked at", seen.Load())
	if seen.Load() == 0 {
		t.Error("no key was looked at")
	}
}

// configOf is a configuration for tests: nothing in it ends because a machine is slow, and no other test
// has its prefix.
func configOf(t testing.TB, url string) Config {
	t.Helper()
	c, err := ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c.Prefix = "tolkflip-test:" + id.NewGroup().String() + ":"
	c.Node = node()
	c.Secret = []byte("a secret of tests")
	c.Timeout, c.DialTimeout, c.DeadAfter = 5*time.Minute, 5*time.Minute, 5*time.Minute
	c.LeaseLife, c.LeaseBeat = leaseSlow*c.LeaseLife, leaseSlow*c.LeaseBeat
	c.EchoEvery, c.ReloadDeaf = time.Hour, 100*time.Millisecond
	return c
}

// leaseSlow is how much longer leases live in tests; time passes as much faster for them.
const leaseSlow = 60

func node() store.Node { return store.Node{ID: id.NewGroup().ID} }

func openStore(t testing.TB, c Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), c, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// openCache opens a store, and one more for each node that joins. At the end it looks at every key.
func openCache(t testing.TB, c Config, seen *atomic.Int64) storetest.Cache {
	t.Helper()
	s := openStore(t, c)
	t.Cleanup(func() { seen.Add(checkKeys(t, s, c.Prefix)) })
	var mu sync.Mutex
	living := map[store.Node]*Store{}
	return storetest.Cache{
		Codes: s.Codes(), Limits: s.Limits(), Recency: s.Recency(), Responses: s.Responses(),
		Node: func(n store.Node) storetest.Node {
			of := c
			of.Node = n
			joined := openStore(t, of)
			mu.Lock()
			defer mu.Unlock()
			living[n] = joined
			return storetest.Node{Leases: joined.Leases(), Fanout: joined.Fanout()}
		},
		Kill: func(n store.Node) {
			mu.Lock()
			defer mu.Unlock()
			die(living[n])
			delete(living, n)
		},
		Pass: func(d time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			for d > 0 {
				step := d
				if len(living) > 0 {
					step = min(d, Default().LeaseBeat)
				}
				pass(t, s, c.Prefix, step)
				d -= step
				for _, l := range living {
					if !l.leases.renew(t.Context()) {
						t.Fatal("leases could not be renewed")
					}
				}
			}
		},
	}
}

// die ends a node's leases as a killed process would: nothing of them is given back.
func die(s *Store) {
	v := s.leases
	v.mu.Lock()
	v.mu.closed = true
	for i := range v.mu.buckets {
		v.mu.buckets[i] = bucket{synced: true, empty: true}
	}
	v.mu.Unlock()
}

// keys calls each with every key that begins with prefix, and the server that has it.
func keys(t testing.TB, s *Store, prefix string, each func(at rueidis.Client, key string)) {
	t.Helper()
	ctx := context.Background() // it is called at the end of tests too
	for _, at := range s.client.driver.Nodes() {
		role, err := at.Do(ctx, at.B().Arbitrary("ROLE").Build()).ToArray()
		if err != nil {
			t.Fatal(err)
		}
		if kind, _ := role[0].ToString(); kind != "master" {
			continue
		}
		var seen []string
		for cursor := uint64(0); ; {
			e, err := at.Do(ctx, at.B().Scan().Cursor(cursor).Match(prefix+"*").Count(1000).Build()).AsScanEntry()
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, e.Elements...)
			if cursor = e.Cursor; cursor == 0 {
				break
			}
		}
		for _, k := range seen {
			each(at, k)
		}
	}
}

// life is how long a key lives yet: -1 for ever, -2 it does not exist.
func life(t testing.TB, at rueidis.Client, key string) int64 {
	t.Helper()
	ms, err := at.Do(context.Background(), at.B().Pttl().Key(key).Build()).AsInt64()
	if err != nil {
		t.Fatal(err)
	}
	return ms
}

// pass lets time pass: every key has that much less to live.
func pass(t testing.TB, s *Store, prefix string, d time.Duration) {
	t.Helper()
	keys(t, s, prefix, func(at rueidis.Client, key string) {
		less := d
		if strings.HasPrefix(key, prefix+leaseKeys) {
			less *= leaseSlow
		}
		if ms := life(t, at, key) - less.Milliseconds(); ms > 0 {
			must(t, at.Do(context.Background(), at.B().Pexpire().Key(key).Milliseconds(ms).Build()).Error())
		} else {
			must(t, at.Do(context.Background(), at.B().Del().Key(key).Build()).Error())
		}
	})
}

// checkKeys fails on a key that never expires, deletes them all, and says how many there were.
func checkKeys(t testing.TB, s *Store, prefix string) (n int64) {
	t.Helper()
	keys(t, s, prefix, func(at rueidis.Client, key string) {
		n++
		if life(t, at, key) == -1 {
			t.Errorf("%s never expires", strconv.Quote(key))
		}
		must(t, at.Do(context.Background(), at.B().Del().Key(key).Build()).Error())
	})
	return n
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
