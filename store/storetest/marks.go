package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// logMarks checks a mark's place: all Dones at or below its head have returned, none above has begun.
func logMarks(t *testing.T, s Set) {
	const senders, each = 4, 300
	u, thread := id.NewUser(), id.NewGroup()
	var begun, returned atomic.Uint64
	var wait sync.WaitGroup
	wait.Add(senders * each * 2)
	all(senders, func(int) {
		for range each {
			s.Log.Append(&store.Entry{Message: groupMessage(thread, u), Done: func(e *store.Entry) {
				begun.Add(1)
				if e.Err != nil {
					t.Error(e.Err)
				}
				returned.Add(1)
				wait.Done()
			}})
			s.Log.Mark(thread, func(head uint64) {
				if b, r := begun.Load(), returned.Load(); b != head || r != head {
					t.Errorf("mark at %d: %d begun, %d returned", head, b, r)
				}
				wait.Done()
			})
		}
	})
	wait.Wait()
}

// logMarkOnly checks marks of threads that nothing is written to, and of one that only a retry touches.
func logMarkOnly(t *testing.T, s Set) {
	a, b := id.NewUser(), id.NewUser()
	m := directMessage(a, b)
	heads := make(chan uint64, 1)
	mark := func() uint64 {
		s.Log.Mark(m.Thread, func(head uint64) { heads <- head })
		return <-heads
	}
	if h := mark(); h != 0 {
		t.Fatalf("mark of an empty thread: %d", h)
	}
	send(t, s.Log, m)
	if h := mark(); h != 1 {
		t.Fatalf("mark = %d", h)
	}
	retried := false
	s.Log.Append(&store.Entry{Message: m, Done: func(e *store.Entry) { retried = e.Duplicate }})
	if h := mark(); h != 1 || !retried {
		t.Fatalf("mark after a retry: %d, retry's Done came first: %v", h, retried)
	}
}

func logClosed(t *testing.T, s Set) {
	u, thread := id.NewUser(), id.NewGroup()
	const n = 500
	var written, refused atomic.Int64
	var wait sync.WaitGroup
	wait.Add(n)
	for i := range n {
		if i == n/2 {
			wait.Add(1)
			go func() {
				defer wait.Done()
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}()
		}
		s.Log.Append(&store.Entry{Message: groupMessage(thread, u), Done: func(e *store.Entry) {
			switch {
			case e.Err == nil:
				written.Add(1)
			case errors.Is(e.Err, store.ErrClosed):
				refused.Add(1)
			default:
				t.Error(e.Err)
			}
			wait.Done()
		}})
	}
	wait.Wait()
	if written.Load()+refused.Load() != n {
		t.Fatalf("%d written, %d refused", written.Load(), refused.Load())
	}
	if e := try(s.Log, groupMessage(thread, u)); !errors.Is(e.Err, store.ErrClosed) {
		t.Fatalf("Append after Close: %v", e.Err)
	}
	heads := make(chan uint64, 1)
	s.Log.Mark(thread, func(head uint64) { heads <- head })
	if h := <-heads; h != 0 {
		t.Fatalf("mark after Close: %d", h)
	}
	must(t, s.Close())
}
