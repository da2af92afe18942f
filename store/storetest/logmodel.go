package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// outcome is how one attempt ended.
type outcome struct {
	message   store.Message
	duplicate bool
	conflict  bool
}

// model runs random attempts from many goroutines and keeps what came of each.
type model struct {
	t       *testing.T
	log     store.Log
	threads []id.Thread
	users   []id.User

	mu       sync.Mutex
	outcomes map[id.Message][]outcome
	heads    map[id.Thread]uint64 // by the Dones so far
}

// logModel makes sends, retries, conflicting bodies, reads and marks from many goroutines, in few threads
// and with few ids, so that they meet, and compares all that was answered with what stands at the end.
func logModel(t *testing.T, s Set) {
	const workers, steps = 8, 500
	seed := dice(t).Uint64()
	m := &model{t: t, log: s.Log, outcomes: map[id.Message][]outcome{}, heads: map[id.Thread]uint64{}}
	for range 6 {
		m.threads = append(m.threads, id.NewGroup())
		m.users = append(m.users, id.NewUser())
	}
	ids := make([]id.Message, workers*steps/4)
	for i := range ids {
		ids[i] = newMessage()
	}
	var wait sync.WaitGroup
	all(workers, func(w int) {
		rng := rand.New(rand.NewPCG(seed, uint64(w)))
		for range steps {
			m.step(rng, ids, &wait)
		}
	})
	wait.Wait()
	m.verify(s)
}

func (m *model) step(rng *rand.Rand, ids []id.Message, wait *sync.WaitGroup) {
	thread := m.threads[rng.IntN(len(m.threads))]
	switch rng.IntN(10) {
	case 0:
		m.read(thread, rng)
	case 1:
		wait.Add(1)
		m.log.Mark(thread, func(head uint64) {
			defer wait.Done()
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.heads[thread] != head {
				m.t.Errorf("mark at %d where Done stands at %d", head, m.heads[thread])
			}
		})
	default:
		n := rng.IntN(len(ids))
		msg := groupMessage(m.threads[n%len(m.threads)], m.users[n%len(m.users)])
		msg.ID, msg.Sent = ids[n], rng.Int64N(1000)
		msg.Content = fmt.Append(nil, rng.IntN(4)/3) // one in four says something else
		wait.Add(1)
		m.log.Append(&store.Entry{Message: msg, Done: func(e *store.Entry) {
			defer wait.Done()
			m.note(e)
		}})
	}
}

func (m *model) note(e *store.Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := outcome{message: e.Message, duplicate: e.Duplicate, conflict: errors.Is(e.Err, store.ErrConflict)}
	o.message.Content = []byte(string(e.Content))
	if e.Err != nil && !o.conflict {
		m.t.Errorf("append: %v", e.Err)
		return
	}
	m.outcomes[e.ID] = append(m.outcomes[e.ID], o)
	if o.conflict || o.duplicate {
		return
	}
	if e.Seq != m.heads[e.Thread]+1 {
		m.t.Errorf("Done of seq %d after %d", e.Seq, m.heads[e.Thread])
	}
	m.heads[e.Thread] = e.Seq
}

func (m *model) read(thread id.Thread, rng *rand.Rand) {
	ctx := m.t.Context()
	head, err := m.log.Head(ctx, thread)
	if err != nil {
		m.t.Error(err)
		return
	}
	after, limit := rng.Uint64N(head+2), rng.IntN(20)
	page, err := m.log.After(ctx, thread, after, limit)
	if err != nil {
		m.t.Error(err)
		return
	}
	if want := min(uint64(limit), head-min(head, after)); uint64(len(page)) < want {
		m.t.Errorf("After(%d, %d) under head %d gave %d", after, limit, head, len(page))
	}
	for i := range page {
		if page[i].Seq != after+1+uint64(i) {
			m.t.Errorf("After(%d): seq %d at place %d", after, page[i].Seq, i)
		}
	}
}

// verify looks at each id's outcomes in the light of what stands.
func (m *model) verify(s Set) {
	t := m.t
	stands := map[id.Message]store.Message{}
	for _, thread := range m.threads {
		for seq := uint64(0); seq < m.heads[thread]; {
			page := got(s.Log.After(t.Context(), thread, seq, 100))(t)
			if len(page) == 0 {
				t.Fatalf("thread ends at %d, want %d", seq, m.heads[thread])
			}
			for _, msg := range page {
				if seq++; msg.Seq != seq {
					t.Fatalf("seq %d where %d is due", msg.Seq, seq)
				}
				if _, twice := stands[msg.ID]; twice {
					t.Fatalf("message %s stands twice", msg.ID)
				}
				stands[msg.ID] = msg
			}
		}
		if h := got(s.Log.Head(t.Context(), thread))(t); h != m.heads[thread] {
			t.Fatalf("head = %d, want %d", h, m.heads[thread])
		}
	}
	for k, outcomes := range m.outcomes {
		at, ok := stands[k]
		if !ok {
			t.Fatalf("message %s does not stand", k)
		}
		if found := got(s.Log.Find(t.Context(), k))(t); !equal(&found, &at) {
			t.Fatalf("Find gives %+v, the thread %+v", found, at)
		}
		firsts := 0
		for _, o := range outcomes {
			same := store.SameBody(&o.message, &at) && o.message.Thread == at.Thread
			if o.conflict == same {
				t.Fatalf("conflict %v for a body that is the stored one: %v", o.conflict, same)
			}
			if !o.conflict && (o.message.Seq != at.Seq || o.message.Sent != at.Sent) {
				t.Fatalf("answered seq %d sent %d, stored %d %d", o.message.Seq, o.message.Sent, at.Seq, at.Sent)
			}
			if !o.conflict && !o.duplicate {
				firsts++
			}
		}
		if firsts != 1 {
			t.Fatalf("%d first results of one message", firsts)
		}
		delete(stands, k)
	}
	if len(stands) > 0 {
		t.Fatalf("%d messages stand that were never acked", len(stands))
	}
}

// logReaders reads a thread's tail as fast as it can while it is written: all that a reader was shown is
// acked in the end, at the same seq, and a reader's head never goes back.
func logReaders(t *testing.T, s Set) {
	const n = 1500
	u, thread := id.NewUser(), id.NewGroup()
	acked := make([]id.Message, n+1)
	shown := make([]id.Message, n+1)
	stop := make(chan struct{})
	var wait, readers sync.WaitGroup
	wait.Add(n)
	readers.Add(1)
	go func() {
		defer readers.Done()
		seq := uint64(0)
		for {
			page, err := s.Log.After(t.Context(), thread, seq, 50)
			if err != nil {
				t.Error(err)
				return
			}
			for _, m := range page {
				seq = m.Seq
				shown[seq] = m.ID
				if _, err := s.Log.Find(t.Context(), m.ID); err != nil {
					t.Errorf("a message that was shown is not found: %v", err)
				}
			}
			head, err := s.Log.Head(t.Context(), thread)
			if err != nil || head < seq {
				t.Errorf("head %d below what was shown, %d: %v", head, seq, err)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	for range n {
		s.Log.Append(&store.Entry{Message: groupMessage(thread, u), Done: func(e *store.Entry) {
			acked[e.Seq] = e.ID
			wait.Done()
		}})
	}
	wait.Wait()
	close(stop)
	readers.Wait()
	for seq, m := range shown {
		if !m.IsZero() && m != acked[seq] {
			t.Fatalf("seq %d was shown as %s and acked as %s", seq, m, acked[seq])
		}
	}
}
