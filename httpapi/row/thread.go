package row

import (
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// Thread is one conversation as one of its members lists it: one row a thread, whatever was written in
// it. LastMessageTime is when the thread was made where nothing was written yet.
type Thread struct {
	ParticipantID      id.User   `json:"participant_id"`
	LastMessageTime    Time      `json:"last_message_time"`
	ThreadID           id.Thread `json:"thread_id"`
	CreatedAt          Time      `json:"created_at"`
	IsArchived         bool      `json:"is_archived"`
	LastMessagePreview string    `json:"last_message_preview"`
	LastMessageType    string    `json:"last_message_type"`
	LastSenderID       *id.User  `json:"last_sender_id"`
	OtherParticipantID *id.User  `json:"other_participant_id"`
	ThreadType         string    `json:"thread_type"`
	UnreadCount        uint64    `json:"unread_count"`
	Seq                uint64    `json:"seq"`
	ReadSeq            uint64    `json:"read_seq"`
	Name               string    `json:"name"`
	AvatarURL          string    `json:"avatar_url"`
}

// OfThread makes the row of a thread for a member with a cursor. Name and avatar are left empty.
func OfThread(member id.User, t *store.ThreadOf, c store.Cursor) Thread {
	r := Thread{
		ParticipantID: member, ThreadID: t.ID, CreatedAt: Time(t.Created), LastMessageTime: Time(t.Created),
		LastMessagePreview: Preview(&t.Last), LastMessageType: t.Last.Type.String(),
		ThreadType: "direct", Seq: t.Head, ReadSeq: c.Read,
	}
	if t.Last.Sent != 0 {
		r.LastMessageTime = Time(t.Last.Sent)
	}
	if !t.Last.Sender.IsZero() {
		u := t.Last.Sender
		r.LastSenderID = &u
	}
	if t.Head > c.Read {
		r.UnreadCount = t.Head - c.Read
	}
	if t.Group {
		r.ThreadType = "group"
	} else {
		u := t.Peer
		r.OtherParticipantID = &u
	}
	return r
}
