package messagestore

import (
	"context"
	"slices"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/httpapi/row"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router/chat"
	"github.com/tolkflip/tolkflip/store"
)

// postIn has every key in both spellings. Where both come, the snake_case one counts.
type postIn struct {
	ThreadID         id.Thread  `json:"thread_id"`
	ThreadCamel      id.Thread  `json:"threadId"`
	SenderID         id.User    `json:"sender_id"`
	SenderCamel      id.User    `json:"senderId"`
	ReceiverID       id.User    `json:"receiver_id"`
	ReceiverCamel    id.User    `json:"receiverId"`
	Content          string     `json:"content"`
	MessageType      string     `json:"message_type"`
	TypeCamel        string     `json:"messageType"`
	OriginalLanguage string     `json:"original_language"`
	LanguageCamel    string     `json:"originalLanguage"`
	EncryptedContent string     `json:"encrypted_content"`
	EncryptedCamel   string     `json:"encryptedContent"`
	MediaURLs        []string   `json:"media_urls"`
	MediaCamel       []string   `json:"mediaUrls"`
	ReplyTo          id.Message `json:"reply_to"`
	ReplyCamel       id.Message `json:"replyTo"`
	ClientMessageID  string     `json:"client_message_id"`
	ClientCamel      string     `json:"clientMessageId"`
	TempMessageID    string     `json:"tempMessageId"`
	MessageID        string     `json:"message_id"`
	MessageCamel     string     `json:"messageId"`
}

type postOut struct {
	Success         bool        `json:"success"`
	MessageID       id.Message  `json:"message_id"`
	MessageCamel    id.Message  `json:"messageId"`
	ThreadID        id.Thread   `json:"threadId"`
	Seq             uint64      `json:"seq"`
	ClientMessageID string      `json:"clientMessageId,omitempty"`
	Timestamp       int64       `json:"timestamp"`
	Duplicate       bool        `json:"duplicate"`
	Message         row.Message `json:"message"`
}

// Validate refuses media without an address. The rules judge the rest.
func (in *postIn) Validate() error {
	for field, urls := range map[string][]string{"media_urls": in.MediaURLs, "mediaUrls": in.MediaCamel} {
		if slices.Contains(urls, "") {
			return proto.BadField(field, field+" must not hold empty texts")
		}
	}
	return nil
}

// first is the first value that is not zero.
func first[T comparable](values ...T) T {
	var zero T
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}

func (s *Service) post(ctx context.Context, c httpapi.Caller, in postIn) (postOut, error) {
	for field, u := range map[string]id.User{"sender_id": in.SenderID, "senderId": in.SenderCamel} {
		if !u.IsZero() && u != c.User {
			return postOut{}, &proto.Error{Code: proto.Forbidden, Field: field, Message: "Unauthorized"}
		}
	}
	p := in.draft()
	sent, err := s.rules.Post(ctx, c.User, p)
	if err != nil {
		return postOut{}, err
	}
	return postOut{
		Success: true, MessageID: sent.Message, MessageCamel: sent.Message, ThreadID: sent.Thread, Seq: sent.Seq,
		ClientMessageID: string(p.Draft.ClientID), Timestamp: sent.Sent, Duplicate: sent.Duplicate,
		Message: s.row(ctx, c.User, &p, &sent),
	}, nil
}

// row is the message as it is kept: what was sent, or for a retry the first one and how far it got. It is
// durable by now, so a read that fails must not make the post look failed.
func (s *Service) row(ctx context.Context, from id.User, p *chat.Post, sent *chat.Sent) row.Message {
	if sent.Duplicate {
		next := row.FormatPosition(row.SeqPosition(sent.Seq + 1))
		page, err := s.lists.Messages(ctx, from, row.MessageQuery{Thread: sent.Thread, Limit: 1, PageState: *next})
		if err == nil && len(page.Messages) == 1 {
			return page.Messages[0]
		}
	}
	return row.Of(&store.Message{
		ID: sent.Message, Thread: sent.Thread, Seq: sent.Seq, Sender: from, Receiver: sent.Receiver, Sent: sent.Sent,
		Type: p.Draft.Type, ClientID: p.Draft.ClientID, Content: p.Draft.Content, Language: []byte(sent.Language),
		Encrypted: p.Draft.Encrypted, MediaURLs: p.Draft.MediaURLs, ReplyTo: p.Draft.ReplyTo,
	}, row.Sent)
}

// draft is what a body asks to be sent.
func (in *postIn) draft() chat.Post {
	media := in.MediaURLs
	if media == nil {
		media = in.MediaCamel
	}
	p := chat.Post{
		Thread: first(in.ThreadID, in.ThreadCamel), Receiver: first(in.ReceiverID, in.ReceiverCamel),
		Draft: proto.Draft{
			ClientID:  bytesOf(first(in.ClientMessageID, in.ClientCamel, in.TempMessageID, in.MessageID, in.MessageCamel)),
			Type:      proto.ParseMessageType(first(in.MessageType, in.TypeCamel)),
			Content:   bytesOf(in.Content),
			Language:  bytesOf(first(in.OriginalLanguage, in.LanguageCamel)),
			Encrypted: bytesOf(first(in.EncryptedContent, in.EncryptedCamel)),
			ReplyTo:   first(in.ReplyTo, in.ReplyCamel),
		},
	}
	for _, u := range media {
		p.Draft.MediaURLs = append(p.Draft.MediaURLs, []byte(u))
	}
	return p
}

// bytesOf gives nil for an empty text.
func bytesOf(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

type (
	statusIn struct {
		Thread  id.Thread  `path:"threadId" missing:"Thread not found" json:"-"`
		Message id.Message `path:"messageId" missing:"Message not found" json:"-"`
		Status  string     `json:"status"`
	}
	statusOut struct {
		Success bool `json:"success"`
	}
)

// Validate refuses what no message can be in.
func (in *statusIn) Validate() error {
	switch row.Status(in.Status) {
	case row.Sent, row.Delivered, row.Read:
		return nil
	default:
		return proto.BadField("status", "status must be sent, delivered or read")
	}
}

// status moves the caller's cursor up to a message. It only ever moves forward, so sent changes nothing.
func (s *Service) status(ctx context.Context, c httpapi.Caller, in statusIn) (statusOut, error) {
	if err := s.rules.Member(ctx, in.Thread, c.User); err != nil {
		return statusOut{}, err
	}
	var err error
	switch row.Status(in.Status) {
	case row.Delivered:
		err = s.rules.MarkDelivered(ctx, c.User, in.Thread, 0, in.Message)
	case row.Read:
		err = s.rules.MarkRead(ctx, c.User, in.Thread, 0, in.Message)
	case row.Sent:
	}
	return statusOut{Success: true}, err
}

type (
	listIn struct {
		Thread    id.Thread `path:"threadId" missing:"Thread not found" json:"-"`
		Limit     int       `query:"limit" json:"-"`
		PageState string    `query:"pageState" json:"-"`
		Since     int64     `query:"since" json:"-"`
	}
	threadsIn struct {
		User      id.User `path:"userId" missing:"User not found" json:"-"`
		Limit     int     `query:"limit" json:"-"`
		PageState string  `query:"pageState" json:"-"`
	}
)

// Validate refuses numbers below zero; a limit that is too high is cut.
func (in *listIn) Validate() error {
	if in.Since < 0 {
		return proto.BadField("since", "since must be Unix milliseconds")
	}
	return checkLimit(in.Limit)
}

// Validate refuses a negative limit; one that is too high is cut.
func (in *threadsIn) Validate() error { return checkLimit(in.Limit) }

func checkLimit(limit int) error {
	if limit < 0 {
		return proto.BadField("limit", "limit must not be negative")
	}
	return nil
}

func (s *Service) list(ctx context.Context, c httpapi.Caller, in listIn) (row.MessagePage, error) {
	return s.lists.Messages(ctx, c.User, row.MessageQuery(in))
}

func (s *Service) threads(ctx context.Context, c httpapi.Caller, in threadsIn) (row.ThreadPage, error) {
	if in.User != c.User {
		return row.ThreadPage{}, proto.Fail(proto.Forbidden, "Unauthorized")
	}
	return s.lists.Threads(ctx, c.User, in.Limit, in.PageState)
}
