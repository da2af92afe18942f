package storetest_test

import (
	"fmt"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestHistoryNotices shows the checker each kind of broken store.
func TestHistoryNotices(t *testing.T) {
	t.Parallel()
	thread, other := id.NewGroup(), id.NewGroup()
	sender := id.NewUser()
	var good []store.Message
	for i := range 5 {
		good = append(good, store.Message{
			ID: id.Message{ID: id.NewGroup().ID}, Thread: thread, Sender: sender, Seq: uint64(i) + 1,
			Sent: int64(100 + i), Content: fmt.Append(nil, i),
		})
	}
	at := func(i int, edit func(*store.Message)) []store.Message {
		list := slices.Clone(good)
		edit(&list[i])
		return list
	}
	without := func(i int) []store.Message { return slices.Delete(slices.Clone(good), i, i+1) }
	for name, c := range map[string]struct {
		stands []store.Message
		edit   func(*storetest.History)
		want   []storetest.Kind
	}{
		"kept":           {stands: good},
		"more than told": {stands: append(slices.Clone(good), store.Message{ID: id.Message{ID: id.NewGroup().ID}, Seq: 6}), want: []storetest.Kind{storetest.Unsent}},
		"tail lost":      {stands: good[:4], want: []storetest.Kind{storetest.Lost, storetest.Vanished}},
		"middle lost":    {stands: without(2), want: []storetest.Kind{storetest.Hole, storetest.Lost, storetest.Vanished}},
		"closed over": {
			stands: func() []store.Message {
				list := without(2)
				list[2].Seq, list[3].Seq = 3, 4
				return list
			}(),
			want: []storetest.Kind{storetest.Lost, storetest.Moved, storetest.Vanished},
		},
		"skipped": {stands: at(4, func(m *store.Message) { m.Seq = 6 }), want: []storetest.Kind{storetest.Hole, storetest.Moved, storetest.Vanished}},
		"altered": {stands: at(1, func(m *store.Message) { m.Content = []byte("x") }), want: []storetest.Kind{storetest.Altered}},
		"another time": {
			stands: at(1, func(m *store.Message) { m.Sent = 1 }),
			want:   []storetest.Kind{storetest.Moved, storetest.Vanished},
		},
		"copied": {
			stands: append(slices.Clone(good), func() store.Message { m := good[0]; m.Seq = 6; return m }()),
			want:   []storetest.Kind{storetest.Copied, storetest.Moved, storetest.Vanished},
		},
		"acked out of order": {
			stands: good, edit: func(h *storetest.History) { h.Acked(good[1], false, true) },
			want: []storetest.Kind{storetest.Disorder},
		},
		"acked twice": {
			stands: good, edit: func(h *storetest.History) {
				m := good[1]
				m.Seq = 9
				h.Acked(m, true, true)
				h.Acked(good[1], true, true)
			},
			want: []storetest.Kind{storetest.Twice},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := storetest.NewHistory(true)
			for _, m := range good {
				h.Sent(m)
				h.Acked(m, false, true)
				h.Shown(m)
			}
			h.Sent(store.Message{ID: id.Message{ID: id.NewGroup().ID}, Thread: other})
			if c.edit != nil {
				c.edit(h)
			}
			got := kinds(t, h.Cut(), c.stands)
			if !slices.Equal(got, c.want) {
				t.Fatalf("found %q, want %q", got, c.want)
			}
		})
	}
}

// kinds gives the sorted kinds of violations of a store that holds just one thread's messages.
func kinds(t *testing.T, h *storetest.History, stands []store.Message) []storetest.Kind {
	t.Helper()
	violations, err := h.Check(func(thread id.Thread, after uint64) ([]store.Message, error) {
		for i, m := range stands {
			if thread == m.Thread && m.Seq > after || thread == stands[0].Thread && m.Seq > after {
				page := slices.Clone(stands[i:min(i+2, len(stands))])
				for j := range page {
					page[j].Thread = thread
				}
				return page, nil
			}
		}
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	set := map[storetest.Kind]bool{}
	for _, v := range violations {
		set[v.Kind] = true
	}
	var list []storetest.Kind
	for k := range set {
		list = append(list, k)
	}
	slices.Sort(list)
	slices.SortFunc(list, func(a, b storetest.Kind) int { return slices.Index(order, a) - slices.Index(order, b) })
	return list
}

var order = []storetest.Kind{ //nolint:gochecknoglobals // never changes
	storetest.Unsent, storetest.Hole, storetest.Copied, storetest.Altered, storetest.Lost, storetest.Moved,
	storetest.Vanished, storetest.Twice, storetest.Disorder, storetest.Retried,
}

func TestHistoryNoticesRetries(t *testing.T) {
	t.Parallel()
	m := store.Message{ID: id.Message{ID: id.NewGroup().ID}, Thread: id.NewGroup(), Seq: 4, Sent: 50}
	h := storetest.NewHistory(true)
	h.Sent(m)
	unacked := storetest.NewHistory(true)
	unacked.Sent(m)
	h.Acked(m, false, true)
	first := store.Entry{Message: m, Duplicate: true}
	for name, c := range map[string]struct {
		history *storetest.History
		edit    func(*store.Entry)
		stands  store.Message
		bad     bool
	}{
		"the first result":              {h, func(*store.Entry) {}, m, false},
		"refused":                       {h, func(e *store.Entry) { e.Err = store.ErrBusy }, m, true},
		"another seq":                   {h, func(e *store.Entry) { e.Seq = 5 }, m, true},
		"another time":                  {h, func(e *store.Entry) { e.Sent = 51 }, m, true},
		"as if new":                     {h, func(e *store.Entry) { e.Duplicate = false }, m, true},
		"not acked and not there":       {unacked, func(e *store.Entry) { e.Duplicate = false }, store.Message{}, false},
		"not there, a duplicate":        {unacked, func(*store.Entry) {}, store.Message{}, true},
		"not acked, there, a duplicate": {unacked, func(*store.Entry) {}, m, false},
		"not acked, there, as if new":   {unacked, func(e *store.Entry) { e.Duplicate = false }, m, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := first
			c.edit(&e)
			if got := len(c.history.CheckRetry(&e, c.stands)) > 0; got != c.bad {
				t.Fatalf("violation %v, want %v", got, c.bad)
			}
		})
	}
}
