package chat

import (
	"hash/maphash"
	"sync"
)

const cacheShards = 16

// cache remembers up to a number of facts; when it is full an arbitrary one goes. Keys and values
// without pointers keep it out of the collector's way.
type cache[K comparable, V any] struct {
	seed   maphash.Seed
	max    int // a shard
	shards [cacheShards]struct {
		mu sync.Mutex
		m  map[K]V
	}
}

func newCache[K comparable, V any](size int) *cache[K, V] {
	c := &cache[K, V]{seed: maphash.MakeSeed(), max: max(1, size/cacheShards)}
	for i := range c.shards {
		c.shards[i].m = make(map[K]V)
	}
	return c
}

func (c *cache[K, V]) get(k K) (V, bool) {
	s := &c.shards[maphash.Comparable(c.seed, k)%cacheShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.m[k]
	return v, ok
}

func (c *cache[K, V]) put(k K, v V) {
	s := &c.shards[maphash.Comparable(c.seed, k)%cacheShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.m[k]; !ok && len(s.m) >= c.max {
		for victim := range s.m {
			delete(s.m, victim)
			break
		}
	}
	s.m[k] = v
}

func (c *cache[K, V]) drop(k K) {
	s := &c.shards[maphash.Comparable(c.seed, k)%cacheShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, k)
}
