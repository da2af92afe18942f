package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// RoomsConfig bounds the groups that are kept in memory.
type RoomsConfig struct {
	Max        int           // rooms; at most 65,536
	MaxMembers int           // members of all rooms together, about 60 bytes each
	Idle       time.Duration // after which an unused room is forgotten
	Page       int           // members read at once while a room is built
}

// DefaultRooms is a RoomsConfig for most servers.
func DefaultRooms() RoomsConfig {
	return RoomsConfig{Max: 16 << 10, MaxMembers: 2 << 20, Idle: 10 * time.Minute, Page: 1000}
}

// Validate reports what is wrong with c.
func (c RoomsConfig) Validate() error {
	switch {
	case c.Max < 1 || c.Max > 64<<10:
		return fmt.Errorf("rooms: Max is %d, want 1 to %d", c.Max, 64<<10)
	case c.MaxMembers < 1:
		return fmt.Errorf("rooms: MaxMembers is %d, want at least 1", c.MaxMembers)
	case c.Idle <= 0:
		return fmt.Errorf("rooms: Idle is %v, want more than 0", c.Idle)
	case c.Page < 1:
		return fmt.Errorf("rooms: Page is %d, want at least 1", c.Page)
	}
	return nil
}

// ErrRooms says that all rooms in memory are in use by sends under way: retryable.
var ErrRooms = errors.New("router: too many rooms in use")

// roomRef is a slot of Rooms.slots, plus one so that it is never 0.
type roomRef uint64

// Rooms keeps the groups that are in use. Its methods may be called from many goroutines at once.
type Rooms struct {
	// Fixed after construction.
	cfg     RoomsConfig
	router  *Router
	members store.Members
	slots   []atomic.Pointer[room] // a slot is filled before its ref is in a shard, and emptied after
	now     func() time.Time

	mu struct {
		sync.Mutex
		byGroup map[id.Thread]*room
		free    []uint32 // slots
		members int      // of all rooms
		sweep   *time.Timer
	}
}

// NewRooms gives r its rooms. It must be called before the first Attach, once.
func NewRooms(cfg RoomsConfig, r *Router, members store.Members) *Rooms {
	g := &Rooms{cfg: cfg, router: r, members: members, slots: make([]atomic.Pointer[room], cfg.Max), now: time.Now}
	g.mu.byGroup = make(map[id.Thread]*room)
	for i := range cfg.Max {
		g.mu.free = append(g.mu.free, uint32(cfg.Max-1-i))
	}
	r.rooms = g
	return g
}

// Get gives a group's room, built from the store if it is not in memory, and keeps it there until
// Release. It may wait for the store. An unknown group is a room without members. ErrRooms when there
// is no place for it; a failure of the store as it came.
func (g *Rooms) Get(ctx context.Context, group id.Thread) (Room, error) {
	m, err := g.pin(group)
	if err != nil {
		return Room{}, err
	}
	if !m.stale.Load() {
		return Room{m}, nil
	}
	if err := m.begin(ctx); err != nil {
		g.unpin(m)
		return Room{}, err
	}
	defer m.end()
	if !m.stale.Load() { // another goroutine built it while this one waited
		return Room{m}, nil
	}
	if err := g.load(ctx, m); err != nil {
		g.unpin(m)
		return Room{}, fmt.Errorf("build room: %w", err)
	}
	return Room{m}, nil
}

// Peek gives a group's room if it is in memory.
func (g *Rooms) Peek(group id.Thread) (Room, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.mu.byGroup[group]
	if m == nil || m.stale.Load() {
		return Room{}, false
	}
	m.pins++
	m.used = g.now()
	return Room{m}, true
}

// Changed makes the group's room, if it is in memory, agree with the store about some users: the store
// is what counts, so calls may come in any order as long as each comes after its write. When the store
// fails the users are taken out (nobody gets what is not theirs) and the room is read again at its next
// use.
func (g *Rooms) Changed(ctx context.Context, group id.Thread, users []id.User) error {
	g.mu.Lock()
	m := g.mu.byGroup[group]
	if m == nil {
		g.mu.Unlock()
		return nil
	}
	m.pins++
	g.mu.Unlock()
	defer g.unpin(m)
	if err := m.begin(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	defer m.end()
	if len(users) > g.cfg.Page && !m.stale.Load() {
		m.stale.Store(true)
		if err := g.load(ctx, m); err == nil {
			return nil
		}
	}
	var failed error
	for _, u := range users {
		_, err := g.members.Get(ctx, group, u)
		switch {
		case err == nil:
			g.include(m, u)
		case errors.Is(err, store.ErrNotFound):
			g.exclude(m, u)
		default:
			g.exclude(m, u)
			m.stale.Store(true)
			failed = fmt.Errorf("read member: %w", err)
		}
	}
	return failed
}

// load makes the room agree with the store about everybody. m's turn is held.
func (g *Rooms) load(ctx context.Context, m *room) error {
	var after id.User
	var all []id.User
	for {
		page, err := g.members.List(ctx, m.group, after, g.cfg.Page)
		if err != nil {
			return err
		}
		for i := range page {
			all = append(all, page[i].User)
		}
		if len(page) < g.cfg.Page {
			break
		}
		after = page[len(page)-1].User
	}
	slices.SortFunc(all, compareUsers)
	if err := g.reserve(m, len(all)); err != nil {
		return err
	}
	for _, u := range m.everybody() {
		if _, in := slices.BinarySearchFunc(all, u, compareUsers); !in {
			g.exclude(m, u)
		}
	}
	for _, u := range all {
		g.include(m, u)
	}
	m.stale.Store(false)
	g.router.metrics.built.Inc()
	return nil
}

func compareUsers(a, b id.User) int { return bytes.Compare(a.ID[:], b.ID[:]) }

// include makes u a member of the room. Whoever holds the shard's lock sees both the mark "u is in this
// room" and u's connections, or neither; Attach does likewise, so no connection is missed or added twice.
func (g *Rooms) include(m *room, u id.User) {
	if !m.enter(u) {
		return
	}
	var few [8]Conn
	s, h := g.router.shard(u)
	s.mu.Lock()
	s.rooms.add(h, u, m.ref, g.router.keys)
	for _, c := range s.conns.get(few[:0], h, u) {
		m.add(c)
	}
	s.mu.Unlock()
	g.count(1)
}

// exclude is include's opposite: when it returns, nothing that is sent to the room from now on reaches u.
func (g *Rooms) exclude(m *room, u id.User) {
	if !m.leave(u) {
		return
	}
	var few [8]Conn
	s, h := g.router.shard(u)
	s.mu.Lock()
	s.rooms.remove(h, u, m.ref, g.router.keys)
	for _, c := range s.conns.get(few[:0], h, u) {
		m.drop(c)
	}
	s.mu.Unlock()
	g.count(-1)
}

func (g *Rooms) count(n int) {
	g.mu.Lock()
	g.mu.members += n
	g.mu.Unlock()
}

// eachRoom calls f with the rooms in memory that u is in. s.mu is held.
func (r *Router) eachRoom(s *shard, h uint64, u id.User, f func(*room)) {
	if r.rooms == nil || s.rooms.used == 0 {
		return
	}
	var few [16]roomRef
	for _, ref := range s.rooms.get(few[:0], h, u) {
		f(r.rooms.slots[ref-1].Load())
	}
}
