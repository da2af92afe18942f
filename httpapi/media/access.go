package media

import (
	"bytes"
	"context"
	"errors"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// claim is where somebody says they saw a file. Both may be absent.
type claim struct {
	message id.Message
	thread  id.Thread
}

// newest is how many messages of a thread are looked through for a file of which the asker only says the
// thread, or nothing.
const newest = 100

// record gives a file's record to one who may read it. A stranger reads what an unknown file reads.
func (s *Service) record(ctx context.Context, m id.Media, asker id.User, c claim) (store.Media, error) {
	row, err := s.records.Get(ctx, m)
	if errors.Is(err, store.ErrNotFound) {
		return store.Media{}, errNoMedia
	}
	if err != nil {
		return store.Media{}, err
	}
	ok := row.Owner == asker
	if !ok && !row.Thread.IsZero() {
		ok, err = s.member(ctx, row.Thread, asker)
	}
	if !ok && err == nil {
		ok, err = s.given(ctx, row, asker, c)
	}
	if err == nil && !ok {
		err = errNoMedia
	}
	if err != nil {
		return store.Media{}, err
	}
	return row, nil
}

var errNoMedia = proto.Fail(proto.NotFound, "Media not found")

// given reports whether the owner of a file gave it to the asker in a message.
func (s *Service) given(ctx context.Context, row store.Media, asker id.User, c claim) (bool, error) {
	if !c.message.IsZero() {
		m, err := s.messages.Find(ctx, c.message)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return false, err
		}
		if err == nil && gives(&m, row) {
			return s.member(ctx, m.Thread, asker)
		}
	}
	t := c.thread
	if t.IsZero() {
		t = id.Direct(asker, row.Owner)
	}
	if ok, err := s.member(ctx, t, asker); err != nil || !ok {
		return false, err
	}
	list, err := s.messages.Before(ctx, t, 0, newest)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	for i := range list {
		if gives(&list[i], row) {
			return true, nil
		}
	}
	return false, nil
}

// gives reports whether the owner of a file names it in a message: in its list of media, or in its content,
// where the web client puts the address.
func gives(m *store.Message, row store.Media) bool {
	if m.Sender != row.Owner {
		return false
	}
	name := row.ID.Append(nil)
	for _, u := range m.MediaURLs {
		if bytes.Contains(u, name) {
			return true
		}
	}
	return bytes.Contains(m.Content, name)
}

// member reports whether u is in t.
func (s *Service) member(ctx context.Context, t id.Thread, u id.User) (bool, error) {
	err := s.threads.Member(ctx, t, u)
	var refused *proto.Error
	if errors.As(err, &refused) && (refused.Code == proto.NotFound || refused.Code == proto.Forbidden) {
		return false, nil
	}
	return err == nil, err
}
