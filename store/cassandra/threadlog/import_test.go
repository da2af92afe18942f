package threadlog

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// TestImport writes a thread that comes with its seqs, in pieces of which some come twice or too early.
func TestImport(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.Import = true
	q := newTable()
	l := open(t, cfg, q)
	a, b := id.NewUser(), id.NewUser()
	thread := id.Direct(a, b)
	all := make([]store.Message, 300)
	for i := range all {
		all[i] = store.Message{
			ID: id.Message{ID: id.NewGroup().ID}, Thread: thread, Seq: uint64(i + 1), Sender: a, Receiver: b, Sent: int64(i), Content: fmt.Append(nil, i),
		}
	}
	send := func(messages []store.Message) (results []*store.Entry) {
		done := make(chan *store.Entry, len(messages))
		for i := range messages {
			l.Append(&store.Entry{Message: messages[i], Done: func(e *store.Entry) { done <- e }})
		}
		for range messages {
			results = append(results, <-done)
		}
		return results
	}
	for _, e := range send(all[:200]) {
		if e.Err != nil || e.Duplicate {
			t.Fatalf("seq %d: %v, duplicate %v", e.Seq, e.Err, e.Duplicate)
		}
	}
	for _, e := range send(all[201:]) { // one is missing before them
		if !errors.Is(e.Err, store.ErrConflict) {
			t.Fatalf("seq %d: %v, want a conflict", e.Seq, e.Err)
		}
	}
	for i, e := range send(all[190:]) { // ten are there
		if want := uint64(191 + i); e.Err == nil && e.Seq != want || e.Err != nil && (want > 200 || !errors.Is(e.Err, store.ErrConflict)) {
			t.Fatalf("seq %d: %v at %d", want, e.Err, e.Seq)
		}
	}
	list, err := l.After(t.Context(), thread, 0, len(all))
	if err != nil || len(list) != len(all) {
		t.Fatalf("%d messages, %v", len(list), err)
	}
	for i := range list {
		if list[i].ID != all[i].ID || list[i].Seq != all[i].Seq || list[i].Sent != all[i].Sent {
			t.Errorf("message %d is %+v", i+1, list[i])
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.calls["Lookup"] != 0 {
		t.Errorf("%d look-ups", q.calls["Lookup"])
	}
}
