package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// History is what a log's callers were told, to be compared with what a store holds later. Its methods
// may be called from many goroutines at once.
type History struct {
	mu     sync.Mutex
	sent   map[id.Message]store.Message // what was tried, whatever came of it
	acked  map[id.Message]store.Message
	shown  map[id.Message]store.Message // what readers were given
	last   map[id.Thread]uint64
	live   []Violation
	strict bool
}

// Violation is a promise that was not kept.
type Violation struct {
	Kind    Kind
	Thread  id.Thread
	Message id.Message
	Seq     uint64
}

// Kind says which promise.
type Kind string

// The promises that History checks.
const (
	Lost     Kind = "an acked message is not there"
	Moved    Kind = "an acked message stands at another seq than was acked"
	Altered  Kind = "a message differs from what was sent"
	Hole     Kind = "a seq is missing"
	Copied   Kind = "a message stands twice"
	Unsent   Kind = "a message that nobody sent"
	Twice    Kind = "two acks of one message differ"
	Disorder Kind = "an ack came out of seq order"
	Retried  Kind = "a retry was answered differently than the first time"
	Vanished Kind = "a message that a reader was given is not there, or elsewhere"
)

// String names the promise and the place.
func (v Violation) String() string {
	return fmt.Sprintf("%s: thread %s seq %d message %s", v.Kind, v.Thread, v.Seq, v.Message)
}

// NewHistory makes an empty one. With every send told to Sent, pass strict: then a message that was not
// sent, or whose content differs, is a violation too.
func NewHistory(strict bool) *History {
	return &History{
		sent: map[id.Message]store.Message{}, acked: map[id.Message]store.Message{},
		shown: map[id.Message]store.Message{}, last: map[id.Thread]uint64{}, strict: strict,
	}
}

// Sent notes that m is about to be tried. Its slices must not change any more.
func (h *History) Sent(m store.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sent[m.ID] = m
}

// Acked notes the answer to a send: m with the Seq and Sent of the answer. Only ID, Thread, Seq and Sent
// are looked at (0 = not known, for Sent). First answers (not duplicates) of a thread are told in the
// order in which they came, where live is set.
func (h *History) Acked(m store.Message, duplicate, live bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if before, ok := h.acked[m.ID]; ok && (before.Seq != m.Seq || before.Thread != m.Thread || before.Sent != m.Sent) {
		h.live = append(h.live, Violation{Twice, m.Thread, m.ID, m.Seq})
	}
	h.acked[m.ID] = store.Message{ID: m.ID, Thread: m.Thread, Seq: m.Seq, Sent: m.Sent}
	if duplicate || !live {
		return
	}
	if m.Seq <= h.last[m.Thread] {
		h.live = append(h.live, Violation{Disorder, m.Thread, m.ID, m.Seq})
	}
	h.last[m.Thread] = m.Seq
}

// Shown notes what a reader was given.
func (h *History) Shown(page ...store.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range page {
		h.shown[m.ID] = store.Message{ID: m.ID, Thread: m.Thread, Seq: m.Seq, Sent: m.Sent}
	}
}

// Cut copies the history as it is now. A crash that is simulated after Cut has returned must keep all
// that the copy says was acked.
func (h *History) Cut() *History {
	h.mu.Lock()
	defer h.mu.Unlock()
	return &History{
		sent: maps.Clone(h.sent), acked: maps.Clone(h.acked), shown: maps.Clone(h.shown), last: maps.Clone(h.last),
		live: append([]Violation(nil), h.live...), strict: h.strict,
	}
}

// SentAll takes over what other was told to Sent: what was tried after a Cut may be in the store too.
func (h *History) SentAll(other *History) {
	other.mu.Lock()
	defer other.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.Copy(h.sent, other.sent)
}

// Size gives how many messages were tried and how many were acked.
func (h *History) Size() (sent, acked int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.sent), len(h.acked)
}

// Threads gives all threads that anything was sent to or acked in.
func (h *History) Threads() []id.Thread {
	h.mu.Lock()
	defer h.mu.Unlock()
	set := map[id.Thread]struct{}{}
	for _, m := range h.sent {
		set[m.Thread] = struct{}{}
	}
	for _, m := range h.acked {
		set[m.Thread] = struct{}{}
	}
	list := make([]id.Thread, 0, len(set))
	for t := range set {
		list = append(list, t)
	}
	return list
}

// Read gives the messages of a thread above a seq: store.Log's After, or a client's resume.
type Read func(t id.Thread, after uint64) ([]store.Message, error)

// Check compares all threads, read to their ends, with the history.
func (h *History) Check(read Read) ([]Violation, error) {
	threads := h.Threads()
	h.mu.Lock()
	defer h.mu.Unlock()
	found := append([]Violation(nil), h.live...)
	stands := map[id.Message]store.Message{}
	for _, t := range threads {
		for next := uint64(1); ; {
			page, err := read(t, next-1)
			if err != nil {
				return found, fmt.Errorf("read thread %s after %d: %w", t, next-1, err)
			}
			if len(page) == 0 {
				break
			}
			for i := range page {
				found = h.place(found, stands, t, next, &page[i])
				next = page[i].Seq + 1
			}
		}
	}
	for _, m := range h.acked {
		switch s, ok := stands[m.ID]; {
		case !ok:
			found = append(found, Violation{Lost, m.Thread, m.ID, m.Seq})
		case s.Seq != m.Seq || s.Thread != m.Thread || m.Sent != 0 && s.Sent != m.Sent:
			found = append(found, Violation{Moved, m.Thread, m.ID, m.Seq})
		}
	}
	for _, m := range h.shown {
		if s := stands[m.ID]; s.Seq != m.Seq || s.Thread != m.Thread || s.Sent != m.Sent {
			found = append(found, Violation{Vanished, m.Thread, m.ID, m.Seq})
		}
	}
	return found, nil
}

// place checks one stored message, expected at seq next; mu is held.
func (h *History) place(found []Violation, stands map[id.Message]store.Message, t id.Thread, next uint64, m *store.Message) []Violation {
	at := Violation{Thread: t, Message: m.ID, Seq: m.Seq}
	note := func(k Kind) {
		at.Kind = k
		found = append(found, at)
	}
	if m.Seq != next {
		note(Hole)
	}
	if _, twice := stands[m.ID]; twice {
		note(Copied)
	}
	stands[m.ID] = store.Message{ID: m.ID, Thread: t, Seq: m.Seq, Sent: m.Sent}
	if !h.strict {
		return found
	}
	switch sent, ok := h.sent[m.ID]; {
	case !ok:
		note(Unsent)
	case sent.Thread != t || m.Thread != t || sent.Sender != m.Sender || sent.Receiver != m.Receiver ||
		!bytes.Equal(sent.ClientID, m.ClientID) || !store.SameBody(&sent, m):
		note(Altered)
	}
	return found
}

// CheckRetry compares the answer to a second send of a message with the store and the first answer. The
// answer was got from the store under test, stands is what it held before the retry (Seq 0: nothing).
func (h *History) CheckRetry(answer *store.Entry, stands store.Message) []Violation {
	h.mu.Lock()
	defer h.mu.Unlock()
	bad := []Violation{{Retried, answer.Thread, answer.ID, answer.Seq}}
	if answer.Err != nil {
		return bad
	}
	first, acked := h.acked[answer.ID]
	if acked && (first.Seq != answer.Seq || first.Sent != 0 && first.Sent != answer.Sent || !answer.Duplicate) {
		return bad
	}
	if stands.Seq > 0 && (!answer.Duplicate || answer.Seq != stands.Seq || answer.Sent != stands.Sent) {
		return bad
	}
	if stands.Seq == 0 && answer.Duplicate {
		return bad
	}
	return nil
}

// CheckLog is Check on a store's log, with a retry of every message that was sent: each is answered with
// the first result, and no second copy of any comes to stand.
func (h *History) CheckLog(log store.Log, read Read, find func(id.Message) (store.Message, error)) ([]Violation, error) {
	found, err := h.Check(read)
	if err != nil {
		return found, err
	}
	h.mu.Lock()
	sent := maps.Clone(h.sent)
	h.mu.Unlock()
	type answer struct {
		entry  *store.Entry
		stands store.Message
	}
	answers := make(chan answer, len(sent))
	window := make(chan struct{}, 1000) // within every queue's budget
	for _, m := range sent {
		stands, err := find(m.ID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return found, fmt.Errorf("find message %s: %w", m.ID, err)
		}
		retry := m
		retry.Sent++ // the first Sent must come back
		window <- struct{}{}
		log.Append(&store.Entry{Message: retry, Done: func(e *store.Entry) {
			answers <- answer{e, stands}
			<-window
		}})
	}
	for range sent {
		a := <-answers
		found = append(found, h.CheckRetry(a.entry, a.stands)...)
	}
	again, err := h.Check(read)
	return append(found, again...), err
}
