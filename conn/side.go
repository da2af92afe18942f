package conn

import "github.com/tolkflip/tolkflip/proto/ws"

// side is what only a busy connection has. It belongs to the loop; a connection has one from the moment
// that something of it has to wait, until nothing does.
type side struct {
	index uint32 // in the side table

	// Output: frames that are not yet, or not wholly, with the kernel.
	out  []*frame
	head int // first of out that is not sent
	off  int // bytes of that one that are sent
	size int // bytes that wait
	// Marks for the next flush: the connection is in the loop's line of that name.
	dirty, urgent bool

	// Input.
	in    []byte   // bytes that are not parsed: an incomplete frame or head, or what came before a pause
	part  []byte   // the fragments of a message so far
	state ws.State // of the parser

	mail   *mailbox // messages that wait for a worker or are with one, sends in flight
	resume *resume  // holds and feeders
}

// marked reports whether the connection waits for its flush.
func (d *side) marked() bool { return d.dirty || d.urgent }

// idle reports whether nothing of the connection waits any more.
func (d *side) idle() bool {
	return d.mail == nil && d.resume == nil && d.size == 0 && len(d.in) == 0 && len(d.part) == 0 && !d.state.Fragmented()
}

const (
	keepSides = 1 << 14 // unused sides that a loop keeps at most
	keepOut   = 64      // places of an outbound list that an unused side keeps
)

// sides is a loop's side table. Unused sides are kept for the next busy connection; those that nobody
// needed between two ticks are given to the collector, half of them each time.
type sides struct {
	all   []*side // by index; 0 is never used
	free  []uint32
	bare  int // the first of free have no side any more
	low   int // least length of free since the last trim
	inUse int
}

// lend gives an unused side.
func (t *sides) lend() *side {
	t.inUse++
	if len(t.free) == 0 {
		if len(t.all) == 0 {
			t.all = append(t.all, nil)
		}
		d := &side{index: uint32(len(t.all))}
		t.all = append(t.all, d)
		t.low = 0
		return d
	}
	last := len(t.free) - 1
	i := t.free[last]
	t.free = t.free[:last]
	t.low, t.bare = min(t.low, last), min(t.bare, last)
	if t.all[i] == nil {
		t.all[i] = &side{index: i}
	}
	return t.all[i]
}

// takeBack keeps an idle side for the next.
func (t *sides) takeBack(d *side) {
	t.inUse--
	if len(t.free)-t.bare >= keepSides {
		t.all[d.index] = nil
		// Those without a side stand first: the newcomer trades places with the first that has one.
		t.free = append(t.free, d.index)
		t.free[t.bare], t.free[len(t.free)-1] = d.index, t.free[t.bare]
		t.bare++
		return
	}
	*d = side{index: d.index, out: d.out[:0]}
	if cap(d.out) > keepOut {
		d.out = nil
	}
	t.free = append(t.free, d.index)
}

// trim gives up half of the sides that were never needed since the last call.
func (t *sides) trim() {
	spare := t.low - t.bare
	for ; spare > 64; spare -= 2 {
		t.all[t.free[t.bare]] = nil
		t.bare++
	}
	t.low = len(t.free)
}
