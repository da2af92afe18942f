package pebble

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// All that belongs to a group is changed under the group's lock. The number of members is kept in the
// group's row, and changed in the batch that changes the members' rows, so that it is their count.
type groups struct{ s *Store }

func (v groups) Create(_ context.Context, g store.Group, first []store.Member) error {
	if err := v.s.beginWrite(); err != nil {
		return err
	}
	defer v.s.end()
	return v.s.update(g.ID.ID[:], func(c change) error {
		key := idKey(tableGroups, g.ID.ID)
		taken, err := v.s.has(key)
		if err != nil {
			return fmt.Errorf("look for a group: %w", err)
		}
		if taken {
			return store.ErrConflict
		}
		in := make(map[id.User]struct{}, len(first))
		for i := range first {
			m := first[i]
			if _, twice := in[m.User]; twice {
				continue
			}
			in[m.User] = struct{}{}
			m.Group = g.ID
			enter(c, &m)
		}
		g.Members = len(in)
		c.set(key, encodeGroup(&g))
		row := threadRow{group: true, created: g.Created, listed: g.Created}
		// A group that comes back after it was deleted stands where its newest message stands.
		if last, err := v.s.newest(g.ID); err != nil {
			return err
		} else if last.Seq > 0 {
			row.listed = last.Sent
		}
		c.set(idKey(tableThreads, g.ID.ID), row.encode())
		return nil
	})
}

// enter adds a member's rows.
func enter(c change, m *store.Member) {
	c.set(pairKey(tableMembers, m.Group.ID, m.User.ID), encodeMember(m))
	c.set(pairKey(tableGroupsOf, m.User.ID, m.Group.ID), []byte{valueV1})
}

// leave removes a member's rows.
func leave(c change, g id.Thread, u id.User) {
	c.delete(pairKey(tableMembers, g.ID, u.ID))
	c.delete(pairKey(tableGroupsOf, u.ID, g.ID))
}

func (v groups) Get(_ context.Context, g id.Thread) (store.Group, error) {
	if err := v.s.begin(); err != nil {
		return store.Group{}, err
	}
	defer v.s.end()
	return v.get(g)
}

func (v groups) get(g id.Thread) (store.Group, error) {
	value, found, err := v.s.get(nil, idKey(tableGroups, g.ID))
	if err != nil {
		return store.Group{}, fmt.Errorf("read a group: %w", err)
	}
	if !found {
		return store.Group{}, store.ErrNotFound
	}
	r, err := decodeGroup(g, value)
	if err != nil {
		return store.Group{}, fmt.Errorf("read a group: %w", err)
	}
	return r, nil
}

func (v groups) Update(_ context.Context, g id.Thread, p store.GroupPatch) (store.Group, error) {
	if err := v.s.beginWrite(); err != nil {
		return store.Group{}, err
	}
	defer v.s.end()
	var r store.Group
	err := v.s.update(g.ID[:], func(c change) (err error) {
		if r, err = v.get(g); err != nil {
			return err
		}
		p.Apply(&r)
		c.set(idKey(tableGroups, g.ID), encodeGroup(&r))
		return nil
	})
	if err != nil {
		return store.Group{}, err
	}
	return r, nil
}

func (v groups) Delete(_ context.Context, g id.Thread) error {
	if err := v.s.beginWrite(); err != nil {
		return err
	}
	defer v.s.end()
	return v.s.update(g.ID[:], func(c change) error {
		if _, err := v.get(g); err != nil {
			return err
		}
		from := idKey(tableMembers, g.ID)
		err := v.s.scan(from, prefixEnd(from), func(key, _ []byte) (bool, error) {
			leave(c, g, id.User{ID: second(key)})
			return true, nil
		})
		if err != nil {
			return fmt.Errorf("read a group's members: %w", err)
		}
		c.delete(idKey(tableGroups, g.ID))
		c.delete(idKey(tableThreads, g.ID))
		return nil
	})
}

type members struct{ s *Store }

// resize changes the number of members in a group's row.
func (v members) resize(c change, g store.Group, by int) {
	g.Members += by
	c.set(idKey(tableGroups, g.ID.ID), encodeGroup(&g))
}

func (v members) Add(_ context.Context, m store.Member) error {
	if err := v.s.beginWrite(); err != nil {
		return err
	}
	defer v.s.end()
	return v.s.update(m.Group.ID[:], func(c change) error {
		g, err := groups(v).get(m.Group)
		if err != nil {
			return err
		}
		in, err := v.s.has(pairKey(tableMembers, m.Group.ID, m.User.ID))
		if err != nil {
			return fmt.Errorf("look for a member: %w", err)
		}
		if in {
			return store.ErrConflict
		}
		enter(c, &m)
		v.resize(c, g, 1)
		return nil
	})
}

func (v members) Remove(_ context.Context, g id.Thread, u id.User) error {
	if err := v.s.beginWrite(); err != nil {
		return err
	}
	defer v.s.end()
	return v.s.update(g.ID[:], func(c change) error {
		if _, err := v.get(g, u); err != nil {
			return err
		}
		group, err := groups(v).get(g)
		if err != nil {
			return err
		}
		leave(c, g, u)
		v.resize(c, group, -1)
		return nil
	})
}

func (v members) SetRole(_ context.Context, g id.Thread, u id.User, r store.Role) error {
	if err := v.s.beginWrite(); err != nil {
		return err
	}
	defer v.s.end()
	return v.s.update(g.ID[:], func(c change) error {
		m, err := v.get(g, u)
		if err != nil {
			return err
		}
		m.Role = r
		c.set(pairKey(tableMembers, g.ID, u.ID), encodeMember(&m))
		return nil
	})
}

func (v members) Get(_ context.Context, g id.Thread, u id.User) (store.Member, error) {
	if err := v.s.begin(); err != nil {
		return store.Member{}, err
	}
	defer v.s.end()
	return v.get(g, u)
}

func (v members) get(g id.Thread, u id.User) (store.Member, error) {
	value, found, err := v.s.get(nil, pairKey(tableMembers, g.ID, u.ID))
	if err != nil {
		return store.Member{}, fmt.Errorf("read a member: %w", err)
	}
	if !found {
		return store.Member{}, store.ErrNotFound
	}
	m, err := decodeMember(g, u, value)
	if err != nil {
		return store.Member{}, fmt.Errorf("read a member: %w", err)
	}
	return m, nil
}

func (v members) List(_ context.Context, g id.Thread, after id.User, limit int) ([]store.Member, error) {
	if err := v.s.begin(); err != nil {
		return nil, err
	}
	defer v.s.end()
	var list []store.Member
	err := v.scan(tableMembers, g.ID, after.ID, limit, func(user id.ID, value []byte) error {
		m, err := decodeMember(g, id.User{ID: user}, value)
		list = append(list, m)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list a group's members: %w", err)
	}
	return list, nil
}

func (v members) GroupsOf(_ context.Context, u id.User, after id.Thread, limit int) ([]id.Thread, error) {
	if err := v.s.begin(); err != nil {
		return nil, err
	}
	defer v.s.end()
	var list []id.Thread
	err := v.scan(tableGroupsOf, u.ID, after.ID, limit, func(group id.ID, _ []byte) error {
		list = append(list, id.Thread{ID: group})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list a user's groups: %w", err)
	}
	return list, nil
}

// scan calls each with the second ids of a pair table after a given one, at most limit.
func (v members) scan(table byte, first, after id.ID, limit int, each func(id.ID, []byte) error) error {
	if limit < 1 {
		return nil
	}
	from, to := idKey(table, first), prefixEnd(idKey(table, first))
	if !after.IsZero() {
		from = append(pairKey(table, first, after), 0)
	}
	n := 0
	return v.s.scan(from, to, func(key, value []byte) (bool, error) {
		n++
		return n < limit, each(second(key), value)
	})
}

func encodeGroup(g *store.Group) []byte {
	b := make([]byte, 0, 96)
	b = append(b, valueV1)
	for _, s := range [...]string{g.Name, g.Description, g.Avatar} {
		b = appendText(b, s)
	}
	b = append(b, g.CreatedBy.ID[:]...)
	b = binary.AppendVarint(b, g.Created)
	b = binary.AppendUvarint(b, uint64(g.Members))
	b = binary.AppendUvarint(b, uint64(len(g.Settings)))
	for _, k := range slices.Sorted(maps.Keys(g.Settings)) {
		b = appendText(appendText(b, k), g.Settings[k])
	}
	return b
}

func decodeGroup(group id.Thread, v []byte) (store.Group, error) {
	r := read(v)
	g := store.Group{ID: group, Name: r.text(), Description: r.text(), Avatar: r.text()}
	g.CreatedBy.ID, g.Created, g.Members = r.id(), r.int(), int(r.uint())
	if n := r.count(); n > 0 {
		g.Settings = make(map[string]string, n)
		for range n {
			k := r.text()
			g.Settings[k] = r.text()
		}
	}
	return g, r.end()
}

func encodeMember(m *store.Member) []byte {
	b := binary.AppendVarint([]byte{valueV1, byte(m.Role)}, m.Joined)
	return appendText(b, m.Language)
}

func decodeMember(g id.Thread, u id.User, v []byte) (store.Member, error) {
	r := read(v)
	m := store.Member{Group: g, User: u, Role: store.Role(r.byte()), Joined: r.int(), Language: r.text()}
	return m, r.end()
}
