package row

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/tolkflip/tolkflip/proto"
)

// maxPosition is the longest page position that is read, in bytes.
const maxPosition = 256

// FormatPosition makes the text of a page position; an absent one is null.
func FormatPosition(p []byte) *string {
	if len(p) == 0 {
		return nil
	}
	s := hex.EncodeToString(p)
	return &s
}

// ParsePosition reads what FormatPosition made; an empty text is an absent position.
func ParsePosition(s string) ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	if len(s) > 2*maxPosition {
		return nil, BadPosition()
	}
	p, err := hex.DecodeString(s)
	if err != nil {
		return nil, BadPosition()
	}
	return p, nil
}

// SeqPosition is the position of a page of messages that ends above seq.
func SeqPosition(seq uint64) []byte {
	return binary.BigEndian.AppendUint64(nil, seq)
}

// ParseSeqPosition reads SeqPosition's text; 0 is from the newest message.
func ParseSeqPosition(s string) (uint64, error) {
	p, err := ParsePosition(s)
	if err != nil || len(p) == 0 {
		return 0, err
	}
	if len(p) != 8 || binary.BigEndian.Uint64(p) == 0 {
		return 0, BadPosition()
	}
	return binary.BigEndian.Uint64(p), nil
}

// BadPosition is the error about a position that no page gave.
func BadPosition() error {
	return proto.BadField("pageState", "pageState is not one that this server gave")
}
