package threadlog

import (
	"context"
	"slices"
	"sync"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// table is a Quorum in memory that answers at once, unless fail says otherwise.
type table struct {
	fail func(method string) error // before anything is done
	late func(method string) error // after it was done: an unknown outcome

	wrote func(under Term, messages []store.Message) // told of each Write

	bits int // of a bucket

	mu      sync.Mutex
	rows    map[id.Thread][]Row // rising by (seq, epoch)
	indexed map[bucketKey]uint64
	ids     map[id.Message]Place
	hints   map[id.Thread]Hint
	firsts  map[id.Thread]First
	slots   Slots
	nodes   map[Node]Member
	calls   map[string]int
}

type bucketKey struct {
	thread id.Thread
	bucket uint64
}

func newTable() *table {
	return &table{
		bits: BucketBits,
		rows: map[id.Thread][]Row{}, indexed: map[bucketKey]uint64{}, ids: map[id.Message]Place{}, hints: map[id.Thread]Hint{},
		firsts: map[id.Thread]First{}, nodes: map[Node]Member{}, calls: map[string]int{},
	}
}

// beats gives a node's last beat, and how many there were of all.
func (q *table) beats(n Node) (at int64, calls int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.nodes[n].Beat, q.calls["Beat"]
}

// failWith has statements ask hook before they do anything.
func (q *table) failWith(hook func(method string) error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fail = hook
}

// lateWith has statements ask hook after they did it.
func (q *table) lateWith(hook func(method string) error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.late = hook
}

// do runs f as one statement.
func (q *table) do(ctx context.Context, method string, f func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	fail, late := q.fail, q.late
	q.mu.Unlock()
	if fail != nil {
		if err := fail(method); err != nil {
			return err
		}
	}
	q.mu.Lock()
	q.calls[method]++
	f()
	q.mu.Unlock()
	if late != nil {
		return late(method)
	}
	return nil
}

func compareRows(a, b *Row) int {
	if a.Seq != b.Seq {
		return int(int64(a.Seq) - int64(b.Seq))
	}
	return int(a.Epoch) - int(b.Epoch)
}

func (q *table) Indexed(ctx context.Context, t id.Thread, bucket uint64) (seq uint64, err error) {
	err = q.do(ctx, "Indexed", func() { seq = q.indexed[bucketKey{t, bucket}] })
	return seq, err
}

func (q *table) Rows(ctx context.Context, r Range, page []byte, into []Row) (rows []Row, next []byte, err error) {
	err = q.do(ctx, "Rows", func() {
		all := q.rows[r.Thread]
		i, _ := slices.BinarySearchFunc(all, r.From, func(row Row, seq uint64) int { return int(int64(row.Seq) - int64(seq)) })
		n := 0
		if len(page) > 0 {
			i += int(page[0])<<8 | int(page[1])
			n = int(page[0])<<8 | int(page[1])
		}
		taken := 0
		for ; i < len(all) && all[i].Seq <= r.To && (all[i].Seq-1)>>q.bits == r.Bucket; i++ {
			if taken == r.Limit {
				next = []byte{byte((n + taken) >> 8), byte(n + taken)}
				break
			}
			row := all[i]
			own(&row.Message)
			into = append(into, row)
			taken++
		}
	})
	return into, next, err
}

func (q *table) Write(ctx context.Context, t id.Thread, bucket uint64, under Term, messages []store.Message) error {
	return q.do(ctx, "Write", func() {
		if q.wrote != nil {
			q.wrote(under, messages)
		}
		rows := q.rows[t]
		for i := range messages {
			row := Row{under, messages[i]}
			own(&row.Message)
			if (row.Seq-1)>>q.bits != bucket {
				panic("a message outside of its bucket")
			}
			at, found := slices.BinarySearchFunc(rows, row, func(a, b Row) int { return compareRows(&a, &b) })
			if found {
				rows[at] = row
			} else {
				rows = slices.Insert(rows, at, row)
			}
		}
		q.rows[t] = rows
	})
}

func (q *table) SetIndexed(ctx context.Context, t id.Thread, bucket uint64, seq uint64) error {
	return q.do(ctx, "SetIndexed", func() { q.indexed[bucketKey{t, bucket}] = seq })
}

func (q *table) Lookup(ctx context.Context, ids []id.Message, places []Place) error {
	return q.do(ctx, "Lookup", func() {
		for i, m := range ids {
			places[i] = q.ids[m]
		}
	})
}

func (q *table) Index(ctx context.Context, places []Place) error {
	return q.do(ctx, "Index", func() {
		for _, p := range places {
			q.ids[p.Message] = p
		}
	})
}

func (q *table) Hint(ctx context.Context, t id.Thread) (h Hint, err error) {
	err = q.do(ctx, "Hint", func() { h = q.hints[t] })
	return h, err
}

func (q *table) SetBucket(ctx context.Context, t id.Thread, bucket uint64) error {
	return q.do(ctx, "SetBucket", func() {
		h := q.hints[t]
		h.Bucket = max(h.Bucket, bucket)
		q.hints[t] = h
	})
}

func (q *table) First(ctx context.Context, f First) error {
	return q.do(ctx, "First", func() { q.firsts[f.Thread] = f })
}

func (q *table) Version(ctx context.Context) (v int64, err error) {
	err = q.do(ctx, "Version", func() { v = q.slots.Version })
	return v, err
}

func (q *table) Slots(ctx context.Context, _ bool, into *Slots) error {
	return q.do(ctx, "Slots", func() { *into = q.slots })
}

func (q *table) Take(ctx context.Context, have int64, owner Node, slots []int) (ok bool, err error) {
	err = q.do(ctx, "Take", func() {
		if ok = q.slots.Version == have; !ok {
			return
		}
		q.slots.Version++
		for _, i := range slots {
			q.slots.Owner[i], q.slots.Epoch[i] = owner, uint32(q.slots.Version)
		}
	})
	return ok, err
}

func (q *table) Nodes(ctx context.Context) (list []Member, err error) {
	err = q.do(ctx, "Nodes", func() {
		for _, m := range q.nodes {
			list = append(list, m)
		}
	})
	return list, err
}

func (q *table) Beat(ctx context.Context, m Member) error {
	return q.do(ctx, "Beat", func() { q.nodes[m.Node] = m })
}

func (q *table) Leave(ctx context.Context, n Node) error {
	return q.do(ctx, "Leave", func() { delete(q.nodes, n) })
}
