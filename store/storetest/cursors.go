package storetest

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// Cursors is the contract of store.Cursors.
func Cursors(t *testing.T, open func(testing.TB) store.Cursors) {
	t.Helper()
	subtest(t, open, "only forward", func(t *testing.T, cursors store.Cursors) {
		thread, u := id.NewGroup(), id.NewUser()
		before := store.Cursor{}
		for _, c := range []struct{ to, want store.Cursor }{
			{store.Cursor{}, store.Cursor{}},
			{store.Cursor{Delivered: 5}, store.Cursor{Delivered: 5}},
			{store.Cursor{Delivered: 3}, store.Cursor{Delivered: 5}},
			{store.Cursor{Read: 2}, store.Cursor{Delivered: 5, Read: 2}},
			{store.Cursor{Read: 9}, store.Cursor{Delivered: 9, Read: 9}},
			{store.Cursor{Delivered: 12, Read: 1}, store.Cursor{Delivered: 12, Read: 9}},
		} {
			was, is, err := cursors.Advance(t.Context(), thread, u, c.to)
			must(t, err)
			if was != before || is != c.want {
				t.Fatalf("Advance(%+v) = %+v, %+v, want %+v, %+v", c.to, was, is, before, c.want)
			}
			before = is
			if r := got(cursors.Of(t.Context(), u, []id.Thread{thread}))(t); r[0] != c.want {
				t.Fatalf("Of = %+v, want %+v", r[0], c.want)
			}
		}
	})
	subtest(t, open, "of several threads, in their order", func(t *testing.T, cursors store.Cursors) {
		u := id.NewUser()
		a, b, none := id.NewGroup(), id.NewGroup(), id.NewGroup()
		for i, thread := range []id.Thread{a, b} {
			_, _, err := cursors.Advance(t.Context(), thread, u, store.Cursor{Read: uint64(i + 1)})
			must(t, err)
		}
		_, _, err := cursors.Advance(t.Context(), none, id.NewUser(), store.Cursor{Read: 7})
		must(t, err)
		r := got(cursors.Of(t.Context(), u, []id.Thread{b, none, a, b}))(t)
		two := store.Cursor{Delivered: 2, Read: 2}
		if want := []store.Cursor{two, {}, {Delivered: 1, Read: 1}, two}; !reflect.DeepEqual(r, want) {
			t.Fatalf("Of = %+v, want %+v", r, want)
		}
		if r := got(cursors.Of(t.Context(), u, nil))(t); len(r) != 0 {
			t.Fatalf("Of nothing = %+v", r)
		}
	})
	subtest(t, open, "in a thread", func(t *testing.T, cursors store.Cursors) {
		thread := id.NewGroup()
		var want []store.CursorOf
		for i := range 9 {
			c := store.CursorOf{User: id.NewUser(), Cursor: store.Cursor{Delivered: uint64(i) + 1}}
			_, _, err := cursors.Advance(t.Context(), thread, c.User, c.Cursor)
			must(t, err)
			_, _, err = cursors.Advance(t.Context(), id.NewGroup(), c.User, c.Cursor)
			must(t, err)
			want = append(want, c)
		}
		r := got(cursors.In(t.Context(), thread, 100))(t)
		byID := func(a, b store.CursorOf) int { return bytes.Compare(a.User.ID[:], b.User.ID[:]) }
		slices.SortFunc(r, byID)
		slices.SortFunc(want, byID)
		if !reflect.DeepEqual(r, want) {
			t.Fatalf("In = %+v, want %+v", r, want)
		}
		if r := got(cursors.In(t.Context(), thread, 4))(t); len(r) != 4 {
			t.Fatalf("In with limit 4 gave %d", len(r))
		}
	})
	subtest(t, open, "moves at once end at the highest, each seen once", cursorsRace)
}

func cursorsRace(t *testing.T, cursors store.Cursors) {
	thread, u := id.NewGroup(), id.NewUser()
	seed := dice(t).Uint64()
	steps := make([][][2]store.Cursor, 8)
	all(len(steps), func(i int) {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		for range 200 {
			was, is, err := cursors.Advance(t.Context(), thread, u, store.Cursor{Delivered: rng.Uint64N(1000), Read: rng.Uint64N(1000)})
			if err != nil {
				t.Error(err)
			}
			if was != is {
				steps[i] = append(steps[i], [2]store.Cursor{was, is})
			}
		}
	})
	// The moves chain: each cursor is left once, for the next.
	next := map[store.Cursor]store.Cursor{}
	for _, s := range slices.Concat(steps...) {
		if _, twice := next[s[0]]; twice {
			t.Fatalf("%+v was left twice", s[0])
		}
		next[s[0]] = s[1]
	}
	at := store.Cursor{}
	for range len(next) {
		at = next[at]
	}
	if r := got(cursors.Of(t.Context(), u, []id.Thread{thread}))(t); r[0] != at {
		t.Fatalf("the chain ends at %+v, stored is %+v", at, r[0])
	}
}
