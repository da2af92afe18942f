package cassandra

import (
	"context"
	"errors"

	"github.com/gocql/gocql"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

type members struct{ s *Store }

const (
	resizeGroup  = `UPDATE groups SET rev = ?, members = ? WHERE group_id = ? IF rev = ? AND state = ?`
	selectMember = `SELECT rev, state, members, user_id, role, joined, language FROM groups WHERE group_id = ? AND user_id = ?`
	deleteMember = `DELETE FROM groups WHERE group_id = ? AND user_id = ?`
	setRole      = `UPDATE groups SET role = ? WHERE group_id = ? AND user_id = ? IF EXISTS`
	listMembers  = `SELECT state, user_id, role, joined, language FROM groups WHERE group_id = ? AND user_id > ? LIMIT ?`
	listOfUser   = `SELECT group_id FROM groups_by_user WHERE user_id = ? AND group_id > ? LIMIT ?`
)

type memberRow struct {
	Rev      *int64
	State    state
	Members  int
	UserID   gocql.UUID
	Role     int8
	Joined   int64
	Language string
}

func (r *memberRow) member(g id.Thread) store.Member {
	return store.Member{Group: g, User: id.User{ID: id.ID(r.UserID)}, Role: store.Role(r.Role), Joined: r.Joined, Language: r.Language}
}

// row reads a member, and of the group what a change needs: ErrNotFound for one who is not in it.
func (v members) row(c *call, g id.Thread, u id.User, serial bool) (r memberRow, err error) {
	read := c.read
	if serial {
		read = c.serial
	}
	err = read(selectMember, gocql.UUID(g.ID), gocql.UUID(u.ID)).GetRelease(&r)
	if errors.Is(err, gocql.ErrNotFound) || err == nil && r.State != live {
		return r, store.ErrNotFound
	}
	return r, err
}

// Add makes the row before the list. One who is a member already is listed again: an Add that was cut short
// may have left it out.
func (v members) Add(ctx context.Context, m store.Member) error {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return err
	}
	defer c.end()
	unlock, err := v.s.stripes.lock(c, m.Group.ID[:])
	if err != nil {
		return c.failed("add a member", err)
	}
	defer unlock()
	gs := groups(v)
	var rev int64
	err = c.until(func(unsure bool) (bool, error) {
		g, err := gs.live(c, m.Group, unsure)
		if err != nil {
			return false, err
		}
		r, err := v.row(c, m.Group, m.User, unsure)
		switch {
		case err == nil:
			rev = *g.Rev
			if unsure && r.member(m.Group) == m {
				return true, nil
			}
			return true, store.ErrConflict
		case !errors.Is(err, store.ErrNotFound):
			return false, err
		}
		rev = g.next()
		return c.casBatch(func(b *gocql.Batch) {
			b.Query(resizeGroup, rev, g.Members+1, gocql.UUID(m.Group.ID), g.Rev, live)
			enter(b, m.Group, &m)
		})
	})
	if err == nil || errors.Is(err, store.ErrConflict) {
		err = errors.Join(err, gs.listOne(c, m.Group, m.User, rev, true))
	}
	return c.failed("add a member", err)
}

// Remove takes the group out of the list before the row goes: nobody is shown a group that they are not in.
func (v members) Remove(ctx context.Context, g id.Thread, u id.User) error {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return err
	}
	defer c.end()
	unlock, err := v.s.stripes.lock(c, g.ID[:])
	if err != nil {
		return c.failed("remove a member", err)
	}
	defer unlock()
	err = c.until(func(unsure bool) (bool, error) {
		r, err := v.row(c, g, u, unsure)
		if unsure && errors.Is(err, store.ErrNotFound) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		rev := *r.Rev + 1
		if err := groups(v).listOne(c, g, u, rev, false); err != nil {
			return false, err
		}
		return c.casBatch(func(b *gocql.Batch) {
			b.Query(resizeGroup, rev, r.Members-1, gocql.UUID(g.ID), r.Rev, live)
			b.Query(deleteMember, gocql.UUID(g.ID), gocql.UUID(u.ID))
		})
	})
	return c.failed("remove a member", err)
}

func (v members) SetRole(ctx context.Context, g id.Thread, u id.User, r store.Role) error {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return err
	}
	defer c.end()
	err = c.until(func(bool) (bool, error) {
		applied, err := c.cas(setRole, int8(r), gocql.UUID(g.ID), gocql.UUID(u.ID))
		if err == nil && !applied {
			return true, store.ErrNotFound
		}
		return applied, err
	})
	return c.failed("change a member's role", err)
}

func (v members) Get(ctx context.Context, g id.Thread, u id.User) (store.Member, error) {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return store.Member{}, err
	}
	defer c.end()
	r, err := v.row(c, g, u, false)
	if err != nil {
		return store.Member{}, c.failed("read a member", err)
	}
	return r.member(g), nil
}

func (v members) List(ctx context.Context, g id.Thread, after id.User, limit int) ([]store.Member, error) {
	if limit < 1 {
		return nil, nil
	}
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer c.end()
	var list []store.Member
	it := c.read(listMembers, gocql.UUID(g.ID), gocql.UUID(after.ID), limit).Iter()
	var r memberRow
	for it.Scan(&r.State, &r.UserID, &r.Role, &r.Joined, &r.Language) {
		if r.State == live {
			list = append(list, r.member(g))
		}
	}
	if err := it.Close(); err != nil {
		return nil, c.failed("list a group's members", err)
	}
	return list, nil
}

func (v members) GroupsOf(ctx context.Context, u id.User, after id.Thread, limit int) ([]id.Thread, error) {
	if limit < 1 {
		return nil, nil
	}
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer c.end()
	list, err := v.groupsOf(c, u, after, limit)
	return list, c.failed("list a user's groups", err)
}

func (v members) groupsOf(c *call, u id.User, after id.Thread, limit int) ([]id.Thread, error) {
	var list []id.Thread
	it := c.read(listOfUser, gocql.UUID(u.ID), gocql.UUID(after.ID), limit).Iter()
	var g gocql.UUID
	for it.Scan(&g) {
		list = append(list, id.Thread{ID: id.ID(g)})
	}
	return list, it.Close()
}
