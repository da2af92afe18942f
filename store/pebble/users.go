package pebble

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

type users struct{ s *Store }

// Create takes the locks of phone and id for the time of two look-ups; thousands a second share a sync.
func (v users) Create(_ context.Context, u store.User) error {
	if err := v.s.beginWrite(); err != nil {
		return err
	}
	defer v.s.end()
	phone, key := textKey(tablePhones, u.Phone), idKey(tableUsers, u.ID.ID)
	return v.s.updateTwo(phone, key, func(c change) error {
		for _, k := range [][]byte{phone, key} {
			taken, err := v.s.has(k)
			if err != nil {
				return fmt.Errorf("look for a user: %w", err)
			}
			if taken {
				return store.ErrConflict
			}
		}
		c.set(key, encodeUser(&u))
		c.set(phone, append([]byte{valueV1}, u.ID.ID[:]...))
		return nil
	})
}

func (v users) Get(_ context.Context, u id.User) (store.User, error) {
	if err := v.s.begin(); err != nil {
		return store.User{}, err
	}
	defer v.s.end()
	return v.get(u)
}

func (v users) get(u id.User) (store.User, error) {
	value, found, err := v.s.get(nil, idKey(tableUsers, u.ID))
	if err != nil {
		return store.User{}, fmt.Errorf("read a user: %w", err)
	}
	if !found {
		return store.User{}, store.ErrNotFound
	}
	r, err := decodeUser(u, value)
	if err != nil {
		return store.User{}, fmt.Errorf("read a user: %w", err)
	}
	active, err := v.active(u)
	r.LastActive = max(r.LastActive, active)
	return r, err
}

func (v users) active(u id.User) (int64, error) {
	value, found, err := v.s.get(nil, idKey(tableActive, u.ID))
	if err != nil || !found {
		return 0, err
	}
	return decodeTime(value)
}

func encodeTime(ms int64) []byte { return binary.AppendVarint([]byte{valueV1}, ms) }

func decodeTime(v []byte) (int64, error) {
	r := read(v)
	ms := r.int()
	return ms, r.end()
}

func (v users) ByPhone(_ context.Context, phone string) (store.User, error) {
	if err := v.s.begin(); err != nil {
		return store.User{}, err
	}
	defer v.s.end()
	value, found, err := v.s.get(nil, textKey(tablePhones, phone))
	if err != nil {
		return store.User{}, fmt.Errorf("look a phone up: %w", err)
	}
	if !found {
		return store.User{}, store.ErrNotFound
	}
	r := read(value)
	u := id.User{ID: r.id()}
	if err := r.end(); err != nil {
		return store.User{}, fmt.Errorf("look a phone up: %w", err)
	}
	return v.get(u)
}

func (v users) Update(_ context.Context, u id.User, p store.UserPatch) (store.User, error) {
	if err := v.s.beginWrite(); err != nil {
		return store.User{}, err
	}
	defer v.s.end()
	key := idKey(tableUsers, u.ID)
	var r store.User
	err := v.s.update(key, func(c change) (err error) {
		if r, err = v.get(u); err != nil {
			return err
		}
		p.Apply(&r)
		c.set(key, encodeUser(&r))
		return nil
	})
	if err != nil {
		return store.User{}, err
	}
	return r, nil
}

// Seen writes rows of their own, so that it never meets Update. One lock for all of it: it is called once
// a minute or so, off every path.
func (v users) Seen(_ context.Context, at map[id.User]int64) error {
	if err := v.s.beginWrite(); err != nil {
		return err
	}
	defer v.s.end()
	v.s.seen.Lock()
	defer v.s.seen.Unlock()
	c := v.s.change()
	for u, ms := range at {
		r, err := v.get(u)
		switch {
		case err == nil && ms > r.LastActive:
			c.set(idKey(tableActive, u.ID), encodeTime(ms))
		case err != nil && err != store.ErrNotFound: //nolint:errorlint // get returns it bare
			_ = c.b.Close() // unused
			return err
		}
	}
	if c.b.Empty() {
		return c.b.Close()
	}
	err := v.s.db.Apply(c.b, pebble.NoSync)
	if err == nil {
		err = c.b.Close()
	}
	return err
}

func encodeUser(u *store.User) []byte {
	b := make([]byte, 0, 96)
	b = append(b, valueV1, 0)
	if u.Blocked {
		b[1] = 1
	}
	for _, s := range [...]string{u.Phone, u.Name, u.Avatar, u.Bio, u.Language} {
		b = appendText(b, s)
	}
	b = binary.AppendUvarint(b, uint64(len(u.Languages)))
	for _, s := range u.Languages {
		b = appendText(b, s)
	}
	b = binary.AppendVarint(b, u.Created)
	return binary.AppendVarint(b, u.LastActive)
}

func decodeUser(u id.User, v []byte) (store.User, error) {
	r := read(v)
	s := store.User{ID: u, Blocked: r.byte()&1 != 0}
	for _, to := range [...]*string{&s.Phone, &s.Name, &s.Avatar, &s.Bio, &s.Language} {
		*to = r.text()
	}
	if n := r.count(); n > 0 {
		s.Languages = make([]string, n)
		for i := range s.Languages {
			s.Languages[i] = r.text()
		}
	}
	s.Created, s.LastActive = r.int(), r.int()
	return s, r.end()
}
