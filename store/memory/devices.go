package memory

import (
	"cmp"
	"context"
	"slices"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

type devices struct{ s *Store }

func (v devices) Put(_ context.Context, d store.Device) error {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	v.s.devices[d.Token] = d
	return nil
}

func (v devices) Remove(_ context.Context, u id.User, token string) error {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	if v.s.devices[token].User == u {
		delete(v.s.devices, token)
	}
	return nil
}

func (v devices) List(_ context.Context, u id.User) ([]store.Device, error) {
	v.s.mu.RLock()
	defer v.s.mu.RUnlock()
	var list []store.Device
	for _, d := range v.s.devices {
		if d.User == u {
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b store.Device) int {
		return cmp.Or(cmp.Compare(a.Added, b.Added), cmp.Compare(a.Token, b.Token))
	})
	return list, nil
}
