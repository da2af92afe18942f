package threadlog

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// sink is a Quorum that acknowledges and keeps nothing, so that what is measured is the log.
type sink struct {
	version int64
	slots   Slots
}

func (q *sink) Indexed(context.Context, id.Thread, uint64) (uint64, error) { return 0, nil }

func (q *sink) Rows(_ context.Context, _ Range, _ []byte, into []Row) ([]Row, []byte, error) {
	return into, nil, nil
}

func (q *sink) Write(context.Context, id.Thread, uint64, Term, []store.Message) error { return nil }

func (q *sink) SetIndexed(context.Context, id.Thread, uint64, uint64) error { return nil }

func (q *sink) Lookup(context.Context, []id.Message, []Place) error { return nil }

func (q *sink) Index(context.Context, []Place) error { return nil }

func (q *sink) Hint(context.Context, id.Thread) (Hint, error) { return Hint{}, nil }

func (q *sink) SetBucket(context.Context, id.Thread, uint64) error { return nil }

func (q *sink) First(context.Context, First) error { return nil }

func (q *sink) Version(context.Context) (int64, error) { return q.version, nil }

func (q *sink) Slots(_ context.Context, _ bool, into *Slots) error {
	*into = q.slots
	return nil
}

func (q *sink) Take(_ context.Context, have int64, owner Node, slots []int) (bool, error) {
	q.version = have + 1
	for _, i := range slots {
		q.slots.Owner[i], q.slots.Epoch[i] = owner, uint32(have+1)
	}
	return true, nil
}

func (q *sink) Nodes(context.Context) ([]Member, error) { return nil, nil }

func (q *sink) Beat(context.Context, Member) error { return nil }

func (q *sink) Leave(context.Context, Node) error { return nil }

// load keeps so many entries on their way, each used again when it is done.
type load struct {
	l       *Log
	entries []*store.Entry
	mu      sync.Mutex
	left    int
	n       uint64
	done    chan struct{}
	away    int
}

func newLoad(l *Log, threads, flight int) *load {
	v := &load{l: l}
	groups := make([]id.Thread, threads)
	for i := range groups {
		groups[i] = id.NewGroup()
	}
	u := id.NewUser()
	for i := range flight {
		e := &store.Entry{Message: store.Message{Thread: groups[i%threads], Sender: u, Content: make([]byte, 200), ClientID: []byte("c-1"), Language: []byte("en")}}
		e.Done = v.again
		v.entries = append(v.entries, e)
	}
	return v
}

// run sends n messages and waits for them.
func (v *load) run(n int) {
	v.done = make(chan struct{})
	v.left, v.away = n-len(v.entries), len(v.entries)
	for _, e := range v.entries {
		v.send(e)
	}
	<-v.done
}

func (v *load) send(e *store.Entry) {
	v.mu.Lock()
	v.n++
	n := v.n
	v.mu.Unlock()
	e.ID.ID = id.ID{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24), byte(n >> 32), 15: byte(n)}
	v.l.Append(e)
}

func (v *load) again(e *store.Entry) {
	if e.Err != nil || e.Duplicate {
		panic(fmt.Sprint("not written: ", e.Err, e.Duplicate))
	}
	v.mu.Lock()
	more := v.left > 0
	v.left--
	if !more {
		v.away--
	}
	last := v.away == 0
	v.mu.Unlock()
	switch {
	case more:
		v.send(e)
	case last:
		close(v.done)
	}
}

func BenchmarkTurn(b *testing.B) {
	for _, c := range []struct{ threads, flight int }{{1, 1}, {1, 64}, {64, 64}, {1000, 1000}, {1000, 8000}} {
		b.Run(fmt.Sprintf("threads=%d/flight=%d", c.threads, c.flight), func(b *testing.B) {
			v := newLoad(open(b, testConfig(), &sink{}), c.threads, c.flight)
			v.run(4*c.flight + 1000)
			b.ReportAllocs()
			b.ResetTimer()
			v.run(b.N + c.flight)
		})
	}
}
