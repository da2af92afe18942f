package ws

import (
	"encoding/binary"

	"github.com/gobwas/ws"
)

// Op is a frame's opcode (RFC 6455, section 5.2).
type Op uint8

// The opcodes that are defined; every other one is refused.
const (
	Continuation Op = 0x0
	Text         Op = 0x1
	Binary       Op = 0x2
	Close        Op = 0x8
	Ping         Op = 0x9
	Pong         Op = 0xA
)

// Control reports whether frames of this opcode are control frames.
func (o Op) Control() bool { return o&0x8 != 0 }

const (
	// MaxHeader is the length in bytes of the longest header that a server writes.
	MaxHeader = 10
	// MaxControl is the longest payload of a control frame in bytes.
	MaxControl = 125
)

// Status is how far a parser came with the bytes it was given.
type Status uint8

// The statuses.
const (
	NeedMore  Status = iota // what is there is fine and not all
	Ready                   // whole
	TooLarge                // will not be read: over the limit
	Malformed               // will never be right, whatever follows
)

// Header is a frame's header.
type Header struct {
	Length   uint64 // payload bytes, below 1<<63
	Mask     [4]byte
	Op       Op
	Reserved uint8 // RSV1 to RSV3 as a number
	Fin      bool
	Masked   bool
}

// ParseHeader reads the header at the start of b and gives its length n in bytes. It checks nothing but the
// 64-bit length's top bit, for which it reports Malformed: [State.Next] has the rules.
func ParseHeader(b []byte) (h Header, n int, s Status) {
	if len(b) < 2 {
		return h, 0, NeedMore
	}
	h.Fin = b[0]&0x80 != 0
	h.Reserved = b[0] >> 4 & 7
	h.Op = Op(b[0] & 0x0f)
	h.Masked = b[1]&0x80 != 0
	h.Length = uint64(b[1] & 0x7f)
	n = 2
	switch h.Length {
	case 126:
		if len(b) < 4 {
			return h, 0, NeedMore
		}
		h.Length = uint64(binary.BigEndian.Uint16(b[2:]))
		n = 4
	case 127:
		if len(b) < 10 {
			return h, 0, NeedMore
		}
		h.Length = binary.BigEndian.Uint64(b[2:])
		if h.Length>>63 != 0 {
			return h, 0, Malformed
		}
		n = 10
	}
	if h.Masked {
		if len(b) < n+4 {
			return h, 0, NeedMore
		}
		h.Mask = [4]byte(b[n:])
		n += 4
	}
	return h, n, Ready
}

// FrameSize is the length in bytes of the whole frame at the start of b, so that a buffer can be made for a
// frame of which only a part has come. ok is false while its header is not whole. Call it after State.Next
// asked for more: then the size is known to be within that call's limit.
func FrameSize(b []byte) (size int, ok bool) {
	h, n, s := ParseHeader(b)
	if s != Ready || h.Length > 1<<62 {
		return 0, false
	}
	return n + int(h.Length), true
}

// Unmask applies the mask to payload in place; the same call masks. at is the position of payload[0] in its
// frame, for a payload that comes in pieces.
func Unmask(payload []byte, mask [4]byte, at int) { ws.Cipher(payload, mask, at) }

// AppendHeader adds the header of a server's frame: FIN set, no mask, n payload bytes to follow.
func AppendHeader(dst []byte, op Op, n int) []byte {
	b0 := 0x80 | byte(op)
	switch {
	case n < 126:
		return append(dst, b0, byte(n))
	case n < 1<<16:
		return append(dst, b0, 126, byte(n>>8), byte(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, b0, 127), uint64(n))
	}
}

// PutHeader writes the header of a server's frame of n payload bytes to the end of gap, which must be
// MaxHeader bytes, and gives the index in gap at which it starts. So a payload can be encoded behind a gap
// before its length is known, and header and payload still are one slice.
func PutHeader(gap []byte, op Op, n int) (start int) {
	gap = gap[:MaxHeader]
	var b [MaxHeader]byte
	start = MaxHeader - copy(b[:], AppendHeader(b[:0], op, n))
	copy(gap[start:], b[:])
	return start
}

// AppendFrame adds a server's whole frame.
func AppendFrame(dst []byte, op Op, payload []byte) []byte {
	return append(AppendHeader(dst, op, len(payload)), payload...)
}

// AppendMaskedFrame adds a client's frame. fin is false for all fragments of a message but the last.
func AppendMaskedFrame(dst []byte, op Op, fin bool, mask [4]byte, payload []byte) []byte {
	at := len(dst)
	dst = AppendHeader(dst, op, len(payload))
	if !fin {
		dst[at] &^= 0x80
	}
	dst[at+1] |= 0x80
	dst = append(dst, mask[:]...)
	at = len(dst)
	dst = append(dst, payload...)
	Unmask(dst[at:], mask, 0)
	return dst
}
