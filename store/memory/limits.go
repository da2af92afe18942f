package memory

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/tolkflip/tolkflip/store"
)

// limitShards spreads the locks of Limits: a limit is taken on every REST request.
const limitShards = 32

// Limits counts in fixed windows that begin with the first event of a key. A full table forgets, of a
// few windows, the one that ends first (counted): who wants to be forgotten must fill the whole table
// with other keys first, and refusing instead would shut out everyone new.
type Limits struct {
	now     func() time.Time
	metrics *Metrics
	seed    maphash.Seed
	shards  [limitShards]limitShard
}

type limitShard struct {
	mu      sync.Mutex
	windows expiring[string, int]
}

// NewLimits makes an empty table.
func NewLimits(cfg CacheConfig, m *Metrics) (*Limits, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	l := &Limits{now: cfg.Now, metrics: m, seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i].windows = newExpiring[string, int]((cfg.Windows + limitShards - 1) / limitShards)
	}
	return l, nil
}

// Take counts one event of key.
func (l *Limits) Take(_ context.Context, key string, limit int, window time.Duration) (store.Taken, error) {
	s := &l.shards[maphash.String(l.seed, key)%limitShards]
	now := l.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ends, ok := s.windows.get(key, now)
	if !ok {
		n, ends = 0, now.Add(window)
	}
	if n >= limit {
		return store.Taken{Reset: ends.Sub(now)}, nil
	}
	n++
	if !s.windows.put(key, n, now, ends) {
		s.windows.evict()
		l.metrics.limitsEvicted.Inc()
		s.windows.replace(key, n, ends)
	}
	return store.Taken{OK: true, Remaining: limit - n, Reset: ends.Sub(now)}, nil
}
