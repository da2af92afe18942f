package router

import (
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/tolkflip/tolkflip/proto/id"
)

// userAt is a user of a given number.
func userAt(n int) id.User {
	var u id.User
	for i := range 8 {
		u.ID[i] = byte(n >> (8 * i))
	}
	u.ID[15] = 1
	return u
}

// TestMultimapAgainstModel compares random work with a plain map of slices: contents and order.
func TestMultimapAgainstModel(t *testing.T) {
	t.Parallel()
	for _, crowded := range []bool{false, true} {
		rnd := rand.New(rand.NewPCG(1, 2))
		keys := hasher{rnd.Uint64() | 1, rnd.Uint64() | 1}
		users := 300
		if crowded { // one hash for all: the whole map is one run
			keys, users = hasher{}, 12
		}
		var m multimap[Conn]
		model := make(map[id.User][]Conn)
		next := Conn(0)
		grow := true
		for op := range 24_000 {
			if op%3_000 == 0 {
				grow = !grow // shrink most of the time in every second stretch
			}
			u := userAt(rnd.IntN(users))
			h := keys.hash(u)
			if (rnd.IntN(10) < 6) == grow {
				next++
				m.add(h, u, next, keys)
				model[u] = append(model[u], next)
			} else if has := model[u]; len(has) > 0 {
				at := rnd.IntN(len(has))
				if !m.remove(h, u, has[at], keys) {
					t.Fatalf("op %d: a value was not there", op)
				}
				model[u] = slices.Delete(has, at, at+1)
			} else if m.remove(h, u, next+1, keys) {
				t.Fatalf("op %d: removed what was never added", op)
			}
			if got := m.get(nil, h, u); !slices.Equal(got, model[u]) {
				t.Fatalf("op %d: user has %v, want %v", op, got, model[u])
			}
			if n, _ := m.count(h, u, 0); n != len(model[u]) || m.has(h, u) != (n > 0) {
				t.Fatalf("op %d: count is %d, want %d", op, n, len(model[u]))
			}
		}
		left := 0
		for u, want := range model {
			left += len(want)
			if got := m.get(nil, keys.hash(u), u); !slices.Equal(got, want) {
				t.Fatalf("user has %v, want %v", got, want)
			}
		}
		if m.used != left {
			t.Fatalf("used is %d, want %d", m.used, left)
		}
	}
}

// TestMultimapShrinks fills a map and empties it: what is left must not keep the memory.
func TestMultimapShrinks(t *testing.T) {
	t.Parallel()
	keys := hasher{3, 5}
	var m multimap[Conn]
	for i := range 100_000 {
		u := userAt(i)
		m.add(keys.hash(u), u, Conn(i+1), keys)
	}
	for i := range 99_990 {
		u := userAt(i)
		if !m.remove(keys.hash(u), u, Conn(i+1), keys) {
			t.Fatal("value lost")
		}
	}
	if n := len(m.slots.Items); n > 64 {
		t.Errorf("%d slots for 10 values", n)
	}
}

// TestTableBytes holds the promise of at most 64 bytes a connection, at every size from 10,000 on.
func TestTableBytes(t *testing.T) {
	t.Parallel()
	if n := unsafe.Sizeof(entry[Conn]{}); n != 24 {
		t.Fatalf("an entry has %d bytes", n)
	}
	r := &Router{keys: hasher{7, 9}}
	size := func() (slots int) {
		for i := range r.shards {
			slots += len(r.shards[i].conns.slots.Items)
		}
		return slots
	}
	for n := 1; n <= 200_000; n++ {
		u := userAt(n)
		s, h := r.shard(u)
		s.conns.add(h, u, Conn(n), r.keys)
		if n == 15_000 || n >= 10_000 && n%7919 == 0 {
			if b := size() * 24 / n; b > 64 {
				t.Fatalf("%d bytes a connection at %d", b, n)
			} else if n == 15_000 {
				t.Logf("%d bytes a connection at %d", b, n)
			}
		}
	}
}
