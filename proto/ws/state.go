package ws

import "github.com/bytedance/sonic/utf8"

// State is what a connection has to remember between two frames: whether a fragmented message is under
// way, of which kind, how long it is so far and where in a character its text stands. It is 8 bytes without
// a pointer; the zero value is a connection's first. The owner is whoever reads the connection: there is no
// lock in it.
type State struct {
	length  uint32 // payload bytes of the fragments so far
	message Op     // Text or Binary while a fragmented message is under way, else Continuation
	text    runes
}

// Frame is one whole frame from a client.
type Frame struct {
	// Payload is unmasked, and aliases the bytes that were given to Next. Appending to it does not write
	// over the next frame.
	Payload []byte
	// Op is never Continuation: a fragment has its message's opcode.
	Op    Op
	First bool // begins a message; true in control frames
	Fin   bool // ends a message; true in control frames
}

// Whole reports whether the frame is a message by itself. A frame that is not is one fragment: its payload
// is to be added to a buffer of the caller's, which holds the message once Fin is seen. Control frames may
// come between fragments.
func (f *Frame) Whole() bool { return f.First && f.Fin }

// Fragmented reports whether a fragmented message is under way, so that its buffer must be kept.
func (s *State) Fragmented() bool { return s.message != Continuation }

// Next takes the first frame from b, which holds all unread bytes of the connection. n is the frame's
// length in b. With n = 0 and no error, b has no whole frame yet, and nothing was changed: call again with
// the same bytes and more behind them. The bytes of the frame are unmasked in place, so a frame must not be
// given to Next twice.
//
// A message (all its fragments) of more than limit bytes (below 4 GiB) is refused by the declared length,
// before its bytes have come. A rule of RFC 6455 that can be checked with the first two bytes is checked
// with them. Text is known to be UTF-8 when its last frame is given out, and the payload of a close frame to
// be one that [ParseClose] accepts.
func (s *State) Next(b []byte, limit int) (f Frame, n int, err *Error) {
	if len(b) < 2 {
		return f, 0, nil
	}
	if err = s.check(b[0], b[1]); err != nil {
		return f, 0, err
	}
	h, at, status := ParseHeader(b)
	if status != Ready {
		if status == Malformed {
			err = errLength
		}
		return f, 0, err
	}
	if !h.Op.Control() && h.Length > uint64(max(limit-int(s.length), 0)) {
		return f, 0, errTooBig
	}
	if h.Length > uint64(len(b)-at) {
		return f, 0, nil
	}
	n = at + int(h.Length)
	f = Frame{Payload: b[at:n:n], Op: h.Op, First: true, Fin: h.Fin}
	Unmask(f.Payload, h.Mask, 0)
	switch {
	case h.Op.Control():
		if h.Op == Close {
			_, _, err = ParseClose(f.Payload)
		}
	case h.Fin && h.Op == Text:
		if !utf8.Validate(f.Payload) {
			err = errNotUTF8
		}
	case h.Fin && h.Op == Binary:
	default:
		err = s.fragment(&f)
	}
	if err != nil {
		return Frame{}, 0, err
	}
	return f, n, nil
}

// check applies the rules that a frame's first two bytes can break (RFC 6455, sections 5.1 to 5.5).
func (s *State) check(b0, b1 byte) *Error {
	if b0&0x70 != 0 {
		return errReserved
	}
	if b1&0x80 == 0 {
		return errUnmasked
	}
	switch op := Op(b0 & 0x0f); op {
	case Text, Binary:
		if s.message != Continuation {
			return errInterleaved
		}
	case Continuation:
		if s.message == Continuation {
			return errContinuation
		}
	case Close, Ping, Pong:
		if b0&0x80 == 0 {
			return errControlFin
		}
		if b1&0x7f > MaxControl {
			return errControlSize
		}
	default:
		return errOpcode
	}
	return nil
}

// fragment counts a frame that is not a message by itself and gives it its message's opcode.
func (s *State) fragment(f *Frame) *Error {
	if f.Op != Continuation {
		s.message = f.Op
	} else {
		f.Op, f.First = s.message, false
	}
	s.length += uint32(len(f.Payload))
	if s.message == Text {
		s.text = s.text.through(f.Payload)
		if s.text == notUTF8 || f.Fin && s.text != between {
			return errNotUTF8
		}
	}
	if f.Fin {
		*s = State{}
	}
	return nil
}
