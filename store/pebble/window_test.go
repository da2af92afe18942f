package pebble

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// TestWindowModel writes the messages of a few threads into a small window and compares every page that
// it gives with the whole log. What it gives must be right; what it must give is checked where it is sure
// to be there.
func TestWindowModel(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	w, err := newWindow(3 * windowChunk)
	check(t, err)
	defer w.release()
	const threads = 5
	var logs [threads][][]byte
	var newest [threads]uint64
	hits := 0
	for step := range 6000 {
		i := rng.IntN(threads)
		if rng.IntN(200) == 0 {
			i = 0
		}
		m := store.Message{Sent: int64(step), Content: bytes.Repeat([]byte{byte(step)}, rng.IntN(2000))}
		if rng.IntN(500) == 0 {
			m.Content = make([]byte, windowChunk) // does not fit
		}
		_, flags := messageLen(&m)
		logs[i] = append(logs[i], appendMessage(nil, &m, flags))
		newest[i] = w.add(newest[i], uint64(len(logs[i])), logs[i][len(logs[i])-1])
		k := rng.IntN(threads)
		durable := uint64(len(logs[k]))
		if durable == 0 {
			continue
		}
		p, reach := page{limit: 1 + rng.IntN(20)}, uint64(30)
		if rng.IntN(2) == 0 {
			reach = 300 // back to what was overwritten
		}
		var from uint64
		if rng.IntN(2) == 0 {
			after := durable - 1 - min(durable-1, rng.Uint64N(reach))
			if !w.after(&p, newest[k], durable, after) {
				continue
			}
			from = after + 1
		} else {
			before := durable + 1 - min(durable, rng.Uint64N(reach))
			if !w.before(&p, newest[k], before) {
				continue
			}
			from = before - uint64(len(p.places))
			if len(p.places) < p.limit && from != 1 && len(p.bytes) < pageBytes/2 {
				t.Fatalf("step %d: a page below %d ends at %d", step, before, from)
			}
		}
		hits++
		list, err := p.messages(id.Thread{})
		check(t, err)
		for n, m := range list {
			seq := from + uint64(n)
			_, flags := messageLen(&m)
			if m.Seq != seq || !bytes.Equal(appendMessage(nil, &m, flags), logs[k][seq-1]) {
				t.Fatalf("step %d: a page from %d has seq %d at place %d", step, from, m.Seq, n)
			}
		}
	}
	if hits < 1000 {
		t.Fatalf("only %d pages came from the window", hits)
	}
}

// TestWindowHolds asks for what was just written.
func TestWindowHolds(t *testing.T) {
	t.Parallel()
	w, err := newWindow(2 * windowChunk)
	check(t, err)
	defer w.release()
	newest := uint64(0)
	for seq := uint64(1); seq <= 20_000; seq++ {
		newest = w.add(newest, seq, make([]byte, 180))
		if seq%300 != 0 {
			continue
		}
		last := min(seq, 1000) // 200 KB of 512
		p := page{limit: 2000}
		if !w.after(&p, newest, seq, seq-last) || uint64(len(p.places)) != last {
			t.Fatalf("the last %d of %d: %d", last, seq, len(p.places))
		}
	}
	p := page{limit: 10}
	if w.after(&p, newest, 20_000, 0) || w.after(&p, newest, 20_000, 16_000) {
		t.Fatal("the window claims to hold what it cannot")
	}
	none, err := newWindow(1)
	check(t, err)
	if none.add(0, 1, nil) != 0 || none.after(&p, 0, 1, 0) || none.before(&p, 0, 5) {
		t.Fatal("there is no window")
	}
	check(t, none.release())
}
