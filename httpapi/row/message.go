package row

import (
	"strconv"
	"time"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// Time is Unix milliseconds that are written as the clients parse them: 2006-01-02T15:04:05.000Z in
// UTC, and null for 0.
type Time int64

// MarshalJSON writes the ISO form in quotes, or null.
func (t Time) MarshalJSON() ([]byte, error) {
	if t == 0 {
		return []byte("null"), nil
	}
	return time.UnixMilli(int64(t)).UTC().AppendFormat(nil, `"2006-01-02T15:04:05.000Z"`), nil
}

// Status is how far a message got, by name: sent, delivered or read. No client knows any other.
type Status string

// The statuses, in the only order in which they follow each other.
const (
	Sent      Status = "sent"
	Delivered Status = "delivered"
	Read      Status = "read"
)

// Message is one message as a row. Pointers are null where the thing is absent.
type Message struct {
	ThreadID         id.Thread         `json:"thread_id"`
	MessageID        id.Message        `json:"message_id"`
	ClientMessageID  *string           `json:"client_message_id"`
	Content          string            `json:"content"`
	EncryptedContent *string           `json:"encrypted_content"`
	IsGroup          bool              `json:"is_group"`
	MediaURLs        []string          `json:"media_urls"`
	MessageType      string            `json:"message_type"`
	Metadata         Metadata          `json:"metadata"`
	OriginalLanguage string            `json:"original_language"`
	ReceiverID       *id.User          `json:"receiver_id"`
	ReplyTo          *id.Message       `json:"reply_to"`
	SenderID         id.User           `json:"sender_id"`
	Seq              uint64            `json:"seq"`
	Status           Status            `json:"status"`
	Timestamp        Time              `json:"timestamp"`
	Translations     map[string]string `json:"translations"`
}

// Metadata is the row's map of strings; the timestamp in decimal milliseconds is all that it ever held.
type Metadata struct {
	Timestamp string `json:"timestamp"`
}

// Of makes the row of a message. Nothing in it aliases m.
func Of(m *store.Message, s Status) Message {
	r := Message{
		ThreadID: m.Thread, MessageID: m.ID, SenderID: m.Sender, Seq: m.Seq,
		Content: string(m.Content), OriginalLanguage: string(m.Language),
		IsGroup: m.Group(), MediaURLs: make([]string, len(m.MediaURLs)), MessageType: m.Type.String(),
		Metadata: Metadata{Timestamp: strconv.FormatInt(m.Sent, 10)}, Timestamp: Time(m.Sent),
		Status: s, Translations: map[string]string{},
	}
	if r.OriginalLanguage == "" {
		r.OriginalLanguage = proto.DefaultLanguage
	}
	for i, u := range m.MediaURLs {
		r.MediaURLs[i] = string(u)
	}
	if len(m.Encrypted) > 0 {
		e := string(m.Encrypted)
		r.EncryptedContent = &e
	}
	if len(m.ClientID) > 0 {
		c := string(m.ClientID)
		r.ClientMessageID = &c
	}
	if !m.Receiver.IsZero() {
		u := m.Receiver
		r.ReceiverID = &u
	}
	if !m.ReplyTo.IsZero() {
		t := m.ReplyTo
		r.ReplyTo = &t
	}
	return r
}

// Receipts answers for one thread how far any member other than a given one got. It keeps the two best
// positions of each kind with the member who holds the best, which is all that the question needs.
type Receipts struct {
	delivered, read best
}

type best struct {
	user          id.User
	first, second uint64
}

func (b *best) add(u id.User, seq uint64) {
	if seq > b.first {
		b.user, b.first, b.second = u, seq, b.first
	} else if seq > b.second {
		b.second = seq
	}
}

func (b *best) except(u id.User) uint64 {
	if b.user == u {
		return b.second
	}
	return b.first
}

// NewReceipts reads the cursors of a thread's members.
func NewReceipts(cursors []store.CursorOf) Receipts {
	var r Receipts
	for _, c := range cursors {
		r.delivered.add(c.User, c.Delivered)
		r.read.add(c.User, c.Read)
	}
	return r
}

// Status derives the status of a message: the sender's own cursor does not count, save in a thread with
// oneself.
func (r *Receipts) Status(m *store.Message) Status {
	sender := m.Sender
	if m.Sender == m.Receiver {
		sender = id.User{}
	}
	switch {
	case r.read.except(sender) >= m.Seq:
		return Read
	case r.delivered.except(sender) >= m.Seq:
		return Delivered
	default:
		return Sent
	}
}

// Preview is the line of a message in a list of threads. What is encrypted or has no text gets a neutral
// line, so that a list never shows ciphertext and never an empty row.
func Preview(p *store.Preview) string {
	switch {
	case p.Seq == 0 || p.Text != "":
		return p.Text
	case p.Type == proto.Text:
		return "Encrypted message"
	case p.Type == proto.Image:
		return "Photo"
	case p.Type == proto.Video:
		return "Video"
	case p.Type == proto.Audio:
		return "Audio"
	case p.Type == proto.VoiceNote:
		return "Voice message"
	default:
		return "File"
	}
}
