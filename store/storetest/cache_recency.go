package storetest

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// Recency is the contract of store.Recency.
func Recency(t *testing.T, open func(testing.TB) (store.Recency, Clock)) {
	t.Helper()
	sub := func(name string, f func(*testing.T, order)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, pass := open(t)
			f(t, order{t, r, pass})
		})
	}
	sub("nothing is known that was not filled in", func(t *testing.T, o order) {
		u, v := id.NewUser(), id.NewUser()
		o.unknown(u)
		o.touch(id.NewGroup(), 1, u, v)
		o.unknown(u)
		must(t, o.Fill(t.Context(), v, []store.Place{{At: 1, Thread: id.NewGroup()}})) // nobody asked before
		o.unknown(v)
	})
	sub("order, places and limits", listed)
	sub("a user without threads", func(t *testing.T, o order) {
		u, a := id.NewUser(), id.NewGroup()
		o.fill(u)
		o.has(u)
		o.touch(a, 7, u)
		o.has(u, store.Place{At: 7, Thread: a})
	})
	sub("threads only move forward", func(t *testing.T, o order) {
		u, v := id.NewUser(), id.NewUser()
		a, b, c := id.NewGroup(), id.NewGroup(), id.NewGroup()
		o.fill(u, store.Place{At: 10, Thread: a}, store.Place{At: 20, Thread: b})
		o.touch(a, 30, u, v)
		o.touch(b, 15, u)
		o.touch(c, 25, u)
		o.has(u, store.Place{At: 30, Thread: a}, store.Place{At: 25, Thread: c}, store.Place{At: 20, Thread: b})
		o.unknown(v)
	})
	sub("what came during a fill is not lost", func(t *testing.T, o order) {
		u := id.NewUser()
		a, b, c := id.NewGroup(), id.NewGroup(), id.NewGroup()
		o.unknown(u)
		o.Pass(time.Minute)
		o.touch(a, 30, u)
		o.touch(b, 5, u)
		o.touch(c, 25, u)
		must(t, o.Fill(t.Context(), u, []store.Place{{At: 10, Thread: a}, {At: 20, Thread: b}}))
		want := []store.Place{{At: 30, Thread: a}, {At: 25, Thread: c}, {At: 20, Thread: b}}
		o.has(u, want...)
		must(t, o.Fill(t.Context(), u, []store.Place{{At: 10, Thread: a}, {At: 19, Thread: b}})) // another, a little late
		o.has(u, want...)
	})
	sub("a fill that comes too late is not believed", func(t *testing.T, o order) {
		u, a := id.NewUser(), id.NewGroup()
		o.unknown(u)
		o.Pass(time.Hour)
		o.touch(a, 30, u)
		must(t, o.Fill(t.Context(), u, []store.Place{{At: 10, Thread: a}}))
		o.unknown(u)
	})
	sub("a list expires", func(t *testing.T, o order) {
		u, a := id.NewUser(), id.NewGroup()
		o.fill(u, store.Place{At: 10, Thread: a})
		o.touch(a, 11, u)
		o.Pass(7 * 24 * time.Hour)
		o.unknown(u)
	})
	sub("touches at once", func(t *testing.T, o order) {
		u, v, a := id.NewUser(), id.NewUser(), id.NewGroup()
		o.fill(u)
		o.unknown(v)
		all(30, func(i int) { must(t, o.Touch(t.Context(), a, int64(i+1), []id.User{u, v})) })
		o.has(u, store.Place{At: 30, Thread: a})
		must(t, o.Fill(t.Context(), v, nil))
		o.has(v, store.Place{At: 30, Thread: a})
	})
	sub("as a plain list would have it", modelled)
}

// listed asks in all ways for parts of a list with many threads of the same time.
func listed(t *testing.T, o order) {
	u, random := id.NewUser(), dice(t)
	list := make([]store.Place, 2500)
	for i := range list {
		list[i] = store.Place{At: 1_700_000_000_000 + random.Int64N(50), Thread: id.NewGroup()}
	}
	o.fill(u, list...)
	slices.SortFunc(list, newestFirst)
	o.has(u, list...)
	o.part(u, store.Place{}, 0)
	o.part(u, store.Place{}, 50, list[:50]...)
	for range 50 {
		i, n := random.IntN(len(list)), random.IntN(100)
		o.part(u, list[i], n, list[i+1:min(len(list), i+1+n)]...)
	}
	gone := list[700]
	o.touch(gone.Thread, list[0].At+1, u) // a reader still has the place where it was
	o.part(u, gone, 10, list[701:711]...)
	o.part(u, store.Place{At: list[0].At + 5}, 1, store.Place{At: list[0].At + 1, Thread: gone.Thread})
	o.part(u, store.Place{At: 1, Thread: gone.Thread}, 10)
}

// modelled compares with a map after random steps.
func modelled(t *testing.T, o order) {
	random := dice(t)
	users := []id.User{id.NewUser(), id.NewUser(), id.NewUser()}
	threads := make([]id.Thread, 12)
	for i := range threads {
		threads[i] = id.NewGroup()
	}
	truth := make([]map[id.Thread]int64, len(users)) // what the main store would say
	for i := range truth {
		truth[i] = map[id.Thread]int64{}
	}
	scanned := make([][]store.Place, len(users))
	asked := make([]bool, len(users))
	for range 400 {
		i := random.IntN(len(users))
		switch random.IntN(6) {
		case 0, 1, 2:
			j, th, at := random.IntN(len(users)), threads[random.IntN(len(threads))], random.Int64N(1000)
			for _, k := range []int{i, j} {
				truth[k][th] = max(truth[k][th], at)
			}
			o.touch(th, at, users[i], users[j])
		case 3:
			if _, known, err := o.Newest(t.Context(), users[i], store.Place{}, 1); err != nil {
				t.Fatal(err)
			} else if !known && !asked[i] {
				asked[i], scanned[i] = true, scan(truth[i], random)
			}
		case 4:
			if asked[i] {
				must(t, o.Fill(t.Context(), users[i], scanned[i]))
			}
		case 5:
			if places, known, err := o.Newest(t.Context(), users[i], store.Place{}, 100); err != nil {
				t.Fatal(err)
			} else if want := scan(truth[i], nil); known && !slices.Equal(places, want) {
				t.Fatalf("%v, want %v", places, want)
			} else if !known && !asked[i] {
				asked[i], scanned[i] = true, want
			}
		}
	}
}

// scan lists what the main store would say, in order or, with dice, in any.
func scan(truth map[id.Thread]int64, random *rand.Rand) []store.Place {
	list := make([]store.Place, 0, len(truth))
	for th, at := range truth {
		list = append(list, store.Place{At: at, Thread: th})
	}
	slices.SortFunc(list, newestFirst)
	if random != nil {
		random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	return list
}

func newestFirst(a, b store.Place) int {
	return cmp.Or(cmp.Compare(b.At, a.At), bytes.Compare(b.Thread.ID[:], a.Thread.ID[:]))
}

// order is a Recency with what the tests say of it.
type order struct {
	t testing.TB
	store.Recency
	Pass Clock
}

func (o order) unknown(u id.User) {
	o.t.Helper()
	if places, known, err := o.Newest(o.t.Context(), u, store.Place{}, 10); err != nil || known {
		o.t.Fatalf("known: %v, %v", places, err)
	}
}

func (o order) touch(th id.Thread, at int64, users ...id.User) {
	o.t.Helper()
	must(o.t, o.Touch(o.t.Context(), th, at, users))
}

func (o order) fill(u id.User, all ...store.Place) {
	o.t.Helper()
	o.unknown(u)
	must(o.t, o.Fill(o.t.Context(), u, all))
}

func (o order) has(u id.User, want ...store.Place) {
	o.t.Helper()
	o.part(u, store.Place{}, len(want)+5, want...)
}

func (o order) part(u id.User, after store.Place, limit int, want ...store.Place) {
	o.t.Helper()
	places, known, err := o.Newest(o.t.Context(), u, after, limit)
	if err != nil || !known {
		o.t.Fatalf("not known: %v", err)
	}
	if !slices.Equal(places, want) {
		o.t.Fatalf("%d after %v: %v, want %v", limit, after, places, want)
	}
}
