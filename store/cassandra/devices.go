package cassandra

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"slices"

	"github.com/gocql/gocql"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// A token's row says whose it is, and counts its changes: gen. The rows of devices_by_user are written and
// deleted with gen as their timestamp, so that whoever took the token last has it, in whatever order the
// writes of several come in. former is who had it before, until somebody else has: a repetition of a Put
// that was cut short removes that row too.
type devices struct{ s *Store }

const (
	selectToken = `SELECT user_id, former, gen FROM device_tokens WHERE token_hash = ?`
	updateToken = `UPDATE device_tokens SET user_id = ?, former = ?, gen = ? WHERE token_hash = ? IF gen = ?`
	insertDev   = `INSERT INTO devices_by_user (user_id, push_token, platform, added) VALUES (?, ?, ?, ?) USING TIMESTAMP ?`
	deleteDev   = `DELETE FROM devices_by_user USING TIMESTAMP ? WHERE user_id = ? AND push_token = ?`
	selectDevs  = `SELECT push_token, platform, added FROM devices_by_user WHERE user_id = ?`
)

type tokenRow struct {
	UserID, Former gocql.UUID
	Gen            int64
}

func tokenHash(token string) []byte {
	h := sha256.Sum256([]byte(token))
	return h[:]
}

// take makes the token owner's (the zero UUID: nobody's), where want agrees to whose it is. It returns the
// row as it is now.
func (v devices) take(c *call, token string, owner gocql.UUID, want func(tokenRow) bool) (r tokenRow, taken bool, err error) {
	hash := tokenHash(token)
	unlock, err := v.s.stripes.lock(c, hash)
	if err != nil {
		return r, false, err
	}
	defer unlock()
	err = c.until(func(unsure bool) (bool, error) {
		read := c.read
		if unsure {
			read = c.serial
		}
		var at tokenRow
		err := read(selectToken, hash).GetRelease(&at)
		var known any // nil where there is no row
		switch {
		case err == nil:
			known = at.Gen
		case !errors.Is(err, gocql.ErrNotFound):
			return false, err
		}
		if !want(at) {
			return true, nil
		}
		next := tokenRow{UserID: owner, Former: at.Former, Gen: at.Gen + 1}
		if at.UserID != owner && at.UserID != (gocql.UUID{}) {
			next.Former = at.UserID
		}
		applied, err := c.cas(updateToken, next.UserID, next.Former, next.Gen, hash, known)
		if applied {
			r, taken = next, true
		}
		return applied, err
	})
	return r, taken, err
}

func (v devices) Put(ctx context.Context, d store.Device) error {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return err
	}
	defer c.end()
	owner := gocql.UUID(d.User.ID)
	r, _, err := v.take(c, d.Token, owner, func(tokenRow) bool { return true })
	if err != nil {
		return c.failed("take a device's token", err)
	}
	if r.Former != owner && r.Former != (gocql.UUID{}) {
		if err := c.write(deleteDev, r.Gen, r.Former, d.Token).ExecRelease(); err != nil {
			return c.failed("take a device from its former user", err)
		}
	}
	return c.failed("store a device", c.write(insertDev, owner, d.Token, d.Platform, d.Added, r.Gen).ExecRelease())
}

func (v devices) Remove(ctx context.Context, u id.User, token string) error {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return err
	}
	defer c.end()
	owner := gocql.UUID(u.ID)
	r, taken, err := v.take(c, token, gocql.UUID{}, func(at tokenRow) bool {
		// Also where it was made nobody's and the row may have stayed.
		return at.UserID == owner || at.UserID == (gocql.UUID{}) && at.Former == owner
	})
	if err != nil || !taken {
		return c.failed("give a device's token back", err)
	}
	return c.failed("remove a device", c.write(deleteDev, r.Gen, owner, token).ExecRelease())
}

func (v devices) List(ctx context.Context, u id.User) ([]store.Device, error) {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer c.end()
	var rows []struct {
		PushToken, Platform string
		Added               int64
	}
	if err := c.read(selectDevs, gocql.UUID(u.ID)).SelectRelease(&rows); err != nil {
		return nil, c.failed("list a user's devices", err)
	}
	var list []store.Device
	for _, r := range rows {
		list = append(list, store.Device{User: u, Token: r.PushToken, Platform: r.Platform, Added: r.Added})
	}
	slices.SortFunc(list, func(a, b store.Device) int {
		return cmp.Or(cmp.Compare(a.Added, b.Added), cmp.Compare(a.Token, b.Token))
	})
	return list, nil
}
