package cassandra

import (
	"context"
	"slices"
	"sync"

	"github.com/gocql/gocql"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// Revocations are kept in buckets by when they end, in shards by user, and vanish with their end. A table of
// one small partition says which buckets there are, so that listing the live ones at start reads these and
// nothing else: with tokens of 30 days some 31 * 8 partitions, however many logins there were. What ends in
// years (a block) goes into coarse buckets, of which there are few too.
const (
	revokedShards = 8

	insertRevoked = `INSERT INTO revoked (bucket, shard, expires, user_id, session_id, at, opener) VALUES (?, ?, ?, ?, ?, ?, ?) USING TTL ?`
	deleteRevoked = `DELETE FROM revoked WHERE bucket = ? AND shard = ? AND expires = ? AND user_id = ? AND session_id = ? AND at = ? AND opener = ?`
	selectRevoked = `SELECT expires, user_id, session_id, at FROM revoked WHERE bucket = ? AND shard = ? AND expires > ?`
	insertBucket  = `INSERT INTO revoked_buckets (part, bucket) VALUES ('main', ?) USING TTL ?`
	selectBuckets = `SELECT bucket FROM revoked_buckets WHERE part = 'main'`
)

// slack is how much longer than needed a row lives, in seconds: clocks differ, and who lists looks at the
// time that it says.
const slack = 600

const (
	dayMillis = 24 * 3600 * 1000
	nearDays  = 60 // what ends later is in a coarse bucket
	coarse    = 91 * dayMillis
)

// bucket names a part of time: n is a day, and -n is a part of coarse length.
type bucket int

func bucketOf(expires, now int64) bucket {
	if expires-now > nearDays*dayMillis {
		return bucket(-expires / coarse)
	}
	return bucket(expires / dayMillis)
}

// end is when the last revocation in b is over.
func (b bucket) end() int64 {
	if b < 0 {
		return (int64(-b) + 1) * coarse
	}
	return (int64(b) + 1) * dayMillis
}

// revokedBuckets remembers which are in the table of buckets.
type revokedBuckets struct {
	mu    sync.Mutex
	known map[bucket]struct{} // those that are not over: bounded by time
}

func shardOf(u id.User) int8 { return int8(u.ID[15] % revokedShards) }

// revoke stores r and gives its bucket; opener is the login that wants it, absent where it is not for one.
// What is over already is not stored.
func (v sessions) revoke(c *call, r store.Revocation, opener id.Session) (bucket, error) {
	now := v.now()
	b := bucketOf(r.Expires, now)
	if r.Expires <= now {
		return b, nil
	}
	if err := v.note(c, b, now); err != nil {
		return b, err
	}
	return b, c.write(insertRevoked, int(b), shardOf(r.User), r.Expires, gocql.UUID(r.User.ID), gocql.UUID(r.Session.ID), r.At,
		gocql.UUID(opener.ID), ttl(r.Expires, now)+slack).ExecRelease()
}

// unrevoke deletes what revoke stored.
func (v sessions) unrevoke(c *call, b bucket, r store.Revocation, opener id.Session) error {
	return c.write(deleteRevoked, int(b), shardOf(r.User), r.Expires, gocql.UUID(r.User.ID), gocql.UUID(r.Session.ID), r.At,
		gocql.UUID(opener.ID)).ExecRelease()
}

// note makes sure that b is in the table of buckets.
func (v sessions) note(c *call, b bucket, now int64) error {
	all := &v.s.buckets
	all.mu.Lock()
	_, known := all.known[b]
	all.mu.Unlock()
	if known {
		return nil
	}
	if err := c.write(insertBucket, int(b), ttl(b.end(), now)+slack).ExecRelease(); err != nil {
		return err
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.known == nil {
		all.known = map[bucket]struct{}{}
	}
	for old := range all.known {
		if old.end() < now {
			delete(all.known, old)
		}
	}
	all.known[b] = struct{}{}
	return nil
}

type revokedRow struct {
	Expires           int64
	UserID, SessionID gocql.UUID
	At                int64
}

func (v sessions) Revocations(ctx context.Context, now int64, each func(store.Revocation)) error {
	c, err := v.s.begin(ctx, 10_000)
	if err != nil {
		return err
	}
	defer c.end()
	var all []int
	if err := c.read(selectBuckets).SelectRelease(&all); err != nil {
		return c.failed("read the buckets of revocations", err)
	}
	all = slices.DeleteFunc(all, func(b int) bool { return bucket(b).end() < now })
	var mu sync.Mutex
	err = c.each(len(all)*revokedShards, func(i int) error {
		it := c.read(selectRevoked, all[i/revokedShards], int8(i%revokedShards), now).Iter()
		var last, r revokedRow
		for it.Scan(&r.Expires, &r.UserID, &r.SessionID, &r.At) {
			if r == last { // the same for several logins
				continue
			}
			last = r
			mu.Lock()
			each(store.Revocation{
				User: id.User{ID: id.ID(r.UserID)}, Session: id.Session{ID: id.ID(r.SessionID)}, At: r.At, Expires: r.Expires,
			})
			mu.Unlock()
		}
		return it.Close()
	})
	return c.failed("read the revocations", err)
}
