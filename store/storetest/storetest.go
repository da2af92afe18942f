// Package storetest is the text of the store's interfaces as tests: every backend passes all of them.
// A backend's own tests call one function an aggregate, or All, with a way to make an empty store.
//
// History is the checker of the log's promises that crash tests of any kind share: it is told what was
// sent and what was acked, and finds what a store that was opened again does not honour.
package storetest

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// Set is one store, an aggregate a field.
type Set struct {
	Users    store.Users
	Sessions store.Sessions
	Threads  store.Threads
	Cursors  store.Cursors
	Groups   store.Groups
	Members  store.Members
	Devices  store.Devices
	Media    store.MediaRecords
	Log      store.Log
	Close    func() error
}

// Source is what every backend's Store offers: its aggregates.
type Source interface {
	Users() store.Users
	Sessions() store.Sessions
	Threads() store.Threads
	Cursors() store.Cursors
	Log() store.Log
	rest
}

type rest interface {
	Groups() store.Groups
	Members() store.Members
	Devices() store.Devices
	Media() store.MediaRecords
	Close() error
}

// Of makes a Set of a backend's Store.
func Of(s Source) Set {
	return Set{
		Users: s.Users(), Sessions: s.Sessions(), Threads: s.Threads(), Cursors: s.Cursors(),
		Groups: s.Groups(), Members: s.Members(), Devices: s.Devices(), Media: s.Media(), Log: s.Log(), Close: s.Close,
	}
}

// Open makes a store that lives until the test's end. It may share its data with those of other tests, save
// for the log's owner: the tests use ids, phones and tokens of their own.
type Open func(testing.TB) Set

// All runs every aggregate's tests.
func All(t *testing.T, open Open) {
	t.Helper()
	t.Run("Users", func(t *testing.T) { Users(t, func(tb testing.TB) store.Users { return open(tb).Users }) })
	t.Run("Sessions", func(t *testing.T) { Sessions(t, func(tb testing.TB) store.Sessions { return open(tb).Sessions }) })
	t.Run("Devices", func(t *testing.T) { Devices(t, func(tb testing.TB) store.Devices { return open(tb).Devices }) })
	t.Run("Media", func(t *testing.T) { Media(t, func(tb testing.TB) store.MediaRecords { return open(tb).Media }) })
	t.Run("Cursors", func(t *testing.T) { Cursors(t, func(tb testing.TB) store.Cursors { return open(tb).Cursors }) })
	t.Run("Groups", func(t *testing.T) { Groups(t, open) })
	t.Run("Members", func(t *testing.T) { Members(t, open) })
	t.Run("Threads", func(t *testing.T) { Threads(t, open) })
	t.Run("Log", func(t *testing.T) { Log(t, open) })
}

// subtest runs f on a store of its own, beside the others.
func subtest[S any](t *testing.T, open func(testing.TB) S, name string, f func(*testing.T, S)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		f(t, open(t))
	})
}

// dice gives a random source, and prints its seed so that a failure can be seen again.
func dice(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// phone makes a number that no other call gives, in any test: a backend's tests may share one database.
func phone(counter *atomic.Int64) string {
	return fmt.Sprintf("+1%09d%05d", rand.Uint64N(1e9), counter.Add(1)%1e5)
}

func someone(counter *atomic.Int64) store.User {
	return store.User{
		ID: id.NewUser(), Phone: phone(counter), Name: "Ada", Avatar: "https://a/b.png", Bio: "hello",
		Language: "en", Languages: []string{"de", "fr"}, Created: 1_700_000_000_000,
	}
}

// must fails the test on err.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// got fails the test on err and gives the value.
func got[V any](v V, err error) func(testing.TB) V {
	return func(t testing.TB) V {
		t.Helper()
		must(t, err)
		return v
	}
}

// eventually waits until ok; the test binary's own time-out ends one that never becomes true.
func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		<-tick.C
	}
}

// all runs n of f at once and waits for them.
func all(n int, f func(i int)) {
	start, done := make(chan struct{}), make(chan struct{})
	for i := range n {
		go func() {
			<-start
			f(i)
			done <- struct{}{}
		}()
	}
	close(start)
	for range n {
		<-done
	}
}
