package pebble

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// A device's rows are changed under its token's lock.
type devices struct{ s *Store }

func deviceKey(u id.User, token string) []byte { return append(idKey(tableDevices, u.ID), token...) }

func (v devices) Put(_ context.Context, d store.Device) error {
	if err := v.s.beginWrite(); err != nil {
		return err
	}
	defer v.s.end()
	key := textKey(tableTokens, d.Token)
	return v.s.update(key, func(c change) error {
		owner, err := v.owner(key)
		if err != nil {
			return err
		}
		if !owner.IsZero() && owner != d.User {
			c.delete(deviceKey(owner, d.Token))
		}
		c.set(key, append([]byte{valueV1}, d.User.ID[:]...))
		c.set(deviceKey(d.User, d.Token), encodeDevice(&d))
		return nil
	})
}

// owner is absent where the token belongs to nobody.
func (v devices) owner(key []byte) (u id.User, err error) {
	value, found, err := v.s.get(nil, key)
	if err == nil && found {
		r := read(value)
		u.ID = r.id()
		err = r.end()
	}
	if err != nil {
		return u, fmt.Errorf("look a device up: %w", err)
	}
	return u, nil
}

func (v devices) Remove(_ context.Context, u id.User, token string) error {
	if err := v.s.beginWrite(); err != nil {
		return err
	}
	defer v.s.end()
	key := textKey(tableTokens, token)
	return v.s.update(key, func(c change) error {
		owner, err := v.owner(key)
		if err != nil || owner != u {
			return err
		}
		c.delete(key)
		c.delete(deviceKey(u, token))
		return nil
	})
}

func (v devices) List(_ context.Context, u id.User) ([]store.Device, error) {
	if err := v.s.begin(); err != nil {
		return nil, err
	}
	defer v.s.end()
	var list []store.Device
	from := idKey(tableDevices, u.ID)
	err := v.s.scan(from, prefixEnd(from), func(key, value []byte) (bool, error) {
		d, err := decodeDevice(u, string(key[len(from):]), value)
		list = append(list, d)
		return true, err
	})
	if err != nil {
		return nil, fmt.Errorf("list a user's devices: %w", err)
	}
	slices.SortFunc(list, func(a, b store.Device) int {
		return cmp.Or(cmp.Compare(a.Added, b.Added), cmp.Compare(a.Token, b.Token))
	})
	return list, nil
}

func encodeDevice(d *store.Device) []byte {
	return binary.AppendVarint(appendText([]byte{valueV1}, d.Platform), d.Added)
}

func decodeDevice(u id.User, token string, v []byte) (store.Device, error) {
	r := read(v)
	d := store.Device{User: u, Token: token, Platform: r.text(), Added: r.int()}
	return d, r.end()
}
