package presence

import (
	"math/rand/v2"
	"sync"
	"testing"
	"unsafe"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
)

func userAt(n int) id.User {
	var u id.User
	for i := range 8 {
		u.ID[i] = byte(n >> (8 * i))
	}
	u.ID[15] = 1
	return u
}

func connAt(slot, generation int) router.Conn {
	return router.MakeConn(0, 0, uint32(generation), uint32(slot))
}

func newGraph() *graph { return &graph{seed: [2]uint64{3, 5}} }

// modelled is a graph beside plain maps that say what must be in it.
type modelled struct {
	*graph
	t          *testing.T
	rnd        *rand.Rand
	conns      []router.Conn
	generation int
	late       []router.Conn // closed, and to be told of again
	granted    map[edge]bool
}

// edge is who watches whom.
type edge struct {
	conn router.Conn
	user id.User
}

const (
	modelUsers = 60
	modelLimit = 25
)

func ownerOf(c router.Conn) id.User { return userAt(1000 + int(c.Slot())) }

// fresh gives a slot its next connection.
func (m *modelled) fresh(i int) {
	m.generation++
	m.conns[i] = connAt(i+1, m.generation)
}

// watches counts what a connection watches.
func (m *modelled) watches(c router.Conn) (n int) {
	for w := range m.granted {
		if w.conn == c {
			n++
		}
	}
	return n
}

// watch adds some people to what c watches.
func (m *modelled) watch(c router.Conn) {
	var list []wanted
	extra := 0
	for _, n := range m.rnd.Perm(modelUsers)[:m.rnd.IntN(8)] {
		u := wanted{userAt(n), m.rnd.IntN(2) == 0}
		list = append(list, u)
		if _, in := m.granted[edge{c, u.user}]; !in {
			extra++
		}
	}
	has := m.watches(c)
	switch ok := m.add(router.Caller{Conn: c, User: ownerOf(c)}, list, modelLimit); {
	case !ok && has+extra <= modelLimit && extra < 3*modelLimit:
		m.sweepAll() // only the bound on slots in use may refuse besides; it needs many unswept ones
	case ok && has+extra > modelLimit:
		m.t.Fatalf("%d watches and %d more of %d", has, extra, modelLimit)
	case ok:
		for _, u := range list {
			m.granted[edge{c, u.user}] = u.granted
		}
	}
}

// unwatch takes some people, watched or not, out of what c watches.
func (m *modelled) unwatch(c router.Conn) {
	var list []id.User
	for _, n := range m.rnd.Perm(modelUsers)[:m.rnd.IntN(6)] {
		list = append(list, userAt(n))
		delete(m.granted, edge{c, userAt(n)})
	}
	m.remove(c, list)
}

// reuse closes the connection of a slot, which has its next one already. Each end is told twice, the second
// time long after.
func (m *modelled) reuse(i int) {
	c := m.conns[i]
	for w := range m.granted {
		if w.conn == c {
			delete(m.granted, w)
		}
	}
	m.fresh(i)
	m.closed(c)
	if m.late = append(m.late, c); len(m.late) > 5 {
		m.closed(m.late[0])
		m.late = m.late[1:]
	}
}

// compare walks a user's watchers.
func (m *modelled) compare(u id.User) {
	got := make(map[router.Conn]bool)
	m.each(u, func(c router.Conn, w id.User, granted bool) {
		if _, twice := got[c]; twice || w != ownerOf(c) {
			m.t.Fatalf("a watcher twice (%v), or with the owner %v", twice, w)
		}
		got[c] = granted
	})
	want := 0
	for w, granted := range m.granted {
		if w.user != u {
			continue
		}
		want++
		if is, in := got[w.conn]; !in || is != granted {
			m.t.Fatalf("watcher in %v granted %v, want granted %v", in, is, granted)
		}
	}
	if len(got) != want {
		m.t.Fatalf("%d watchers, want %d", len(got), want)
	}
}

// TestGraphAgainstModel compares random watching, unwatching, closing, reuse of slots and sweeping with plain
// maps, and at the end nothing may be left.
func TestGraphAgainstModel(t *testing.T) {
	t.Parallel()
	const slots = 30
	m := &modelled{
		graph: newGraph(), t: t, rnd: rand.New(rand.NewPCG(1, 2)), conns: make([]router.Conn, slots), granted: make(map[edge]bool),
	}
	for i := range m.conns {
		m.fresh(i)
	}
	for op := range 40_000 {
		i := m.rnd.IntN(slots)
		switch k := m.rnd.IntN(20); {
		case k < 8:
			m.watch(m.conns[i])
		case k < 14:
			m.unwatch(m.conns[i])
		case k < 17:
			m.reuse(i)
		case k < 18:
			m.sweepAll()
		default:
			m.compare(userAt(m.rnd.IntN(modelUsers)))
		}
		if m.mu.live != len(m.granted) {
			t.Fatalf("op %d: %d live, want %d", op, m.mu.live, len(m.granted))
		}
	}
	for _, c := range m.conns {
		m.closed(c)
	}
	m.sweepAll()
	if m.mu.live+m.mu.blocks.Len()+m.mu.people.Len()+m.mu.watchers.Len() != 0 {
		t.Errorf("left: %d live, %d blocks, %d people, %d watchers", m.mu.live, m.mu.blocks.Len(), m.mu.people.Len(), m.mu.watchers.Len())
	}
}

// TestGraphSlotReuse: a slot's next connection watches before the end of the former was told.
func TestGraphSlotReuse(t *testing.T) {
	t.Parallel()
	g := newGraph()
	u := userAt(1)
	old, next := connAt(7, 1), connAt(7, 2)
	g.add(router.Caller{Conn: old, User: userAt(50)}, []wanted{{u, true}, {userAt(2), true}}, 10)
	g.add(router.Caller{Conn: next, User: userAt(51)}, []wanted{{u, true}}, 10)
	g.closed(old) // late
	var got []router.Conn
	g.each(u, func(c router.Conn, _ id.User, _ bool) { got = append(got, c) })
	if len(got) != 1 || got[0] != next || g.mu.live != 1 {
		t.Errorf("watchers %v, %d live", got, g.mu.live)
	}
}

// TestGraphConcurrently has many connections watch and close while lists longer than a step are walked and
// swept; at the end nothing may be left.
func TestGraphConcurrently(t *testing.T) {
	t.Parallel()
	g := newGraph()
	var wg, half sync.WaitGroup
	half.Add(4)
	done, seen := make(chan struct{}), make(chan struct{})
	walked := make(chan int)
	long := make(chan struct{}) // closed when the list is at its longest, until seen is closed
	go func() {
		half.Wait()
		close(long)
	}()
	go func() { // as Run does
		longest, wait := 0, long
		for {
			at := false
			select {
			case <-wait:
				at, wait = true, nil
			default:
			}
			n := 0
			g.each(userAt(1), func(router.Conn, id.User, bool) { n++ })
			longest = max(longest, n)
			if at {
				close(seen)
			}
			g.sweepAll()
			select {
			case <-done:
				walked <- longest
				return
			default:
			}
		}
	}()
	for k := range 4 {
		wg.Go(func() {
			for i := range 1500 {
				if i == 600 { // now some are closed, too
					half.Done()
					<-seen
				}
				c := connAt(1+k*2000+i%700, 1+i)
				g.add(router.Caller{Conn: c, User: userAt(9000 + k)}, []wanted{{userAt(1), true}, {userAt(i), true}}, 10)
				if i%3 == 0 {
					g.remove(c, []id.User{userAt(1)})
				}
				if i >= 600 {
					g.closed(connAt(1+k*2000+(i-600)%700, 1+i-600))
				}
			}
		})
	}
	wg.Wait()
	close(done)
	if n := <-walked; n <= step {
		t.Errorf("the longest list had %d watches, which is one step", n)
	}
	for k := range 4 {
		for i := range 1500 {
			g.closed(connAt(1+k*2000+i%700, 1+i))
		}
	}
	g.sweepAll()
	if g.mu.live+g.mu.blocks.Len()+g.mu.people.Len()+g.mu.watchers.Len() != 0 {
		t.Errorf("left: %d live, %d blocks, %d people, %d watchers", g.mu.live, g.mu.blocks.Len(), g.mu.people.Len(), g.mu.watchers.Len())
	}
}

// TestGraphToggling: watching and unwatching for ever must not fill the memory.
func TestGraphToggling(t *testing.T) {
	t.Parallel()
	g := newGraph()
	for i := range 2000 { // a popular person
		g.add(router.Caller{Conn: connAt(i+10, 1), User: userAt(5000 + i)}, []wanted{{userAt(1), true}}, 10)
	}
	me := router.Caller{Conn: connAt(1, 1), User: userAt(99)}
	before := g.mu.blocks.Len()
	for i := range 20_000 {
		list := []wanted{{userAt(1), true}, {userAt(100_000 + i), false}}
		if !g.add(me, list, 10) {
			t.Fatalf("refused at %d", i)
		}
		g.remove(me.Conn, []id.User{list[0].user, list[1].user})
		if i%3 == 0 {
			g.sweepAll()
		}
	}
	g.sweepAll()
	if n := g.mu.blocks.Len() - before; n > 4 {
		t.Errorf("%d more blocks", n)
	}
	if n := g.mu.people.Len(); n != 1 {
		t.Errorf("%d people", n)
	}
}

// TestGraphBytes holds the promise of at most 20 bytes a watch with 8 of a connection, all included.
func TestGraphBytes(t *testing.T) {
	t.Parallel()
	if p, w, b := unsafe.Sizeof(person{}), unsafe.Sizeof(watcher{}), unsafe.Sizeof(block{}); p != 32 || w != 32 || b != 40 {
		t.Fatalf("a person has %d bytes, a watcher %d, a block %d", p, w, b)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	const conns = 15_000
	g := newGraph()
	for i := range conns {
		var list []wanted
		for at := rnd.IntN(conns); len(list) < 8; at += 1 + rnd.IntN(conns/8-1) {
			list = append(list, wanted{userAt(at % conns), true})
		}
		g.add(router.Caller{Conn: connAt(i+1, 1), User: userAt(i)}, list, 1000)
	}
	bytes := g.mu.blocks.Bytes() + g.mu.people.Bytes() + g.mu.watchers.Bytes() + 4*len(g.mu.index.Items)
	for _, s := range g.mu.bySlot {
		bytes += 4 * len(s.Items)
	}
	if per := float64(bytes) / (8 * conns); per > 20 {
		t.Errorf("%.1f bytes a watch", per)
	} else {
		t.Logf("%.1f bytes a watch", per)
	}
}
