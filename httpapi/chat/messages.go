package chat

import (
	"context"
	"fmt"
	"slices"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/httpapi/row"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

const (
	defaultMessages = 50
	maxMessages     = 200
	maxPageBytes    = 1 << 20 // of content, after which a page ends early
	maxReceipts     = 500     // members whose cursors are read to derive statuses
)

// Messages gives a page of a thread to one of its members, newest first.
func (s *Service) Messages(ctx context.Context, u id.User, q row.MessageQuery) (row.MessagePage, error) {
	before, err := row.ParseSeqPosition(q.PageState)
	if err != nil {
		return row.MessagePage{}, err
	}
	if q.Limit == 0 {
		q.Limit = defaultMessages
	}
	q.Limit = min(q.Limit, maxMessages)
	list, more, err := s.gather(ctx, u, &q, before)
	if err != nil {
		return row.MessagePage{}, err
	}
	page := row.MessagePage{Success: true, Messages: make([]row.Message, len(list))}
	if len(list) == 0 {
		return page, nil
	}
	cursors, err := s.cursors.In(ctx, q.Thread, maxReceipts)
	if err != nil {
		return page, fmt.Errorf("read cursors: %w", err)
	}
	receipts := row.NewReceipts(cursors)
	for i := range list {
		page.Messages[i] = row.Of(&list[i], receipts.Status(&list[i]))
	}
	if more {
		page.PageState = row.FormatPosition(row.SeqPosition(list[len(list)-1].Seq))
	}
	return page, nil
}

// gather reads pages of the log until it has what q asks for, and reports whether there may be more.
func (s *Service) gather(ctx context.Context, u id.User, q *row.MessageQuery, before uint64) (list []store.Message, more bool, err error) {
	size := 0
	for {
		n := q.Limit - len(list)
		if q.Since > 0 {
			n = proto.MaxHistory // see the package's comment
		}
		got, complete, err := s.rules.Page(ctx, u, q.Thread, before, min(n, proto.MaxHistory))
		if err != nil {
			return nil, false, err
		}
		fresh := false
		for i := range slices.Backward(got) {
			m := &got[i]
			before = m.Seq
			if m.Sent < q.Since {
				continue
			}
			fresh = true
			list = append(list, *m)
			size += weight(m)
			if len(list) == q.Limit || size >= maxPageBytes {
				return list, i > 0 || !complete, nil
			}
		}
		if complete || len(got) == 0 || !fresh {
			return list, false, nil
		}
	}
}

// weight is about how many bytes a message adds to a page.
func weight(m *store.Message) int {
	n := 512 + len(m.Content) + len(m.Encrypted)
	for _, u := range m.MediaURLs {
		n += len(u)
	}
	return n
}

type messagesIn struct {
	Thread    id.Thread `path:"threadId" missing:"Thread not found" json:"-"`
	Limit     int       `query:"limit" json:"-"`
	PageState string    `query:"pageState" json:"-"`
	Since     int64     `query:"since" json:"-"`
}

// Validate refuses numbers below zero; a limit that is too high is cut.
func (in *messagesIn) Validate() error {
	if in.Since < 0 {
		return proto.BadField("since", "since must be Unix milliseconds")
	}
	return checkLimit(in.Limit)
}

func (s *Service) newestFirst(ctx context.Context, c httpapi.Caller, in messagesIn) (row.MessagePage, error) {
	return s.Messages(ctx, c.User, row.MessageQuery(in))
}

// oldestFirst is the same page turned round: the web client draws it from top to bottom.
func (s *Service) oldestFirst(ctx context.Context, c httpapi.Caller, in messagesIn) (row.MessagePage, error) {
	page, err := s.Messages(ctx, c.User, row.MessageQuery(in))
	slices.Reverse(page.Messages)
	return page, err
}
