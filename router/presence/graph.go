package presence

import (
	"sync"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/router/internal/offheap"
)

const (
	perBlock   = 4
	maxWatches = 10_000 // what Config.Watches may be
	step       = 1024   // watches looked at with the lock held

	// Flags in watch.person.
	dead    = 1 << 31 // ended, still linked in the person's list
	granted = 1 << 30 // the watcher shared a thread with the person at the time of the watch
	number  = granted - 1
)

// graph is who watches whom. People, watchers and blocks refer to each other by index; 0 is none. It has
// a lock of its own, held for at most one step or one watch request.
type graph struct {
	seed [2]uint64

	mu struct {
		sync.Mutex
		people   offheap.Pool[person]
		watchers offheap.Pool[watcher]
		blocks   offheap.Pool[block]
		index    offheap.Slice[uint32] // people by user, open addressing
		bySlot   []offheap.Slice[uint32]
		sweep    uint32 // the first person whose list is half dead
		live     int    // watches
	}
}

// person is somebody who is watched. 32 bytes.
type person struct {
	sweep uint32 // the next one to be swept; self = the last; 0 = not queued
	head  uint32 // the newest watch of the person
	live  uint32
	dead  uint32
	user  id.User
}

// watcher is a connection that watches. 32 bytes.
type watcher struct {
	blocks uint32 // its newest block
	live   uint16
	used   uint16 // slots in its blocks: live, or dead and still linked
	conn   router.Conn
	user   id.User
}

// block holds four watches of one connection. 40 bytes. Watch i of block b has the number b*4+i.
type block struct {
	owner   uint32 // watcher; 0 = its connection was closed
	next    uint32 // of the same watcher
	watches [perBlock]watch
}

// watch is one watch; the zero value is a free slot.
type watch struct {
	person uint32 // with flags
	next   uint32 // the number of the person's next watch
}

func (g *graph) watch(n uint32) *watch { return &g.mu.blocks.At(n / perBlock).watches[n%perBlock] }

// slots are looked up in chunks, so that a few connections with high numbers cost little.
const perSlots = 8 << 10

// bySlot is the place of the watcher of a connection's slot. g.mu is held.
func (g *graph) bySlot(c router.Conn) *uint32 {
	chunk := int(c.Slot() / perSlots)
	for chunk >= len(g.mu.bySlot) {
		g.mu.bySlot = append(g.mu.bySlot, offheap.Slice[uint32]{})
	}
	if g.mu.bySlot[chunk].Items == nil {
		g.mu.bySlot[chunk] = offheap.Make[uint32](perSlots)
	}
	return &g.mu.bySlot[chunk].Items[c.Slot()%perSlots]
}

// find gives the watcher that is c, or 0. g.mu is held.
func (g *graph) find(c router.Conn) uint32 {
	if int(c.Slot()/perSlots) >= len(g.mu.bySlot) || g.mu.bySlot[c.Slot()/perSlots].Items == nil {
		return 0
	}
	if w := *g.bySlot(c); w != 0 && g.mu.watchers.At(w).conn == c {
		return w
	}
	return 0
}

// wanted is one user to be watched.
type wanted struct {
	user    id.User
	granted bool
}

// add makes c watch some users, who differ from each other, unless it would then watch more than max.
// Watching one again only renews what is granted.
func (g *graph) add(c router.Caller, users []wanted, max int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.find(c.Conn)
	if w == 0 {
		at := g.bySlot(c.Conn)
		if *at != 0 { // an earlier connection of this slot, whose end has not been told yet
			g.end(*at)
		}
		w = g.mu.watchers.New()
		*at = w
		*g.mu.watchers.At(w) = watcher{conn: c.Conn, user: c.User}
	}
	has := g.watches(w)
	owner := g.mu.watchers.At(w)
	fresh := 0
	for _, u := range users {
		if n, in := has[g.person(u.user)]; !in || g.watch(n).person&dead != 0 {
			fresh++
		}
	}
	if int(owner.live)+fresh > max || int(owner.used)+fresh > 4*max {
		g.dropEmpty(w)
		return false
	}
	free := g.freeSlots(w)
	for _, u := range users {
		p := g.person(u.user)
		if n, in := has[p]; in && p != 0 {
			g.renew(n, u.granted)
			continue
		}
		if p == 0 {
			p = g.meet(u.user)
		}
		g.link(w, g.slot(w, &free), p, u.granted)
	}
	g.dropEmpty(w)
	return true
}

// watches gives the numbers of a watcher's watches by person, dead ones too.
func (g *graph) watches(w uint32) map[uint32]uint32 {
	owner := g.mu.watchers.At(w)
	has := make(map[uint32]uint32, owner.used)
	for b := owner.blocks; b != 0; b = g.mu.blocks.At(b).next {
		for i, at := range g.mu.blocks.At(b).watches {
			if at.person != 0 {
				has[at.person&number] = b*perBlock + uint32(i)
			}
		}
	}
	return has
}

// freeSlots gives the numbers of a watcher's free slots.
func (g *graph) freeSlots(w uint32) (free []uint32) {
	for b := g.mu.watchers.At(w).blocks; b != 0; b = g.mu.blocks.At(b).next {
		for i, at := range g.mu.blocks.At(b).watches {
			if at.person == 0 {
				free = append(free, b*perBlock+uint32(i))
			}
		}
	}
	return free
}

// slot takes a free slot, of a new block if need be.
func (g *graph) slot(w uint32, free *[]uint32) (n uint32) {
	if len(*free) == 0 {
		b := g.mu.blocks.New()
		owner := g.mu.watchers.At(w)
		*g.mu.blocks.At(b) = block{owner: w, next: owner.blocks}
		owner.blocks = b
		for i := uint32(perBlock); i > 0; i-- {
			*free = append(*free, b*perBlock+i-1)
		}
	}
	last := len(*free) - 1
	n = (*free)[last]
	*free = (*free)[:last]
	return n
}

// link makes slot n a watch of person p.
func (g *graph) link(w, n, p uint32, ok bool) {
	at, who, owner := g.watch(n), g.mu.people.At(p), g.mu.watchers.At(w)
	*at = watch{person: p, next: who.head}
	if ok {
		at.person |= granted
	}
	who.head = n
	who.live++
	owner.live++
	owner.used++
	g.mu.live++
}

// renew makes watch n live again if it is dead, and sets what is granted.
func (g *graph) renew(n uint32, ok bool) {
	at := g.watch(n)
	who := g.mu.people.At(at.person & number)
	if at.person&dead != 0 {
		who.dead--
		who.live++
		g.mu.watchers.At(g.mu.blocks.At(n/perBlock).owner).live++
		g.mu.live++
	}
	at.person &= number
	if ok {
		at.person |= granted
	}
}

// remove ends c's watches of some users.
func (g *graph) remove(c router.Conn, users []id.User) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.find(c)
	if w == 0 {
		return
	}
	has := g.watches(w)
	for _, u := range users {
		if n, in := has[g.person(u)]; in {
			g.kill(w, n)
		}
	}
}

// kill ends watch n, which stays linked until its person's list is swept.
func (g *graph) kill(w, n uint32) {
	at := g.watch(n)
	if at.person&dead != 0 {
		return
	}
	p := at.person & number
	at.person |= dead
	who := g.mu.people.At(p)
	who.live--
	who.dead++
	g.mu.watchers.At(w).live--
	g.mu.live--
	g.queue(p)
}

// queue makes p's list be swept if it is half dead.
func (g *graph) queue(p uint32) {
	who := g.mu.people.At(p)
	if who.dead == 0 || who.dead < who.live || who.sweep != 0 {
		return
	}
	who.sweep = g.mu.sweep
	if who.sweep == 0 {
		who.sweep = p
	}
	g.mu.sweep = p
}

// closed ends all watches of a connection.
func (g *graph) closed(c router.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w := g.find(c); w != 0 {
		g.end(w)
	}
}

// end takes a watcher away. Its blocks stay as long as their watches are linked in lists.
func (g *graph) end(w uint32) {
	owner := g.mu.watchers.At(w)
	*g.bySlot(owner.conn) = 0
	for b := owner.blocks; b != 0; {
		at := g.mu.blocks.At(b)
		next := at.next
		linked := false
		for i := range at.watches {
			if at.watches[i].person != 0 {
				linked = true
				g.kill(w, b*perBlock+uint32(i))
			}
		}
		at.owner, at.next = 0, 0
		if !linked {
			g.mu.blocks.Free(b)
		}
		b = next
	}
	g.mu.watchers.Free(w)
}

// dropEmpty takes a watcher away that has no slot in use.
func (g *graph) dropEmpty(w uint32) {
	if g.mu.watchers.At(w).used == 0 {
		g.end(w)
	}
}
