package storetest

import (
	"errors"
	"reflect"
	"sync/atomic"
	"testing"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// Users is the contract of store.Users.
func Users(t *testing.T, open func(testing.TB) store.Users) {
	t.Helper()
	subtest(t, open, "create and get", usersCreate)
	subtest(t, open, "a phone belongs to one", usersPhone)
	subtest(t, open, "two register at once", usersRace)
	subtest(t, open, "update", usersUpdate)
	subtest(t, open, "updates at once lose nothing", usersUpdateRace)
	subtest(t, open, "seen", usersSeen)
	subtest(t, open, "results belong to the caller", usersOwnership)
}

func usersCreate(t *testing.T, users store.Users) {
	var n atomic.Int64
	full := someone(&n)
	full.Blocked, full.LastActive = true, 5
	bare := store.User{ID: id.NewUser(), Phone: phone(&n)}
	for _, u := range []store.User{full, bare} {
		must(t, users.Create(t.Context(), u))
		if r := got(users.Get(t.Context(), u.ID))(t); !reflect.DeepEqual(r, u) {
			t.Fatalf("Get = %+v, want %+v", r, u)
		}
		if r := got(users.ByPhone(t.Context(), u.Phone))(t); !reflect.DeepEqual(r, u) {
			t.Fatalf("ByPhone = %+v, want %+v", r, u)
		}
	}
	if _, err := users.Get(t.Context(), id.NewUser()); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Get of a stranger: %v", err)
	}
	if _, err := users.ByPhone(t.Context(), phone(&n)); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("ByPhone of an unknown phone: %v", err)
	}
}

func usersPhone(t *testing.T, users store.Users) {
	var n atomic.Int64
	first := someone(&n)
	must(t, users.Create(t.Context(), first))
	second := someone(&n)
	second.Phone = first.Phone
	if err := users.Create(t.Context(), second); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("second user of a phone: %v", err)
	}
	if _, err := users.Get(t.Context(), second.ID); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("the refused user is there: %v", err)
	}
	again := someone(&n)
	again.ID = first.ID
	if err := users.Create(t.Context(), again); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("second user of an id: %v", err)
	}
	if _, err := users.ByPhone(t.Context(), again.Phone); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("the refused phone is there: %v", err)
	}
}

// usersRace lets several register at once with one phone, and several phones with one id.
func usersRace(t *testing.T, users store.Users) {
	const racers, rounds = 6, 200
	var n atomic.Int64
	for round := range rounds {
		onePhone, number, same := round%2 == 0, phone(&n), id.NewUser()
		tried := make([]store.User, racers)
		for i := range tried {
			tried[i] = store.User{ID: id.NewUser(), Phone: number}
			if !onePhone {
				tried[i] = store.User{ID: same, Phone: phone(&n)}
			}
		}
		won := make([]bool, racers)
		all(racers, func(i int) {
			err := users.Create(t.Context(), tried[i])
			won[i] = err == nil
			if err != nil && !errors.Is(err, store.ErrConflict) {
				t.Errorf("loser: %v", err)
			}
		})
		winners := 0
		for i, u := range tried {
			r, err := users.ByPhone(t.Context(), u.Phone)
			switch {
			case won[i]:
				winners++
				if err != nil || r.ID != u.ID || r.Phone != u.Phone {
					t.Fatalf("the winner's phone: %+v, %v", r, err)
				}
			case !onePhone && !errors.Is(err, store.ErrNotFound):
				t.Fatalf("a loser's phone: %+v, %v", r, err)
			}
		}
		if winners != 1 {
			t.Fatalf("%d won (one phone: %v)", winners, onePhone)
		}
	}
}

func usersUpdate(t *testing.T, users store.Users) {
	var n atomic.Int64
	u := someone(&n)
	must(t, users.Create(t.Context(), u))
	name, avatar, bio, language, blocked, none := "Bob", "", "b", "es", true, []string(nil)
	for _, c := range []struct {
		patch store.UserPatch
		want  func(*store.User)
	}{
		{store.UserPatch{}, func(*store.User) {}},
		{store.UserPatch{Name: &name}, func(u *store.User) { u.Name = name }},
		{store.UserPatch{Avatar: &avatar, Bio: &bio}, func(u *store.User) { u.Avatar, u.Bio = avatar, bio }},
		{store.UserPatch{Language: &language, Languages: &none}, func(u *store.User) { u.Language, u.Languages = language, nil }},
		{store.UserPatch{Blocked: &blocked}, func(u *store.User) { u.Blocked = true }},
	} {
		c.want(&u)
		if r := got(users.Update(t.Context(), u.ID, c.patch))(t); !reflect.DeepEqual(r, u) {
			t.Fatalf("Update = %+v, want %+v", r, u)
		}
		if r := got(users.Get(t.Context(), u.ID))(t); !reflect.DeepEqual(r, u) {
			t.Fatalf("Get after Update = %+v, want %+v", r, u)
		}
	}
	stranger := id.NewUser()
	if _, err := users.Update(t.Context(), stranger, store.UserPatch{Name: &name}); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Update of a stranger: %v", err)
	}
	if _, err := users.Get(t.Context(), stranger); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Update made a row: %v", err)
	}
}

func usersUpdateRace(t *testing.T, users store.Users) {
	var n atomic.Int64
	u := someone(&n)
	must(t, users.Create(t.Context(), u))
	name, bio, language := "N", "B", "xx"
	patches := []store.UserPatch{{Name: &name}, {Bio: &bio}, {Language: &language}}
	all(len(patches), func(i int) {
		if _, err := users.Update(t.Context(), u.ID, patches[i]); err != nil {
			t.Error(err)
		}
	})
	r := got(users.Get(t.Context(), u.ID))(t)
	if r.Name != name || r.Bio != bio || r.Language != language {
		t.Fatalf("an update was lost: %+v", r)
	}
}

func usersSeen(t *testing.T, users store.Users) {
	var n atomic.Int64
	u := someone(&n)
	u.LastActive = 10
	must(t, users.Create(t.Context(), u))
	stranger := id.NewUser()
	for _, c := range []struct{ at, want int64 }{{9, 10}, {50, 50}, {40, 50}, {51, 51}} {
		must(t, users.Seen(t.Context(), map[id.User]int64{u.ID: c.at, stranger: c.at}))
		if r := got(users.Get(t.Context(), u.ID))(t); r.LastActive != c.want {
			t.Fatalf("LastActive = %d after Seen(%d), want %d", r.LastActive, c.at, c.want)
		}
	}
	if r := got(users.ByPhone(t.Context(), u.Phone))(t); r.LastActive != 51 {
		t.Fatalf("ByPhone gives LastActive %d", r.LastActive)
	}
	name := "after"
	if r := got(users.Update(t.Context(), u.ID, store.UserPatch{Name: &name}))(t); r.LastActive != 51 {
		t.Fatalf("Update gives LastActive %d", r.LastActive)
	}
	if _, err := users.Get(t.Context(), stranger); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Seen made a row: %v", err)
	}
}

func usersOwnership(t *testing.T, users store.Users) {
	var n atomic.Int64
	u := someone(&n)
	must(t, users.Create(t.Context(), u))
	u.Languages[0] = "changed"
	got(users.Get(t.Context(), u.ID))(t).Languages[0] = "changed"
	got(users.ByPhone(t.Context(), u.Phone))(t).Languages[0] = "changed"
	mine := []string{"it"}
	got(users.Update(t.Context(), u.ID, store.UserPatch{Languages: &mine}))(t).Languages[0] = "changed"
	mine[0] = "changed"
	if r := got(users.Get(t.Context(), u.ID))(t); r.Languages[0] != "it" {
		t.Fatalf("the stored record was changed from outside: %v", r.Languages)
	}
}
