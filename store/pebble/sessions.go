package pebble

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// All of a user's sessions are changed under the user's lock.
type sessions struct{ s *Store }

func (v sessions) now() int64 { return v.s.cfg.Now().UnixMilli() }

func (v sessions) Open(_ context.Context, s store.Session, limit int) (removed []store.Session, err error) {
	if err := v.s.beginWrite(); err != nil {
		return nil, err
	}
	defer v.s.end()
	err = v.s.update(s.User.ID[:], func(c change) error {
		now := v.now()
		live, dead, err := v.all(s.User)
		if err != nil {
			return err
		}
		removed = store.Displaced(live, s, limit)
		for _, old := range append(dead, removed...) {
			c.delete(pairKey(tableSessions, old.User.ID, old.ID.ID))
		}
		for _, old := range removed {
			c.set(revocationKey(old.Expires, old.User, old.ID, now), []byte{valueV1})
		}
		c.set(pairKey(tableSessions, s.User.ID, s.ID.ID), encodeSession(&s))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return removed, nil
}

// all gives a user's sessions, the live ones oldest first.
func (v sessions) all(u id.User) (live, dead []store.Session, err error) {
	now := v.now()
	from := idKey(tableSessions, u.ID)
	err = v.s.scan(from, prefixEnd(from), func(key, value []byte) (bool, error) {
		s, err := decodeSession(u, id.Session{ID: second(key)}, value)
		if s.Expires > now {
			live = append(live, s)
		} else {
			dead = append(dead, s)
		}
		return true, err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read a user's sessions: %w", err)
	}
	slices.SortFunc(live, func(a, b store.Session) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), bytes.Compare(a.ID.ID[:], b.ID.ID[:]))
	})
	return live, dead, nil
}

func (v sessions) Get(_ context.Context, u id.User, s id.Session) (store.Session, error) {
	if err := v.s.begin(); err != nil {
		return store.Session{}, err
	}
	defer v.s.end()
	return v.get(u, s)
}

func (v sessions) get(u id.User, s id.Session) (store.Session, error) {
	value, found, err := v.s.get(nil, pairKey(tableSessions, u.ID, s.ID))
	if err != nil {
		return store.Session{}, fmt.Errorf("read a session: %w", err)
	}
	if !found {
		return store.Session{}, store.ErrNotFound
	}
	r, err := decodeSession(u, s, value)
	if err != nil {
		return store.Session{}, fmt.Errorf("read a session: %w", err)
	}
	if r.Expires <= v.now() {
		return store.Session{}, store.ErrNotFound
	}
	return r, nil
}

func (v sessions) Rotate(_ context.Context, u id.User, s id.Session, old, next [16]byte) error {
	if err := v.s.beginWrite(); err != nil {
		return err
	}
	defer v.s.end()
	return v.s.update(u.ID[:], func(c change) error {
		r, err := v.get(u, s)
		if err != nil {
			return err
		}
		if r.Refresh != old {
			return store.ErrConflict
		}
		r.Refresh = next
		c.set(pairKey(tableSessions, u.ID, s.ID), encodeSession(&r))
		return nil
	})
}

func (v sessions) List(_ context.Context, u id.User) ([]store.Session, error) {
	if err := v.s.begin(); err != nil {
		return nil, err
	}
	defer v.s.end()
	live, _, err := v.all(u)
	return live, err
}

func (v sessions) Revoke(_ context.Context, r store.Revocation) error {
	if err := v.s.beginWrite(); err != nil {
		return err
	}
	defer v.s.end()
	return v.s.update(r.User.ID[:], func(c change) error {
		live, dead, err := v.all(r.User)
		if err != nil {
			return err
		}
		for _, s := range append(live, dead...) {
			if r.Concerns(s) {
				c.delete(pairKey(tableSessions, s.User.ID, s.ID.ID))
			}
		}
		c.set(revocationKey(r.Expires, r.User, r.Session, r.At), []byte{valueV1})
		return nil
	})
}

func (v sessions) Revocations(_ context.Context, now int64, each func(store.Revocation)) error {
	if err := v.s.begin(); err != nil {
		return err
	}
	defer v.s.end()
	from, to := revocationsAfter(now), []byte{tableRevocations + 1}
	err := v.s.scan(from, to, func(key, _ []byte) (bool, error) {
		r, err := decodeRevocation(key)
		if err == nil {
			each(r)
		}
		return true, err
	})
	if err != nil {
		return fmt.Errorf("read the revocations: %w", err)
	}
	return nil
}

// revocationsAfter is the first key of a revocation that has not expired at now.
func revocationsAfter(now int64) []byte {
	return binary.BigEndian.AppendUint64([]byte{tableRevocations}, uint64(now+1)^1<<63)
}

func decodeRevocation(key []byte) (r store.Revocation, err error) {
	if len(key) != 1+8+16+16+8 {
		return r, errCorrupt
	}
	r.Expires = int64(binary.BigEndian.Uint64(key[1:]) ^ 1<<63)
	copy(r.User.ID[:], key[9:])
	copy(r.Session.ID[:], key[25:])
	r.At = int64(binary.BigEndian.Uint64(key[41:]) ^ 1<<63)
	return r, nil
}

func (s *Store) runSweep() {
	tick := time.NewTicker(s.cfg.SweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		if err := s.sweepRevocations(); err != nil {
			s.log.Error("expired revocations cannot be forgotten", slog.Any("error", err))
		}
	}
}

// sweepRevocations forgets the expired ones, which are one range.
func (s *Store) sweepRevocations() error {
	from, to := []byte{tableRevocations}, revocationsAfter(s.cfg.Now().UnixMilli())
	any := false
	err := s.scan(from, to, func(_, _ []byte) (bool, error) {
		any = true
		return false, nil
	})
	if err != nil || !any {
		return err
	}
	return s.db.DeleteRange(from, to, pebble.NoSync)
}

func encodeSession(s *store.Session) []byte {
	b := make([]byte, 0, 64)
	b = append(b, valueV1)
	b = append(b, s.Refresh[:]...)
	b = appendText(b, s.Device)
	b = binary.AppendVarint(b, s.Created)
	return binary.AppendVarint(b, s.Expires)
}

func decodeSession(u id.User, session id.Session, v []byte) (store.Session, error) {
	r := read(v)
	s := store.Session{ID: session, User: u, Refresh: r.id(), Device: r.text()}
	s.Created, s.Expires = r.int(), r.int()
	return s, r.end()
}
