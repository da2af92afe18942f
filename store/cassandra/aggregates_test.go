package cassandra

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// outage has the store turn red with the reason when no server can be reached, refuse, and recover.
func outage(t *testing.T, s *shared) {
	wires := newNetwork()
	cfg := s.config()
	cfg.dialer, cfg.Timeout, cfg.Budget, cfg.ProbeEvery = wires, 500*time.Millisecond, 2*time.Second, 20*time.Millisecond
	st := open(t, cfg)
	a, b := id.NewUser(), id.NewUser()
	send(t, st.Log(), direct(a, b, 0))
	eventually(func() bool { return st.Healthy() == nil })
	wires.become(broken)
	eventually(func() bool { return st.Healthy() != nil })
	t.Logf("unhealthy: %v", st.Healthy())
	if _, err := st.Users().Get(t.Context(), a); !errors.Is(err, store.ErrBusy) {
		t.Errorf("a read: %v", err)
	}
	if err := st.Users().Create(t.Context(), store.User{ID: a, Phone: "+1" + a.String()}); !errors.Is(err, store.ErrBusy) {
		t.Errorf("a write: %v", err)
	}
	if e := try(st.Log(), direct(a, b, 1)); !errors.Is(e.Err, store.ErrBusy) {
		t.Errorf("a message: %v", e.Err)
	}
	wires.become(fine)
	eventually(func() bool { return st.Healthy() == nil })
	send(t, st.Log(), direct(a, b, 2))
	if e := send(t, st.Log(), direct(a, b, 1)); e.Seq == 0 {
		t.Error("the refused message has no seq")
	}
}

// cursorsOfTwo has two nodes move one cursor: the higher position stands, whoever writes it when.
func cursorsOfTwo(t *testing.T, s *shared) {
	one, two := s.config(), s.config()
	one.CursorsEvery, two.CursorsEvery = time.Hour, time.Hour
	one.CursorsFresh, two.CursorsFresh = 1, 1
	a, b := open(t, one), open(t, two)
	thread, u := id.NewGroup(), id.NewUser()
	advance := func(st *Store, d, r uint64) {
		t.Helper()
		if _, _, err := st.Cursors().Advance(t.Context(), thread, u, store.Cursor{Delivered: d, Read: r}); err != nil {
			t.Fatal(err)
		}
	}
	advance(a, 10, 3)
	advance(b, 7, 5)
	for _, st := range []*Store{a, b} { // the lower delivered comes last
		if err := st.cursors.flush(); err != nil {
			t.Fatal(err)
		}
	}
	want := store.Cursor{Delivered: 10, Read: 5}
	for name, st := range map[string]*Store{"first": a, "second": b, "third": open(t, s.config())} {
		r, err := st.Cursors().Of(t.Context(), u, []id.Thread{thread})
		if err != nil || r[0] != want {
			t.Errorf("the %s node: %+v, %v; want %+v", name, r, err, want)
		}
		in, err := st.Cursors().In(t.Context(), thread, 10)
		if err != nil || len(in) != 1 || in[0].Cursor != want {
			t.Errorf("the %s node: %+v, %v; want %+v", name, in, err, want)
		}
	}
}

// cursorsWait has cursors move while nothing can be written, more of them than memory is for.
func cursorsWait(t *testing.T, s *shared) {
	wires := newNetwork()
	cfg := s.config()
	cfg.dialer, cfg.Timeout, cfg.Budget = wires, 500*time.Millisecond, 2*time.Second
	cfg.Cursors = cursorShards
	st := open(t, cfg)
	u := id.NewUser()
	var threads []id.Thread
	for range 4 { // of one shard, which has room for one, and for a second that waits
		th := id.NewGroup()
		th.ID[15] = 0
		threads = append(threads, th)
	}
	advance := func(i int) error {
		_, _, err := st.Cursors().Advance(t.Context(), threads[i], u, store.Cursor{Read: uint64(i) + 1})
		return err
	}
	for i := range 2 {
		if err := advance(i); err != nil {
			t.Fatal(err)
		}
	}
	wires.become(broken)
	if err := advance(2); !errors.Is(err, store.ErrBusy) {
		t.Errorf("a cursor that cannot be read: %v", err)
	}
	for i := range 2 { // those in memory move on
		if err := advance(i); err != nil {
			t.Errorf("a cursor in memory: %v", err)
		}
	}
	wires.become(fine)
	for i := range 4 {
		eventually(func() bool { return advance(i) == nil })
	}
	r, err := st.Cursors().Of(t.Context(), u, threads)
	if err != nil {
		t.Fatal(err)
	}
	for i := range r {
		if r[i].Read != uint64(i)+1 {
			t.Errorf("cursor %d: %+v", i, r[i])
		}
	}
}

// revocationsListed counts the partitions that a start reads.
func revocationsListed(t *testing.T, s *shared) {
	var seen statements
	cfg := s.config()
	cfg.observe, cfg.ProbeEvery, cfg.Log.Beat = seen.observe, time.Hour, time.Hour
	st := open(t, cfg)
	now := time.Now().UnixMilli()
	mine := map[store.Revocation]bool{}
	for i := range 40 {
		r := store.Revocation{User: id.NewUser(), Session: id.NewSession(), At: now, Expires: now + int64(i%3+1)*dayMillis}
		if i%10 == 0 {
			r = store.Block(r.User, now+int64(i)*dayMillis)
		}
		if err := st.Sessions().Revoke(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		mine[r] = true
	}
	seen.take()
	found := 0
	if err := st.Sessions().Revocations(t.Context(), now, func(r store.Revocation) {
		if mine[r] {
			found++
		}
	}); err != nil {
		t.Fatal(err)
	}
	if found != len(mine) {
		t.Errorf("%d of %d found", found, len(mine))
	}
	if n := len(seen.take()); n > 1+revokedShards*20 { // other tests have buckets of their own in the keyspace
		t.Errorf("%d statements", n)
	}
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	const now = int64(1_800_000_000_000)
	for _, c := range []struct {
		in   time.Duration
		days bool
	}{{time.Second, true}, {30 * 24 * time.Hour, true}, {nearDays * 24 * time.Hour, true}, {61 * 24 * time.Hour, false}, {5 * 365 * 24 * time.Hour, false}} {
		expires := now + c.in.Milliseconds()
		b := bucketOf(expires, now)
		if b > 0 != c.days || b.end() < expires || b.end() > expires+coarse {
			t.Errorf("in %v: bucket %d, which ends %d ms later", c.in, b, b.end()-expires)
		}
	}
}

// closedStore has every call fail with the same error after Close.
func closedStore(t *testing.T, s *shared) {
	st, err := Open(t.Context(), s.config(), silent(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, u, g := t.Context(), id.NewUser(), id.NewGroup()
	_, e1 := st.Users().Get(ctx, u)
	_, e2 := st.Sessions().List(ctx, u)
	_, e3 := st.Threads().Get(ctx, g)
	_, _, e4 := st.Cursors().Advance(ctx, g, u, store.Cursor{Read: 1})
	_, e5 := st.Groups().Get(ctx, g)
	_, e6 := st.Members().List(ctx, g, u, 5)
	_, e7 := st.Devices().List(ctx, u)
	_, e8 := st.Media().Get(ctx, id.NewMedia())
	for i, err := range []error{e1, e2, e3, e4, e5, e6, e7, e8, try(st.Log(), direct(u, u, 1)).Err} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if err := fmt.Sprint(st.Healthy()); err == "" {
		t.Error(err)
	}
}
