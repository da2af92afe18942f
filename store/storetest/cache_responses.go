package storetest

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/store"
)

// Responses is the contract of store.Responses.
func Responses(t *testing.T, open func(testing.TB) (store.Responses, Clock)) {
	t.Helper()
	sub := func(name string, f func(*testing.T, responses)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, pass := open(t)
			f(t, responses{t, r, pass})
		})
	}
	sub("values of any bytes", func(t *testing.T, r responses) {
		long := strings.Repeat("x", 1000)
		for key, value := range map[string]string{"a": "1", "b": "", "c": "\x00\x01\xff", "{d}:*": "2", long: "3"} {
			r.put(key, r.missing(key), value)
			r.has(key, value)
		}
	})
	sub("the longest value, and one longer", func(t *testing.T, r responses) {
		r.put("a", r.missing("a"), strings.Repeat("x", store.MaxResponse))
		r.has("a", strings.Repeat("x", store.MaxResponse))
		r.put("b", r.missing("b"), strings.Repeat("x", store.MaxResponse+1))
		r.missing("b")
	})
	sub("a value expires", func(t *testing.T, r responses) {
		r.put("a", r.missing("a"), "1")
		r.Pass(59 * time.Minute)
		r.has("a", "1")
		r.Pass(2 * time.Minute)
		r.missing("a")
	})
	sub("what was read before a drop is not put after it", func(t *testing.T, r responses) {
		old := r.missing("a")
		r.drop("a", "b")
		r.put("a", old, "old")
		fresh := r.missing("a")
		r.Pass(time.Minute)
		r.put("a", old, "old")
		r.missing("a")
		r.put("a", fresh, "new")
		r.has("a", "new")
		r.put("b", r.missing("b"), "new")
		r.has("b", "new")
	})
	sub("a value is put over neither a value nor a later drop", func(t *testing.T, r responses) {
		one, two := r.missing("a"), r.missing("a")
		r.put("a", one, "first")
		r.put("a", two, "second")
		r.has("a", "first")
		r.drop("a")
		between := r.missing("a")
		r.drop("a")
		r.put("a", between, "old")
		r.put("a", one, "older")
		r.missing("a")
	})
	sub("a value is the caller's", func(t *testing.T, r responses) {
		value := []byte("abc")
		must(t, r.Put(t.Context(), "a", r.missing("a"), value, time.Hour))
		clear(value)
		v := got(r.Get(t.Context(), "a"))(t)
		clear(v.Value)
		r.has("a", "abc")
	})
	sub("puts and drops at once", func(t *testing.T, r responses) {
		all(20, func(i int) {
			if i%2 == 0 {
				must(t, r.Drop(t.Context(), "a"))
				return
			}
			v, err := r.Get(t.Context(), "a")
			must(t, err)
			must(t, r.Put(t.Context(), "a", v.Ticket, []byte("read before the last drop"), time.Hour))
		})
		r.drop("a")
		r.put("a", r.missing("a"), "new")
		r.has("a", "new")
	})
}

// responses are Responses with what the tests say of them.
type responses struct {
	t testing.TB
	store.Responses
	Pass Clock
}

func (r responses) missing(key string) (ticket uint64) {
	r.t.Helper()
	v := got(r.Get(r.t.Context(), key))(r.t)
	if v.Found || v.Value != nil {
		r.t.Fatalf("%.20s is %q", key, v.Value)
	}
	return v.Ticket
}

func (r responses) has(key, want string) {
	r.t.Helper()
	if v := got(r.Get(r.t.Context(), key))(r.t); !v.Found || !bytes.Equal(v.Value, []byte(want)) {
		r.t.Fatalf("%.20s is %.20q (found %v), want %.20q", key, v.Value, v.Found, want)
	}
}

func (r responses) put(key string, ticket uint64, value string) {
	r.t.Helper()
	must(r.t, r.Put(r.t.Context(), key, ticket, []byte(value), time.Hour))
}

func (r responses) drop(keys ...string) {
	r.t.Helper()
	must(r.t, r.Drop(r.t.Context(), keys...))
}
