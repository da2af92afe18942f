package user

import (
	"hash/maphash"
	"sync"
	"time"
)

// cacheShards keeps the locks of a cache short; a power of two.
const cacheShards = 16

// cache is a bounded map of what was read from a store. When it is full the entry that was put first goes,
// unless it was read since it was last considered (second chance).
type cache[K comparable, V any] struct {
	seed   maphash.Seed
	life   time.Duration
	now    func() time.Time
	shards [cacheShards]cacheShard[K, V]
}

type cacheShard[K comparable, V any] struct {
	mu      sync.Mutex
	limit   int
	entries map[K]*cacheEntry[V]
	order   []K // a ring, as long as limit at most
	hand    int
	// writes counts drops, so that a fill that was read before one is not kept.
	writes uint64
}

type cacheEntry[V any] struct {
	value V
	ends  time.Time
	used  bool
}

// newCache makes a cache of about limit entries, at least one a shard.
func newCache[K comparable, V any](limit int, life time.Duration, now func() time.Time) *cache[K, V] {
	c := &cache[K, V]{seed: maphash.MakeSeed(), life: life, now: now}
	for i := range c.shards {
		c.shards[i].limit = max(limit/cacheShards, 1)
		c.shards[i].entries = map[K]*cacheEntry[V]{}
	}
	return c
}

func (c *cache[K, V]) shard(k K) *cacheShard[K, V] {
	return &c.shards[maphash.Comparable(c.seed, k)%cacheShards]
}

// get gives the value, or where there is none a ticket with which put may bring it.
func (c *cache[K, V]) get(k K) (v V, ticket uint64, ok bool) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[k]
	if e == nil || !c.now().Before(e.ends) {
		return v, s.writes, false
	}
	e.used = true
	return e.value, 0, true
}

// put keeps what was read after get gave the ticket, unless something was dropped since.
func (c *cache[K, V]) put(k K, v V, ticket uint64) {
	s := c.shard(k)
	ends := c.now().Add(c.life)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writes != ticket {
		return
	}
	if e := s.entries[k]; e != nil {
		e.value, e.ends = v, ends
		return
	}
	if len(s.order) < s.limit {
		s.order = append(s.order, k)
	} else {
		s.order[s.free()] = k
	}
	s.entries[k] = &cacheEntry[V]{value: v, ends: ends}
}

// free makes room and gives the place in order.
func (s *cacheShard[K, V]) free() int {
	for {
		at := s.hand
		s.hand = (s.hand + 1) % len(s.order)
		e := s.entries[s.order[at]]
		if e == nil {
			return at
		}
		if !e.used {
			delete(s.entries, s.order[at])
			return at
		}
		e.used = false
	}
}

// drop forgets k. The ring keeps its place until the hand comes by: an entry of the same key takes no
// second one.
func (c *cache[K, V]) drop(k K) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if e := s.entries[k]; e != nil {
		e.ends = time.Time{}
		var none V
		e.value = none
	}
}

// len is the number of entries, for tests.
func (c *cache[K, V]) len() int {
	n := 0
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += len(s.entries)
		s.mu.Unlock()
	}
	return n
}
