package dialect

import "bytes"

// Kind is what a frame of the server says.
type Kind uint8

// The kinds that load tells apart.
const (
	Other Kind = iota
	Authenticated
	AuthError
	MessageSent
	NewMessage
	MessageError
	Failure // type error
	Presence
	Pong
)

// KindOf reads a frame's type. The member type comes first in what servers send; if it does not, it is
// searched for.
func KindOf(frame []byte) Kind {
	const lead = `{"type":"`
	var name []byte
	if len(frame) > len(lead) && string(frame[:len(lead)]) == lead {
		name = untilQuote(frame[len(lead):])
	} else {
		name, _ = Text(frame, `"type":"`)
	}
	switch string(name) {
	case "new_message":
		return NewMessage
	case "message_sent":
		return MessageSent
	case "presence":
		return Presence
	case "pong":
		return Pong
	case "message_error":
		return MessageError
	case "error":
		return Failure
	case "authenticated":
		return Authenticated
	case "auth_error":
		return AuthError
	default:
		return Other
	}
}

// Text is the string that follows key, which ends with the opening quote, as in `"code":"`. It stops at
// the next quote: load has none inside its strings.
func Text(frame []byte, key string) (value []byte, ok bool) {
	i := bytes.Index(frame, []byte(key))
	if i < 0 {
		return nil, false
	}
	return untilQuote(frame[i+len(key):]), true
}

func untilQuote(b []byte) []byte {
	if i := bytes.IndexByte(b, '"'); i >= 0 {
		return b[:i]
	}
	return nil
}

// Seq is the frame's seq; 0 when it has none.
func Seq(frame []byte) uint64 {
	const key = `"seq":`
	i := bytes.Index(frame, []byte(key))
	if i < 0 {
		return 0
	}
	var v uint64
	for _, c := range frame[i+len(key):] {
		if c < '0' || c > '9' {
			break
		}
		v = v*10 + uint64(c-'0')
	}
	return v
}

// AckStamp is the stamp of a message_sent or message_error.
func AckStamp(frame []byte) (Stamp, bool) { return stampAfter(frame, `"clientMessageId":"`) }

// ContentStamp is the stamp of a new_message.
func ContentStamp(frame []byte) (Stamp, bool) { return stampAfter(frame, `"content":"`) }

func stampAfter(frame []byte, key string) (Stamp, bool) {
	i := bytes.Index(frame, []byte(key))
	if i < 0 {
		return Stamp{}, false
	}
	return ParseStamp(frame[i+len(key):])
}

// PingDue is the time that a pong repeats in its ref.
func PingDue(frame []byte) (due int64, ok bool) {
	ref, ok := Text(frame, `"ref":"`)
	if !ok {
		return 0, false
	}
	v, ok := parseHex(ref)
	return int64(v), ok
}

// Duplicate reports whether a message_sent answers a retry.
func Duplicate(frame []byte) bool { return bytes.Contains(frame, []byte(`"duplicate":true`)) }
