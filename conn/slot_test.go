package conn

import (
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

func TestSlotSize(t *testing.T) {
	t.Parallel()
	if n := unsafe.Sizeof(slot{}); n > 96 {
		t.Errorf("a slot is %d bytes", n)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	tab := newTable(5000)
	defer tab.free()
	if tab.limit() != 5*chunkSlots {
		t.Errorf("limit %d", tab.limit())
	}
	if tab.find(3) != nil || tab.find(1<<28-1) != nil {
		t.Error("found what was never opened")
	}
	if _, err := tab.open(tab.limit()); err == nil {
		t.Error("opened beyond the limit")
	}
	s, err := tab.open(3000)
	if err != nil {
		t.Fatal(err)
	}
	if tab.at(3000) != s || tab.find(3000) != s || tab.find(3001) == nil || tab.find(100) != nil || tab.mapped.Load() != 1 {
		t.Error("a chunk too few or too many")
	}
}

func TestGenerations(t *testing.T) {
	t.Parallel()
	tab := newTable(10)
	defer tab.free()
	s, err := tab.open(7)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint32]bool{}
	for i := range 1000 {
		if i == 500 {
			s.key.Store((1<<24 - 200) << 8) // soon around
		}
		key, c := s.claim(7, 3)
		if s.matches(c) {
			t.Fatal("matches before the key is stored")
		}
		s.key.Store(key)
		if !s.matches(c) || c.Generation() == 0 || c.Slot() != 7 || c.Loop() != 3 || seen[c.Generation()] && i < 699 {
			t.Fatalf("%d: %x", i, c)
		}
		seen[c.Generation()] = true
		s.retire()
		if s.matches(c) {
			t.Fatal("matches after the end")
		}
	}
}

// The wheel against a plain list, with random deadlines, moves and ends.
func TestWheel(t *testing.T) {
	t.Parallel()
	tab := newTable(300)
	defer tab.free()
	rnd := rand.New(rand.NewPCG(1, 2))
	w := &wheel{slots: tab}
	due := map[int]uint32{}
	for now := uint32(1); now < 5000; now += uint32(1 + rnd.IntN(3)) {
		for range 5 {
			fd := rnd.IntN(300)
			s, err := tab.open(fd)
			if err != nil {
				t.Fatal(err)
			}
			switch rnd.IntN(4) {
			case 0:
				w.unlink(s)
				delete(due, fd)
			default:
				due[fd] = now + uint32(rnd.IntN(3000))
				w.link(fd, s, due[fd])
			}
		}
		var got, want []int
		for {
			fd, ok := w.pop(now)
			if !ok {
				break
			}
			if d := due[fd]; d > now { // one turn of the wheel at a time
				w.link(fd, tab.at(fd), d)
				continue
			}
			got = append(got, fd)
		}
		for fd, d := range due {
			if d <= now {
				want = append(want, fd)
				delete(due, fd)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		// A deadline that is now or over when it is filed comes with the next tick.
		for _, fd := range want {
			if !slices.Contains(got, fd) {
				due[fd] = now
			}
		}
		for _, fd := range got {
			if !slices.Contains(want, fd) {
				t.Fatalf("tick %d: slot %d came early", now, fd)
			}
		}
	}
	if len(due) > 300 {
		t.Error("lost")
	}
}

func TestSides(t *testing.T) {
	t.Parallel()
	var ss sides
	rnd := rand.New(rand.NewPCG(3, 4))
	var lent []*side
	inUse := map[uint32]bool{}
	for i := range 100_000 {
		if rnd.IntN(2) == 0 && len(lent) < 2000 || len(lent) == 0 {
			d := ss.lend()
			if d.index == 0 || inUse[d.index] || ss.all[d.index] != d || len(d.out) != 0 || d.size != 0 {
				t.Fatalf("lent %+v", d)
			}
			d.push(&frame{bytes: []byte("x")})
			inUse[d.index] = true
			lent = append(lent, d)
		} else {
			k := rnd.IntN(len(lent))
			d := lent[k]
			lent[k] = lent[len(lent)-1]
			lent = lent[:len(lent)-1]
			delete(inUse, d.index)
			ss.takeBack(d)
		}
		if i%1000 == 0 {
			ss.trim()
		}
	}
	for _, d := range lent {
		ss.takeBack(d)
	}
	for range 30 {
		ss.trim()
	}
	kept := 0
	for _, d := range ss.all {
		if d != nil {
			kept++
		}
	}
	if ss.inUse != 0 || kept > 100 || len(ss.free) != len(ss.all)-1 {
		t.Errorf("%d in use, %d kept, %d free of %d", ss.inUse, kept, len(ss.free), len(ss.all)-1)
	}
}

func TestBuffers(t *testing.T) {
	t.Parallel()
	var p buffers
	for _, n := range []int{0, 1, 511, 512, 513, 4096, 1<<20 + 14, 2 << 20, 2<<20 + 1, 5 << 20} {
		b := p.get(n)
		if len(b) != 0 || cap(b) < n || n > 512 && n <= 2<<20 && cap(b) >= 2*n {
			t.Errorf("%d: got %d of %d", n, len(b), cap(b))
		}
		p.put(b[:cap(b)])
	}
	var b []byte
	for i := range 10_000 {
		b = p.add(b, []byte{byte(i), byte(i >> 8), 3})
	}
	for i := range 10_000 {
		if b[3*i] != byte(i) || b[3*i+1] != byte(i>>8) || b[3*i+2] != 3 {
			t.Fatalf("byte %d is wrong", 3*i)
		}
	}
	p.put(b)
	p.put(nil)
	p.put(make([]byte, 700))
}
