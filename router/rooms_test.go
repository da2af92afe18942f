package router_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/router/internal/fake"
	"github.com/tolkflip/tolkflip/store"
)

// roster is a store.Members of sets, with a hook before every page.
type roster struct {
	store.Members
	mu     sync.Mutex
	groups map[id.Thread]map[id.User]struct{}
	lists  int
	page   func(after id.User) error // called without the lock
}

func newRoster() *roster { return &roster{groups: make(map[id.Thread]map[id.User]struct{})} }

func (m *roster) set(g id.Thread, u id.User, in bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.groups[g] == nil {
		m.groups[g] = make(map[id.User]struct{})
	}
	if in {
		m.groups[g][u] = struct{}{}
	} else {
		delete(m.groups[g], u)
	}
}

func (m *roster) Get(_ context.Context, g id.Thread, u id.User) (store.Member, error) {
	if m.page != nil {
		if err := m.page(u); err != nil {
			return store.Member{}, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, in := m.groups[g][u]; !in {
		return store.Member{}, store.ErrNotFound
	}
	return store.Member{Group: g, User: u}, nil
}

func (m *roster) List(_ context.Context, g id.Thread, after id.User, limit int) ([]store.Member, error) {
	if m.page != nil {
		if err := m.page(after); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lists++
	var list []store.Member
	for u := range m.groups[g] {
		if bytes.Compare(u.ID[:], after.ID[:]) > 0 {
			list = append(list, store.Member{Group: g, User: u})
		}
	}
	slices.SortFunc(list, func(a, b store.Member) int { return bytes.Compare(a.User.ID[:], b.User.ID[:]) })
	return list[:min(limit, len(list))], nil
}

// group makes a group of n new users.
func (m *roster) group(n int) (g id.Thread, users []id.User) {
	g = id.NewGroup()
	for range n {
		u := id.NewUser()
		m.set(g, u, true)
		users = append(users, u)
	}
	return g, users
}

func rooms(t *testing.T, loops int, edit func(*router.RoomsConfig)) (*router.Router, *router.Rooms, *fake.Loops, *roster) {
	t.Helper()
	r, l := started(t, loops)
	m := newRoster()
	cfg := router.DefaultRooms()
	cfg.Page = 7
	if edit != nil {
		edit(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	return r, router.NewRooms(cfg, r, m), l, m
}

func get(t *testing.T, g *router.Rooms, group id.Thread) router.Room {
	t.Helper()
	room, err := g.Get(context.Background(), group)
	if err != nil {
		t.Fatal(err)
	}
	return room
}

func TestRoom(t *testing.T) {
	t.Parallel()
	r, g, l, m := rooms(t, 3, nil)
	group, users := m.group(20)
	var all []router.Caller
	for i, u := range users[:10] {
		all = append(all, attached(r, l, u, uint32(2*i+1), uint32(2*i+2))...)
	}
	outsider := attached(r, l, id.NewUser(), 100)[0]
	room := get(t, g, group)
	defer room.Release()
	if room.Size() != 20 || !room.Has(users[19]) || room.Has(outsider.User) {
		t.Error("the room is wrong about its members")
	}
	if got := room.AppendMembers(nil, users[0]); len(got) != 19 || slices.Contains(got, users[0]) {
		t.Errorf("%d members, want all but one", len(got))
	}

	room.Multicast(all[3].Conn, &proto.Pong{})
	want := make([]int, 20)
	for i := range want {
		want[i] = 1
	}
	want[3] = 0
	if got := count(l, all...); !slices.Equal(got, want) {
		t.Errorf("frames %v", got)
	}
	if got := count(l, outsider); got[0] != 0 {
		t.Error("an outsider was told")
	}

	r.Detach(all[0])
	late := attached(r, l, users[15], 50)[0]
	room.Multicast(0, &proto.Pong{})
	want[0], want[3] = 0, 1
	if got := count(l, append(all, late)...); !slices.Equal(got, append(want, 1)) {
		t.Errorf("frames %v", got)
	}
}

// TestRoomMembersChange removes and adds members: what is sent after the call must agree.
func TestRoomMembersChange(t *testing.T) {
	t.Parallel()
	r, g, l, m := rooms(t, 2, nil)
	group, users := m.group(3)
	newcomer := id.NewUser()
	a, b := attached(r, l, users[0], 1, 2), attached(r, l, newcomer, 3)
	all := append(a, b...)
	room := get(t, g, group)
	defer room.Release()
	change := func(u id.User, in bool) {
		t.Helper()
		m.set(group, u, in)
		if err := g.Changed(context.Background(), group, []id.User{u}); err != nil {
			t.Fatal(err)
		}
		if room.Has(u) != in {
			t.Error("the room does not follow")
		}
		room.Multicast(0, &proto.Pong{})
	}
	for i, step := range []struct {
		u    id.User
		in   bool
		want []int
	}{
		{newcomer, true, []int{1, 1, 1}},
		{users[0], false, []int{0, 0, 1}},
		{users[0], true, []int{1, 1, 1}},
		{users[0], true, []int{1, 1, 1}}, // told twice
		{newcomer, false, []int{1, 1, 0}},
		{newcomer, false, []int{1, 1, 0}},
	} {
		change(step.u, step.in)
		if got := count(l, all...); !slices.Equal(got, step.want) {
			t.Errorf("step %d: frames %v, want %v", i, got, step.want)
		}
	}
	// The hint names a user whom the store still has: the store is what counts.
	if err := g.Changed(context.Background(), group, []id.User{users[0]}); err != nil || !room.Has(users[0]) {
		t.Errorf("a wrong hint changed the room: %v", err)
	}
	// A group deleted, with more members than a page.
	for _, u := range append(users, newcomer) {
		m.set(group, u, false)
	}
	many := append(slices.Clone(users), make([]id.User, 20)...)
	if err := g.Changed(context.Background(), group, many); err != nil || room.Size() != 0 {
		t.Errorf("%d members of a deleted group, %v", room.Size(), err)
	}
	room.Multicast(0, &proto.Pong{})
	if got := count(l, all...); !slices.Equal(got, []int{0, 0, 0}) {
		t.Errorf("frames %v of a deleted group", got)
	}
}

// TestRoomStoreFails: who may have been removed must not be told, and the room recovers.
func TestRoomStoreFails(t *testing.T) {
	t.Parallel()
	r, g, l, m := rooms(t, 1, nil)
	group, users := m.group(30)
	c := attached(r, l, users[0], 1)[0]
	broken := errors.New("broken")
	m.page = func(id.User) error { return broken }
	if _, err := g.Get(context.Background(), group); !errors.Is(err, broken) {
		t.Fatalf("error %v, want the store's", err)
	}
	m.page = nil
	room := get(t, g, group)
	m.page = func(id.User) error { return broken }
	if err := g.Changed(context.Background(), group, users[:1]); !errors.Is(err, broken) {
		t.Errorf("error %v, want the store's", err)
	}
	if room.Has(users[0]) {
		t.Error("a member who may have been removed is still in")
	}
	room.Multicast(0, &proto.Pong{})
	if got := count(l, c); got[0] != 0 {
		t.Error("a member who may have been removed was told")
	}
	room.Release()
	if _, ok := g.Peek(group); ok {
		t.Error("a room that is known to be wrong was given")
	}
	m.page = nil
	room = get(t, g, group)
	defer room.Release()
	if !room.Has(users[0]) || room.Size() != 30 {
		t.Error("the room did not recover")
	}
}

// TestRoomAttachDuringBuild attaches every member while the members are read, a page at a time, and from
// other goroutines all the time: nobody is lost, nobody is there twice.
func TestRoomAttachDuringBuild(t *testing.T) {
	t.Parallel()
	for round := range 20 {
		r, g, l, m := rooms(t, 3, nil)
		group, users := m.group(60)
		var mu sync.Mutex
		left := map[router.Caller]bool{}
		slot := uint32(0)
		come := func(u id.User) {
			mu.Lock()
			slot++
			c := l.Caller(slot, u)
			mu.Unlock()
			r.Attach(c)
			mu.Lock()
			left[c] = true
			mu.Unlock()
		}
		m.page = func(id.User) error { // between two pages some come
			for i := range 5 {
				come(users[(i*11+round)%60])
			}
			return nil
		}
		var wg sync.WaitGroup
		for k := range 4 {
			wg.Go(func() {
				for i := range 60 {
					come(users[(i*(k+1)+round)%60])
				}
			})
			wg.Go(func() {
				room, err := g.Get(context.Background(), group)
				if err != nil {
					t.Error(err)
					return
				}
				room.Multicast(0, &proto.TypingIn{}) // readers of the lists, for the race detector
				room.Release()
			})
			wg.Go(func() {
				for range 40 {
					mu.Lock()
					var c router.Caller
					for c = range left {
						delete(left, c)
						break
					}
					mu.Unlock()
					r.Detach(c)
				}
			})
		}
		wg.Wait()
		m.page = nil
		l.Idle()
		for c := range left {
			l.Take(c.Conn)
		}
		room := get(t, g, group)
		room.Multicast(0, &proto.Pong{})
		room.Release()
		l.Idle()
		for c := range left {
			if n := len(l.Take(c.Conn)); n != 1 {
				t.Fatalf("round %d: a connection got %d frames, want 1", round, n)
			}
		}
		if _, conns := r.Counts(); conns != len(left) {
			t.Fatalf("round %d: %d connections, want %d", round, conns, len(left))
		}
	}
}

// TestRoomsBounds fills the rooms: the least recently used go, those in use do not.
func TestRoomsBounds(t *testing.T) {
	t.Parallel()
	_, g, _, m := rooms(t, 1, func(c *router.RoomsConfig) { c.Max = 2; c.MaxMembers = 100 })
	var groups []id.Thread
	for range 4 {
		group, _ := m.group(10)
		groups = append(groups, group)
	}
	big, _ := m.group(95)
	a, b := get(t, g, groups[0]), get(t, g, groups[1])
	if _, err := g.Get(context.Background(), groups[2]); !errors.Is(err, router.ErrRooms) {
		t.Fatalf("error %v with all rooms in use", err)
	}
	b.Release()
	c := get(t, g, groups[2])
	if _, ok := g.Peek(groups[1]); ok {
		t.Error("the unused room is still there")
	}
	if p, ok := g.Peek(groups[0]); !ok {
		t.Error("the room in use is gone")
	} else {
		p.Release()
	}
	c.Release()
	if _, err := g.Get(context.Background(), big); !errors.Is(err, router.ErrRooms) {
		t.Errorf("error %v with all members' places in use", err)
	}
	a.Release()
	d := get(t, g, big)
	if d.Size() != 95 {
		t.Errorf("%d members", d.Size())
	}
	d.Release()
}

// TestRoomsAreForgotten has a room be idle, and one in use stay.
func TestRoomsAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := fake.New(1)
		r := router.New(l, prometheus.NewRegistry())
		m := newRoster()
		cfg := router.DefaultRooms()
		g := router.NewRooms(cfg, r, m)
		idle, _ := m.group(3)
		used, users := m.group(3)
		get(t, g, idle).Release()
		room := get(t, g, used)
		time.Sleep(2 * cfg.Idle) //nolint:forbidigo // synctest's clock
		synctest.Wait()
		if _, ok := g.Peek(idle); ok {
			t.Error("the idle room is still there")
		}
		r.Attach(l.Caller(1, users[0])) // must not find the room that is gone
		if !room.Has(users[0]) {
			t.Error("the room in use was forgotten")
		}
		room.Release()
		time.Sleep(2 * cfg.Idle) //nolint:forbidigo // synctest's clock
		synctest.Wait()
		if _, ok := g.Peek(used); ok {
			t.Error("the room is still there")
		}
	})
}

// TestRoomChurnIsSwept detaches many without a send: the notes about them must not pile up, and the next
// send reaches exactly those who are left.
func TestRoomChurnIsSwept(t *testing.T) {
	t.Parallel()
	r, g, l, m := rooms(t, 2, nil)
	group, users := m.group(40)
	room := get(t, g, group)
	defer room.Release()
	var left []router.Caller
	for i := range 2000 {
		c := attached(r, l, users[i%40], uint32(i+1))[0]
		if i < 1990 {
			r.Detach(c)
		} else {
			left = append(left, c)
		}
	}
	room.Multicast(0, &proto.Pong{})
	for i, n := range count(l, left...) {
		if n != 1 {
			t.Errorf("connection %d got %d frames", i, n)
		}
	}
	if n := router.RoomFootprint(room); n > 300 {
		t.Errorf("the room keeps %d connections for 10", n)
	}
}
