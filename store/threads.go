package store

import (
	"context"
	"unicode/utf8"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
)

// Thread is what is known of a conversation itself.
type Thread struct {
	ID      id.Thread
	Group   bool
	A, B    id.User // the two of a direct thread, in byte order; absent in a group
	Created int64
	Head    uint64 // newest durable seq
	Last    Preview
}

// Preview is the newest message of a thread, for lists. It may lag the log by up to two seconds.
type Preview struct {
	Seq    uint64
	Sent   int64
	Sender id.User
	Type   proto.MessageType
	Text   string // the first 100 characters; empty when the message is encrypted
}

// PreviewOf makes the preview of m.
func PreviewOf(m *Message) Preview {
	p := Preview{Seq: m.Seq, Sent: m.Sent, Sender: m.Sender, Type: m.Type}
	if len(m.Encrypted) > 0 {
		return p
	}
	n, at := 0, 0
	for at < len(m.Content) && n < 100 {
		_, size := utf8.DecodeRune(m.Content[at:])
		at += size
		n++
	}
	p.Text = string(m.Content[:at])
	return p
}

// ThreadOf is a thread as one of its members lists it.
type ThreadOf struct {
	Thread
	Peer id.User // the other person of a direct thread
}

// ThreadSettings are one member's wishes for a thread.
type ThreadSettings struct {
	PreferredLanguage string
	ShowOriginal      bool
	DetectEmotion     bool
}

// DefaultThreadSettings are those of a member who never set any.
func DefaultThreadSettings() ThreadSettings { return ThreadSettings{ShowOriginal: true} }

// ThreadSettingsPatch names the settings to change; nil leaves one as it is.
type ThreadSettingsPatch struct {
	PreferredLanguage *string
	ShowOriginal      *bool
	DetectEmotion     *bool
}

// Apply makes p's changes to s.
func (p ThreadSettingsPatch) Apply(s *ThreadSettings) {
	set(&s.PreferredLanguage, p.PreferredLanguage)
	set(&s.ShowOriginal, p.ShowOriginal)
	set(&s.DetectEmotion, p.DetectEmotion)
}

// Threads lists conversations. A direct thread's row comes into being with its first message, in the
// same write (see Log); a group's with Groups.Create.
type Threads interface {
	// Get is ErrNotFound for a thread without a message that is not a group.
	Get(ctx context.Context, t id.Thread) (Thread, error)
	// ByUser lists the user's direct and group threads, most recent first (by Last.Sent, or Created where
	// no message is), at most limit of them, those after the position that an earlier call gave as next.
	// A nil next means that there are no more. ErrPosition for bytes that no call ever gave: positions pass
	// through clients.
	ByUser(ctx context.Context, u id.User, after []byte, limit int) (list []ThreadOf, next []byte, err error)
	// Peers lists the people whom the user shares a direct thread with, most recent first, at most limit.
	Peers(ctx context.Context, u id.User, limit int) ([]id.User, error)
	// Settings gives defaults (the zero value, ShowOriginal true) where none were stored.
	Settings(ctx context.Context, t id.Thread, u id.User) (ThreadSettings, error)
	// SetSettings changes the named settings and returns the result.
	SetSettings(ctx context.Context, t id.Thread, u id.User, p ThreadSettingsPatch) (ThreadSettings, error)
}

// Cursor is how far a member got in a thread.
type Cursor struct {
	Delivered uint64 // a device of the member holds all up to here
	Read      uint64 // never above Delivered
}

// CursorOf is a member's cursor.
type CursorOf struct {
	User id.User
	Cursor
}

// Forward gives c moved forward to where to is higher; a Read above Delivered moves both.
func (c Cursor) Forward(to Cursor) Cursor {
	c.Read = max(c.Read, to.Read)
	c.Delivered = max(c.Delivered, to.Delivered, c.Read)
	return c
}

// Cursors keeps positions, not flags: they only move forward.
type Cursors interface {
	// Advance moves each part of the cursor forward to c where c is higher (a Read above Delivered moves
	// both), and returns the cursor before and after. It need not be durable when it returns: a crash may
	// lose the last second of movement, which the clients report again.
	Advance(ctx context.Context, t id.Thread, u id.User, c Cursor) (before, after Cursor, err error)
	// Of gives one member's cursors in several threads, zero where there is none, in the same order.
	Of(ctx context.Context, u id.User, threads []id.Thread) ([]Cursor, error)
	// In gives the cursors of a thread's members, at most limit.
	In(ctx context.Context, t id.Thread, limit int) ([]CursorOf, error)
}
