package memory

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

type sessions struct{ s *Store }

func (v sessions) Open(_ context.Context, s store.Session, limit int) ([]store.Session, error) {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	now := v.s.nowMillis()
	mine := v.s.sessions[s.User]
	if mine == nil {
		mine = map[id.Session]store.Session{}
		v.s.sessions[s.User] = mine
	}
	removed := store.Displaced(v.live(s.User), s, limit)
	for k, old := range mine {
		if old.Expires <= now {
			delete(mine, k)
		}
	}
	for _, r := range removed {
		delete(mine, r.ID)
		v.note(store.Revocation{User: r.User, Session: r.ID, At: now, Expires: r.Expires})
	}
	mine[s.ID] = s
	return removed, nil
}

// live gives a user's sessions that have not expired, oldest first; mu is held.
func (v sessions) live(u id.User) []store.Session {
	now := v.s.nowMillis()
	var list []store.Session
	for _, s := range v.s.sessions[u] {
		if s.Expires > now {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b store.Session) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), bytes.Compare(a.ID.ID[:], b.ID.ID[:]))
	})
	return list
}

// note keeps r and forgets those that have expired; mu is held.
func (v sessions) note(r store.Revocation) {
	now := v.s.nowMillis()
	v.s.revoked = slices.DeleteFunc(v.s.revoked, func(r store.Revocation) bool { return r.Expires <= now })
	v.s.revoked = append(v.s.revoked, r)
}

func (v sessions) Get(_ context.Context, u id.User, s id.Session) (store.Session, error) {
	v.s.mu.RLock()
	defer v.s.mu.RUnlock()
	return v.get(u, s)
}

func (v sessions) get(u id.User, s id.Session) (store.Session, error) {
	r, ok := v.s.sessions[u][s]
	if !ok || r.Expires <= v.s.nowMillis() {
		return store.Session{}, store.ErrNotFound
	}
	return r, nil
}

func (v sessions) Rotate(_ context.Context, u id.User, s id.Session, old, next [16]byte) error {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	r, err := v.get(u, s)
	if err != nil {
		return err
	}
	if r.Refresh != old {
		return store.ErrConflict
	}
	r.Refresh = next
	v.s.sessions[u][s] = r
	return nil
}

func (v sessions) List(_ context.Context, u id.User) ([]store.Session, error) {
	v.s.mu.RLock()
	defer v.s.mu.RUnlock()
	return v.live(u), nil
}

func (v sessions) Revoke(_ context.Context, r store.Revocation) error {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	for k, s := range v.s.sessions[r.User] {
		if r.Concerns(s) {
			delete(v.s.sessions[r.User], k)
		}
	}
	v.note(r)
	return nil
}

func (v sessions) Revocations(_ context.Context, now int64, each func(store.Revocation)) error {
	v.s.mu.RLock()
	list := slices.Clone(v.s.revoked)
	v.s.mu.RUnlock()
	for _, r := range list {
		if r.Expires > now {
			each(r)
		}
	}
	return nil
}
