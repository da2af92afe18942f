package threadlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// A message in the ring of newest ones: id, sender, receiver, replyTo, type, sent, number of media, then
// each text as its length and its bytes. It never leaves memory, so it has no version.
const recordFixed = 4*16 + 1 + 8 + 2

// recordLen is the exact length of m's record.
func recordLen(m *store.Message) int {
	n := recordFixed + 4*4 + len(m.ClientID) + len(m.Content) + len(m.Language) + len(m.Encrypted)
	for _, u := range m.MediaURLs {
		n += 4 + len(u)
	}
	return n
}

// appendRecord appends m's record to b.
func appendRecord(b []byte, m *store.Message) []byte {
	b = append(b, m.ID.ID[:]...)
	b = append(b, m.Sender.ID[:]...)
	b = append(b, m.Receiver.ID[:]...)
	b = append(b, m.ReplyTo.ID[:]...)
	b = append(b, byte(m.Type))
	b = binary.LittleEndian.AppendUint64(b, uint64(m.Sent))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(m.MediaURLs)))
	b = appendBytes(b, m.ClientID)
	b = appendBytes(b, m.Content)
	b = appendBytes(b, m.Language)
	b = appendBytes(b, m.Encrypted)
	for _, u := range m.MediaURLs {
		b = appendBytes(b, u)
	}
	return b
}

func appendBytes(b, text []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(text)))
	return append(b, text...)
}

var errRecord = errors.New("threadlog: a message in memory cannot be read")

// decodeRecord reads a record into m, but for thread and seq; m's slices alias it.
func decodeRecord(m *store.Message, b []byte) error {
	if len(b) < recordFixed {
		return errRecord
	}
	for _, v := range []*id.ID{&m.ID.ID, &m.Sender.ID, &m.Receiver.ID, &m.ReplyTo.ID} {
		b = b[copy(v[:], b):]
	}
	m.Type = proto.MessageType(b[0])
	m.Sent = int64(binary.LittleEndian.Uint64(b[1:]))
	media := int(binary.LittleEndian.Uint16(b[9:]))
	b = b[11:]
	ok := true
	text := func() (t []byte) {
		if len(b) < 4 || uint64(len(b)-4) < uint64(binary.LittleEndian.Uint32(b)) {
			ok = false
			return nil
		}
		n := int(binary.LittleEndian.Uint32(b))
		t, b = b[4:4+n:4+n], b[4+n:]
		if n == 0 {
			return nil
		}
		return t
	}
	m.ClientID, m.Content, m.Language, m.Encrypted = text(), text(), text(), text()
	if media > len(b)/4 {
		return errRecord
	}
	if media > 0 {
		m.MediaURLs = make([][]byte, media)
		for i := range m.MediaURLs {
			m.MediaURLs[i] = text()
		}
	}
	if !ok || len(b) > 0 {
		return errRecord
	}
	return nil
}

// bodyHash is the hash of what a retry of m must repeat, the parts that store.WriteBody names; it uses and
// gives back scratch, so that nothing is allocated.
func bodyHash(scratch []byte, m *store.Message) (Hash, []byte) {
	b := append(scratch[:0], byte(m.Type))
	b = appendBytes(b, m.Content)
	b = appendBytes(b, m.Encrypted)
	b = append(b, byte(len(m.MediaURLs)))
	for _, u := range m.MediaURLs {
		b = appendBytes(b, u)
	}
	b = append(b, m.ReplyTo.ID[:]...)
	sum := sha256.Sum256(b)
	return Hash(sum[:16]), b
}

// own gives m memory of its own.
func own(m *store.Message) {
	m.Content, m.Encrypted = bytes.Clone(m.Content), bytes.Clone(m.Encrypted)
	m.ClientID, m.Language = bytes.Clone(m.ClientID), bytes.Clone(m.Language)
	urls := make([][]byte, len(m.MediaURLs))
	for i, u := range m.MediaURLs {
		urls[i] = bytes.Clone(u)
	}
	m.MediaURLs = urls
}
