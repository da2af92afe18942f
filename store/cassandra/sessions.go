package cassandra

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/gocql/gocql"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// All of a user's sessions are one partition, which has a version. What opens or removes sessions reads the
// partition and changes it in one batch on the condition that the version is still the one that was read.
//
// What is removed is revoked first: whatever a crash leaves half done, no session is gone whose tokens still
// pass. Where the condition does not hold after all and a session stays, its revocation is deleted again; it
// is a row of its own for each login that wanted it (opener), so that nobody deletes another's.
type sessions struct{ s *Store }

const (
	selectSessions = `SELECT session_id, version, device, created, expires, refresh FROM sessions_by_user WHERE user_id = ?`
	selectSession  = `SELECT session_id, version, device, created, expires, refresh FROM sessions_by_user WHERE user_id = ? AND session_id = ?`
	insertSession  = `INSERT INTO sessions_by_user (user_id, session_id, device, created, expires, refresh) VALUES (?, ?, ?, ?, ?, ?) USING TTL ?`
	deleteSession  = `DELETE FROM sessions_by_user WHERE user_id = ? AND session_id = ?`
	bumpSessions   = `UPDATE sessions_by_user SET version = ? WHERE user_id = ? IF version = ?`
	rotateSession  = `UPDATE sessions_by_user USING TTL ? SET refresh = ? WHERE user_id = ? AND session_id = ? IF refresh = ?`
)

type sessionRow struct {
	SessionID        *gocql.UUID // nil in a partition that has nothing but its version
	Version          *int64
	Device           string
	Created, Expires int64
	Refresh          gocql.UUID
}

func (r *sessionRow) session(u id.User) store.Session {
	return store.Session{
		ID: id.Session{ID: id.ID(*r.SessionID)}, User: u, Device: r.Device, Created: r.Created, Expires: r.Expires, Refresh: r.Refresh,
	}
}

func (v sessions) now() int64 { return v.s.cfg.Now().UnixMilli() }

// ttl is for how many seconds a row must live that ends at expires.
func ttl(expires, now int64) int {
	const most = 20 * 365 * 24 * 3600 // the servers take no more
	return int(min(max((expires-now+999)/1000, 1), most))
}

// opening is what one call of Open has done so far.
type opening struct {
	session store.Session
	limit   int
	tried   []store.Session // what a try of unknown outcome would have removed
	revoked map[id.Session]revokedSession
}

// revokedSession is a revocation that a call made, and where it is.
type revokedSession struct {
	store.Revocation
	in bucket
}

func (v sessions) Open(ctx context.Context, s store.Session, limit int) (removed []store.Session, err error) {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer c.end()
	unlock, err := v.s.stripes.lock(c, s.User.ID[:])
	if err != nil {
		return nil, c.failed("open a session", err)
	}
	defer unlock()
	o := &opening{session: s, limit: limit, revoked: map[id.Session]revokedSession{}}
	err = c.until(func(unsure bool) (done bool, err error) {
		removed, done, err = v.open(c, o, unsure)
		return done, err
	})
	if err != nil {
		return nil, c.failed("open a session", err)
	}
	for _, r := range removed {
		delete(o.revoked, r.ID)
	}
	for _, r := range o.revoked { // of sessions that stay
		if err := v.unrevoke(c, r.in, r.Revocation, s.ID); err != nil {
			return nil, c.failed("open a session", err)
		}
	}
	return removed, nil
}

// open is one try.
func (v sessions) open(c *call, o *opening, unsure bool) (removed []store.Session, done bool, err error) {
	s := o.session
	live, dead, version, err := v.all(c, s.User, unsure)
	if err != nil {
		return nil, false, err
	}
	if unsure && slices.Contains(live, s) {
		for _, t := range o.tried {
			if !slices.ContainsFunc(live, func(l store.Session) bool { return l.ID == t.ID }) {
				removed = append(removed, t)
			}
		}
		return removed, true, nil
	}
	removed = store.Displaced(live, s, o.limit)
	now := v.now()
	for _, old := range removed {
		if _, ok := o.revoked[old.ID]; ok {
			continue
		}
		r := store.Revocation{User: old.User, Session: old.ID, At: now, Expires: old.Expires}
		in, err := v.revoke(c, r, s.ID)
		if err != nil {
			return nil, false, err
		}
		o.revoked[old.ID] = revokedSession{r, in}
	}
	applied, err := c.casBatch(func(b *gocql.Batch) {
		bump(b, s.User, version)
		for _, old := range slices.Concat(removed, dead) {
			b.Query(deleteSession, gocql.UUID(old.User.ID), gocql.UUID(old.ID.ID))
		}
		b.Query(insertSession, gocql.UUID(s.User.ID), gocql.UUID(s.ID.ID), s.Device, s.Created, s.Expires, gocql.UUID(s.Refresh), ttl(s.Expires, now))
	})
	if err != nil {
		for _, r := range removed {
			if !slices.Contains(o.tried, r) {
				o.tried = append(o.tried, r)
			}
		}
	}
	return removed, applied, err
}

// bump is the condition of a batch.
func bump(b *gocql.Batch, u id.User, version *int64) {
	next := int64(1)
	if version != nil {
		next = *version + 1
	}
	b.Query(bumpSessions, next, gocql.UUID(u.ID), version)
}

// all gives a user's sessions, the live ones oldest first, and the partition's version.
func (v sessions) all(c *call, u id.User, serial bool) (live, dead []store.Session, version *int64, err error) {
	read := c.read
	if serial {
		read = c.serial
	}
	var rows []sessionRow
	if err := read(selectSessions, gocql.UUID(u.ID)).SelectRelease(&rows); err != nil {
		return nil, nil, nil, err
	}
	now := v.now()
	for i := range rows {
		version = rows[i].Version
		if rows[i].SessionID == nil {
			continue
		}
		if s := rows[i].session(u); s.Expires > now {
			live = append(live, s)
		} else {
			dead = append(dead, s)
		}
	}
	slices.SortFunc(live, func(a, b store.Session) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), bytes.Compare(a.ID.ID[:], b.ID.ID[:]))
	})
	return live, dead, version, nil
}

func (v sessions) Get(ctx context.Context, u id.User, s id.Session) (store.Session, error) {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return store.Session{}, err
	}
	defer c.end()
	r, err := v.get(c, u, s, false)
	return r, c.failed("read a session", err)
}

func (v sessions) get(c *call, u id.User, s id.Session, serial bool) (store.Session, error) {
	read := c.read
	if serial {
		read = c.serial
	}
	var r sessionRow
	if err := read(selectSession, gocql.UUID(u.ID), gocql.UUID(s.ID)).GetRelease(&r); err != nil {
		return store.Session{}, err
	}
	if r.SessionID == nil || r.Expires <= v.now() {
		return store.Session{}, store.ErrNotFound
	}
	return r.session(u), nil
}

// Rotate's condition is the token itself. The new one lives no longer than the row.
func (v sessions) Rotate(ctx context.Context, u id.User, s id.Session, old, next [16]byte) error {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return err
	}
	defer c.end()
	err = c.until(func(unsure bool) (bool, error) {
		r, err := v.get(c, u, s, unsure)
		switch {
		case err != nil:
			return causeOf(err) == causeNone, err
		case unsure && r.Refresh == next:
			return true, nil
		case r.Refresh != old:
			return true, store.ErrConflict
		}
		return c.cas(rotateSession, ttl(r.Expires, v.now()), gocql.UUID(next), gocql.UUID(u.ID), gocql.UUID(s.ID), gocql.UUID(old))
	})
	return c.failed("rotate a token", err)
}

func (v sessions) List(ctx context.Context, u id.User) ([]store.Session, error) {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer c.end()
	live, _, _, err := v.all(c, u, false)
	if err != nil {
		return nil, c.failed("list a user's sessions", err)
	}
	return live, nil
}

// Revoke makes the revocation durable before it removes what it concerns.
func (v sessions) Revoke(ctx context.Context, r store.Revocation) error {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return err
	}
	defer c.end()
	unlock, err := v.s.stripes.lock(c, r.User.ID[:])
	if err != nil {
		return c.failed("revoke", err)
	}
	defer unlock()
	if _, err := v.revoke(c, r, id.Session{}); err != nil {
		return c.failed("revoke", err)
	}
	err = c.until(func(unsure bool) (bool, error) {
		live, dead, version, err := v.all(c, r.User, unsure)
		if err != nil {
			return false, err
		}
		gone := slices.DeleteFunc(slices.Concat(live, dead), func(s store.Session) bool { return !r.Concerns(s) })
		if len(gone) == 0 {
			return true, nil
		}
		return c.casBatch(func(b *gocql.Batch) {
			bump(b, r.User, version)
			for _, s := range gone {
				b.Query(deleteSession, gocql.UUID(s.User.ID), gocql.UUID(s.ID.ID))
			}
		})
	})
	return c.failed("remove revoked sessions", err)
}
