package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// cursorCache keeps the cursors that move. A cursor moves as often as messages are delivered and need
// not be durable at once, so moves stay in memory and are written and synced once in CursorsEvery.
type cursorCache struct {
	s        *Store
	shards   [cursorShards]cursorShard
	unsynced atomic.Bool // something was written and not synced
}

const cursorShards = 64

// cursorShard has the cursors of some threads, so that all of a thread's are under one lock. The lock is
// held while a cursor is read from the store.
type cursorShard struct {
	mu      sync.Mutex
	cursors map[cursorKey]*cursor
	dirty   []cursorKey
}

type cursorKey struct {
	thread id.Thread
	user   id.User
}

type cursor struct {
	store.Cursor
	dirty bool
}

func newCursorCache(s *Store) *cursorCache {
	c := &cursorCache{s: s}
	for i := range c.shards {
		c.shards[i].cursors = map[cursorKey]*cursor{}
	}
	return c
}

func (c *cursorCache) shard(t id.Thread) *cursorShard { return &c.shards[t.ID[15]%cursorShards] }

// Advance moves a cursor in memory.
func (c *cursorCache) Advance(_ context.Context, t id.Thread, u id.User, to store.Cursor) (before, after store.Cursor, err error) {
	if err := c.s.beginWrite(); err != nil {
		return before, after, err
	}
	defer c.s.end()
	h := c.shard(t)
	h.mu.Lock()
	defer h.mu.Unlock()
	k := cursorKey{t, u}
	r := h.cursors[k]
	if r == nil {
		stored, err := c.read(k)
		if err != nil {
			return before, after, err
		}
		r = &cursor{Cursor: stored}
		if err := c.room(h); err != nil {
			return before, after, err
		}
		h.cursors[k] = r
	}
	before, after = r.Cursor, r.Forward(to)
	r.Cursor = after
	if before != after && !r.dirty {
		r.dirty = true
		h.dirty = append(h.dirty, k)
	}
	return before, after, nil
}

// room drops a cursor that needs no writing where the shard is full, and writes them all where it cannot
// find one; mu is held.
func (c *cursorCache) room(h *cursorShard) error {
	if len(h.cursors) < max(1, c.s.cfg.Cursors/cursorShards) {
		return nil
	}
	for range 2 {
		looked := 0
		for k, r := range h.cursors {
			if !r.dirty {
				delete(h.cursors, k)
				return nil
			}
			if looked++; looked == 16 {
				break
			}
		}
		if err := c.write(h); err != nil {
			return err
		}
	}
	return nil
}

// read reads a cursor from the store, zero where there is none.
func (c *cursorCache) read(k cursorKey) (store.Cursor, error) {
	v, found, err := c.s.get(nil, pairKey(tableCursors, k.thread.ID, k.user.ID))
	if err != nil || !found {
		return store.Cursor{}, err
	}
	r, err := decodeCursor(v)
	if err != nil {
		return r, fmt.Errorf("read a cursor: %w", err)
	}
	return r, nil
}

// write puts the moves of a shard into the store, where they are not durable yet; mu is held.
func (c *cursorCache) write(h *cursorShard) error {
	if len(h.dirty) == 0 {
		return nil
	}
	b := c.s.db.NewBatch()
	for _, k := range h.dirty {
		r := h.cursors[k]
		r.dirty = false
		_ = b.Set(pairKey(tableCursors, k.thread.ID, k.user.ID), encodeCursor(r.Cursor), nil) // a plain batch cannot fail
	}
	h.dirty = h.dirty[:0]
	c.unsynced.Store(true)
	return errors.Join(c.s.db.Apply(b, pebble.NoSync), b.Close())
}

// flush makes all moves durable: they are applied shard by shard, and synced once.
func (c *cursorCache) flush() error {
	for i := range c.shards {
		h := &c.shards[i]
		h.mu.Lock()
		err := c.write(h)
		h.mu.Unlock()
		if err != nil {
			return fmt.Errorf("write cursors: %w", err)
		}
	}
	if !c.unsynced.Swap(false) {
		return nil
	}
	return c.s.db.LogData(nil, pebble.Sync)
}

func (c *cursorCache) run() {
	tick := time.NewTicker(c.s.cfg.CursorsEvery)
	defer tick.Stop()
	for {
		select {
		case <-c.s.stop:
			return
		case <-tick.C:
		}
		if c.s.failed.Load() {
			return
		}
		if err := c.flush(); err != nil {
			c.s.fail(err)
			return
		}
	}
}

// Of gives one member's cursors.
func (c *cursorCache) Of(_ context.Context, u id.User, threads []id.Thread) ([]store.Cursor, error) {
	if err := c.s.begin(); err != nil {
		return nil, err
	}
	defer c.s.end()
	list := make([]store.Cursor, len(threads))
	for i, t := range threads {
		k := cursorKey{t, u}
		h := c.shard(t)
		h.mu.Lock()
		r := h.cursors[k]
		if r != nil {
			list[i] = r.Cursor
		}
		h.mu.Unlock()
		if r != nil {
			continue
		}
		var err error
		if list[i], err = c.read(k); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// In gives the cursors of a thread's members. It writes the shard's moves first, so that one scan sees all.
func (c *cursorCache) In(_ context.Context, t id.Thread, limit int) ([]store.CursorOf, error) {
	if err := c.s.begin(); err != nil {
		return nil, err
	}
	defer c.s.end()
	h := c.shard(t)
	h.mu.Lock()
	err := c.write(h)
	h.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("write cursors: %w", err)
	}
	var list []store.CursorOf
	if limit < 1 {
		return nil, nil
	}
	from := idKey(tableCursors, t.ID)
	err = c.s.scan(from, prefixEnd(from), func(key, value []byte) (bool, error) {
		r, err := decodeCursor(value)
		list = append(list, store.CursorOf{User: id.User{ID: second(key)}, Cursor: r})
		return len(list) < limit, err
	})
	if err != nil {
		return nil, fmt.Errorf("read a thread's cursors: %w", err)
	}
	return list, nil
}

func encodeCursor(c store.Cursor) []byte {
	return binary.AppendUvarint(binary.AppendUvarint([]byte{valueV1}, c.Delivered), c.Read)
}

func decodeCursor(v []byte) (store.Cursor, error) {
	r := read(v)
	c := store.Cursor{Delivered: r.uint(), Read: r.uint()}
	return c, r.end()
}
