package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/httpapi/row"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

const (
	defaultThreads = 50
	maxThreads     = 200
)

// Threads gives a page of a user's threads: one row each, most recent first, with the name and picture of
// the other side or the group. The position is ThreadPage.PageState of the page before.
func (s *Service) Threads(ctx context.Context, u id.User, limit int, position string) (row.ThreadPage, error) {
	page := row.ThreadPage{Success: true, Threads: []row.Thread{}}
	after, err := row.ParsePosition(position)
	if err != nil {
		return page, err
	}
	if limit == 0 {
		limit = defaultThreads
	}
	list, next, err := s.threads.ByUser(ctx, u, after, min(limit, maxThreads))
	switch {
	case errors.Is(err, store.ErrPosition):
		return page, row.BadPosition()
	case err != nil:
		return page, fmt.Errorf("list threads: %w", err)
	}
	ids := make([]id.Thread, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	cursors, err := s.cursors.Of(ctx, u, ids)
	if err != nil {
		return page, fmt.Errorf("read cursors: %w", err)
	}
	page.PageState = row.FormatPosition(next)
	for i := range list {
		r := row.OfThread(u, &list[i], cursors[i])
		if r.UnreadCount, err = s.unread(ctx, u, &list[i], r.UnreadCount); err != nil {
			return page, err
		}
		if r.Name, r.AvatarURL, err = s.face(ctx, &list[i]); err != nil {
			return page, err
		}
		page.Threads = append(page.Threads, r)
	}
	return page, nil
}

// unread counts the messages behind the cursor, and behind the newest one that the member wrote: who
// answers has read, though sending moves no cursor, and nobody's own messages are unread. The newest
// hundred are looked at for it; where none of them is the member's the count is an upper bound.
func (s *Service) unread(ctx context.Context, u id.User, t *store.ThreadOf, behind uint64) (uint64, error) {
	switch fresh := t.Last.Seq == t.Head; {
	case behind == 0, fresh && t.Last.Sender == u:
		return 0, nil
	case behind == 1 && fresh:
		return 1, nil
	}
	newest, err := s.log.Before(ctx, t.ID, t.Head+1, int(min(behind, proto.MaxHistory)))
	if err != nil {
		return 0, fmt.Errorf("read unread messages: %w", err)
	}
	for i := range slices.Backward(newest) {
		if newest[i].Sender == u {
			return t.Head - newest[i].Seq, nil
		}
	}
	return behind, nil
}

// face is what a thread is shown with. A person or group that is gone has none.
func (s *Service) face(ctx context.Context, t *store.ThreadOf) (name, avatar string, err error) {
	if t.Group {
		var g store.Group
		g, err = s.groups.Get(ctx, t.ID)
		name, avatar = g.Name, g.Avatar
	} else {
		var u store.User
		u, err = s.people.Get(ctx, t.Peer)
		name, avatar = httpapi.DisplayName(u, true), u.Avatar // they write to each other
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", "", fmt.Errorf("read a thread's name: %w", err)
	}
	return name, avatar, nil
}

type listIn struct {
	Limit     int    `query:"limit" json:"-"`
	PageState string `query:"pageState" json:"-"`
}

// Validate refuses a negative limit; one that is too high is cut.
func (in *listIn) Validate() error { return checkLimit(in.Limit) }

func (s *Service) list(ctx context.Context, c httpapi.Caller, in listIn) (row.ThreadPage, error) {
	return s.Threads(ctx, c.User, in.Limit, in.PageState)
}

type listOwnIn struct {
	User      id.User `path:"userId" missing:"User not found" json:"-"`
	Limit     int     `query:"limit" json:"-"`
	PageState string  `query:"pageState" json:"-"`
}

// Validate refuses a negative limit; one that is too high is cut.
func (in *listOwnIn) Validate() error { return checkLimit(in.Limit) }

func (s *Service) listOwn(ctx context.Context, c httpapi.Caller, in listOwnIn) (row.ThreadPage, error) {
	if in.User != c.User {
		return row.ThreadPage{}, proto.Fail(proto.Forbidden, "Unauthorized")
	}
	return s.Threads(ctx, c.User, in.Limit, in.PageState)
}

func checkLimit(limit int) error {
	if limit < 0 {
		return proto.BadField("limit", "limit must not be negative")
	}
	return nil
}
