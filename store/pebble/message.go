package pebble

import (
	"encoding/binary"
	"math/bits"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// A message's value is version, flags, type, id, sender, then what the flags say, each only where it is
// there: receiver, replyTo, client id, language, encrypted, media; then sent and the content, which takes
// the rest. Thread and seq are in the key.
const (
	hasReceiver = 1 << iota
	hasReplyTo
	hasClientID
	hasLanguage
	hasEncrypted
	hasMedia
)

const messageFixed = 1 + 1 + 1 + 16 + 16

// messageLen is the exact length of m's value, and its flags.
func messageLen(m *store.Message) (n int, flags byte) {
	n = messageFixed + varintLen(m.Sent) + len(m.Content)
	if !m.Receiver.IsZero() {
		flags |= hasReceiver
		n += 16
	}
	if !m.ReplyTo.IsZero() {
		flags |= hasReplyTo
		n += 16
	}
	if len(m.ClientID) > 0 {
		flags |= hasClientID
		n += textLen(len(m.ClientID))
	}
	if len(m.Language) > 0 {
		flags |= hasLanguage
		n += textLen(len(m.Language))
	}
	if len(m.Encrypted) > 0 {
		flags |= hasEncrypted
		n += textLen(len(m.Encrypted))
	}
	if len(m.MediaURLs) > 0 {
		flags |= hasMedia
		n += uvarintLen(uint64(len(m.MediaURLs)))
		for _, u := range m.MediaURLs {
			n += textLen(len(u))
		}
	}
	return n, flags
}

func uvarintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

func varintLen(v int64) int { return uvarintLen(uint64(v<<1) ^ uint64(v>>63)) }

func textLen(n int) int { return uvarintLen(uint64(n)) + n }

// appendMessage appends m's value to b.
func appendMessage(b []byte, m *store.Message, flags byte) []byte {
	b = append(b, valueV1, flags, byte(m.Type))
	b = append(b, m.ID.ID[:]...)
	b = append(b, m.Sender.ID[:]...)
	if flags&hasReceiver != 0 {
		b = append(b, m.Receiver.ID[:]...)
	}
	if flags&hasReplyTo != 0 {
		b = append(b, m.ReplyTo.ID[:]...)
	}
	if flags&hasClientID != 0 {
		b = appendText(b, m.ClientID)
	}
	if flags&hasLanguage != 0 {
		b = appendText(b, m.Language)
	}
	if flags&hasEncrypted != 0 {
		b = appendText(b, m.Encrypted)
	}
	if flags&hasMedia != 0 {
		b = binary.AppendUvarint(b, uint64(len(m.MediaURLs)))
		for _, u := range m.MediaURLs {
			b = appendText(b, u)
		}
	}
	b = binary.AppendVarint(b, m.Sent)
	return append(b, m.Content...)
}

// decodeMessage reads a value into m; m's slices alias it.
func decodeMessage(m *store.Message, t id.Thread, seq uint64, value []byte) error {
	r := read(value)
	flags := r.byte()
	*m = store.Message{Thread: t, Seq: seq}
	m.Type = proto.MessageType(r.byte())
	m.ID.ID, m.Sender.ID = r.id(), r.id()
	if flags&hasReceiver != 0 {
		m.Receiver.ID = r.id()
	}
	if flags&hasReplyTo != 0 {
		m.ReplyTo.ID = r.id()
	}
	if flags&hasClientID != 0 {
		m.ClientID = r.bytes()
	}
	if flags&hasLanguage != 0 {
		m.Language = r.bytes()
	}
	if flags&hasEncrypted != 0 {
		m.Encrypted = r.bytes()
	}
	if flags&hasMedia != 0 {
		if n := r.count(); n > 0 {
			m.MediaURLs = make([][]byte, n)
			for i := range m.MediaURLs {
				m.MediaURLs[i] = r.bytes()
			}
		}
	}
	m.Sent = r.int()
	if r.bad || flags >= hasMedia<<1 {
		return errCorrupt
	}
	m.Content = r.b[:len(r.b):len(r.b)]
	return nil
}

// The value of a message id is version, thread, seq.

func idValueLen(seq uint64) int { return 1 + 16 + uvarintLen(seq) }

func appendIDValue(b []byte, t id.Thread, seq uint64) []byte {
	b = append(b, valueV1)
	b = append(b, t.ID[:]...)
	return binary.AppendUvarint(b, seq)
}

func decodeIDValue(b []byte) (t id.Thread, seq uint64, err error) {
	r := read(b)
	t.ID, seq = r.id(), r.uint()
	return t, seq, r.end()
}
