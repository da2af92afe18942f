// Package dialect is the part of the action protocol (JSON over WebSocket) that load consists of. It
// appends and scans by hand, since the generator shares the machine with what it measures: a scan looks for the
// few members that it needs and parses nothing else. Nothing here allocates.
package dialect

// Stamp marks a message: which run, who sent it, the sender's how-manieth it is, and when it was due. It
// is the clientMessageId and the beginning of the content, so that ack and message both say when they were due
// and the generator keeps nothing per message in flight.
type Stamp struct {
	Run    uint32
	Sender int   // below 1<<24
	N      int   // below 1<<32
	Due    int64 // ns on the generator's clock, below 1<<56
}

// StampSize is the length of a stamp's text: rrrrrrrr-ssssss-nnnnnnnn-dddddddddddddd, hexadecimal.
const StampSize = 8 + 1 + 6 + 1 + 8 + 1 + 14

const hexDigits = "0123456789abcdef"

// Append adds the stamp's text.
func (s Stamp) Append(dst []byte) []byte {
	dst = append(appendHex(dst, uint64(s.Run), 8), '-')
	dst = append(appendHex(dst, uint64(s.Sender), 6), '-')
	dst = append(appendHex(dst, uint64(s.N), 8), '-')
	return appendHex(dst, uint64(s.Due), 14)
}

// ParseStamp reads the stamp at the start of b.
func ParseStamp(b []byte) (s Stamp, ok bool) {
	if len(b) < StampSize || b[8] != '-' || b[15] != '-' || b[24] != '-' {
		return s, false
	}
	run, ok1 := parseHex(b[:8])
	sender, ok2 := parseHex(b[9:15])
	n, ok3 := parseHex(b[16:24])
	due, ok4 := parseHex(b[25:39])
	return Stamp{Run: uint32(run), Sender: int(sender), N: int(n), Due: int64(due)}, ok1 && ok2 && ok3 && ok4
}

func appendHex(dst []byte, v uint64, digits int) []byte {
	for i := digits - 1; i >= 0; i-- {
		dst = append(dst, hexDigits[v>>(4*i)&15])
	}
	return dst
}

func parseHex(b []byte) (v uint64, ok bool) {
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
