package memory

import (
	"bytes"
	"cmp"
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

const (
	recencyShards = 32
	// listCost is what a user's list costs beside its places, in places.
	listCost = 8
)

// Recency keeps users' lists as sorted slices: a Touch is a search from the front, where nearly all are,
// and a move of what is between. When it is full it forgets lists of other users, any.
type Recency struct {
	cfg     CacheConfig
	metrics *Metrics
	seed    maphash.Seed
	shards  [recencyShards]recencyShard
}

type recencyShard struct {
	limit int

	mu    sync.Mutex
	users map[id.User]*list
	cost  int
}

// list is a user's threads, newest first; or, until they are filled in, what was touched meanwhile.
type list struct {
	places []store.Place
	held   bool
	ends   time.Time
}

func (l *list) cost() int { return listCost + len(l.places) }

// NewRecency makes an empty cache.
func NewRecency(cfg CacheConfig, m *Metrics) (*Recency, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := &Recency{cfg: cfg, metrics: m, seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].limit = max(1, cfg.Places/recencyShards)
		r.shards[i].users = map[id.User]*list{}
	}
	return r, nil
}

func (r *Recency) shard(u id.User) *recencyShard {
	return &r.shards[maphash.Comparable(r.seed, u)%recencyShards]
}

// later orders places as a list does.
func later(a, b store.Place) int {
	return cmp.Or(cmp.Compare(b.At, a.At), bytes.Compare(b.Thread.ID[:], a.Thread.ID[:]))
}

// of gives a user's list, if it has not ended; mu is held.
func (s *recencyShard) of(u id.User, now time.Time) *list {
	l := s.users[u]
	if l != nil && !now.Before(l.ends) {
		s.drop(u, l)
		return nil
	}
	return l
}

func (s *recencyShard) drop(u id.User, l *list) {
	s.cost -= l.cost()
	delete(s.users, u)
}

// fit makes room after u's list grew; mu is held.
func (r *Recency) fit(s *recencyShard, u id.User) {
	for other, l := range s.users { // Go starts at a random place
		if s.cost <= s.limit {
			return
		}
		if other != u {
			s.drop(other, l)
			r.metrics.recencyEvicted.Inc()
		}
	}
	if l := s.users[u]; s.cost > s.limit && l != nil {
		s.drop(u, l)
		r.metrics.recencyEvicted.Inc()
	}
}

// Touch moves a thread forward where it is held or awaited.
func (r *Recency) Touch(_ context.Context, t id.Thread, at int64, users []id.User) error {
	now := r.cfg.Now()
	for _, u := range users {
		s := r.shard(u)
		s.mu.Lock()
		if l := s.of(u, now); l != nil {
			s.cost -= l.cost()
			l.forward(store.Place{At: at, Thread: t})
			s.cost += l.cost()
			r.fit(s, u)
		}
		s.mu.Unlock()
	}
	return nil
}

func (l *list) forward(p store.Place) {
	if i := slices.IndexFunc(l.places, func(q store.Place) bool { return q.Thread == p.Thread }); i >= 0 {
		if l.places[i].At >= p.At {
			return
		}
		l.places = slices.Delete(l.places, i, i+1)
	}
	i, _ := slices.BinarySearchFunc(l.places, p, later)
	l.places = slices.Insert(l.places, i, p)
}

// Newest gives a part of the list.
func (r *Recency) Newest(_ context.Context, u id.User, after store.Place, limit int) ([]store.Place, bool, error) {
	s, now := r.shard(u), r.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.of(u, now)
	if l == nil {
		l = &list{}
		s.users[u] = l
		s.cost += l.cost()
		r.fit(s, u)
	}
	if !l.held {
		l.ends = now.Add(r.cfg.FillLife)
		return nil, false, nil
	}
	rest := l.places
	if after != (store.Place{}) {
		i, found := slices.BinarySearchFunc(rest, after, later)
		if found {
			i++
		}
		rest = rest[i:]
	}
	return slices.Clone(rest[:min(max(limit, 0), len(rest))]), true, nil
}

// Fill makes an awaited list held.
func (r *Recency) Fill(_ context.Context, u id.User, all []store.Place) error {
	s, now := r.shard(u), r.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.of(u, now)
	if l == nil {
		return nil
	}
	newest := make(map[id.Thread]int64, len(all)+len(l.places))
	for _, places := range [...][]store.Place{all, l.places} {
		for _, p := range places {
			if at, ok := newest[p.Thread]; !ok || at < p.At {
				newest[p.Thread] = p.At
			}
		}
	}
	s.cost -= l.cost()
	l.places = make([]store.Place, 0, len(newest))
	for t, at := range newest {
		l.places = append(l.places, store.Place{At: at, Thread: t})
	}
	slices.SortFunc(l.places, later)
	s.cost += l.cost()
	if !l.held {
		l.held, l.ends = true, now.Add(r.cfg.RecencyLife)
	}
	r.fit(s, u)
	return nil
}
