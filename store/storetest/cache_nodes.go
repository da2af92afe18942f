package storetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// Leases is the contract of store.Leases.
func Leases(t *testing.T, open func(testing.TB) Cache) {
	t.Helper()
	sub := func(name string, f func(*testing.T, nodes)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, join(t, open(t), 3))
		})
	}
	sub("held and released", func(t *testing.T, n nodes) {
		u, v, w := id.NewUser(), id.NewUser(), id.NewUser()
		n.seen(u)
		must(t, n.leases[0].Hold(t.Context(), u, v))
		must(t, n.leases[1].Hold(t.Context(), u))
		must(t, n.leases[1].Hold(t.Context(), u)) // again changes nothing
		n.seen(u, 0, 1)
		n.seen(v, 0)
		n.seen(w)
		must(t, n.leases[0].Release(t.Context(), u, w))
		n.seen(u, 1)
		n.seen(v, 0)
		must(t, n.leases[1].Release(t.Context(), u))
		n.seen(u)
		must(t, n.leases[1].Hold(t.Context(), u))
		n.seen(u, 1)
		if list := got(n.leases[0].Of(t.Context(), nil))(t); len(list) != 0 {
			t.Fatalf("of nobody: %v", list)
		}
	})
	sub("seen once Hold has returned", func(t *testing.T, n nodes) {
		all(60, func(i int) {
			u, by, other := id.NewUser(), i%3, (i+1)%3
			must(t, n.leases[by].Hold(t.Context(), u))
			n.sees(other, u, by)
			must(t, n.leases[by].Release(t.Context(), u))
			n.sees(other, u)
		})
	})
	sub("many users", func(t *testing.T, n nodes) {
		users := make([]id.User, 5000)
		for i := range users {
			users[i] = id.NewUser()
		}
		must(t, n.leases[0].Hold(t.Context(), users...))
		must(t, n.leases[1].Hold(t.Context(), users[2500:]...))
		for i, of := range got(n.leases[2].Of(t.Context(), users))(t) {
			if i < 2500 && len(of) != 1 || i >= 2500 && len(of) != 2 {
				t.Fatalf("user %d: %v", i, of)
			}
		}
		must(t, n.leases[0].Release(t.Context(), users...))
		for i, of := range got(n.leases[2].Of(t.Context(), users))(t) {
			if i < 2500 && len(of) != 0 || i >= 2500 && len(of) != 1 {
				t.Fatalf("user %d: %v", i, of)
			}
		}
	})
	sub("those of a dead node lapse", func(t *testing.T, n nodes) {
		u, v := id.NewUser(), id.NewUser()
		must(t, n.leases[0].Hold(t.Context(), u, v))
		must(t, n.leases[1].Hold(t.Context(), u))
		n.Kill(n.names[0])
		n.sees(1, v, 0)
		n.Pass(store.LeaseLapse)
		n.sees(1, u, 1)
		n.sees(1, v)
		n.Pass(3 * store.LeaseLapse) // the living one renews
		n.sees(2, u, 1)
	})
	sub("a node that comes back begins anew", func(t *testing.T, n nodes) {
		u, v := id.NewUser(), id.NewUser()
		must(t, n.leases[0].Hold(t.Context(), u))
		n.Kill(n.names[0])
		n.leases[0] = n.Node(n.names[0]).Leases
		must(t, n.leases[0].Hold(t.Context(), v))
		n.seen(u)
		n.seen(v, 0)
	})
	sub("as a plain list would have it", heldAsListed)
}

// heldAsListed compares with a map after random steps.
func heldAsListed(t *testing.T, n nodes) {
	random := dice(t)
	users := []id.User{id.NewUser(), id.NewUser(), id.NewUser(), id.NewUser()}
	held := map[[2]int]bool{}
	for range 200 {
		by, i := random.IntN(len(n.leases)), random.IntN(len(users))
		if held[[2]int{by, i}] = random.IntN(2) == 0; held[[2]int{by, i}] {
			must(t, n.leases[by].Hold(t.Context(), users[i]))
		} else {
			must(t, n.leases[by].Release(t.Context(), users[i]))
		}
		var want []int
		for k := range n.leases {
			if held[[2]int{k, i}] {
				want = append(want, k)
			}
		}
		n.sees(random.IntN(len(n.leases)), users[i], want...)
	}
}

// nodes are several on one cache.
type nodes struct {
	Cache
	t      testing.TB
	names  []store.Node
	leases []store.Leases
}

func join(t testing.TB, c Cache, count int) nodes {
	n := nodes{Cache: c, t: t}
	for range count {
		name := store.Node{ID: id.NewGroup().ID}
		n.names, n.leases = append(n.names, name), append(n.leases, c.Node(name).Leases)
	}
	return n
}

// seen checks that every node sees u with those of the given places, and no other.
func (n nodes) seen(u id.User, by ...int) {
	n.t.Helper()
	for i := range n.leases {
		n.sees(i, u, by...)
	}
}

func (n nodes) sees(asker int, u id.User, by ...int) {
	n.t.Helper()
	var want []store.Node
	for _, i := range by {
		want = append(want, n.names[i])
	}
	slices.SortFunc(want, func(a, b store.Node) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	list, err := n.leases[asker].Of(n.t.Context(), []id.User{u})
	if err != nil || len(list) != 1 || !slices.Equal(list[0], want) {
		n.t.Errorf("node %d sees %v, %v, want %v", asker, list, err, want)
	}
}

// Fanout is the contract of store.Fanout.
func Fanout(t *testing.T, open func(testing.TB) Cache) {
	t.Helper()
	sub := func(name string, f func(*testing.T, Cache)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, open(t))
		})
	}
	node := func() store.Node { return store.Node{ID: id.NewGroup().ID} }
	sub("the others are told, in order", func(t *testing.T, c Cache) {
		self := c.Node(node()).Fanout
		mine, one, two := Hear(t, self, nil), Hear(t, c.Node(node()).Fanout, nil), Hear(t, c.Node(node()).Fanout, nil)
		for _, h := range []*Heard{mine, one, two} {
			h.Missed(1)
		}
		var all []store.Revocation
		for i := range 300 {
			r := store.Revocation{User: id.NewUser(), At: int64(i), Expires: int64(i) + 1<<40}
			if i%2 == 0 {
				r.Session = id.NewSession()
			}
			all = append(all, r)
			must(t, self.Publish(t.Context(), r))
		}
		one.Told(all)
		two.Told(all)
		must(t, c.Node(node()).Fanout.Publish(t.Context(), all[0]))
		mine.Told(all[:1]) // and nothing of its own
	})
	sub("a missed that failed is called again", func(t *testing.T, c Cache) {
		fails := 2
		h := Hear(t, c.Node(node()).Fanout, func() error {
			if fails--; fails >= 0 {
				return errors.New("the main store is away")
			}
			return nil
		})
		h.Missed(3)
	})
	sub("listening ends with its context", func(t *testing.T, c Cache) {
		f := c.Node(node()).Fanout
		ctx, cancel := context.WithCancel(t.Context())
		missed := make(chan struct{}, 100)
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.Listen(ctx, func(store.Revocation) {}, func(context.Context) error {
				missed <- struct{}{}
				return nil
			})
		}()
		<-missed
		cancel()
		<-done
	})
}

// Heard is what a listener was told.
type Heard struct {
	t      testing.TB
	mu     sync.Mutex
	told   []store.Revocation
	missed int
	before int // missed, when Missed last returned
}

// Hear listens until the test's end; reload is what missed does.
func Hear(t testing.TB, f store.Fanout, reload func() error) *Heard {
	h := &Heard{t: t}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Listen(ctx, func(r store.Revocation) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.told = append(h.told, r)
		}, func(context.Context) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.missed++
			if reload != nil {
				return reload()
			}
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return h
}

// Missed waits until the listener was told n times in all that it missed some.
func (h *Heard) Missed(n int) {
	eventually(h.t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.before = h.missed
		return h.missed >= n
	})
}

// Count is how often the listener was told that it missed some.
func (h *Heard) Count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.missed
}

// Told waits until the listener was told of these, or that it missed some of them; and fails if it was told
// of others, or in another order, or of fewer without having missed any.
func (h *Heard) Told(want []store.Revocation) {
	h.t.Helper()
	missed := func() bool { return h.missed > h.before }
	eventually(h.t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.told) >= len(want) || missed()
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	if !missed() {
		if !slices.Equal(h.told, want) {
			h.t.Errorf("told of %v, want %v", h.told, want)
		}
		return
	}
	h.t.Logf("missed some: told of %d of %d", len(h.told), len(want))
	rest := want
	for _, r := range h.told {
		i := slices.Index(rest, r)
		if i < 0 {
			h.t.Fatalf("told of %v, want some of %v in order", h.told, want)
		}
		rest = rest[i+1:]
	}
}

// ToldSome reports whether the listener was told of any.
func (h *Heard) ToldSome() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.told) > 0
}

// ToldOf reports whether the listener was told of r.
func (h *Heard) ToldOf(r store.Revocation) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.told, r)
}
