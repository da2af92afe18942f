package ws

import (
	"bytes"
	"strings"
	"testing"
	"unsafe"
)

func testMask() [4]byte { return [4]byte{0x37, 0xfa, 0x21, 0x3d} }

// piece is one client frame to be written.
type piece struct {
	op      Op
	fin     bool
	payload string
}

func wire(pieces ...piece) (b []byte) {
	for _, p := range pieces {
		b = AppendMaskedFrame(b, p.op, p.fin, testMask(), []byte(p.payload))
	}
	return b
}

// got is what a connection was given: a message or a control frame.
type got struct {
	op      Op
	payload string
}

// read does what a connection does with b when it comes in the given pieces: it keeps what is not a whole
// frame, and puts fragments together.
func read(s *State, limit int, chunks ...[]byte) (out []got, rest int, err *Error) {
	var in, message []byte
	for _, chunk := range chunks {
		in = append(in, chunk...)
		for {
			before := *s
			f, n, err := s.Next(in, limit)
			if err != nil {
				return out, len(in), err
			}
			if n == 0 {
				if *s != before {
					panic("state changed without a frame")
				}
				break
			}
			in = in[n:]
			switch {
			case f.Op.Control() || f.Whole():
				out = append(out, got{f.Op, string(f.Payload)})
			case f.Fin:
				out = append(out, got{f.Op, string(message) + string(f.Payload)})
				message = nil
			default:
				message = append(message, f.Payload...)
			}
		}
	}
	return out, len(in), nil
}

func equal(a, b []got) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestStateIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(State{}); size != 8 {
		t.Errorf("State is %d bytes, the slot has room for 8", size)
	}
}

func TestNextMessages(t *testing.T) {
	euro := "\u20ac"
	tests := []struct {
		name   string
		pieces []piece
		want   []got
	}{
		{"text", []piece{{Text, true, "hello"}}, []got{{Text, "hello"}}},
		{"empty text", []piece{{Text, true, ""}}, []got{{Text, ""}}},
		{"binary is not text", []piece{{Binary, true, "\xff\xfe"}}, []got{{Binary, "\xff\xfe"}}},
		{"two", []piece{{Text, true, "a"}, {Binary, true, "b"}}, []got{{Text, "a"}, {Binary, "b"}}},
		{"64 KiB", []piece{{Text, true, strings.Repeat("x", 65536)}}, []got{{Text, strings.Repeat("x", 65536)}}},
		{"fragments", []piece{{Text, false, "a"}, {Continuation, false, "b"}, {Continuation, true, "c"}}, []got{{Text, "abc"}}},
		{"empty fragments", []piece{{Text, false, ""}, {Continuation, false, ""}, {Continuation, true, ""}}, []got{{Text, ""}}},
		{"binary fragments", []piece{{Binary, false, "\xff"}, {Continuation, true, "\xfe"}}, []got{{Binary, "\xff\xfe"}}},
		{
			"control between fragments",
			[]piece{{Text, false, "a"}, {Ping, true, "p"}, {Continuation, true, "b"}, {Pong, true, ""}},
			[]got{{Ping, "p"}, {Text, "ab"}, {Pong, ""}},
		},
		{
			"character cut by fragments",
			[]piece{{Text, false, euro[:1]}, {Continuation, false, euro[1:2]}, {Continuation, true, euro[2:]}, {Text, true, euro}},
			[]got{{Text, euro}, {Text, euro}},
		},
		{"close", []piece{{Close, true, "\x03\xe8bye"}}, []got{{Close, "\x03\xe8bye"}}},
		{"close without a code", []piece{{Close, true, ""}}, []got{{Close, ""}}},
		{"ping of 125", []piece{{Ping, true, strings.Repeat("p", 125)}}, []got{{Ping, strings.Repeat("p", 125)}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := wire(test.pieces...)
			var s State
			out, rest, err := read(&s, 1<<20, b)
			if err != nil || rest != 0 || !equal(out, test.want) {
				t.Fatalf("%q, %d bytes left, %v; want %q", out, rest, err, test.want)
			}
			if s != (State{}) {
				t.Errorf("state after whole messages is %+v", s)
			}
			if len(b) > 1000 {
				return
			}
			var single [][]byte
			for i := range b {
				single = append(single, wire(test.pieces...)[i:i+1])
			}
			if out, rest, err = read(new(State), 1<<20, single...); err != nil || rest != 0 || !equal(out, test.want) {
				t.Fatalf("byte by byte: %q, %d bytes left, %v; want %q", out, rest, err, test.want)
			}
		})
	}
}

func TestNextRules(t *testing.T) {
	tests := []struct {
		name string
		in   []byte
		want *Error
	}{
		{"no mask", AppendFrame(nil, Text, []byte("hi")), errUnmasked},
		{"no mask in a control frame", AppendFrame(nil, Ping, nil), errUnmasked},
		{"RSV1", []byte{0xc1, 0x80}, errReserved},
		{"RSV2", []byte{0xa1, 0x80}, errReserved},
		{"RSV3 in a control frame", []byte{0x99, 0x80}, errReserved},
		{"opcode 3", []byte{0x83, 0x80}, errOpcode},
		{"opcode 7", []byte{0x87, 0x80}, errOpcode},
		{"opcode 11", []byte{0x8b, 0x80}, errOpcode},
		{"opcode 15", []byte{0x8f, 0x80}, errOpcode},
		{"ping of 126", []byte{0x89, 0xfe}, errControlSize},
		{"close of 64-bit length", []byte{0x88, 0xff}, errControlSize},
		{"ping without FIN", []byte{0x09, 0x80}, errControlFin},
		{"close without FIN", []byte{0x08, 0x80}, errControlFin},
		{"continuation of nothing", []byte{0x80, 0x80}, errContinuation},
		{"continuation of nothing, not last", []byte{0x00, 0x80}, errContinuation},
		{"continuation after a whole message", wire(piece{Text, true, "a"}, piece{Continuation, true, "b"}), errContinuation},
		{"text in a fragmented message", wire(piece{Text, false, "a"}, piece{Text, true, "b"}), errInterleaved},
		{"binary in a fragmented message", wire(piece{Text, false, "a"}, piece{Binary, false, "b"}), errInterleaved},
		{"length with top bit", []byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0}, errLength},
		{"declared over the limit", []byte{0x82, 0xfe, 0x01, 0x01, 0, 0, 0, 0}, errTooBig},
		{"declared 2^63-1", []byte{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, errTooBig},
		{"one byte over the limit in fragments", wire(piece{Text, false, strings.Repeat("a", 256)}, piece{Continuation, true, "b"})[:256+8+6], errTooBig},
		{"not UTF-8", wire(piece{Text, true, "a\xffb"}), errNotUTF8},
		{"surrogate", wire(piece{Text, true, "\xed\xa0\x80"}), errNotUTF8},
		{"overlong", wire(piece{Text, true, "\xc0\xaf"}), errNotUTF8},
		{"beyond U+10FFFF", wire(piece{Text, true, "\xf4\x90\x80\x80"}), errNotUTF8},
		{"character not finished", wire(piece{Text, true, "\xe2\x82"}), errNotUTF8},
		{"not UTF-8 in the first fragment", wire(piece{Text, false, "\xff"}), errNotUTF8},
		{"character not finished by the last fragment", wire(piece{Text, false, "\xe2"}, piece{Continuation, true, "\x82"}), errNotUTF8},
		{"cut character continued wrongly", wire(piece{Text, false, "\xe2"}, piece{Continuation, false, "a"}), errNotUTF8},
		{"close of one byte", wire(piece{Close, true, "\x03"}), errClosePayload},
		{"close 1005", wire(piece{Close, true, "\x03\xed"}), errCloseCode},
		{"close 999", wire(piece{Close, true, "\x03\xe7"}), errCloseCode},
		{"close reason not UTF-8", wire(piece{Close, true, "\x03\xe8\xff"}), errCloseNotUTF8},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, _, err := read(new(State), 256, test.in); err != test.want {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

func TestNextRefusesByTheFirstTwoBytes(t *testing.T) {
	for b0 := range 256 {
		for b1 := range 256 {
			b := []byte{byte(b0), byte(b1)}
			_, n, err := new(State).Next(b, 1<<20)
			op := Op(b0 & 15)
			bad := b0&0x70 != 0 || b1&0x80 == 0 || op == Continuation || op > Binary && op < Close || op > Pong ||
				op.Control() && (b0&0x80 == 0 || b1&0x7f > MaxControl)
			if n != 0 || (err != nil) != bad || bad && err.Code != CloseProtocol {
				t.Fatalf("% x: %d, %v; bad: %v", b, n, err, bad)
			}
		}
	}
}

func TestNextLimit(t *testing.T) {
	full := strings.Repeat("a", 256)
	for _, pieces := range [][]piece{
		{{Text, true, full}},
		{{Text, false, full[:200]}, {Continuation, true, full[200:]}},
		{{Text, false, full}, {Ping, true, full[:125]}, {Continuation, true, ""}},
	} {
		var s State
		if out, _, err := read(&s, 256, wire(pieces...)); err != nil || out[len(out)-1].payload != full {
			t.Errorf("a message of just the limit: %v", err)
		}
	}
	var s State
	if _, _, err := read(&s, 256, wire(piece{Binary, false, full})); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Next(wire(piece{Continuation, true, ""}), 100); err != nil {
		t.Errorf("empty fragment after the limit was lowered: %v", err)
	}
}

func TestNextUnmasksInPlaceAndLeavesTheRest(t *testing.T) {
	b := wire(piece{Text, true, "hello"}, piece{Text, true, "world"})
	second := bytes.Clone(b[len(b)/2:])
	f, n, err := new(State).Next(b, 100)
	if err != nil || n != len(b)/2 || &f.Payload[0] != &b[6] || !f.Whole() {
		t.Fatalf("%+v, %d, %v", f, n, err)
	}
	_ = append(f.Payload, "xxxxxxxx"...)
	if !bytes.Equal(b[n:], second) {
		t.Error("the second frame was touched")
	}
}

func TestNextNeedMoreTouchesNothing(t *testing.T) {
	b := wire(piece{Text, false, "hello"}, piece{Continuation, true, "world"})
	for cut := range 11 {
		in := bytes.Clone(b[:cut])
		var s State
		if _, n, err := s.Next(in, 100); n != 0 || err != nil || s != (State{}) || !bytes.Equal(in, b[:cut]) {
			t.Fatalf("after %d bytes: %d, %v, %+v", cut, n, err, s)
		}
	}
}

func TestFragmented(t *testing.T) {
	var s State
	if s.Fragmented() {
		t.Error("a new connection has a fragmented message")
	}
	f, _, err := s.Next(wire(piece{Text, false, "a"}), 10)
	if err != nil || !s.Fragmented() || f.Whole() || !f.First || f.Fin {
		t.Errorf("first fragment: %+v, %v", f, err)
	}
	f, _, err = s.Next(wire(piece{Continuation, true, "a"}), 10)
	if err != nil || s.Fragmented() || f.Whole() || f.First || !f.Fin || f.Op != Text {
		t.Errorf("last fragment: %+v, %v", f, err)
	}
}
