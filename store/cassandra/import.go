package cassandra

import (
	"context"
	"errors"
	"slices"

	"github.com/tolkflip/tolkflip/store"
)

// PutUser makes a user what u says, wherever an earlier attempt stopped, and reports whether anything was
// to do. ErrConflict when the phone or the id is another's. It is for moving the users of another store here:
// the threads of one are taken with Config.Log.Import, everything else through the aggregates.
func (s *Store) PutUser(ctx context.Context, u store.User) (wrote bool, err error) {
	c, err := s.begin(ctx, 0)
	if err != nil {
		return false, err
	}
	defer c.end()
	v := users{s}
	owner, err := v.byPhone(c, u.Phone)
	claimed := err == nil
	if claimed && owner != u.ID {
		return false, store.ErrConflict
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	have, err := v.get(c, u.ID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		wrote = true
		err = c.until(func(unsure bool) (bool, error) { return v.insert(c, &u, unsure) })
	case err == nil && have.Phone != u.Phone:
		return false, store.ErrConflict
	case err == nil:
		wrote, err = v.mend(c, have, u)
	}
	if err == nil && have.LastActive < u.LastActive {
		wrote = true
		err = v.seen(c, u.ID, u.LastActive)
	}
	if err == nil && !claimed {
		wrote = true
		err = c.until(func(bool) (bool, error) { return v.claim(c, &u) })
	}
	return wrote, c.failed("put a user", err)
}

// mend makes the fields of a user who is there equal.
func (v users) mend(c *call, have, want store.User) (wrote bool, err error) {
	if have.Name == want.Name && have.Avatar == want.Avatar && have.Bio == want.Bio && have.Language == want.Language &&
		have.Blocked == want.Blocked && slices.Equal(have.Languages, want.Languages) {
		return false, nil
	}
	stmt, args := updateUser(want.ID, store.UserPatch{
		Name: &want.Name, Avatar: &want.Avatar, Bio: &want.Bio, Language: &want.Language,
		Languages: &want.Languages, Blocked: &want.Blocked,
	})
	return true, c.until(func(bool) (bool, error) {
		applied, err := c.cas(stmt, args...)
		if err == nil && !applied {
			return true, store.ErrNotFound
		}
		return err == nil, err
	})
}
