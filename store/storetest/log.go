package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// Log is the contract of store.Log.
func Log(t *testing.T, open Open) {
	t.Helper()
	subtest(t, open, "every field comes back", logFields)
	subtest(t, open, "dense, in the order of Append, one Done at a time", logOrder)
	subtest(t, open, "Append returns while Done is busy", logAsync)
	subtest(t, open, "Append and Mark from within Done", logReentrant)
	subtest(t, open, "an entry is the caller's again after Done", logOwnership)
	subtest(t, open, "a retry gets the first result", logRetry)
	subtest(t, open, "a retry in flight joins the first", logRetryInFlight)
	subtest(t, open, "another body or thread is a conflict", logConflict)
	subtest(t, open, "pages", logPages)
	subtest(t, open, "a page stops at 256 KiB, but holds one", logPageBytes)
	subtest(t, open, "head and find of nothing", logNothing)
	subtest(t, open, "marks stand between the Dones", logMarks)
	subtest(t, open, "a retry's mark", logMarkOnly)
	subtest(t, open, "after Close", logClosed)
	subtest(t, open, "readers are shown only what is acked sooner or later", logReaders)
	subtest(t, open, "random model", logModel)
}

func logFields(t *testing.T, s Set) {
	a, b := id.NewUser(), id.NewUser()
	bare := store.Message{ID: newMessage(), Thread: id.NewGroup(), Sender: a}
	for _, m := range []store.Message{fullMessage(a, b), groupMessage(id.NewGroup(), a), bare} {
		e := send(t, s.Log, m)
		if e.Seq != 1 {
			t.Fatalf("seq = %d", e.Seq)
		}
		m.Seq = 1
		after := got(s.Log.After(t.Context(), m.Thread, 0, 10))(t)
		before := got(s.Log.Before(t.Context(), m.Thread, 0, 10))(t)
		found := got(s.Log.Find(t.Context(), m.ID))(t)
		if len(after) != 1 || len(before) != 1 || !equal(&after[0], &m) || !equal(&before[0], &m) || !equal(&found, &m) {
			t.Fatalf("After %+v\nBefore %+v\nFind %+v\nwant %+v", after, before, found, m)
		}
		if h := got(s.Log.Head(t.Context(), m.Thread))(t); h != 1 {
			t.Fatalf("head = %d", h)
		}
	}
}

func logOrder(t *testing.T, s Set) {
	const threads, each = 5, 400
	var wait sync.WaitGroup
	wait.Add(threads * each)
	all(threads, func(int) {
		u := id.NewUser()
		thread := id.NewGroup()
		var busy atomic.Bool
		last := uint64(0)
		for i := range each {
			m := groupMessage(thread, u)
			m.Content = fmt.Append(nil, i)
			var calls atomic.Int32
			s.Log.Append(&store.Entry{Message: m, Done: func(e *store.Entry) {
				defer wait.Done()
				if !busy.CompareAndSwap(false, true) {
					t.Error("two Dones of a thread at once")
				}
				if e.Err != nil || e.Seq != last+1 || string(e.Content) != fmt.Sprint(i) || calls.Add(1) != 1 {
					t.Errorf("message %d: seq %d after %d, error %v", i, e.Seq, last, e.Err)
				}
				last = e.Seq
				busy.Store(false)
			}})
		}
	})
	wait.Wait()
}

func logAsync(t *testing.T, s Set) {
	u, thread := id.NewUser(), id.NewGroup()
	release, entered := make(chan struct{}), make(chan struct{})
	s.Log.Append(&store.Entry{Message: groupMessage(thread, u), Done: func(*store.Entry) {
		close(entered)
		<-release
	}})
	<-entered
	const n = 200
	done := make(chan uint64, n)
	for range n {
		s.Log.Append(&store.Entry{Message: groupMessage(thread, u), Done: func(e *store.Entry) { done <- e.Seq }})
	}
	if len(done) != 0 {
		t.Error("a later Done came before the first had returned")
	}
	close(release)
	for i := range n {
		if seq := <-done; seq != uint64(i)+2 {
			t.Fatalf("seq = %d, want %d", seq, i+2)
		}
	}
}

func logReentrant(t *testing.T, s Set) {
	u, thread := id.NewUser(), id.NewGroup()
	heads := make(chan uint64, 1)
	s.Log.Append(&store.Entry{Message: groupMessage(thread, u), Done: func(*store.Entry) {
		s.Log.Append(&store.Entry{Message: groupMessage(thread, u), Done: func(*store.Entry) {
			s.Log.Mark(thread, func(head uint64) { heads <- head })
		}})
	}})
	if h := <-heads; h != 2 {
		t.Fatalf("mark at %d", h)
	}
}

func logOwnership(t *testing.T, s Set) {
	a, b := id.NewUser(), id.NewUser()
	m := fullMessage(a, b)
	want := m
	want.Seq = 1
	want.Content, want.Encrypted = bytes.Clone(m.Content), bytes.Clone(m.Encrypted)
	want.ClientID, want.Language = bytes.Clone(m.ClientID), bytes.Clone(m.Language)
	want.MediaURLs = [][]byte{bytes.Clone(m.MediaURLs[0]), bytes.Clone(m.MediaURLs[1])}
	spoil := func(m *store.Message) {
		for _, b := range append([][]byte{m.Content, m.Encrypted, m.ClientID, m.Language}, m.MediaURLs...) {
			clear(b)
		}
	}
	spoil(&send(t, s.Log, m).Message)
	for range 2 {
		for _, page := range [][]store.Message{
			got(s.Log.After(t.Context(), m.Thread, 0, 1))(t),
			got(s.Log.Before(t.Context(), m.Thread, 0, 1))(t),
			{got(s.Log.Find(t.Context(), m.ID))(t)},
		} {
			if !equal(&page[0], &want) {
				t.Fatalf("stored %+v, want %+v", page[0], want)
			}
			spoil(&page[0]) // a reader's copy is its own
		}
	}
	// The same entry again, for the next message.
	done := make(chan *store.Entry, 1)
	e := &store.Entry{Done: func(e *store.Entry) { done <- e }}
	for i := range 5 {
		e.Message = directMessage(a, b)
		s.Log.Append(e)
		if r := <-done; r != e || r.Err != nil || r.Seq != uint64(i)+2 {
			t.Fatalf("use %d: %+v", i, r)
		}
	}
}

func logRetry(t *testing.T, s Set) {
	a, b := id.NewUser(), id.NewUser()
	for range 3 {
		send(t, s.Log, directMessage(a, b))
	}
	m := fullMessage(a, b)
	first := send(t, s.Log, m)
	send(t, s.Log, directMessage(b, a))
	retry := m
	retry.Sent += 12345
	retry.Language, retry.ClientID = []byte("xx"), nil // not what makes a conflict
	for range 2 {
		e := try(s.Log, retry)
		if e.Err != nil || !e.Duplicate || e.Seq != first.Seq || e.Sent != m.Sent {
			t.Fatalf("retry: %v, duplicate %v, seq %d, sent %d", e.Err, e.Duplicate, e.Seq, e.Sent)
		}
	}
	if h := got(s.Log.Head(t.Context(), m.Thread))(t); h != 5 {
		t.Fatalf("head = %d", h)
	}
}

func logRetryInFlight(t *testing.T, s Set) {
	a, b := id.NewUser(), id.NewUser()
	for range 50 {
		m := directMessage(a, b)
		done := make(chan *store.Entry, 4)
		for i := range 4 {
			again := m
			again.Sent += int64(i)
			s.Log.Append(&store.Entry{Message: again, Done: func(e *store.Entry) { done <- e }})
		}
		first := <-done
		for range 3 {
			e := <-done
			if first.Duplicate || !e.Duplicate || e.Err != nil || e.Seq != first.Seq || e.Sent != m.Sent {
				t.Fatalf("first %d %v, retry %+v", first.Seq, first.Duplicate, e)
			}
		}
	}
	if h := got(s.Log.Head(t.Context(), id.Direct(a, b)))(t); h != 50 {
		t.Fatalf("head = %d", h)
	}
}

// bodies are messages that differ from m in one part of what a retry must repeat.
func bodies(m store.Message) map[string]store.Message {
	v := map[string]store.Message{}
	change := func(name string, f func(*store.Message)) {
		c := m
		f(&c)
		v[name] = c
	}
	change("content", func(m *store.Message) { m.Content = append(bytes.Clone(m.Content), '!') })
	change("type", func(m *store.Message) { m.Type = proto.Video })
	change("encrypted", func(m *store.Message) { m.Encrypted = nil })
	change("replyTo", func(m *store.Message) { m.ReplyTo = newMessage() })
	change("media", func(m *store.Message) { m.MediaURLs = m.MediaURLs[:1] })
	change("split", func(m *store.Message) {
		m.MediaURLs = [][]byte{slices.Concat(m.MediaURLs...), nil}
	})
	change("moved", func(m *store.Message) {
		m.Content, m.Encrypted = append(bytes.Clone(m.Content), m.Encrypted[0]), m.Encrypted[1:]
	})
	change("thread", func(m *store.Message) { m.Thread, m.Receiver = id.NewGroup(), id.User{} })
	return v
}

func logConflict(t *testing.T, s Set) {
	a, b := id.NewUser(), id.NewUser()
	m := fullMessage(a, b)
	send(t, s.Log, m)
	for name, other := range bodies(m) {
		if e := try(s.Log, other); !errors.Is(e.Err, store.ErrConflict) || e.Duplicate {
			t.Errorf("another %s: %v, duplicate %v", name, e.Err, e.Duplicate)
		}
		if other.Thread != m.Thread {
			if h := got(s.Log.Head(t.Context(), other.Thread))(t); h != 0 {
				t.Errorf("a refused message left head %d", h)
			}
		}
	}
	m.Seq = 1
	if r := got(s.Log.Find(t.Context(), m.ID))(t); !equal(&r, &m) {
		t.Fatal("a conflict changed the first")
	}
	if e := send(t, s.Log, directMessage(b, a)); e.Seq != 2 {
		t.Fatalf("a conflict took a seq: next is %d", e.Seq)
	}
	// In flight together: the first of the two is written.
	first := fullMessage(a, b)
	second := bodies(first)["content"]
	done := make(chan *store.Entry, 2)
	for _, m := range []store.Message{first, second} {
		s.Log.Append(&store.Entry{Message: m, Done: func(e *store.Entry) { done <- e }})
	}
	x, y := <-done, <-done
	if x.Err != nil || !errors.Is(y.Err, store.ErrConflict) {
		t.Fatalf("in flight together: %v, %v", x.Err, y.Err)
	}
}

func logPages(t *testing.T, s Set) {
	u, thread := id.NewUser(), id.NewGroup()
	const n = 50
	for range n {
		send(t, s.Log, groupMessage(thread, u))
	}
	send(t, s.Log, groupMessage(id.NewGroup(), u))
	for _, c := range []struct {
		at    uint64
		limit int
		after [2]uint64 // first and last seq, 0 = empty
		befor [2]uint64
	}{
		{0, 10, [2]uint64{1, 10}, [2]uint64{41, 50}},
		{0, 0, [2]uint64{}, [2]uint64{}},
		{0, 1000, [2]uint64{1, 50}, [2]uint64{1, 50}},
		{1, 3, [2]uint64{2, 4}, [2]uint64{}},
		{2, 3, [2]uint64{3, 5}, [2]uint64{1, 1}},
		{20, 1, [2]uint64{21, 21}, [2]uint64{19, 19}},
		{49, 5, [2]uint64{50, 50}, [2]uint64{44, 48}},
		{50, 5, [2]uint64{}, [2]uint64{45, 49}},
		{51, 5, [2]uint64{}, [2]uint64{46, 50}},
		{1 << 63, 5, [2]uint64{}, [2]uint64{46, 50}},
		{1<<64 - 1, 5, [2]uint64{}, [2]uint64{46, 50}},
	} {
		wantSeqs(t, fmt.Sprintf("After(%d, %d)", c.at, c.limit), got(s.Log.After(t.Context(), thread, c.at, c.limit))(t), c.after)
		wantSeqs(t, fmt.Sprintf("Before(%d, %d)", c.at, c.limit), got(s.Log.Before(t.Context(), thread, c.at, c.limit))(t), c.befor)
	}
}

func wantSeqs(t *testing.T, what string, page []store.Message, want [2]uint64) {
	t.Helper()
	if len(page) == 0 && want[0] == 0 {
		return
	}
	if len(page) == 0 || page[0].Seq != want[0] || page[len(page)-1].Seq != want[1] || uint64(len(page)) != want[1]-want[0]+1 {
		t.Fatalf("%s gave %d messages, want %v", what, len(page), want)
	}
	for i := range page {
		if page[i].Seq != want[0]+uint64(i) {
			t.Fatalf("%s: seq %d at place %d", what, page[i].Seq, i)
		}
	}
}

func logPageBytes(t *testing.T, s Set) {
	u, thread := id.NewUser(), id.NewGroup()
	const n = 12
	for range n {
		m := groupMessage(thread, u)
		m.Content, m.Encrypted = bytes.Repeat([]byte("c"), proto.MaxContent), bytes.Repeat([]byte("e"), proto.MaxContent)
		send(t, s.Log, m)
	}
	for seq := uint64(0); seq < n; {
		page := got(s.Log.After(t.Context(), thread, seq, 100))(t)
		if len(page) < 1 || len(page) > 3 || page[0].Seq != seq+1 {
			t.Fatalf("After gave %d messages of 128 KiB", len(page))
		}
		seq += uint64(len(page))
	}
	for seq := uint64(n + 1); seq > 1; {
		page := got(s.Log.Before(t.Context(), thread, seq, 100))(t)
		if len(page) < 1 || len(page) > 3 || page[len(page)-1].Seq != seq-1 {
			t.Fatalf("Before gave %d messages of 128 KiB", len(page))
		}
		seq -= uint64(len(page))
	}
	m := groupMessage(thread, u)
	for range proto.MaxMediaURLs {
		m.MediaURLs = append(m.MediaURLs, bytes.Repeat([]byte("u"), proto.MaxMediaURL))
	}
	m.Content, m.Encrypted = bytes.Repeat([]byte("c"), 4*proto.MaxContent), bytes.Repeat([]byte("e"), proto.MaxContent)
	send(t, s.Log, m) // more than a page by itself
	if page := got(s.Log.After(t.Context(), thread, n, 5))(t); len(page) != 1 || len(page[0].Content) != 4*proto.MaxContent {
		t.Fatalf("After gave %d messages", len(page))
	}
	if page := got(s.Log.Before(t.Context(), thread, 0, 5))(t); len(page) != 1 || page[0].Seq != n+1 {
		t.Fatalf("Before gave %d messages", len(page))
	}
}

func logNothing(t *testing.T, s Set) {
	thread := id.NewGroup()
	if h := got(s.Log.Head(t.Context(), thread))(t); h != 0 {
		t.Fatalf("head = %d", h)
	}
	if p := got(s.Log.After(t.Context(), thread, 0, 10))(t); len(p) != 0 {
		t.Fatalf("After = %+v", p)
	}
	if p := got(s.Log.Before(t.Context(), thread, 0, 10))(t); len(p) != 0 {
		t.Fatalf("Before = %+v", p)
	}
	if _, err := s.Log.Find(t.Context(), newMessage()); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Find: %v", err)
	}
}
