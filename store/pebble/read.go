package pebble

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// errStopped is what is left to say after a fatal failure.
var errStopped = errors.New("pebble: the store was stopped by an earlier failure")

// After gives the messages above after.
func (l threadLog) After(_ context.Context, t id.Thread, after uint64, limit int) ([]store.Message, error) {
	if err := l.s.begin(); err != nil {
		return nil, err
	}
	defer l.s.end()
	if limit < 1 || after >= 1<<64-2 {
		return nil, nil
	}
	c := l.s.committer(t)
	p, above := page{limit: limit}, page{limit: limit}
	hot, filed := false, uint64(1<<64-1)
	durable, it, err := c.head(t, func(th *thread, durable uint64) {
		if hot = after >= durable || c.window.after(&p, th.newest, durable, after); hot {
			return
		}
		filed = th.unfiledFrom() - 1
		th.unfiledAfter(&above, durable, after)
		hot = after >= filed
	})
	if err != nil {
		return nil, err
	}
	l.s.metrics.read(hot)
	switch {
	case hot && len(above.places) > 0:
		return above.messages(t)
	case hot:
		return p.messages(t)
	case it != nil:
		durable = 1<<64 - 1 // all that it sees is
	default: // in memory, but not in the window
		if it, err = l.s.tail(t); err != nil {
			return nil, err
		}
	}
	durable = min(durable, filed)
	all, err := walk(it, &p, it.SeekGE(messageKey(t, after+1)), it.Next, func(seq uint64) bool { return seq <= durable })
	if err != nil {
		return nil, err
	}
	if all {
		p.append(&above)
	}
	return p.read(t)
}

// Before gives the newest messages below before.
func (l threadLog) Before(_ context.Context, t id.Thread, before uint64, limit int) ([]store.Message, error) {
	if err := l.s.begin(); err != nil {
		return nil, err
	}
	defer l.s.end()
	if limit < 1 || before == 1 {
		return nil, nil
	}
	if before == 0 {
		before = 1<<64 - 1
	}
	return l.s.before(t, before, limit)
}

// before is Before within a call that has begun.
func (s *Store) before(t id.Thread, before uint64, limit int) ([]store.Message, error) {
	c := s.committer(t)
	p := page{limit: limit}
	hot, filed := false, uint64(1<<64-1)
	durable, it, err := c.head(t, func(th *thread, durable uint64) {
		if hot = durable == 0 || c.window.before(&p, th.newest, before); hot {
			return
		}
		p = page{limit: limit}
		filed = th.unfiledFrom() - 1
		hot = !th.unfiledBefore(&p, durable, before) || len(p.places) == limit
	})
	if err != nil {
		return nil, err
	}
	s.metrics.read(hot)
	if hot {
		return p.messages(t)
	}
	if it == nil {
		if it, err = s.tail(t); err != nil {
			return nil, err
		}
		before = min(before, durable+1, filed+1)
	}
	if _, err := walk(it, &p, it.SeekLT(messageKey(t, before)), it.Prev, func(uint64) bool { return true }); err != nil {
		return nil, err
	}
	return p.read(t)
}

// walk fills a page from where it stands, and closes it. It reports false where the page was full before the
// end.
func walk(it *pebble.Iterator, p *page, ok bool, next func() bool, within func(seq uint64) bool) (all bool, err error) {
	defer func() { err = errors.Join(err, it.Close()) }()
	for ; ok; ok = next() {
		seq := seqOf(it.Key())
		if !within(seq) {
			break
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return false, err
		}
		if !p.add(seq, value) {
			return false, it.Error()
		}
	}
	return true, it.Error()
}

// after fills p with what stands above after, and reports false where the window does not hold all that
// the page needs. The owner's lock is held.
func (w *window) after(p *page, newest, durable, after uint64) bool {
	if durable-after > windowHops {
		return false
	}
	var places [windowHops]uint32 // hops back, as distances: the newest first
	n := 0
	place := newest
	for {
		previous, seq, _, ok := w.at(place)
		if !ok {
			return false
		}
		if seq <= after {
			break
		}
		if newest-place >= 1<<32 || n == len(places) {
			return false
		}
		places[n] = uint32(newest - place)
		n++
		if seq == after+1 {
			break
		}
		place = previous
	}
	for n > 0 {
		n--
		_, seq, value, _ := w.at(newest - uint64(places[n]))
		if !p.add(seq, value) {
			break
		}
	}
	return true
}

// before fills p with the newest below before, and reports false where the window does not hold all that
// the page needs. The owner's lock is held.
func (w *window) before(p *page, newest, before uint64) bool {
	place := newest
	for range windowHops {
		previous, seq, value, ok := w.at(place)
		if !ok {
			return false
		}
		if seq < before && !p.add(seq, value) {
			return true
		}
		if seq == 1 || seq < before && len(p.places) == p.limit {
			return true
		}
		place = previous
	}
	return false
}

// Head is the durable head.
func (l threadLog) Head(_ context.Context, t id.Thread) (uint64, error) {
	if err := l.s.begin(); err != nil {
		return 0, err
	}
	defer l.s.end()
	durable, it, err := l.s.committer(t).head(t, nil)
	if err != nil || it == nil {
		return durable, err
	}
	if it.Last() {
		durable = seqOf(it.Key())
	}
	return durable, errors.Join(it.Error(), it.Close())
}

// Find looks a message up by its id.
func (l threadLog) Find(_ context.Context, m id.Message) (store.Message, error) {
	if err := l.s.begin(); err != nil {
		return store.Message{}, err
	}
	defer l.s.end()
	var r store.Message
	var body []byte
	var err error
	if l.s.unfiledByID(m, func(e *unfiledEntry, durable uint64) {
		if e.seq <= durable {
			body = append(body, e.value...)
			err = decodeMessage(&r, e.thread.id, e.seq, body)
		}
	}) {
		if err == nil && body == nil {
			err = store.ErrNotFound
		}
		return r, err
	}
	v, found, err := l.s.get(nil, idKey(tableIDs, m.ID))
	if err != nil {
		return store.Message{}, fmt.Errorf("look a message id up: %w", err)
	}
	if !found {
		return store.Message{}, store.ErrNotFound
	}
	t, seq, err := decodeIDValue(v)
	if err != nil {
		return store.Message{}, fmt.Errorf("look a message id up: %w", err)
	}
	// The row may be seen before it is durable; then its thread is in memory, and its head is below.
	if durable, there := l.s.committer(t).peek(t); there && seq > durable {
		return store.Message{}, store.ErrNotFound
	}
	if body, found, err = l.s.get(nil, messageKey(t, seq)); err != nil || !found {
		return store.Message{}, fmt.Errorf("read a message by its id (there: %v): %w", found, err)
	}
	if err := decodeMessage(&r, t, seq, body); err != nil {
		return store.Message{}, fmt.Errorf("read a message by its id: %w", err)
	}
	return r, nil
}

// peek gives the durable head of a thread that is in memory.
func (h *shard) peek(t id.Thread) (durable uint64, there bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	th := h.threads[t]
	if th == nil {
		return 0, false
	}
	return h.s.clip(th), true
}

// newest gives the newest durable message of a thread, zero where there is none.
func (s *Store) newest(t id.Thread) (m store.Message, err error) {
	list, err := s.before(t, 1<<64-1, 1)
	if err != nil || len(list) == 0 {
		return m, err
	}
	return list[0], nil
}
