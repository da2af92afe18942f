package storetest

import (
	"errors"
	"reflect"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

const hour = int64(time.Hour / time.Millisecond)

// Sessions is the contract of store.Sessions.
func Sessions(t *testing.T, open func(testing.TB) store.Sessions) {
	t.Helper()
	subtest(t, open, "open, get and list", sessionsOpen)
	subtest(t, open, "one session a device", sessionsDevice)
	subtest(t, open, "the oldest goes over the limit", sessionsLimit)
	subtest(t, open, "opens at once keep the limit", sessionsRace)
	subtest(t, open, "expired ones are not there", sessionsExpired)
	subtest(t, open, "rotate", sessionsRotate)
	subtest(t, open, "one rotation of several at once wins", sessionsRotateRace)
	subtest(t, open, "revoke one", sessionsRevokeOne)
	subtest(t, open, "revoke all before", sessionsRevokeAll)
	subtest(t, open, "block and lift", sessionsBlock)
	subtest(t, open, "revocations expire", sessionsRevocations)
}

func login(u id.User, device string, created int64) store.Session {
	return store.Session{
		ID: id.NewSession(), User: u, Device: device, Created: created,
		Expires: time.Now().UnixMilli() + hour, Refresh: id.NewSession().ID,
	}
}

// revocations gives all of those users' that are live now.
func revocations(t testing.TB, sessions store.Sessions, now int64, users ...id.User) map[store.Revocation]int {
	t.Helper()
	all := map[store.Revocation]int{}
	must(t, sessions.Revocations(t.Context(), now, func(r store.Revocation) {
		if slices.Contains(users, r.User) {
			all[r]++
		}
	}))
	return all
}

func revoked(t testing.TB, sessions store.Sessions, s store.Session) bool {
	t.Helper()
	for r := range revocations(t, sessions, time.Now().UnixMilli(), s.User) {
		if r.User == s.User && r.Session == s.ID {
			if r.Expires != s.Expires {
				t.Fatalf("revoked until %d, want the session's end %d", r.Expires, s.Expires)
			}
			return true
		}
	}
	return false
}

func sessionsOpen(t *testing.T, sessions store.Sessions) {
	u := id.NewUser()
	now := time.Now().UnixMilli()
	// Opened out of order: the list goes by Created.
	second, first := login(u, "b", now-1), login(u, "a", now-2)
	for _, s := range []store.Session{second, first} {
		if removed := got(sessions.Open(t.Context(), s, 20))(t); len(removed) != 0 {
			t.Fatalf("removed %+v", removed)
		}
		if r := got(sessions.Get(t.Context(), u, s.ID))(t); r != s {
			t.Fatalf("Get = %+v, want %+v", r, s)
		}
	}
	if r := got(sessions.List(t.Context(), u))(t); !reflect.DeepEqual(r, []store.Session{first, second}) {
		t.Fatalf("List = %+v", r)
	}
	if _, err := sessions.Get(t.Context(), u, id.NewSession()); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Get of an unknown session: %v", err)
	}
	if _, err := sessions.Get(t.Context(), id.NewUser(), first.ID); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Get of another user's session: %v", err)
	}
	if r := got(sessions.List(t.Context(), id.NewUser()))(t); len(r) != 0 {
		t.Fatalf("List of a stranger = %+v", r)
	}
}

func sessionsDevice(t *testing.T, sessions store.Sessions) {
	u := id.NewUser()
	now := time.Now().UnixMilli()
	old, other, next := login(u, "phone", now-3), login(u, "web", now-2), login(u, "phone", now-1)
	got(sessions.Open(t.Context(), old, 20))(t)
	got(sessions.Open(t.Context(), other, 20))(t)
	removed := got(sessions.Open(t.Context(), next, 20))(t)
	if !reflect.DeepEqual(removed, []store.Session{old}) {
		t.Fatalf("removed %+v, want the phone's first", removed)
	}
	if _, err := sessions.Get(t.Context(), u, old.ID); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("the replaced session: %v", err)
	}
	if !revoked(t, sessions, old) || revoked(t, sessions, next) || revoked(t, sessions, other) {
		t.Fatal("the replaced session, and it alone, must be revoked")
	}
	stranger := login(id.NewUser(), "phone", now)
	if removed := got(sessions.Open(t.Context(), stranger, 20))(t); len(removed) != 0 {
		t.Fatalf("another user's login removed %+v", removed)
	}
}

func sessionsLimit(t *testing.T, sessions store.Sessions) {
	u := id.NewUser()
	now := time.Now().UnixMilli()
	var opened []store.Session
	for i := range 6 {
		s := login(u, strconv.Itoa(i), now+int64(i))
		removed := got(sessions.Open(t.Context(), s, 3))(t)
		opened = append(opened, s)
		if i < 3 {
			if len(removed) != 0 {
				t.Fatalf("login %d removed %+v", i, removed)
			}
			continue
		}
		if !reflect.DeepEqual(removed, opened[i-3:i-2]) {
			t.Fatalf("login %d removed %+v, want the oldest", i, removed)
		}
		if !revoked(t, sessions, opened[i-3]) {
			t.Fatal("the removed session is not revoked")
		}
	}
	if r := got(sessions.List(t.Context(), u))(t); !reflect.DeepEqual(r, opened[3:]) {
		t.Fatalf("List = %+v", r)
	}
	// A lower limit removes several, the oldest first.
	last := login(u, "last", now+100)
	if removed := got(sessions.Open(t.Context(), last, 1))(t); !reflect.DeepEqual(removed, opened[3:]) {
		t.Fatalf("removed %+v", removed)
	}
}

func sessionsRace(t *testing.T, sessions store.Sessions) {
	u := id.NewUser()
	now := time.Now().UnixMilli()
	var removed atomic.Int64
	all(16, func(i int) {
		r, err := sessions.Open(t.Context(), login(u, strconv.Itoa(i), now+int64(i)), 4)
		if err != nil {
			t.Error(err)
		}
		removed.Add(int64(len(r)))
	})
	if r := got(sessions.List(t.Context(), u))(t); len(r) != 4 || removed.Load() != 12 {
		t.Fatalf("%d sessions, %d removed", len(r), removed.Load())
	}
}

func sessionsExpired(t *testing.T, sessions store.Sessions) {
	u := id.NewUser()
	now := time.Now().UnixMilli()
	dead := login(u, "dead", now-2*hour)
	dead.Expires = now - 1
	got(sessions.Open(t.Context(), dead, 1))(t)
	if _, err := sessions.Get(t.Context(), u, dead.ID); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Get of an expired session: %v", err)
	}
	if err := sessions.Rotate(t.Context(), u, dead.ID, dead.Refresh, [16]byte{1}); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Rotate of an expired session: %v", err)
	}
	if r := got(sessions.List(t.Context(), u))(t); len(r) != 0 {
		t.Fatalf("List = %+v", r)
	}
	// It does not count, and goes without a word, even when the device is the same.
	for _, device := range []string{"other", "dead"} {
		live := login(u, device, now)
		if removed := got(sessions.Open(t.Context(), live, 2))(t); len(removed) != 0 {
			t.Fatalf("removed %+v", removed)
		}
	}
	if revoked(t, sessions, dead) {
		t.Fatal("an expired session was revoked")
	}
}

func sessionsRotate(t *testing.T, sessions store.Sessions) {
	s := login(id.NewUser(), "a", time.Now().UnixMilli())
	got(sessions.Open(t.Context(), s, 20))(t)
	next, third := [16]byte{2}, [16]byte{3}
	must(t, sessions.Rotate(t.Context(), s.User, s.ID, s.Refresh, next))
	if r := got(sessions.Get(t.Context(), s.User, s.ID))(t); r.Refresh != next {
		t.Fatal("the next token is not current")
	}
	if err := sessions.Rotate(t.Context(), s.User, s.ID, s.Refresh, third); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("second use of the old token: %v", err)
	}
	if r := got(sessions.Get(t.Context(), s.User, s.ID))(t); r.Refresh != next {
		t.Fatal("a refused rotation changed the token")
	}
	if err := sessions.Rotate(t.Context(), s.User, id.NewSession(), next, third); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Rotate of an unknown session: %v", err)
	}
}

func sessionsRotateRace(t *testing.T, sessions store.Sessions) {
	s := login(id.NewUser(), "a", time.Now().UnixMilli())
	got(sessions.Open(t.Context(), s, 20))(t)
	var won atomic.Int64
	all(8, func(i int) {
		switch err := sessions.Rotate(t.Context(), s.User, s.ID, s.Refresh, [16]byte{9, byte(i)}); {
		case err == nil:
			won.Add(1)
		case !errors.Is(err, store.ErrConflict):
			t.Error(err)
		}
	})
	if won.Load() != 1 {
		t.Fatalf("%d rotations won", won.Load())
	}
}

func sessionsRevokeOne(t *testing.T, sessions store.Sessions) {
	u := id.NewUser()
	now := time.Now().UnixMilli()
	a, b := login(u, "a", now-10), login(u, "b", now-9)
	got(sessions.Open(t.Context(), a, 20))(t)
	got(sessions.Open(t.Context(), b, 20))(t)
	r := store.Revocation{User: u, Session: a.ID, At: now, Expires: a.Expires}
	must(t, sessions.Revoke(t.Context(), r))
	if _, err := sessions.Get(t.Context(), u, a.ID); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("the revoked session: %v", err)
	}
	got(sessions.Get(t.Context(), u, b.ID))(t)
	// A session that the store never saw (of a token without sid) can be revoked too.
	legacy := store.Revocation{User: u, Session: id.NewSession(), At: now, Expires: now + hour}
	must(t, sessions.Revoke(t.Context(), legacy))
	live := revocations(t, sessions, now, u)
	if live[r] != 1 || live[legacy] != 1 || len(live) != 2 {
		t.Fatalf("revocations = %+v", live)
	}
}

func sessionsRevokeAll(t *testing.T, sessions store.Sessions) {
	u, stranger := id.NewUser(), id.NewUser()
	now := time.Now().UnixMilli()
	before, at, other := login(u, "a", now-1), login(u, "b", now), login(stranger, "a", now-1)
	for _, s := range []store.Session{before, at, other} {
		got(sessions.Open(t.Context(), s, 20))(t)
	}
	r := store.Revocation{User: u, At: now, Expires: now + hour}
	must(t, sessions.Revoke(t.Context(), r))
	if _, err := sessions.Get(t.Context(), u, before.ID); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("the session opened before: %v", err)
	}
	got(sessions.Get(t.Context(), u, at.ID))(t)
	got(sessions.Get(t.Context(), stranger, other.ID))(t)
	if live := revocations(t, sessions, now, u, stranger); live[r] != 1 || len(live) != 1 {
		t.Fatalf("revocations = %+v", live)
	}
}

// sessionsBlock: a block and a lift are revocations like others, though they expire in years.
func sessionsBlock(t *testing.T, sessions store.Sessions) {
	u := id.NewUser()
	now := time.Now().UnixMilli()
	before := login(u, "a", now-1)
	got(sessions.Open(t.Context(), before, 20))(t)
	block, lift := store.Block(u, now), store.Lift(u, now+1)
	must(t, sessions.Revoke(t.Context(), block))
	if _, err := sessions.Get(t.Context(), u, before.ID); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("a session of one who is blocked: %v", err)
	}
	after := login(u, "b", now+1)
	got(sessions.Open(t.Context(), after, 20))(t)
	must(t, sessions.Revoke(t.Context(), lift))
	got(sessions.Get(t.Context(), u, after.ID))(t)
	for _, at := range []int64{now, now + 4*365*24*hour} {
		if live := revocations(t, sessions, at, u); live[block] != 1 || live[lift] != 1 || len(live) != 2 {
			t.Fatalf("revocations at %d = %+v", at, live)
		}
	}
}

func sessionsRevocations(t *testing.T, sessions store.Sessions) {
	now := time.Now().UnixMilli()
	want := map[store.Revocation]int{}
	var list []store.Revocation
	var users []id.User
	for i := range 50 {
		r := store.Revocation{User: id.NewUser(), Session: id.NewSession(), At: now, Expires: now + hour + int64(i%7)}
		if i%5 == 0 {
			r.Session = id.Session{}
		}
		must(t, sessions.Revoke(t.Context(), r))
		list, users = append(list, r), append(users, r.User)
		want[r] = 1
	}
	over := store.Revocation{User: id.NewUser(), At: now, Expires: now - 1}
	must(t, sessions.Revoke(t.Context(), over))
	users = append(users, over.User)
	if live := revocations(t, sessions, now, users...); !reflect.DeepEqual(live, want) {
		t.Fatalf("%d revocations, want %d", len(live), len(want))
	}
	later := now + hour + 3
	for _, r := range list {
		if r.Expires <= later {
			delete(want, r)
		}
	}
	if live := revocations(t, sessions, later, users...); !reflect.DeepEqual(live, want) {
		t.Fatalf("%d revocations later, want %d", len(live), len(want))
	}
}
