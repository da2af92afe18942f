package chat

import (
	"context"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/store"
)

const (
	defaultPage = 50
	maxPage     = 256 << 10 // bytes of a history frame
)

// History answers with a page of a thread.
func (s *Service) History(c router.Caller, r *proto.Request) {
	list, complete, err := s.Page(s.base, c.User, r.Thread, r.Before, r.Limit)
	if err != nil {
		s.fail(c, r.Ref, err)
		return
	}
	s.sink.Deliver([]router.Conn{c.Conn}, 0, &proto.HistoryPage{
		Ref: r.Ref, Thread: r.Thread, Messages: list, Complete: complete,
	})
}

// Page gives the newest messages of a thread below a seq (0 = from the head), rising in seq: at most
// limit (0 = 50, at most MaxHistory) and 256 KiB, but at least one. complete says that nothing older
// exists.
func (s *Service) Page(ctx context.Context, u id.User, t id.Thread, before uint64, limit int) (list []store.Message, complete bool, err error) {
	if limit <= 0 {
		limit = defaultPage
	}
	if _, err := s.member(ctx, t, u); err != nil {
		return nil, false, err
	}
	list, err = s.store.Log.Before(ctx, t, before, min(limit, proto.MaxHistory))
	if err != nil {
		return nil, false, store.Failure(err)
	}
	from, bytes := len(list), 0
	for from > 0 {
		if bytes += size(&list[from-1]); bytes > maxPage && from < len(list) {
			break
		}
		from--
	}
	list = list[from:]
	return list, len(list) == 0 || list[0].Seq == 1, nil
}

// size is about what a message takes in a frame: its fields, and the names and ids around them.
func size(m *store.Message) int {
	n := 384 + len(m.ClientID) + len(m.Content) + len(m.Language) + len(m.Encrypted)
	for _, u := range m.MediaURLs {
		n += len(u) + 3
	}
	return n
}
