package presence

import (
	"encoding/binary"
	"math/bits"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/router/internal/offheap"
)

// The people of the graph, by user: open addressing over their numbers, backward-shift deletion.

func (g *graph) home(u id.User, slots int) int {
	h, l := bits.Mul64(binary.LittleEndian.Uint64(u.ID[:])^g.seed[0], binary.LittleEndian.Uint64(u.ID[8:])^g.seed[1])
	h, _ = bits.Mul64((h^l)*0x9e3779b97f4a7c15, uint64(slots))
	return int(h)
}

// person finds a watched user, or 0. g.mu is held, as for all below.
func (g *graph) person(u id.User) uint32 {
	s := g.mu.index.Items
	if len(s) == 0 {
		return 0
	}
	for i := g.home(u, len(s)); s[i] != 0; i = (i + 1) % len(s) {
		if g.mu.people.At(s[i]).user == u {
			return s[i]
		}
	}
	return 0
}

// meet adds a watched user.
func (g *graph) meet(u id.User) uint32 {
	if n := len(g.mu.index.Items); (g.mu.people.Len()+1)*4 > n*3 {
		g.rehash(max(16, n+n/2))
	}
	p := g.mu.people.New()
	g.mu.people.At(p).user = u
	g.place(p)
	return p
}

func (g *graph) place(p uint32) {
	s := g.mu.index.Items
	i := g.home(g.mu.people.At(p).user, len(s))
	for s[i] != 0 {
		i = (i + 1) % len(s)
	}
	s[i] = p
}

func (g *graph) rehash(n int) {
	old := g.mu.index
	g.mu.index = offheap.Make[uint32](n)
	for _, p := range old.Items {
		if p != 0 {
			g.place(p)
		}
	}
	old.Free()
}

// forget takes a user away whom nobody watches any more.
func (g *graph) forget(p uint32) {
	s := g.mu.index.Items
	i := g.home(g.mu.people.At(p).user, len(s))
	for s[i] != p {
		i = (i + 1) % len(s)
	}
	for j := (i + 1) % len(s); s[j] != 0; j = (j + 1) % len(s) {
		at := g.home(g.mu.people.At(s[j]).user, len(s))
		if i < j && (at <= i || at > j) || i > j && at <= i && at > j {
			s[i] = s[j]
			i = j
		}
	}
	s[i] = 0
	g.mu.people.Free(p)
	switch n, used := len(s), g.mu.people.Len(); {
	case used == 0:
		g.mu.index.Free()
	case n > 16 && used*4 < n:
		g.rehash(max(16, used*8/5))
	}
}

// The methods below are called by one goroutine, Run. Others only add at the head of a list and mark
// watches as dead, so a place in a list stays good while the lock is free between two steps.

// each calls f with the watchers of u, in steps. f runs with the lock held and must not block.
func (g *graph) each(u id.User, f func(c router.Conn, watcher id.User, granted bool)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.person(u)
	if p == 0 {
		return
	}
	left := step
	for n := g.mu.people.At(p).head; n != 0; left-- {
		if left == 0 {
			left = step
			g.mu.Unlock()
			g.mu.Lock()
		}
		at := g.watch(n)
		if at.person&dead == 0 {
			w := g.mu.watchers.At(g.mu.blocks.At(n / perBlock).owner)
			f(w.conn, w.user, at.person&granted != 0)
		}
		n = at.next
	}
}

// sweepAll takes the dead watches out of the lists that are half dead.
func (g *graph) sweepAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.mu.sweep != 0 {
		p := g.mu.sweep
		who := g.mu.people.At(p)
		if g.mu.sweep = who.sweep; g.mu.sweep == p {
			g.mu.sweep = 0
		}
		g.sweepOne(p)
		g.mu.Unlock() // a step each, at least
		g.mu.Lock()
	}
}

// sweepOne sweeps one list. Its person's sweep mark is still set, so that it is not queued meanwhile.
func (g *graph) sweepOne(p uint32) {
	left := step
	var prev uint32 // the last watch that stays; 0 = we are at the head
	for {
		who := g.mu.people.At(p)
		n := who.head
		if prev != 0 {
			n = g.watch(prev).next
		}
		if n == 0 {
			break
		}
		at := g.watch(n)
		if at.person&dead == 0 {
			prev = n
		} else {
			if prev == 0 {
				who.head = at.next
			} else {
				g.watch(prev).next = at.next
			}
			who.dead--
			g.release(n)
		}
		if left--; left == 0 {
			left = step
			g.mu.Unlock()
			g.mu.Lock()
		}
	}
	g.mu.people.At(p).sweep = 0
	if g.mu.people.At(p).head == 0 {
		g.forget(p)
	} else {
		g.queue(p) // for what died behind us
	}
}

// release frees the slot of a watch that is in no list any more, and its block when that is the last one
// and its connection is closed.
func (g *graph) release(n uint32) {
	*g.watch(n) = watch{}
	b := g.mu.blocks.At(n / perBlock)
	if b.owner != 0 {
		w := g.mu.watchers.At(b.owner)
		if w.used--; w.used == 0 { // it watches nobody any more
			g.end(b.owner)
		}
		return
	}
	for i := range b.watches {
		if b.watches[i].person != 0 {
			return
		}
	}
	g.mu.blocks.Free(n / perBlock)
}
