package threadlog

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

func sample(rng *rand.Rand, t id.Thread, seq uint64) store.Message {
	text := func(most int) []byte {
		if n := rng.IntN(most); n > 0 {
			return bytes.Repeat([]byte{byte('a' + rng.IntN(26))}, n)
		}
		return nil
	}
	m := store.Message{
		ID: id.Message{ID: id.NewGroup().ID}, Thread: t, Seq: seq, Sender: id.NewUser(), Type: proto.MessageType(rng.IntN(3)),
		Sent: rng.Int64() - rng.Int64(), ClientID: text(20), Content: text(300), Language: text(4), Encrypted: text(100),
	}
	if rng.IntN(2) == 0 {
		m.Receiver = id.NewUser()
		m.ReplyTo = id.Message{ID: id.NewGroup().ID}
	}
	for range rng.IntN(3) {
		m.MediaURLs = append(m.MediaURLs, []byte("https://m/"+strings.Repeat("x", rng.IntN(9))))
	}
	return m
}

func same(a, b *store.Message) bool {
	return a.ID == b.ID && a.Thread == b.Thread && a.Seq == b.Seq && a.Sender == b.Sender && a.Receiver == b.Receiver &&
		a.Sent == b.Sent && bytes.Equal(a.ClientID, b.ClientID) && bytes.Equal(a.Language, b.Language) && store.SameBody(a, b)
}

// The ring gives what was added to it, or says that it does not hold it; never anything else.
func TestHot(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	h := hot{ring: make([]byte, 8<<10)}
	type line struct {
		id     id.Thread
		all    []store.Message
		newest uint64
	}
	lines := []*line{{id: id.NewGroup()}, {id: id.NewGroup()}, {id: id.NewGroup()}}
	hits, misses := 0, 0
	for range 5000 {
		v := lines[rng.IntN(len(lines))]
		if rng.IntN(2) == 0 || len(v.all) == 0 {
			m := sample(rng, v.id, uint64(len(v.all)+1))
			v.newest = h.add(v.newest, &m)
			v.all = append(v.all, m)
			continue
		}
		head, limit := uint64(len(v.all)), 1+rng.IntN(10)
		p := page{limit: limit}
		back := uint64(rng.IntN(15))
		at := head - min(head, back)
		var want []store.Message
		var ok bool
		if rng.IntN(2) == 0 {
			if at == head {
				continue
			}
			ok = h.after(&p, v.newest, head, at)
			want = v.all[at:min(head, at+uint64(limit))]
		} else {
			below := at + 1
			if below == 1 {
				continue
			}
			ok = h.before(&p, v.newest, below)
			want = v.all[below-1-min(below-1, uint64(limit)) : below-1]
		}
		if !ok {
			misses++
			continue
		}
		hits++
		got, err := p.messages(v.id)
		if err != nil || !slices.EqualFunc(got, want, func(a, b store.Message) bool { return same(&a, &b) }) {
			t.Fatalf("the ring gives %d messages, %v; want %d", len(got), err, len(want))
		}
	}
	if hits < 500 || misses < 100 {
		t.Errorf("%d hits, %d misses: one of the two was hardly tested", hits, misses)
	}
}

func TestHotLeavesOutWhatIsLarge(t *testing.T) {
	h := hot{ring: make([]byte, 4<<10)}
	m := store.Message{Seq: 1, Content: make([]byte, 2<<10)}
	if place := h.add(0, &m); place != 0 {
		t.Errorf("half of the ring was given to one message, at %d", place)
	}
	if place := (&hot{}).add(0, &m); place != 0 {
		t.Errorf("no ring gives a place, %d", place)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		m := sample(rng, id.Thread{}, 0)
		f.Add(appendRecord(nil, &m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m store.Message
		if decodeRecord(&m, b) != nil {
			return
		}
		if again := appendRecord(nil, &m); !bytes.Equal(again, b) || recordLen(&m) != len(b) {
			t.Fatalf("%x is read as what is written %x", b, again)
		}
	})
}

// The hash tells the same bodies apart as store.SameBody does.
func TestBodyHash(t *testing.T) {
	m := store.Message{
		Type: proto.Image, Content: []byte("ab"), Encrypted: []byte("cd"), MediaURLs: [][]byte{[]byte("e"), []byte("f")},
		ReplyTo: id.Message{ID: id.ID{1}},
	}
	list := []store.Message{m}
	change := func(f func(*store.Message)) {
		c := m
		f(&c)
		list = append(list, c)
	}
	change(func(m *store.Message) { m.Type = proto.Video })
	change(func(m *store.Message) { m.Content = []byte("abc") })
	change(func(m *store.Message) { m.Content, m.Encrypted = []byte("abc"), []byte("d") })
	change(func(m *store.Message) { m.Encrypted = nil })
	change(func(m *store.Message) { m.MediaURLs = m.MediaURLs[:1] })
	change(func(m *store.Message) { m.MediaURLs = [][]byte{[]byte("ef"), nil} })
	change(func(m *store.Message) { m.MediaURLs = nil })
	change(func(m *store.Message) { m.ReplyTo = id.Message{} })
	change(func(m *store.Message) { m.Sent, m.Language, m.ClientID = 7, []byte("de"), []byte("c") }) // no part of it
	for i := range list {
		for j := range list {
			a, _ := bodyHash(nil, &list[i])
			b, _ := bodyHash([]byte("scratch"), &list[j])
			if (a == b) != store.SameBody(&list[i], &list[j]) {
				t.Errorf("bodies %d and %d: the same %v, the same hash %v", i, j, a != b, a == b)
			}
		}
	}
}

func TestFIFO(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var q fifo[int]
	var want []int
	for i := range 20000 {
		if rng.IntN(1000) < 480+40*(i/4000%2) {
			q.push(i)
			want = append(want, i)
		} else if len(want) > 0 {
			if v := q.pop(); v != want[0] {
				t.Fatalf("%d comes where %d is due", v, want[0])
			}
			want = want[1:]
		}
		if q.len() != len(want) || len(want) > 0 && *q.at(len(want) - 1) != want[len(want)-1] {
			t.Fatalf("%d wait, want %d", q.len(), len(want))
		}
	}
	for q.len() > 0 {
		q.pop()
	}
	if cap(q.ring) > fifoKeep {
		t.Errorf("an empty queue keeps room for %d", cap(q.ring))
	}
}

func TestGather(t *testing.T) {
	g := gather{limit: 2}
	threads := make([]*thread, 5)
	for i := range threads {
		threads[i] = &thread{start: uint64(i + 1)}
	}
	weight := func(th *thread) int { return int(th.start) }
	for i, want := range []bool{true, true, false, false, false} {
		if got := g.join(threads[i]); got != want {
			t.Errorf("thread %d is to make a call: %v", i, got)
		}
	}
	if list := g.take(6, weight); len(list) != 3 || list[0] != threads[0] {
		t.Errorf("a call of 6 takes %d threads", len(list))
	}
	if !g.next() {
		t.Error("a call ended that two threads wait for")
	}
	if list := g.take(1, weight); len(list) != 1 || list[0] != threads[3] {
		t.Error("a call does not take the first where it is too heavy")
	}
	if list := g.take(0, func(*thread) int { return 0 }); len(list) != 1 || list[0] != threads[4] {
		t.Error("a call without a limit does not take all")
	}
	first, second := g.next(), g.next()
	if first || second || g.calls != 0 {
		t.Errorf("%d calls with nobody waiting", g.calls)
	}
}

func TestBudget(t *testing.T) {
	b := budget{maxItems: 2, maxBytes: 100}
	if !b.take(1, 1000) {
		t.Error("an entry does not fit into an empty budget")
	}
	if b.take(1, 1) {
		t.Error("more fits beside it")
	}
	b.give(1, 1000)
	first, second, third := b.take(1, 50), b.take(1, 50), b.take(1, 0)
	if !first || !second || third {
		t.Error("two of 50 fill a budget of 100 bytes and 2 items")
	}
	if n, size := b.items.Load(), b.bytes.Load(); n != 2 || size != 100 {
		t.Errorf("%d items, %d bytes", n, size)
	}
}
