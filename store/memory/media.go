package memory

import (
	"context"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

type media struct{ s *Store }

func (v media) Put(_ context.Context, m store.Media) error {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	if _, taken := v.s.media[m.ID]; taken {
		return store.ErrConflict
	}
	v.s.media[m.ID] = m
	return nil
}

func (v media) Get(_ context.Context, m id.Media) (store.Media, error) {
	v.s.mu.RLock()
	defer v.s.mu.RUnlock()
	r, ok := v.s.media[m]
	if !ok {
		return store.Media{}, store.ErrNotFound
	}
	return r, nil
}

func (v media) Delete(_ context.Context, m id.Media) (store.Media, error) {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	r, ok := v.s.media[m]
	if !ok {
		return store.Media{}, store.ErrNotFound
	}
	delete(v.s.media, m)
	return r, nil
}
