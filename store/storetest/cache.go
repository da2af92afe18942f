package storetest

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/store"
)

// Clock moves time for a cache under test. Real time passes as well for a cache that is a server, so the
// tests below use hours where no more than seconds can pass by themselves.
type Clock func(d time.Duration)

// Cache is one cache, an aggregate a field.
type Cache struct {
	Codes     store.Codes
	Limits    store.Limits
	Recency   store.Recency
	Responses store.Responses

	Node func(store.Node) Node // joins a node
	Kill func(store.Node)      // ends one without a farewell
	Pass Clock
}

// Node is what a node of a cache has of its own.
type Node struct {
	Leases store.Leases
	Fanout store.Fanout
}

// Caches runs the tests of all aggregates that may forget.
func Caches(t *testing.T, open func(testing.TB) Cache) {
	t.Helper()
	t.Run("Codes", func(t *testing.T) {
		Codes(t, func(tb testing.TB) (store.Codes, Clock) { c := open(tb); return c.Codes, c.Pass })
	})
	t.Run("Limits", func(t *testing.T) {
		Limits(t, func(tb testing.TB) (store.Limits, Clock) { c := open(tb); return c.Limits, c.Pass })
	})
	t.Run("Recency", func(t *testing.T) {
		Recency(t, func(tb testing.TB) (store.Recency, Clock) { c := open(tb); return c.Recency, c.Pass })
	})
	t.Run("Responses", func(t *testing.T) {
		Responses(t, func(tb testing.TB) (store.Responses, Clock) { c := open(tb); return c.Responses, c.Pass })
	})
	t.Run("Leases", func(t *testing.T) { Leases(t, open) })
	t.Run("Fanout", func(t *testing.T) { Fanout(t, open) })
}

// Codes is the contract of store.Codes. The open function also gives a way to let time pass.
func Codes(t *testing.T, open func(testing.TB) (store.Codes, Clock)) {
	t.Helper()
	sub := func(name string, f func(*testing.T, store.Codes, Clock)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			codes, pass := open(t)
			f(t, codes, pass)
		})
	}
	sub("a right code is taken once", func(t *testing.T, codes store.Codes, _ Clock) {
		must(t, codes.Put(t.Context(), "p", "123456", time.Hour, 3))
		wantVerdict(t, codes, "q", "123456", store.Verdict{Expired: true})
		wantVerdict(t, codes, "p", "123456", store.Verdict{OK: true})
		wantVerdict(t, codes, "p", "123456", store.Verdict{Expired: true})
	})
	sub("three tries", func(t *testing.T, codes store.Codes, _ Clock) {
		must(t, codes.Put(t.Context(), "p", "123456", time.Hour, 3))
		for left := 2; left >= 0; left-- {
			wantVerdict(t, codes, "p", "12345", store.Verdict{Left: left})
		}
		wantVerdict(t, codes, "p", "123456", store.Verdict{TooMany: true}) // right, and too late
		wantVerdict(t, codes, "p", "123456", store.Verdict{Expired: true})
		must(t, codes.Put(t.Context(), "p", "1", time.Hour, 3))
		wantVerdict(t, codes, "p", "2", store.Verdict{Left: 2})
		must(t, codes.Put(t.Context(), "p", "3", time.Hour, 3)) // in place of the other, with all tries
		wantVerdict(t, codes, "p", "1", store.Verdict{Left: 2})
		wantVerdict(t, codes, "p", "3", store.Verdict{OK: true})
	})
	sub("a wrong try does not lengthen its life", func(t *testing.T, codes store.Codes, pass Clock) {
		must(t, codes.Put(t.Context(), "p", "1", time.Hour, 3))
		pass(59 * time.Minute)
		wantVerdict(t, codes, "p", "2", store.Verdict{Left: 2})
		pass(2 * time.Minute)
		wantVerdict(t, codes, "p", "1", store.Verdict{Expired: true})
	})
	sub("guesses at once do not pass the limit", func(t *testing.T, codes store.Codes, _ Clock) {
		must(t, codes.Put(t.Context(), "p", "right", time.Hour, 3))
		var wrong, over atomic.Int64
		all(20, func(i int) {
			switch v := got(codes.Try(t.Context(), "p", fmt.Sprint(i)))(t); {
			case v.TooMany || v.Expired:
				over.Add(1)
			case !v.OK:
				wrong.Add(1)
			}
		})
		if wrong.Load() != 3 || over.Load() != 17 {
			t.Fatalf("%d guesses were compared", wrong.Load())
		}
	})
	sub("grants", func(t *testing.T, codes store.Codes, pass Clock) {
		granted := func(phone, address string, take bool) bool {
			return got(codes.Granted(t.Context(), phone, address, take))(t)
		}
		must(t, codes.Grant(t.Context(), "p", "1.2.3.4", time.Hour))
		if granted("p", "4.3.2.1", true) || granted("q", "1.2.3.4", true) {
			t.Fatal("granted to another")
		}
		if !granted("p", "1.2.3.4", false) || !granted("p", "1.2.3.4", true) || granted("p", "1.2.3.4", true) {
			t.Fatal("a grant stands until it is taken, once")
		}
		must(t, codes.Grant(t.Context(), "p", "1.2.3.4", time.Hour))
		pass(61 * time.Minute)
		if granted("p", "1.2.3.4", false) {
			t.Fatal("a grant outlived its time")
		}
	})
}

func wantVerdict(t *testing.T, codes store.Codes, phone, code string, want store.Verdict) {
	t.Helper()
	if v := got(codes.Try(t.Context(), phone, code))(t); v != want {
		t.Fatalf("Try(%s, %s) = %+v, want %+v", phone, code, v, want)
	}
}

// Limits is the contract of store.Limits.
func Limits(t *testing.T, open func(testing.TB) (store.Limits, Clock)) {
	t.Helper()
	t.Run("a fixed window", func(t *testing.T) {
		t.Parallel()
		limits, pass := open(t)
		start := time.Now()
		take := func(key string, want store.Taken) {
			t.Helper()
			r := got(limits.Take(t.Context(), key, 2, time.Hour))(t)
			if late := want.Reset - r.Reset; late < 0 || late > time.Since(start)+time.Millisecond {
				t.Fatalf("the window ends in %v, want %v", r.Reset, want.Reset)
			}
			if want.Reset = r.Reset; r != want {
				t.Fatalf("Take = %+v, want %+v", r, want)
			}
		}
		take("k", store.Taken{OK: true, Remaining: 1, Reset: time.Hour})
		pass(10 * time.Minute)
		take("k", store.Taken{OK: true, Remaining: 0, Reset: 50 * time.Minute})
		take("k", store.Taken{Reset: 50 * time.Minute})
		take("other", store.Taken{OK: true, Remaining: 1, Reset: time.Hour})
		pass(50 * time.Minute)
		take("k", store.Taken{OK: true, Remaining: 1, Reset: time.Hour})
	})
	t.Run("events at once", func(t *testing.T) {
		t.Parallel()
		limits, _ := open(t)
		var ok atomic.Int64
		all(50, func(int) {
			if got(limits.Take(t.Context(), "k", 7, time.Hour))(t).OK {
				ok.Add(1)
			}
		})
		if ok.Load() != 7 {
			t.Fatalf("%d passed a limit of 7", ok.Load())
		}
	})
	t.Run("a limit of none", func(t *testing.T) {
		t.Parallel()
		limits, _ := open(t)
		if r := got(limits.Take(t.Context(), "k", 0, time.Hour))(t); r != (store.Taken{Reset: time.Hour}) {
			t.Fatalf("Take = %+v", r)
		}
	})
}
