package memory

import (
	"bytes"
	"context"
	"maps"
	"slices"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

type groups struct{ s *Store }

func (v groups) Create(_ context.Context, g store.Group, first []store.Member) error {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	if _, known := v.s.groups[g.ID]; known {
		return store.ErrConflict
	}
	g.Settings = maps.Clone(g.Settings)
	v.s.groups[g.ID] = g
	t := v.s.thread(g.ID)
	t.listed = true
	t.row.Group, t.row.Created = true, g.Created
	v.s.members[g.ID] = make(map[id.User]store.Member, len(first))
	for _, m := range first {
		if _, twice := v.s.members[g.ID][m.User]; !twice {
			m.Group = g.ID
			v.s.join(m)
		}
	}
	return nil
}

// join adds a member's rows; mu is held.
func (s *Store) join(m store.Member) {
	s.members[m.Group][m.User] = m
	if s.groupsOf[m.User] == nil {
		s.groupsOf[m.User] = map[id.Thread]struct{}{}
	}
	s.groupsOf[m.User][m.Group] = struct{}{}
}

// leave removes a member's rows; mu is held.
func (s *Store) leave(g id.Thread, u id.User) {
	delete(s.members[g], u)
	delete(s.groupsOf[u], g)
}

func (v groups) Get(_ context.Context, g id.Thread) (store.Group, error) {
	v.s.mu.RLock()
	defer v.s.mu.RUnlock()
	return v.get(g)
}

func (v groups) get(g id.Thread) (store.Group, error) {
	r, ok := v.s.groups[g]
	if !ok {
		return store.Group{}, store.ErrNotFound
	}
	r.Settings = maps.Clone(r.Settings)
	r.Members = len(v.s.members[g])
	return r, nil
}

func (v groups) Update(_ context.Context, g id.Thread, p store.GroupPatch) (store.Group, error) {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	r, err := v.get(g)
	if err != nil {
		return store.Group{}, err
	}
	p.Apply(&r)
	v.s.groups[g] = r
	return v.get(g)
}

func (v groups) Delete(_ context.Context, g id.Thread) error {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	if _, ok := v.s.groups[g]; !ok {
		return store.ErrNotFound
	}
	for u := range v.s.members[g] {
		v.s.leave(g, u)
	}
	delete(v.s.members, g)
	delete(v.s.groups, g)
	v.s.threads[g].listed = false
	return nil
}

type members struct{ s *Store }

func (v members) Add(_ context.Context, m store.Member) error {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	if _, ok := v.s.groups[m.Group]; !ok {
		return store.ErrNotFound
	}
	if _, in := v.s.members[m.Group][m.User]; in {
		return store.ErrConflict
	}
	v.s.join(m)
	return nil
}

func (v members) Remove(_ context.Context, g id.Thread, u id.User) error {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	if _, in := v.s.members[g][u]; !in {
		return store.ErrNotFound
	}
	v.s.leave(g, u)
	return nil
}

func (v members) SetRole(_ context.Context, g id.Thread, u id.User, r store.Role) error {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	m, in := v.s.members[g][u]
	if !in {
		return store.ErrNotFound
	}
	m.Role = r
	v.s.members[g][u] = m
	return nil
}

func (v members) Get(_ context.Context, g id.Thread, u id.User) (store.Member, error) {
	v.s.mu.RLock()
	defer v.s.mu.RUnlock()
	m, in := v.s.members[g][u]
	if !in {
		return store.Member{}, store.ErrNotFound
	}
	return m, nil
}

func (v members) List(_ context.Context, g id.Thread, after id.User, limit int) ([]store.Member, error) {
	v.s.mu.RLock()
	defer v.s.mu.RUnlock()
	var list []store.Member
	for u, m := range v.s.members[g] {
		if bytes.Compare(u.ID[:], after.ID[:]) > 0 {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b store.Member) int { return bytes.Compare(a.User.ID[:], b.User.ID[:]) })
	return list[:max(0, min(limit, len(list)))], nil
}

func (v members) GroupsOf(_ context.Context, u id.User, after id.Thread, limit int) ([]id.Thread, error) {
	v.s.mu.RLock()
	defer v.s.mu.RUnlock()
	list := sorted(v.s.groupsOf[u], func(a, b id.Thread) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	list = slices.DeleteFunc(list, func(g id.Thread) bool { return bytes.Compare(g.ID[:], after.ID[:]) <= 0 })
	return list[:max(0, min(limit, len(list)))], nil
}
