package cassandra

import (
	"context"
	"sync"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// recency is the cache of the order of users' direct threads, and the users whose lists in it missed a move
// because the cache did not answer then: those are read whole until they could be filled again.
type recency struct {
	cache store.Recency // nil: there is none

	mu     sync.Mutex
	missed map[id.User]uint64 // counts the moves that were missed
}

// mostMissed bounds the users who are remembered; beyond, moves are told to be repeated.
const mostMissed = 100_000

func newRecency(cache store.Recency) *recency {
	return &recency{cache: cache, missed: map[id.User]uint64{}}
}

// newest asks the cache. known is false where the list has to be read whole.
func (r *recency) newest(ctx context.Context, u id.User, after store.Place, limit int) (places []store.Place, known bool) {
	if r.cache == nil || r.misses(u) > 0 {
		return nil, false
	}
	places, known, err := r.cache.Newest(ctx, u, after, limit)
	if err != nil {
		return nil, false
	}
	return places, known
}

func (r *recency) misses(u id.User) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.missed[u]
}

// touch tells the cache that a thread moved.
func (r *recency) touch(ctx context.Context, t id.Thread, at int64, users []id.User) error {
	if r.cache == nil {
		return nil
	}
	err := r.cache.Touch(ctx, t, at, users)
	if err == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, u := range users {
		if _, ok := r.missed[u]; !ok && len(r.missed) >= mostMissed {
			return err
		}
		r.missed[u]++
	}
	return nil
}

// fill gives the cache a list that was read when misses was what it is told.
func (r *recency) fill(ctx context.Context, u id.User, all []store.Place, misses uint64) {
	if r.cache == nil || r.cache.Fill(ctx, u, all) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.missed[u] == misses {
		delete(r.missed, u)
	}
}
