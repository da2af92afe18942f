package cassandra

import (
	"context"
	"errors"

	"github.com/gocql/gocql"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// A group is one partition: what is known of it is static in it, beside a row for each member. rev counts
// its changes, and every change is a batch on the condition that rev is still the one that was read; so the
// number of members is exact, and no member comes into a group that is gone.
//
// Outside of that partition are groups_by_user, a row for each membership, and group_created in threads,
// which makes the group's thread one that lists show. Both are written with rev as their timestamp, so
// that late and repeated writes do no harm. A group that is made comes to the lists last, and leaves them
// first; so does a member. What a crash leaves between is in no list.
type groups struct{ s *Store }

// state is where a group stands in its life.
type state int8

const (
	never  state = iota
	making       // its first members are being written; not there for anybody
	live
	gone // deleted; rev goes on
)

const (
	selectGroup = `SELECT DISTINCT group_id, rev, state, name, description, avatar, created_by, created, settings, members FROM groups WHERE group_id = ?`
	beginGroup  = `UPDATE groups SET rev = ?, state = ?, name = ?, description = ?, avatar = ?, created_by = ?, created = ?, settings = ?, members = ?
		WHERE group_id = ? IF rev = ?`
	insertMember = `INSERT INTO groups (group_id, user_id, role, joined, language) VALUES (?, ?, ?, ?, ?)`
	whileMaking  = `UPDATE groups SET state = ? WHERE group_id = ? IF rev = ? AND state = ?`
	openGroup    = `UPDATE groups SET rev = ?, state = ? WHERE group_id = ? IF rev = ? AND state = ?`
	changeGroup  = `UPDATE groups SET rev = ?, name = ?, description = ?, avatar = ?, settings = ? WHERE group_id = ? IF rev = ? AND state = ?`
	endGroup     = `UPDATE groups SET rev = ?, state = ?, members = 0, name = null, description = null, avatar = null, settings = null
		WHERE group_id = ? IF rev = ? AND state = ?`
	// No user's id is below the nil UUID.
	deleteMembers  = `DELETE FROM groups WHERE group_id = ? AND user_id >= 00000000-0000-0000-0000-000000000000`
	insertOfUser   = `INSERT INTO groups_by_user (user_id, group_id) VALUES (?, ?) USING TIMESTAMP ?`
	deleteOfUser   = `DELETE FROM groups_by_user USING TIMESTAMP ? WHERE user_id = ? AND group_id = ?`
	showGroup      = `UPDATE threads USING TIMESTAMP ? SET group_created = ? WHERE thread_id = ?`
	selectMemberID = `SELECT user_id FROM groups WHERE group_id = ? AND user_id >= 00000000-0000-0000-0000-000000000000`
)

// How many rows one write takes.
const (
	memberBatch = 200 // of one partition
	indexBatch  = 10  // of as many partitions; more make the servers warn
)

type groupRow struct {
	GroupID                   gocql.UUID
	Rev                       *int64
	State                     state
	Name, Description, Avatar string
	CreatedBy                 gocql.UUID
	Created                   int64
	Settings                  map[string]string
	Members                   int
}

func (r *groupRow) group() store.Group {
	g := store.Group{
		ID: id.Thread{ID: id.ID(r.GroupID)}, Name: r.Name, Description: r.Description, Avatar: r.Avatar,
		CreatedBy: id.User{ID: id.ID(r.CreatedBy)}, Created: r.Created, Members: r.Members,
	}
	if len(r.Settings) > 0 {
		g.Settings = r.Settings
	}
	return g
}

// next is the rev of the next change.
func (r *groupRow) next() int64 {
	if r.Rev == nil {
		return 1
	}
	return *r.Rev + 1
}

// row reads a group in whatever state; a group that never was has the state never.
func (v groups) row(c *call, g id.Thread, serial bool) (groupRow, error) {
	read := c.read
	if serial {
		read = c.serial
	}
	var r groupRow
	err := read(selectGroup, gocql.UUID(g.ID)).GetRelease(&r)
	if errors.Is(err, gocql.ErrNotFound) {
		return groupRow{}, nil // not r: its pointers were made to scan into
	}
	return r, err
}

// live is row, ErrNotFound where the group is not live.
func (v groups) live(c *call, g id.Thread, serial bool) (groupRow, error) {
	r, err := v.row(c, g, serial)
	if err == nil && r.State != live {
		err = store.ErrNotFound
	}
	return r, err
}

// Create writes the members' lists and rows before the group becomes live, and the thread's row at last.
func (v groups) Create(ctx context.Context, g store.Group, first []store.Member) error {
	c, err := v.s.begin(ctx, len(first))
	if err != nil {
		return err
	}
	defer c.end()
	unlock, err := v.s.stripes.lock(c, g.ID.ID[:])
	if err != nil {
		return c.failed("make a group", err)
	}
	defer unlock()
	in := make(map[id.User]struct{}, len(first))
	members := make([]store.Member, 0, len(first))
	for _, m := range first {
		if _, twice := in[m.User]; !twice {
			in[m.User] = struct{}{}
			members = append(members, m)
		}
	}
	g.Members = len(members)
	rev, err := v.claim(c, &g, members)
	if err != nil {
		return c.failed("make a group", err)
	}
	if len(members) > memberBatch {
		if rev, err = v.fill(c, &g, members, rev); err != nil {
			return c.failed("make a large group", err)
		}
	}
	if err := v.list(c, g.ID, users32(members), rev, true); err != nil {
		return c.failed("list a group with its members", err)
	}
	return c.failed("list a group", c.write(showGroup, rev, g.Created, gocql.UUID(g.ID.ID)).ExecRelease())
}

func users32(members []store.Member) []id.User {
	list := make([]id.User, len(members))
	for i := range members {
		list[i] = members[i].User
	}
	return list
}

// claim takes a group's id; where its members fit into one batch the group is live at once.
func (v groups) claim(c *call, g *store.Group, members []store.Member) (rev int64, err error) {
	as := live
	if len(members) > memberBatch {
		as, members = making, nil
	}
	err = c.until(func(unsure bool) (bool, error) {
		r, err := v.row(c, g.ID, unsure)
		if err != nil {
			return false, err
		}
		if r.State == making || r.State == live {
			mine := r.CreatedBy == gocql.UUID(g.CreatedBy.ID) && r.Created == g.Created && r.Name == g.Name && r.State == as
			if unsure && mine {
				rev = *r.Rev
				return true, nil
			}
			return true, store.ErrConflict
		}
		rev = r.next()
		return c.casBatch(func(b *gocql.Batch) {
			b.Query(beginGroup, rev, as, g.Name, g.Description, g.Avatar, gocql.UUID(g.CreatedBy.ID), g.Created, g.Settings, g.Members,
				gocql.UUID(g.ID.ID), r.Rev)
			for i := range members {
				enter(b, g.ID, &members[i])
			}
		})
	})
	return rev, err
}

func enter(b *gocql.Batch, g id.Thread, m *store.Member) {
	b.Query(insertMember, gocql.UUID(g.ID), gocql.UUID(m.User.ID), int8(m.Role), m.Joined, m.Language)
}

// fill writes the members of a large group in batches on the condition that it is still being made by this
// call, and makes it live.
func (v groups) fill(c *call, g *store.Group, members []store.Member, rev int64) (int64, error) {
	for at := 0; at < len(members); at += memberBatch {
		part := members[at:min(at+memberBatch, len(members))]
		err := c.until(func(bool) (bool, error) {
			applied, err := c.casBatch(func(b *gocql.Batch) {
				b.Query(whileMaking, making, gocql.UUID(g.ID.ID), rev, making)
				for i := range part {
					enter(b, g.ID, &part[i])
				}
			})
			if err == nil && !applied {
				return true, store.ErrConflict
			}
			return applied, err
		})
		if err != nil {
			return rev, err
		}
	}
	err := c.until(func(unsure bool) (bool, error) {
		if unsure {
			r, err := v.row(c, g.ID, true)
			if err != nil {
				return false, err
			}
			if r.State != making {
				return true, nil
			}
		}
		return c.cas(openGroup, rev+1, live, gocql.UUID(g.ID.ID), rev, making)
	})
	return rev + 1, err
}

// list puts a group into its members' lists, or takes it out, as of a rev.
func (v groups) list(c *call, g id.Thread, members []id.User, rev int64, in bool) error {
	n := (len(members) + indexBatch - 1) / indexBatch
	return c.each(n, func(i int) error {
		part := members[i*indexBatch : min((i+1)*indexBatch, len(members))]
		if len(part) == 1 {
			return v.listOne(c, g, part[0], rev, in)
		}
		return c.batch(func(b *gocql.Batch) {
			for _, u := range part {
				if in {
					b.Query(insertOfUser, gocql.UUID(u.ID), gocql.UUID(g.ID), rev)
				} else {
					b.Query(deleteOfUser, rev, gocql.UUID(u.ID), gocql.UUID(g.ID))
				}
			}
		})
	})
}

func (v groups) listOne(c *call, g id.Thread, u id.User, rev int64, in bool) error {
	if in {
		return c.write(insertOfUser, gocql.UUID(u.ID), gocql.UUID(g.ID), rev).ExecRelease()
	}
	return c.write(deleteOfUser, rev, gocql.UUID(u.ID), gocql.UUID(g.ID)).ExecRelease()
}

func (v groups) Get(ctx context.Context, g id.Thread) (store.Group, error) {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return store.Group{}, err
	}
	defer c.end()
	r, err := v.live(c, g, false)
	if err != nil {
		return store.Group{}, c.failed("read a group", err)
	}
	return r.group(), nil
}

func (v groups) Update(ctx context.Context, g id.Thread, p store.GroupPatch) (store.Group, error) {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return store.Group{}, err
	}
	defer c.end()
	unlock, err := v.s.stripes.lock(c, g.ID[:])
	if err != nil {
		return store.Group{}, c.failed("change a group", err)
	}
	defer unlock()
	var r store.Group
	err = c.until(func(unsure bool) (bool, error) {
		row, err := v.live(c, g, unsure)
		if err != nil {
			return false, err
		}
		r = row.group()
		p.Apply(&r)
		return c.cas(changeGroup, row.next(), r.Name, r.Description, r.Avatar, r.Settings, gocql.UUID(g.ID), row.Rev, live)
	})
	if err != nil {
		return store.Group{}, c.failed("change a group", err)
	}
	return r, nil
}

// Delete takes the group out of the lists, ends it and its members' rows in one batch, and then clears the
// members' lists, which nobody is shown any more.
func (v groups) Delete(ctx context.Context, g id.Thread) error {
	c, err := v.s.begin(ctx, 10_000)
	if err != nil {
		return err
	}
	defer c.end()
	unlock, err := v.s.stripes.lock(c, g.ID[:])
	if err != nil {
		return c.failed("delete a group", err)
	}
	defer unlock()
	var members []id.User
	var rev int64
	err = c.until(func(unsure bool) (bool, error) {
		row, err := v.row(c, g, unsure)
		switch {
		case err != nil:
			return false, err
		case unsure && row.State == gone:
			return true, nil
		case row.State != live:
			return true, store.ErrNotFound
		}
		rev = row.next()
		if members, err = v.members(c, g); err != nil {
			return false, err
		}
		if err := c.write(showGroup, rev, nil, gocql.UUID(g.ID)).ExecRelease(); err != nil {
			return false, err
		}
		return c.casBatch(func(b *gocql.Batch) {
			b.Query(endGroup, rev, gone, gocql.UUID(g.ID), row.Rev, live)
			b.Query(deleteMembers, gocql.UUID(g.ID))
		})
	})
	if err != nil {
		return c.failed("delete a group", err)
	}
	return c.failed("take a deleted group from its members' lists", v.list(c, g, members, rev, false))
}

// members reads the ids of all members.
func (v groups) members(c *call, g id.Thread) ([]id.User, error) {
	var list []id.User
	it := c.read(selectMemberID, gocql.UUID(g.ID)).Iter()
	var u gocql.UUID
	for it.Scan(&u) {
		list = append(list, id.User{ID: id.ID(u)})
	}
	return list, it.Close()
}
