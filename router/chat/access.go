package chat

import (
	"bytes"
	"context"
	"errors"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/store"
)

// What strangers read.
var (
	errNoThread  = proto.Fail(proto.NotFound, "no such thread")
	errNoUser    = proto.Fail(proto.NotFound, "no such user")
	errNotMember = proto.Fail(proto.Forbidden, "not a member of this group")
)

// place is what never changes about a thread: the two people of a direct one, or that it is a group.
type place struct {
	a, b  id.User
	group bool
}

// other is the peer of one of the two.
func (p place) other(u id.User) id.User {
	if p.a == u {
		return p.b
	}
	return p.a
}

// person is a user who exists.
type person struct {
	until    int64 // Unix milliseconds: believed until then
	blocked  bool
	language language
}

// language is a person's language code, with zeros behind it. None that people may choose is longer, and
// one that is reads as none. It has no pointer, for the sake of the cache.
type language [15]byte

func languageOf(code string) (l language) {
	if len(code) <= len(l) {
		copy(l[:], code)
	}
	return l
}

// append adds the code to dst.
func (l *language) append(dst []byte) []byte {
	n := bytes.IndexByte(l[:], 0)
	if n < 0 {
		n = len(l)
	}
	return append(dst, l[:n]...)
}

// setting is what a group's settings say about writing.
type setting struct {
	onlyAdmins bool
	until      int64
}

// place finds a thread: errNoThread when there is none. Absence is not remembered.
func (s *Service) place(ctx context.Context, t id.Thread) (place, error) {
	if p, ok := s.places.get(t); ok {
		return p, nil
	}
	row, err := s.store.Threads.Get(ctx, t)
	if errors.Is(err, store.ErrNotFound) {
		return place{}, errNoThread
	}
	if err != nil {
		return place{}, store.Failure(err)
	}
	p := place{row.A, row.B, row.Group}
	s.places.put(t, p)
	return p, nil
}

// person finds a user: errNoUser when there is none. Absence is not remembered, so that one who has just
// registered can be written to.
func (s *Service) person(ctx context.Context, u id.User) (person, error) {
	now := s.now().UnixMilli()
	if p, ok := s.people.get(u); ok && now < p.until {
		return p, nil
	}
	row, err := s.store.Users.Get(ctx, u)
	if errors.Is(err, store.ErrNotFound) {
		return person{}, errNoUser
	}
	if err != nil {
		return person{}, store.Failure(err)
	}
	p := person{now + s.cfg.UserFor.Milliseconds(), row.Blocked, languageOf(row.Language)}
	s.people.put(u, p)
	return p, nil
}

// writer finds one who wants to say something, and refuses one who is blocked. One without a row is let
// through: a token is enough for that.
func (s *Service) writer(ctx context.Context, u id.User) (person, error) {
	p, err := s.person(ctx, u)
	switch {
	case err == errNoUser: //nolint:errorlint // the very value
		return person{}, nil
	case err != nil:
		return person{}, err
	case p.blocked:
		return person{}, errBlocked
	}
	return p, nil
}

// reachable reports whether u can be addressed: one who is blocked reads like one who does not exist.
func (s *Service) reachable(ctx context.Context, u id.User) error {
	p, err := s.person(ctx, u)
	if err == nil && p.blocked {
		err = errNoUser
	}
	return err
}

// UserChanged makes a block, its end, or another language count at once.
func (s *Service) UserChanged(u id.User) { s.people.drop(u) }

// Member reports whether u belongs to t: nil, or NotFound for a direct thread that is another's or does
// not exist, or Forbidden for a group that u is not in.
func (s *Service) Member(ctx context.Context, t id.Thread, u id.User) error {
	_, err := s.member(ctx, t, u)
	return err
}

func (s *Service) member(ctx context.Context, t id.Thread, u id.User) (place, error) {
	p, err := s.place(ctx, t)
	if err != nil {
		return place{}, err
	}
	if !p.group {
		if u != p.a && u != p.b {
			return place{}, errNoThread
		}
		return p, nil
	}
	if room, ok := s.rooms.Peek(t); ok {
		in := room.Has(u)
		room.Release()
		if in {
			return p, nil
		}
		return place{}, s.stranger(ctx, t)
	}
	_, err = s.store.Members.Get(ctx, t, u)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return place{}, s.stranger(ctx, t)
	case err != nil:
		return place{}, store.Failure(err)
	}
	return p, nil
}

// stranger is what one who is not in a group reads about it.
func (s *Service) stranger(ctx context.Context, t id.Thread) error {
	_, err := s.store.Groups.Get(ctx, t)
	switch {
	case errors.Is(err, store.ErrNotFound):
		s.places.drop(t)
		return errNoThread
	case err != nil:
		return store.Failure(err)
	}
	return errNotMember
}

// room gives a group's room to one of its members, pinned. Only a member makes it be built.
func (s *Service) room(ctx context.Context, t id.Thread, u id.User) (router.Room, error) {
	room, ok := s.rooms.Peek(t)
	if !ok {
		_, err := s.store.Members.Get(ctx, t, u)
		if errors.Is(err, store.ErrNotFound) {
			return router.Room{}, s.stranger(ctx, t)
		}
		if err == nil {
			room, err = s.rooms.Get(ctx, t)
		}
		if errors.Is(err, router.ErrRooms) {
			return router.Room{}, errBusy
		}
		if err != nil {
			return router.Room{}, store.Failure(err)
		}
	}
	if !room.Has(u) {
		room.Release()
		return router.Room{}, s.stranger(ctx, t)
	}
	return room, nil
}

// small reports whether a group is small enough for typing and receipts. It builds no room.
func (s *Service) small(ctx context.Context, t id.Thread) (bool, error) {
	if room, ok := s.rooms.Peek(t); ok {
		defer room.Release()
		return room.Size() <= s.cfg.SmallGroup, nil
	}
	g, err := s.store.Groups.Get(ctx, t)
	if errors.Is(err, store.ErrNotFound) {
		return false, errNoThread
	}
	if err != nil {
		return false, store.Failure(err)
	}
	return g.Members <= s.cfg.SmallGroup, nil
}

// mayWrite reports whether the group's settings let a member write.
func (s *Service) mayWrite(ctx context.Context, t id.Thread, u id.User) error {
	now := s.now().UnixMilli()
	set, ok := s.settings.get(t)
	if !ok || now >= set.until {
		g, err := s.store.Groups.Get(ctx, t)
		if errors.Is(err, store.ErrNotFound) {
			return errNoThread
		}
		if err != nil {
			return store.Failure(err)
		}
		set = setting{g.Settings["only_admins_can_send"] == "true", now + s.cfg.SettingsFor.Milliseconds()}
		s.settings.put(t, set)
	}
	if !set.onlyAdmins {
		return nil
	}
	m, err := s.store.Members.Get(ctx, t, u)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return errNotMember
	case err != nil:
		return store.Failure(err)
	case m.Role != store.Admin:
		return errOnlyAdmins
	}
	return nil
}

// MembersChanged makes live delivery and access agree with the store about some members of a group, or
// about all when the group was deleted. It is called after the write; when it returns, who was removed
// gets nothing more. Both lists only name who is concerned: what the store says counts.
func (s *Service) MembersChanged(group id.Thread, added, removed []id.User) {
	s.GroupChanged(group)
	users := make([]id.User, 0, len(added)+len(removed))
	users = append(append(users, added...), removed...)
	if err := s.rooms.Changed(s.base, group, users); err != nil {
		s.log.Error("update room", "group", group, "err", err)
	}
}

// Expect makes all that a group holds count as read by one who is going to be added to it: nobody begins
// with a history that calls itself unread. It is called before the member's row is written, and changes
// nothing for one who is a member already, not even when two add the same person at once: the head that is
// taken stood before the row was looked for. Senders read from such a cursor, as from any member's, that
// somebody has read what they wrote.
func (s *Service) Expect(ctx context.Context, group id.Thread, u id.User) error {
	head, err := s.store.Log.Head(ctx, group)
	if err != nil {
		return store.Failure(err)
	}
	_, err = s.store.Members.Get(ctx, group, u)
	if err == nil || head == 0 {
		return nil
	}
	if !errors.Is(err, store.ErrNotFound) {
		return store.Failure(err)
	}
	if _, _, err = s.store.Cursors.Advance(ctx, group, u, store.Cursor{Read: head}); err != nil {
		return store.Failure(err)
	}
	return nil
}

// GroupChanged makes a change of a group's settings count at once.
func (s *Service) GroupChanged(group id.Thread) { s.settings.drop(group) }
