package pebble

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// A record is put and deleted under its id's lock.
type media struct{ s *Store }

func (v media) Put(_ context.Context, m store.Media) error {
	if err := v.s.beginWrite(); err != nil {
		return err
	}
	defer v.s.end()
	key := idKey(tableMedia, m.ID.ID)
	return v.s.update(key, func(c change) error {
		taken, err := v.s.has(key)
		if err != nil {
			return fmt.Errorf("look for a file's record: %w", err)
		}
		if taken {
			return store.ErrConflict
		}
		c.set(key, encodeMedia(&m))
		return nil
	})
}

func (v media) Get(_ context.Context, m id.Media) (store.Media, error) {
	if err := v.s.begin(); err != nil {
		return store.Media{}, err
	}
	defer v.s.end()
	return v.get(m)
}

func (v media) get(m id.Media) (store.Media, error) {
	value, found, err := v.s.get(nil, idKey(tableMedia, m.ID))
	if err == nil && !found {
		return store.Media{}, store.ErrNotFound
	}
	var r store.Media
	if err == nil {
		r, err = decodeMedia(m, value)
	}
	if err != nil {
		return store.Media{}, fmt.Errorf("read a file's record: %w", err)
	}
	return r, nil
}

func (v media) Delete(_ context.Context, m id.Media) (store.Media, error) {
	if err := v.s.beginWrite(); err != nil {
		return store.Media{}, err
	}
	defer v.s.end()
	key := idKey(tableMedia, m.ID)
	var r store.Media
	err := v.s.update(key, func(c change) (err error) {
		if r, err = v.get(m); err == nil {
			c.delete(key)
		}
		return err
	})
	if err != nil {
		return store.Media{}, err
	}
	return r, nil
}

func encodeMedia(m *store.Media) []byte {
	b := make([]byte, 0, 192)
	b = append(b, valueV1)
	b = append(b, m.Owner.ID[:]...)
	b = append(b, m.Thread.ID[:]...)
	for _, s := range [...]string{m.Name, m.Type, m.Key, m.Thumbnail} {
		b = appendText(b, s)
	}
	for _, n := range [...]int64{m.Size, int64(m.Width), int64(m.Height), m.Created} {
		b = binary.AppendVarint(b, n)
	}
	return b
}

func decodeMedia(m id.Media, v []byte) (store.Media, error) {
	r := read(v)
	s := store.Media{ID: m, Owner: id.User{ID: r.id()}, Thread: id.Thread{ID: r.id()}}
	for _, to := range [...]*string{&s.Name, &s.Type, &s.Key, &s.Thumbnail} {
		*to = r.text()
	}
	s.Size, s.Width, s.Height, s.Created = r.int(), int(r.int()), int(r.int()), r.int()
	return s, r.end()
}
