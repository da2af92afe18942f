package pebble

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// kindsOfID make ids as they come: random, and hashed from names that count up.
func kindsOfID() map[string]func(rng *rand.Rand, n int) id.Message {
	u := id.NewUser()
	return map[string]func(*rand.Rand, int) id.Message{
		"random": func(rng *rand.Rand, _ int) (m id.Message) {
			binary.LittleEndian.PutUint64(m.ID[:], rng.Uint64())
			binary.LittleEndian.PutUint64(m.ID[8:], rng.Uint64())
			m.ID[6], m.ID[8] = m.ID[6]&0x0f|0x40, m.ID[8]&0x3f|0x80
			return m
		},
		"hashed": func(_ *rand.Rand, n int) id.Message {
			return id.ClientMessage(u, binary.BigEndian.AppendUint32(nil, uint32(n)))
		},
		"by time": func(rng *rand.Rand, n int) (m id.Message) { // UUIDv7: the first bytes hardly differ
			binary.BigEndian.PutUint64(m.ID[:], uint64(1_700_000_000_000+n/50)<<16|0x7000|uint64(rng.IntN(1<<12)))
			binary.LittleEndian.PutUint64(m.ID[8:], rng.Uint64())
			m.ID[8] = m.ID[8]&0x3f | 0x80
			return m
		},
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	for name, make := range kindsOfID() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n = 500_000 // three layers
			rng := rand.New(rand.NewPCG(1, 2))
			f := newIDFilter(16 << 20)
			f.ready.Store(true)
			known := map[id.Message]bool{}
			for i := range n {
				m := make(rng, i)
				check(t, f.add(m))
				if i%7 == 0 {
					known[m] = true
				}
			}
			for m := range known {
				if f.absent(m) {
					t.Fatal("an id that was added is called absent")
				}
			}
			vain := 0
			for i := range 100_000 {
				if !f.absent(make(rng, n+i)) {
					vain++
				}
			}
			if vain > 2000 {
				t.Errorf("%d of 100000 new ids would be looked up", vain)
			}
			layers := *f.layers.Load()
			t.Logf("%d layers, %d bytes, %d of 100000 looked up in vain", len(layers), f.size, vain)
			if len(layers) < 3 || f.size > 2<<20 {
				t.Errorf("%d layers of %d bytes", len(layers), f.size)
			}
			check(t, f.release())
			if f.absent(make(rng, 0)) {
				t.Error("a released filter proves something")
			}
		})
	}
}

// TestFilterKeepsItsBudget fills one far over what it may hold: it proves less and is never wrong.
func TestFilterKeepsItsBudget(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	make := kindsOfID()["random"]
	for _, max := range []int{0, filterFirst - 1, filterFirst, 3 * filterFirst} {
		f := newIDFilter(max)
		f.ready.Store(max > 0)
		var all []id.Message
		for i := range 600_000 {
			m := make(rng, i)
			check(t, f.add(m))
			all = append(all, m)
		}
		if f.size > max {
			t.Fatalf("%d bytes of %d", f.size, max)
		}
		if max >= filterFirst {
			for _, m := range all {
				if f.absent(m) {
					t.Fatal("an id that was added is called absent")
				}
			}
		}
		check(t, f.release())
	}
}

// TestFilterAfterReopen sends everything again to a store that was opened again, before and after its
// filter is filled.
func TestFilterAfterReopen(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := open(t, small(fs))
	u := id.NewUser()
	var all []store.Message
	for range 300 {
		m := direct(u, u)
		all = append(all, m)
		add(s.Log(), m).must(t)
	}
	check(t, s.Close())
	for _, filled := range []bool{false, true} {
		s := open(t, small(fs))
		for filled && !s.filter.ready.Load() {
			add(s.Log(), direct(u, u)).must(t) // passes the time
		}
		for i, m := range all {
			if e := <-add(s.Log(), m); e.Err != nil || !e.Duplicate || e.Seq != uint64(i)+1 {
				t.Fatalf("retry of %d: %+v", i, e)
			}
		}
		check(t, s.Close())
	}
}
