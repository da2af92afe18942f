package router

import (
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
)

// pin finds or makes the group's room and keeps it in memory until unpin.
func (g *Rooms) pin(group id.Thread) (*room, error) {
	for {
		g.mu.Lock()
		m := g.mu.byGroup[group]
		if m == nil && len(g.mu.free) > 0 {
			m = g.make(group)
		}
		if m != nil {
			m.pins++
			m.used = g.now()
			g.mu.Unlock()
			return m, nil
		}
		out := g.unlinkOldest(nil)
		g.mu.Unlock()
		if out == nil {
			g.router.metrics.full.Inc()
			return nil, ErrRooms
		}
		g.clear(out, evictedFull)
	}
}

func (g *Rooms) unpin(m *room) {
	g.mu.Lock()
	m.pins--
	g.mu.Unlock()
}

// make adds an empty room, still to be loaded. g.mu is held and a slot is free.
func (g *Rooms) make(group id.Thread) *room {
	last := len(g.mu.free) - 1
	slot := g.mu.free[last]
	g.mu.free = g.mu.free[:last]
	loops := g.router.sink.Loops()
	m := &room{rooms: g, group: group, ref: roomRef(slot) + 1, turn: make(chan struct{}, 1)}
	m.mu.lists = make([][]Conn, loops)
	m.mu.gone = make([][]Conn, loops)
	m.stale.Store(true)
	g.slots[slot].Store(m)
	g.mu.byGroup[group] = m
	if g.mu.sweep == nil {
		g.mu.sweep = time.AfterFunc(g.cfg.Idle/2, g.sweepIdle)
	}
	return m
}

// reserve makes place for m to have n members, at the cost of the rooms that were used least recently.
func (g *Rooms) reserve(m *room, n int) error {
	for {
		g.mu.Lock()
		if g.mu.members-m.size()+n <= g.cfg.MaxMembers {
			g.mu.Unlock()
			return nil
		}
		out := g.unlinkOldest(m)
		g.mu.Unlock()
		if out == nil {
			g.router.metrics.full.Inc()
			return ErrRooms
		}
		g.clear(out, evictedFull)
	}
}

// unlinkOldest takes the least recently used room that nobody has pinned off the list, or gives nil.
// It looks at every room, which is cheap beside the building of the one that needs the place. g.mu is held.
func (g *Rooms) unlinkOldest(but *room) *room {
	var oldest *room
	for _, m := range g.mu.byGroup {
		if m.pins == 0 && m != but && (oldest == nil || m.used.Before(oldest.used)) {
			oldest = m
		}
	}
	if oldest != nil {
		delete(g.mu.byGroup, oldest.group)
	}
	return oldest
}

// clear takes an unlinked room's marks out of the shards and frees its slot. Until then an attach may
// still add to the room's lists, which nobody reads any more.
func (g *Rooms) clear(m *room, why eviction) {
	for _, u := range m.everybody() {
		g.exclude(m, u)
	}
	slot := uint32(m.ref - 1)
	g.slots[slot].Store(nil)
	g.mu.Lock()
	g.mu.free = append(g.mu.free, slot)
	g.mu.Unlock()
	g.router.metrics.evicted[why].Inc()
}

// sweepIdle forgets the rooms that nobody used for a while, and comes back while any are left.
func (g *Rooms) sweepIdle() {
	var out []*room
	g.mu.Lock()
	limit := g.now().Add(-g.cfg.Idle)
	for group, m := range g.mu.byGroup {
		if m.pins == 0 && !m.used.After(limit) {
			delete(g.mu.byGroup, group)
			out = append(out, m)
		}
	}
	g.mu.sweep = nil
	if len(g.mu.byGroup) > 0 {
		g.mu.sweep = time.AfterFunc(g.cfg.Idle/2, g.sweepIdle)
	}
	g.mu.Unlock()
	for _, m := range out {
		g.clear(m, evictedIdle)
	}
}

// counts is the number of rooms in memory and of the members of all.
func (g *Rooms) counts() (rooms, members int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.mu.byGroup), g.mu.members
}
