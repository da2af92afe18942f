package storetest

import (
	"reflect"
	"strings"
	"testing"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// Devices is the contract of store.Devices.
func Devices(t *testing.T, open func(testing.TB) store.Devices) {
	t.Helper()
	subtest(t, open, "put, list and remove", func(t *testing.T, devices store.Devices) {
		u := id.NewUser()
		newer := store.Device{User: u, Token: token(), Platform: "ios", Added: 2}
		older := store.Device{User: u, Token: strings.Repeat("o", 4000) + token(), Platform: "android", Added: 1}
		must(t, devices.Put(t.Context(), newer))
		must(t, devices.Put(t.Context(), older))
		if r := got(devices.List(t.Context(), u))(t); !reflect.DeepEqual(r, []store.Device{older, newer}) {
			t.Fatalf("List = %+v", r)
		}
		older.Added = 3
		must(t, devices.Put(t.Context(), older))
		if r := got(devices.List(t.Context(), u))(t); !reflect.DeepEqual(r, []store.Device{newer, older}) {
			t.Fatalf("List after a second Put = %+v", r)
		}
		must(t, devices.Remove(t.Context(), u, newer.Token))
		must(t, devices.Remove(t.Context(), u, newer.Token))
		must(t, devices.Remove(t.Context(), id.NewUser(), token()))
		if r := got(devices.List(t.Context(), u))(t); !reflect.DeepEqual(r, []store.Device{older}) {
			t.Fatalf("List after Remove = %+v", r)
		}
	})
	subtest(t, open, "a token belongs to the last", func(t *testing.T, devices store.Devices) {
		a, b, token := id.NewUser(), id.NewUser(), token()
		must(t, devices.Put(t.Context(), store.Device{User: a, Token: token, Platform: "ios", Added: 1}))
		taken := store.Device{User: b, Token: token, Platform: "ios", Added: 2}
		must(t, devices.Put(t.Context(), taken))
		if r := got(devices.List(t.Context(), a))(t); len(r) != 0 {
			t.Fatalf("the first owner still has %+v", r)
		}
		must(t, devices.Remove(t.Context(), a, token)) // not a's any more
		if r := got(devices.List(t.Context(), b))(t); !reflect.DeepEqual(r, []store.Device{taken}) {
			t.Fatalf("List = %+v", r)
		}
	})
	subtest(t, open, "one owner when two take a token at once", func(t *testing.T, devices store.Devices) {
		people, token := []id.User{id.NewUser(), id.NewUser(), id.NewUser(), id.NewUser()}, token()
		for range 20 {
			all(len(people), func(i int) {
				if err := devices.Put(t.Context(), store.Device{User: people[i], Token: token, Added: int64(i)}); err != nil {
					t.Error(err)
				}
			})
			owners := 0
			for _, u := range people {
				owners += len(got(devices.List(t.Context(), u))(t))
			}
			if owners != 1 {
				t.Fatalf("%d owners", owners)
			}
		}
	})
}

// token makes one that no other call gives.
func token() string { return id.NewUser().String() }
