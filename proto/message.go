package proto

import "github.com/tolkflip/tolkflip/proto/id"

// Limits of one message, in bytes (or items where said). Beyond one the request is Invalid.
const (
	MaxContent   = 64 << 10 // content and encryptedContent, each
	MaxMediaURLs = 16       // items
	MaxMediaURL  = 2 << 10
	MaxClientID  = 64
	MaxRef       = 64
	MaxFrame     = 1 << 20 // one WebSocket message
	MaxResume    = 1000    // threads of one resume
	MaxHistory   = 100     // messages of one page
	MaxWatch     = 1000    // users of one presence_watch
	MaxLanguage  = 35      // originalLanguage: the longest BCP 47 tag that is to be expected (RFC 5646, 4.4.1)
)

// DefaultLanguage is what a message is read as whose language nobody knows: the apps drop one without.
const DefaultLanguage = "en"

// MessageType is the kind of content. The zero value is text.
type MessageType uint8

// The kinds that every client knows; none other is ever sent.
const (
	Text MessageType = iota
	Image
	Video
	Audio
	File
	VoiceNote
)

// String is the type's name on the wire.
func (t MessageType) String() string {
	switch t {
	case Image:
		return "image"
	case Video:
		return "video"
	case Audio:
		return "audio"
	case File:
		return "file"
	case VoiceNote:
		return "voice_note"
	default:
		return "text"
	}
}

// ParseMessageType reads a client's spelling: absent is text, iOS's voiceNote is voice_note, and an
// unknown one is a file, since Android's client crashes on names it does not know.
func ParseMessageType[S ~string | ~[]byte](s S) MessageType {
	switch string(s) {
	case "", "text":
		return Text
	case "image":
		return Image
	case "video":
		return Video
	case "audio":
		return Audio
	case "voice_note", "voiceNote":
		return VoiceNote
	default:
		return File
	}
}

// Message is one message of a thread, as the log keeps it and as events carry it. Byte slices belong to
// whoever handed the Message over, and are valid as long as that place says.
type Message struct {
	ID        id.Message
	Thread    id.Thread
	Seq       uint64 // dense per thread, from 1; given by the log
	Sender    id.User
	Receiver  id.User // absent in a group
	Type      MessageType
	Sent      int64  // Unix milliseconds, by the server's clock
	ClientID  []byte // clientMessageId, as the sender gave it
	Content   []byte
	Language  []byte // originalLanguage: as the sender gave it, else the sender's own; absent when that is not known
	Encrypted []byte // encryptedContent, base64 text as it came
	MediaURLs [][]byte
	ReplyTo   id.Message
}

// Group reports whether the message was written in a group.
func (m *Message) Group() bool { return m.Receiver.IsZero() }
