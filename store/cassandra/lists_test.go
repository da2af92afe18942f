package cassandra

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/cassandra/threadlog"
	"github.com/tolkflip/tolkflip/store/memory"
)

// frail is a cache of recency that fails on demand.
type frail struct {
	store.Recency
	down atomic.Bool
}

var errDown = errors.New("the cache is down")

func newFrail(t testing.TB) *frail {
	t.Helper()
	r, err := memory.NewRecency(memory.DefaultCache(), memory.NewMetrics(nil))
	if err != nil {
		t.Fatal(err)
	}
	return &frail{Recency: r}
}

func (f *frail) Touch(ctx context.Context, t id.Thread, at int64, users []id.User) error {
	if f.down.Load() {
		return errDown
	}
	return f.Recency.Touch(ctx, t, at, users)
}

func (f *frail) Newest(ctx context.Context, u id.User, after store.Place, limit int) ([]store.Place, bool, error) {
	if f.down.Load() {
		return nil, false, errDown
	}
	return f.Recency.Newest(ctx, u, after, limit)
}

func (f *frail) Fill(ctx context.Context, u id.User, all []store.Place) error {
	if f.down.Load() {
		return errDown
	}
	return f.Recency.Fill(ctx, u, all)
}

// befriend makes n direct threads of u, each with one message, the later the newer.
func befriend(t testing.TB, s *Store, u id.User, n int) []id.Thread {
	t.Helper()
	c, err := s.begin(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	defer c.end()
	list := make([]threadlog.Recent, n)
	threads := make([]id.Thread, n)
	for i := range list {
		peer := id.NewUser()
		a, b := u, peer
		if string(a.ID[:]) > string(b.ID[:]) {
			a, b = b, a
		}
		threads[i] = id.Direct(a, b)
		list[i] = threadlog.Recent{Thread: threads[i], A: a, B: b, Last: store.Preview{Seq: 1, Sent: int64(1_000_000 + i), Sender: peer, Text: "hello"}}
	}
	done := func(try func() error) error { // a busy server lets some time out
		eventually(func() bool { return try() == nil || c.Err() != nil })
		return c.Err()
	}
	err = c.each(n, func(i int) error {
		r := &list[i]
		return done(func() error {
			return quorum{s}.First(c, threadlog.First{Thread: r.Thread, A: r.A, B: r.B, Created: r.Last.Sent})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk(list, threadlog.MaxRecent) {
		if err := done(func() error { return s.recent(c, part) }); err != nil {
			t.Fatal(err)
		}
	}
	return threads
}

// manyThreads is how many threads the user of the list has.
const manyThreads = 5000

// statementsOfList has the newest 50 of many threads cost two statements when the cache knows their order.
func statementsOfList(t *testing.T, s *shared) {
	var seen statements
	cfg := s.config()
	cfg.observe, cfg.Recency, cfg.ProbeEvery, cfg.Log.Beat = seen.observe, newFrail(t), time.Hour, time.Hour
	st := open(t, cfg)
	u := id.NewUser()
	want := befriend(t, st, u, manyThreads)
	slices.Reverse(want)
	group := store.Group{ID: id.NewGroup(), Name: "g", CreatedBy: u, Created: 5_000_000}
	if err := st.Groups().Create(t.Context(), group, []store.Member{{User: u}}); err != nil {
		t.Fatal(err)
	}
	want = append([]id.Thread{group.ID}, want...)
	seen.take()
	check := func(statements int) {
		t.Helper()
		list, next, err := st.Threads().ByUser(t.Context(), u, nil, 50)
		if err != nil {
			t.Fatal(err)
		}
		if got := seen.take(); len(got) != statements {
			t.Errorf("%d statements, want %d: %q", len(got), statements, got)
		}
		for i, th := range list {
			if th.ID != want[i] {
				t.Fatalf("thread %d is another", i)
			}
		}
		if len(list) != 50 || len(next) == 0 {
			t.Fatalf("%d threads", len(list))
		}
	}
	check(3) // the groups, the direct threads whole, the rows of the page
	check(2)
	_, next, err := st.Threads().ByUser(t.Context(), u, nil, 50)
	if err != nil {
		t.Fatal(err)
	}
	seen.take()
	list, _, err := st.Threads().ByUser(t.Context(), u, next, 50)
	if err != nil || len(list) != 50 || list[0].ID != want[50] {
		t.Fatalf("the second page: %d threads, %v", len(list), err)
	}
	if got := seen.take(); len(got) != 2 {
		t.Errorf("the second page: %q", got)
	}
}

// listCache has the cache fail while threads move, and forget all: the list is right all the same.
func listCache(t *testing.T, s *shared) {
	cache := newFrail(t)
	cfg := s.config()
	cfg.Recency = cache
	st := open(t, cfg)
	u := id.NewUser()
	threads := befriend(t, st, u, 20)
	newest := func() id.Thread {
		t.Helper()
		list, _, err := st.Threads().ByUser(t.Context(), u, nil, 1)
		if err != nil || len(list) != 1 {
			t.Fatalf("%d threads, %v", len(list), err)
		}
		return list[0].ID
	}
	if newest() != threads[19] {
		t.Fatal("the newest is another")
	}
	move := func(n int, at int64) {
		t.Helper()
		r, err := st.Threads().Get(t.Context(), threads[n])
		if !errors.Is(err, store.ErrNotFound) && err != nil {
			t.Fatal(err)
		}
		_ = r // without messages the thread is not there; its place in the list is what is moved
		var row threadRow
		c, err := st.begin(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer c.end()
		rows, err := threadsView(st).rows(c, []id.Thread{threads[n]})
		if err != nil {
			t.Fatal(err)
		}
		row = *rows[threads[n]]
		err = st.recent(c, []threadlog.Recent{{
			Thread: threads[n], A: id.User{ID: id.ID(*row.A)}, B: id.User{ID: id.ID(*row.B)},
			Last: store.Preview{Seq: uint64(row.LastSeq) + 1, Sent: at, Sender: u},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	move(3, 2_000_000)
	if newest() != threads[3] {
		t.Fatal("a move is not seen")
	}
	cache.down.Store(true)
	move(7, 3_000_000)
	if newest() != threads[7] {
		t.Fatal("a move is not seen while the cache is down")
	}
	cache.down.Store(false)
	for range 2 { // it is filled, and then asked
		if newest() != threads[7] {
			t.Fatal("a move that the cache missed is not seen when it is back")
		}
	}
	cache.Recency = newFrail(t).Recency // it forgot all
	for range 2 {
		if newest() != threads[7] {
			t.Fatal("the list is wrong when the cache forgot")
		}
	}
}

func threadsView(s *Store) threads { return threads{s} }
