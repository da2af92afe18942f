package memory

import (
	"context"
	"slices"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

type users struct{ s *Store }

func (v users) Create(_ context.Context, u store.User) error {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	if _, taken := v.s.phones[u.Phone]; taken {
		return store.ErrConflict
	}
	if _, known := v.s.users[u.ID]; known {
		return store.ErrConflict
	}
	u.Languages = slices.Clone(u.Languages)
	v.s.users[u.ID] = u
	v.s.phones[u.Phone] = u.ID
	return nil
}

func (v users) Get(_ context.Context, u id.User) (store.User, error) {
	v.s.mu.RLock()
	defer v.s.mu.RUnlock()
	return v.get(u)
}

func (v users) get(u id.User) (store.User, error) {
	r, ok := v.s.users[u]
	if !ok {
		return store.User{}, store.ErrNotFound
	}
	r.Languages = slices.Clone(r.Languages)
	return r, nil
}

func (v users) ByPhone(_ context.Context, phone string) (store.User, error) {
	v.s.mu.RLock()
	defer v.s.mu.RUnlock()
	u, ok := v.s.phones[phone]
	if !ok {
		return store.User{}, store.ErrNotFound
	}
	return v.get(u)
}

func (v users) Update(_ context.Context, u id.User, p store.UserPatch) (store.User, error) {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	r, err := v.get(u)
	if err != nil {
		return store.User{}, err
	}
	p.Apply(&r)
	v.s.users[u] = r
	return v.get(u)
}

func (v users) Seen(_ context.Context, at map[id.User]int64) error {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	for u, ms := range at {
		if r, ok := v.s.users[u]; ok && ms > r.LastActive {
			r.LastActive = ms
			v.s.users[u] = r
		}
	}
	return nil
}
