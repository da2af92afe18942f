package cassandra

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/gocql/gocql"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// cursorCache keeps the cursors that move: they are written once in CursorsEvery, the last position alone.
//
// Each part of a cursor is written with itself as its timestamp, so that the higher one stands whatever the
// order in which nodes write: no node needs to know what another one wrote.
type cursorCache struct {
	s      *Store
	shards [cursorShards]cursorShard
	flushs sync.Mutex // one flush at a time
}

const (
	cursorShards = 64
	cursorBatch  = 100 // of one thread in one write
	cursorsOnce  = 100 // threads that one statement asks for

	selectCursor  = `SELECT delivered, read FROM cursors WHERE thread_id = ? AND user_id = ?`
	selectCursors = `SELECT thread_id, delivered, read FROM cursors WHERE thread_id IN ? AND user_id = ?`
	selectIn      = `SELECT user_id, delivered, read FROM cursors WHERE thread_id = ? LIMIT ?`
	setDelivered  = `UPDATE cursors USING TIMESTAMP ? SET delivered = ? WHERE thread_id = ? AND user_id = ?`
	setRead       = `UPDATE cursors USING TIMESTAMP ? SET read = ? WHERE thread_id = ? AND user_id = ?`
)

// cursorShard has the cursors of some threads. Its lock is never held across a statement.
type cursorShard struct {
	mu      sync.Mutex
	cursors map[cursorKey]*cursor
	dirty   map[cursorKey]*cursor // of cursors, those whose position is not written
	left    uint64                // counts the cursors that left memory
}

type cursorKey struct {
	thread id.Thread
	user   id.User
}

type cursor struct {
	store.Cursor
	saved store.Cursor // as it was last written or read
	asOf  time.Time    // when it was read
}

func newCursorCache(s *Store) *cursorCache {
	c := &cursorCache{s: s}
	for i := range c.shards {
		c.shards[i].cursors, c.shards[i].dirty = map[cursorKey]*cursor{}, map[cursorKey]*cursor{}
	}
	return c
}

func (k *cursorCache) shard(t id.Thread) *cursorShard { return &k.shards[t.ID[15]%cursorShards] }

// Advance moves a cursor in memory.
func (k *cursorCache) Advance(ctx context.Context, t id.Thread, u id.User, to store.Cursor) (before, after store.Cursor, err error) {
	c, err := k.s.begin(ctx, 0)
	if err != nil {
		return before, after, err
	}
	defer c.end()
	h, key := k.shard(t), cursorKey{t, u}
	for {
		h.mu.Lock()
		if r := h.cursors[key]; r != nil {
			before, after = h.move(key, r, to)
			h.mu.Unlock()
			return before, after, nil
		}
		left := h.left
		h.mu.Unlock()
		stored, err := k.read(c, key)
		if err != nil {
			return before, after, c.failed("read a cursor", err)
		}
		h.mu.Lock()
		// What left memory meanwhile may have been written after it was read here.
		if h.left == left && h.cursors[key] == nil {
			if !k.room(h) {
				h.mu.Unlock()
				k.s.metrics.cursorsRefused.Inc()
				return before, after, store.ErrBusy
			}
			h.cursors[key] = &cursor{Cursor: stored, saved: stored, asOf: k.s.cfg.Now()}
		}
		h.mu.Unlock()
	}
}

// move is Advance on what is in memory; mu is held.
func (h *cursorShard) move(key cursorKey, r *cursor, to store.Cursor) (before, after store.Cursor) {
	before, after = r.Cursor, r.Forward(to)
	r.Cursor = after
	if after != r.saved {
		h.dirty[key] = r
	}
	return before, after
}

// room drops a cursor that needs no writing where the shard is full; mu is held.
func (k *cursorCache) room(h *cursorShard) bool {
	if len(h.cursors) < max(1, k.s.cfg.Cursors/cursorShards) {
		return true
	}
	for key, r := range h.cursors {
		if r.Cursor == r.saved && h.dirty[key] == nil {
			delete(h.cursors, key)
			h.left++
			return true
		}
	}
	// All move: they are written within the second. Until then the shard may grow to twice its size.
	return len(h.cursors) < 2*max(1, k.s.cfg.Cursors/cursorShards)
}

// read reads a cursor from the store, zero where there is none.
func (k *cursorCache) read(c *call, key cursorKey) (store.Cursor, error) {
	var r struct{ Delivered, Read int64 }
	err := c.read(selectCursor, gocql.UUID(key.thread.ID), gocql.UUID(key.user.ID)).GetRelease(&r)
	if err != nil && !errors.Is(err, gocql.ErrNotFound) {
		return store.Cursor{}, err
	}
	return store.Cursor{Delivered: uint64(r.Delivered), Read: uint64(r.Read)}, nil
}

// moved is a cursor on its way to the store.
type moved struct {
	key cursorKey
	to  store.Cursor
}

// flush writes all that moved, each thread's cursors together.
func (k *cursorCache) flush() error {
	k.flushs.Lock()
	defer k.flushs.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), k.s.cfg.Budget)
	defer cancel()
	c := &call{Context: ctx, caller: ctx, s: k.s}
	byThread := map[id.Thread][]moved{}
	for i := range k.shards {
		h := &k.shards[i]
		h.mu.Lock()
		for key, r := range h.dirty {
			byThread[key.thread] = append(byThread[key.thread], moved{key, r.Cursor})
		}
		h.mu.Unlock()
	}
	var parts [][]moved
	for _, list := range byThread {
		for len(list) > 0 {
			n := min(cursorBatch, len(list))
			parts = append(parts, list[:n])
			list = list[n:]
		}
	}
	if len(parts) == 0 {
		return nil
	}
	err := c.each(len(parts), func(i int) error {
		if err := c.batch(func(b *gocql.Batch) { fillCursors(b, parts[i]) }); err != nil {
			return err
		}
		k.saved(parts[i])
		return nil
	})
	return c.failed("write cursors", err)
}

func fillCursors(b *gocql.Batch, list []moved) {
	for _, m := range list {
		t, u := gocql.UUID(m.key.thread.ID), gocql.UUID(m.key.user.ID)
		if d := clamp(m.to.Delivered); d > 0 {
			b.Query(setDelivered, d, d, t, u)
		}
		if r := clamp(m.to.Read); r > 0 {
			b.Query(setRead, r, r, t, u)
		}
	}
}

// clamp makes a position that the store can keep.
func clamp(seq uint64) int64 { return int64(min(seq, math.MaxInt64)) }

// saved notes what was written; mu of the shard is taken.
func (k *cursorCache) saved(list []moved) {
	h := k.shard(list[0].key.thread)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range list {
		r := h.dirty[m.key]
		if r == nil {
			continue
		}
		r.saved = m.to
		if r.Cursor == r.saved {
			delete(h.dirty, m.key)
		}
	}
}

func (k *cursorCache) run() {
	tick := time.NewTicker(k.s.cfg.CursorsEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-k.s.stop:
			return
		case <-tick.C:
		}
		err := k.flush()
		if err != nil && !failing {
			k.s.log.Warn("cursors cannot be written; they stay in memory and are tried again", slog.String("error", err.Error()))
		}
		failing = err != nil
	}
}

// Of gives one member's cursors: from memory, save for those that memory does not have or has not looked
// at for a while.
func (k *cursorCache) Of(ctx context.Context, u id.User, threads []id.Thread) ([]store.Cursor, error) {
	c, err := k.s.begin(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer c.end()
	list := make([]store.Cursor, len(threads))
	var ask []id.Thread
	old := k.s.cfg.Now().Add(-k.s.cfg.CursorsFresh)
	for i, t := range threads {
		h := k.shard(t)
		h.mu.Lock()
		r := h.cursors[cursorKey{t, u}]
		if r != nil {
			list[i] = r.Cursor
		}
		if r == nil || r.asOf.Before(old) {
			ask = append(ask, t)
		}
		h.mu.Unlock()
	}
	if len(ask) == 0 {
		return list, nil
	}
	stored, err := k.stored(c, u, ask)
	if err != nil {
		return nil, c.failed("read a member's cursors", err)
	}
	for i, t := range threads {
		s, ok := stored[t]
		if !ok {
			continue
		}
		list[i] = list[i].Forward(s)
		k.refresh(cursorKey{t, u}, s)
	}
	return list, nil
}

// refresh takes over what another node wrote.
func (k *cursorCache) refresh(key cursorKey, stored store.Cursor) {
	h := k.shard(key.thread)
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.cursors[key]
	if r == nil {
		return
	}
	r.asOf = k.s.cfg.Now()
	r.saved = r.saved.Forward(stored)
	r.Cursor = r.Forward(stored)
}

// stored reads one member's cursors in several threads.
func (k *cursorCache) stored(c *call, u id.User, threads []id.Thread) (map[id.Thread]store.Cursor, error) {
	all := make(map[id.Thread]store.Cursor, len(threads))
	var mu sync.Mutex
	n := (len(threads) + cursorsOnce - 1) / cursorsOnce
	return all, c.each(n, func(i int) error {
		part := threads[i*cursorsOnce : min((i+1)*cursorsOnce, len(threads))]
		if len(part) == 1 {
			r, err := k.read(c, cursorKey{part[0], u})
			mu.Lock()
			defer mu.Unlock()
			all[part[0]] = r
			return err
		}
		ids := make([]gocql.UUID, len(part))
		for i, t := range part {
			ids[i] = gocql.UUID(t.ID)
		}
		it := c.read(selectCursors, ids, gocql.UUID(u.ID)).Iter()
		var t gocql.UUID
		var delivered, read int64
		mu.Lock()
		defer mu.Unlock()
		for it.Scan(&t, &delivered, &read) {
			all[id.Thread{ID: id.ID(t)}] = store.Cursor{Delivered: uint64(delivered), Read: uint64(read)}
		}
		return it.Close()
	})
}

// In gives the cursors of a thread's members, with what is not written yet.
func (k *cursorCache) In(ctx context.Context, t id.Thread, limit int) ([]store.CursorOf, error) {
	if limit < 1 {
		return nil, nil
	}
	c, err := k.s.begin(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer c.end()
	// What moves is taken first: what is written after that is in the rows too.
	moving := k.moving(t)
	var list []store.CursorOf
	it := c.read(selectIn, gocql.UUID(t.ID), limit).Iter()
	var u gocql.UUID
	var delivered, read int64
	for it.Scan(&u, &delivered, &read) {
		r := store.CursorOf{User: id.User{ID: id.ID(u)}, Cursor: store.Cursor{Delivered: uint64(delivered), Read: uint64(read)}}
		if m, ok := moving[r.User]; ok {
			r.Cursor = r.Forward(m)
			delete(moving, r.User)
		}
		list = append(list, r)
		delivered, read = 0, 0
	}
	if err := it.Close(); err != nil {
		return nil, c.failed("read a thread's cursors", err)
	}
	for u, m := range moving {
		if len(list) == limit {
			break
		}
		list = append(list, store.CursorOf{User: u, Cursor: m})
	}
	return list, nil
}

// moving gives a thread's cursors that are not written yet.
func (k *cursorCache) moving(t id.Thread) map[id.User]store.Cursor {
	h := k.shard(t)
	h.mu.Lock()
	defer h.mu.Unlock()
	list := map[id.User]store.Cursor{}
	for key, r := range h.dirty {
		if key.thread == t {
			list[key.user] = r.Cursor
		}
	}
	return list
}
