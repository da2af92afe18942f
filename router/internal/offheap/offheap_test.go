package offheap

import (
	"math/rand/v2"
	"testing"
)

// TestSlice: small from the heap, large mapped, all zero, and usable to the last item.
func TestSlice(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, threshold/8 - 1, threshold / 8, 100_003} {
		s := Make[uint64](n)
		if len(s.Items) != n || s.mapped != (n*8 >= threshold) {
			t.Fatalf("%d items, mapped %v, for %d", len(s.Items), s.mapped, n)
		}
		for i := range s.Items {
			if s.Items[i] != 0 {
				t.Fatal("not zero")
			}
			s.Items[i] = uint64(i)
		}
		s.Free()
		if s.Items != nil || s.mapped {
			t.Error("not empty after Free")
		}
		s.Free()
	}
}

type thing struct {
	a, b uint32
	id   uint64
}

// TestPool takes and frees at random: an index is never given twice, items keep their place and what was
// written, new ones are zero, and nothing is left at the end.
func TestPool(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	var p Pool[thing]
	in := make(map[uint32]uint64)
	var list []uint32
	next := uint64(0)
	for op := range 100_000 {
		if grow := op/20_000%2 == 0; rnd.IntN(10) < 7 == grow || len(list) == 0 {
			i := p.New()
			if _, twice := in[i]; twice || i == 0 {
				t.Fatalf("index %d given again", i)
			}
			if *p.At(i) != (thing{}) {
				t.Fatal("a new item is not zero")
			}
			next++
			*p.At(i) = thing{1, 2, next}
			in[i] = next
			list = append(list, i)
			continue
		}
		at := rnd.IntN(len(list))
		i := list[at]
		list[at] = list[len(list)-1]
		list = list[:len(list)-1]
		if got := *p.At(i); got != (thing{1, 2, in[i]}) {
			t.Fatalf("item %d is %+v, want %d", i, got, in[i])
		}
		delete(in, i)
		p.Free(i)
		if p.Len() != len(list) {
			t.Fatalf("%d items, want %d", p.Len(), len(list))
		}
	}
	for _, i := range list {
		p.Free(i)
	}
	if p.Len() != 0 || p.Bytes() != 0 {
		t.Errorf("%d items and %d bytes left", p.Len(), p.Bytes())
	}
}
