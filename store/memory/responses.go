package memory

import (
	"bytes"
	"context"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tolkflip/tolkflip/store"
)

const (
	responseShards = 16
	// responseCost is what an entry costs beside its key and value, in bytes.
	responseCost = 128
)

// Responses keeps values up to a number of bytes. When it is full it forgets, of a few, what ends first.
type Responses struct {
	cfg     CacheConfig
	metrics *Metrics
	seed    maphash.Seed
	shards  [responseShards]responseShard
}

type responseShard struct {
	limit int

	mu      sync.Mutex
	entries map[string]response
	bytes   int
}

// response is a value, or where ticket is set, the newest Drop.
type response struct {
	value  []byte
	ticket uint64
	ends   time.Time
}

// NewResponses makes an empty cache.
func NewResponses(cfg CacheConfig, m *Metrics) (*Responses, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := &Responses{cfg: cfg, metrics: m, seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].limit = max(1, cfg.Responses/responseShards)
		r.shards[i].entries = map[string]response{}
	}
	return r, nil
}

func (r *Responses) shard(key string) *responseShard {
	return &r.shards[maphash.String(r.seed, key)%responseShards]
}

// get gives what has not ended; mu is held.
func (s *responseShard) get(key string, now time.Time) (response, bool) {
	e, ok := s.entries[key]
	if ok && !now.Before(e.ends) {
		s.remove(key, e)
		return response{}, false
	}
	return e, ok
}

func (s *responseShard) remove(key string, e response) {
	s.bytes -= responseCost + len(key) + len(e.value)
	delete(s.entries, key)
}

// put stores e and makes room for it; mu is held.
func (r *Responses) put(s *responseShard, key string, e response) {
	if old, ok := s.entries[key]; ok {
		s.remove(key, old)
	}
	size := responseCost + len(key) + len(e.value)
	for s.bytes+size > s.limit && len(s.entries) > 0 {
		var worst string
		n := 0
		for k, v := range s.entries { // Go starts at a random place
			if n == 0 || v.ends.Before(s.entries[worst].ends) {
				worst = k
			}
			if n++; n == 8 {
				break
			}
		}
		s.remove(worst, s.entries[worst])
		r.metrics.responsesEvicted.Inc()
	}
	if s.bytes+size > s.limit {
		return
	}
	s.entries[key] = e
	s.bytes += size
}

// Get gives the value, or a ticket.
func (r *Responses) Get(_ context.Context, key string) (store.Response, error) {
	s := r.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.get(key, r.cfg.Now())
	if !ok || e.ticket != 0 {
		return store.Response{Ticket: e.ticket}, nil
	}
	return store.Response{Value: bytes.Clone(e.value), Found: true}, nil
}

// Put stores a value, unless its ticket is old.
func (r *Responses) Put(_ context.Context, key string, ticket uint64, value []byte, ttl time.Duration) error {
	if len(value) > store.MaxResponse {
		r.metrics.responsesLarge.Inc()
		return nil
	}
	s, now := r.shard(key), r.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.get(key, now)
	if ok && e.ticket == 0 || e.ticket != ticket {
		return nil
	}
	r.put(s, key, response{value: append([]byte{}, value...), ends: now.Add(ttl)})
	return nil
}

// Drop leaves a ticket in place of each value.
func (r *Responses) Drop(_ context.Context, keys ...string) error {
	now := r.cfg.Now()
	for _, key := range keys {
		s := r.shard(key)
		s.mu.Lock()
		r.put(s, key, response{ticket: rand.Uint64() | 1, ends: now.Add(r.cfg.Dropped)})
		s.mu.Unlock()
	}
	return nil
}
