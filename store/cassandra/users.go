package cassandra

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gocql/gocql"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// A user's row is made and changed by conditions, so that no phone has two users and no change makes a row.
// last_active alone is written plainly, and may make a row without a phone: that is no user.
type users struct{ s *Store }

const (
	selectUser = `SELECT phone, name, avatar, bio, language, languages, created, blocked, last_active FROM users WHERE user_id = ?`
	insertUser = `UPDATE users SET phone = ?, name = ?, avatar = ?, bio = ?, language = ?, languages = ?, created = ?, blocked = ?
		WHERE user_id = ? IF phone = null`
	deleteUser  = `DELETE FROM users WHERE user_id = ? IF phone = ?`
	insertPhone = `INSERT INTO users_by_phone (phone, user_id) VALUES (?, ?) IF NOT EXISTS`
	selectPhone = `SELECT user_id FROM users_by_phone WHERE phone = ?`
	updateSeen  = `UPDATE users USING TIMESTAMP ? SET last_active = ? WHERE user_id = ?`
)

type userRow struct {
	Phone, Name, Avatar, Bio, Language string
	Languages                          []string
	Created                            int64
	Blocked                            bool
	LastActive                         int64
}

func (r *userRow) user(u id.User) store.User {
	x := store.User{
		ID: u, Phone: r.Phone, Name: r.Name, Avatar: r.Avatar, Bio: r.Bio, Language: r.Language,
		Created: r.Created, Blocked: r.Blocked, LastActive: r.LastActive,
	}
	if len(r.Languages) > 0 {
		x.Languages = r.Languages
	}
	return x
}

// Create makes the user's row first and then claims the phone: what a crash leaves between the two is a row
// that no phone leads to. Who finds the phone taken removes the row again.
func (v users) Create(ctx context.Context, u store.User) error {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return err
	}
	defer c.end()
	unlock, err := v.s.stripes.lock(c, []byte(u.Phone))
	if err != nil {
		return c.failed("create a user", err)
	}
	defer unlock()
	// Most refusals are found without a condition.
	if _, err := v.byPhone(c, u.Phone); err == nil {
		return store.ErrConflict
	}
	if u.LastActive > 0 {
		if err := v.seen(c, u.ID, u.LastActive); err != nil {
			return c.failed("create a user", err)
		}
	}
	if err := c.until(func(unsure bool) (bool, error) { return v.insert(c, &u, unsure) }); err != nil {
		return c.failed("create a user", err)
	}
	if err := c.until(func(bool) (bool, error) { return v.claim(c, &u) }); err != nil {
		return c.failed("claim a phone", err)
	}
	return nil
}

// insert makes the user's row.
func (v users) insert(c *call, u *store.User, unsure bool) (done bool, err error) {
	applied, row, err := c.casRow(insertUser, u.Phone, u.Name, u.Avatar, u.Bio, u.Language, u.Languages, u.Created, u.Blocked, gocql.UUID(u.ID.ID))
	if err != nil || applied {
		return applied, err
	}
	// After an undecided try it may be this call's own. Nobody else would register the same id with the
	// same phone.
	if unsure && row["phone"] == u.Phone {
		return true, nil
	}
	return true, store.ErrConflict
}

// claim makes the phone u's. After an undecided try the same again tells: it may be u's already.
func (v users) claim(c *call, u *store.User) (done bool, err error) {
	applied, row, err := c.casRow(insertPhone, u.Phone, gocql.UUID(u.ID.ID))
	if err != nil || applied {
		return applied, err
	}
	switch owner, ok := row["user_id"].(gocql.UUID); {
	case !ok:
		return false, errors.New("cassandra: a phone of nobody")
	case id.ID(owner) == u.ID.ID:
		return true, nil
	}
	return true, v.takeBack(c, u)
}

// takeBack removes the row of a user whose phone belongs to another.
func (v users) takeBack(c *call, u *store.User) error {
	err := c.until(func(bool) (bool, error) {
		_, err := c.cas(deleteUser, gocql.UUID(u.ID.ID), u.Phone)
		return err == nil, err
	})
	if err != nil {
		return err
	}
	return store.ErrConflict
}

func (v users) Get(ctx context.Context, u id.User) (store.User, error) {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return store.User{}, err
	}
	defer c.end()
	return v.get(c, u)
}

func (v users) get(c *call, u id.User) (store.User, error) {
	var r userRow
	if err := c.read(selectUser, gocql.UUID(u.ID)).GetRelease(&r); err != nil {
		return store.User{}, c.failed("read a user", err)
	}
	if r.Phone == "" {
		return store.User{}, store.ErrNotFound
	}
	return r.user(u), nil
}

func (v users) ByPhone(ctx context.Context, phone string) (store.User, error) {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return store.User{}, err
	}
	defer c.end()
	u, err := v.byPhone(c, phone)
	if err != nil {
		return store.User{}, err
	}
	return v.get(c, u)
}

func (v users) byPhone(c *call, phone string) (id.User, error) {
	var u gocql.UUID
	if err := c.read(selectPhone, phone).GetRelease(&u); err != nil {
		return id.User{}, c.failed("look a phone up", err)
	}
	return id.User{ID: id.ID(u)}, nil
}

// Update writes the named columns alone, so that changes of different fields at once do not meet.
func (v users) Update(ctx context.Context, u id.User, p store.UserPatch) (store.User, error) {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return store.User{}, err
	}
	defer c.end()
	stmt, args := updateUser(u, p)
	if stmt == "" {
		return v.get(c, u)
	}
	err = c.until(func(bool) (bool, error) {
		applied, err := c.cas(stmt, args...)
		if err == nil && !applied {
			return true, store.ErrNotFound
		}
		return err == nil, err
	})
	if err != nil {
		return store.User{}, c.failed("change a user", err)
	}
	return v.get(c, u)
}

// updateUser is the statement for a patch; there are 63 of them.
func updateUser(u id.User, p store.UserPatch) (stmt string, args []any) {
	var set []string
	text := func(column string, to *string) {
		if to != nil {
			set, args = append(set, column+" = ?"), append(args, *to)
		}
	}
	text("name", p.Name)
	text("avatar", p.Avatar)
	text("bio", p.Bio)
	text("language", p.Language)
	if p.Languages != nil {
		set, args = append(set, "languages = ?"), append(args, slices.Clone(*p.Languages))
	}
	if p.Blocked != nil {
		set, args = append(set, "blocked = ?"), append(args, *p.Blocked)
	}
	if len(set) == 0 {
		return "", nil
	}
	return "UPDATE users SET " + strings.Join(set, ", ") + " WHERE user_id = ? IF phone != null", append(args, gocql.UUID(u.ID))
}

// Seen has the time itself as the write's timestamp: the later one stands, whatever the order they come in.
func (v users) Seen(ctx context.Context, at map[id.User]int64) error {
	if len(at) == 0 {
		return nil
	}
	c, err := v.s.begin(ctx, len(at))
	if err != nil {
		return err
	}
	defer c.end()
	list := make([]id.User, 0, len(at))
	for u := range at {
		list = append(list, u)
	}
	err = c.each(len(list), func(i int) error { return v.seen(c, list[i], at[list[i]]) })
	if err != nil {
		return c.failed(fmt.Sprintf("note when %d users were seen", len(list)), err)
	}
	return nil
}

func (v users) seen(c *call, u id.User, ms int64) error {
	return c.write(updateSeen, ms*1000, ms, gocql.UUID(u.ID)).ExecRelease()
}
