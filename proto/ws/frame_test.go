package ws

import (
	"bytes"
	"fmt"
	"testing"

	gobwas "github.com/gobwas/ws"
)

// lengths are the payload lengths around which the header changes its form.
func lengths() []int {
	return []int{0, 1, 2, 15, 16, 17, 124, 125, 126, 127, 200, 1000, 65535, 65536, 70000, 1 << 20}
}

func TestAppendHeaderIsWhatGobwasReads(t *testing.T) {
	for _, n := range lengths() {
		for _, op := range []Op{Text, Binary, Close, Ping, Pong} {
			b := AppendHeader([]byte("x"), op, n)[1:]
			h, err := gobwas.ReadHeader(bytes.NewReader(b))
			if err != nil || !h.Fin || h.Rsv != 0 || h.Masked || byte(h.OpCode) != byte(op) || h.Length != int64(n) {
				t.Errorf("op %d, %d bytes: % x reads as %+v, %v", op, n, b, h, err)
			}
			if got := AppendFrame(nil, op, make([]byte, n)); len(got) != len(b)+n || !bytes.HasPrefix(got, b) {
				t.Errorf("op %d, %d bytes: frame starts with % x", op, n, got[:min(len(got), 10)])
			}
		}
	}
}

func TestPutHeader(t *testing.T) {
	for _, n := range lengths() {
		b := append([]byte("keep"), make([]byte, MaxHeader)...)
		start := PutHeader(b[4:], Text, n)
		if want := AppendHeader(nil, Text, n); !bytes.Equal(b[4+start:], want) || string(b[:4]) != "keep" {
			t.Errorf("%d bytes: got % x at %d, want % x", n, b[4+start:], start, want)
		}
	}
}

func TestParseHeader(t *testing.T) {
	mask := [4]byte{0xde, 0xad, 0xbe, 0xef}
	for _, n := range lengths() {
		for _, fin := range []bool{true, false} {
			b := AppendMaskedFrame(nil, Binary, fin, mask, make([]byte, n))
			head := b[:len(b)-n]
			for cut := range head {
				if _, at, s := ParseHeader(head[:cut]); s != NeedMore || at != 0 {
					t.Errorf("%d of %d header bytes: %v at %d", cut, len(head), s, at)
				}
				if size, ok := FrameSize(head[:cut]); ok {
					t.Errorf("%d of %d header bytes: size %d", cut, len(head), size)
				}
			}
			h, at, s := ParseHeader(b)
			want := Header{Length: uint64(n), Mask: mask, Op: Binary, Fin: fin, Masked: true}
			if s != Ready || at != len(head) || h != want {
				t.Errorf("%d bytes: %+v at %d, %v; want %+v at %d", n, h, at, s, want, len(head))
			}
			if size, ok := FrameSize(head); !ok || size != len(b) {
				t.Errorf("%d bytes: size %d, %v; want %d", n, size, ok, len(b))
			}
			ref, err := gobwas.ReadHeader(bytes.NewReader(b))
			if err != nil || ref.Length != int64(n) || ref.Fin != fin || ref.Mask != mask {
				t.Errorf("%d bytes: gobwas reads %+v, %v", n, ref, err)
			}
		}
	}
}

func TestParseHeaderTopBit(t *testing.T) {
	b := []byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}
	if _, _, s := ParseHeader(b); s != Malformed {
		t.Errorf("status %v, want Malformed", s)
	}
	if _, ok := FrameSize(b); ok {
		t.Error("a size for a length that is none")
	}
	b[2] = 0x7f
	if size, ok := FrameSize(b); ok {
		t.Errorf("size %d for 2^63-1 bytes", size)
	}
}

func TestParseHeaderReserved(t *testing.T) {
	h, _, s := ParseHeader([]byte{0x80 | 0x50 | 2, 0})
	if s != Ready || h.Reserved != 5 || h.Op != Binary || !h.Fin || h.Masked {
		t.Errorf("%+v, %v", h, s)
	}
}

func TestUnmaskInPieces(t *testing.T) {
	mask := [4]byte{1, 2, 3, 4}
	whole := bytes.Repeat([]byte("abcdefg"), 40)
	want := bytes.Clone(whole)
	for i := range want {
		want[i] ^= mask[i%4]
	}
	for cut := range whole {
		got := bytes.Clone(whole)
		Unmask(got[:cut], mask, 0)
		Unmask(got[cut:], mask, cut)
		if !bytes.Equal(got, want) {
			t.Fatalf("cut at %d: differs", cut)
		}
	}
}

func TestAppendClose(t *testing.T) {
	long := string(bytes.Repeat([]byte("x"), 122)) + "\u20ac"
	tests := []struct {
		code   uint16
		reason string
		want   []byte
	}{
		{0, "", []byte{0x88, 0}},
		{CloseNoStatus, "unsaid", []byte{0x88, 0}},
		{CloseGoingAway, "", []byte{0x88, 2, 0x03, 0xe9}},
		{CloseToken, "go", []byte{0x88, 4, 0x11, 0x31, 'g', 'o'}},
		{CloseNormal, long, append([]byte{0x88, 124, 0x03, 0xe8}, long[:122]...)},
	}
	for _, test := range tests {
		if got := AppendClose(nil, test.code, test.reason); !bytes.Equal(got, test.want) {
			t.Errorf("%d %q: % x, want % x", test.code, test.reason, got, test.want)
		}
	}
}

func TestParseClose(t *testing.T) {
	for code := range 1 << 16 {
		valid := code >= 1000 && code <= 1003 || code >= 1007 && code <= 1011 || code >= 3000 && code < 5000
		got, reason, err := ParseClose([]byte{byte(code >> 8), byte(code), 'b', 'y', 'e'})
		switch {
		case valid && (err != nil || int(got) != code || string(reason) != "bye"):
			t.Fatalf("%d: %d %q %v", code, got, reason, err)
		case !valid && (err == nil || err.Code != CloseProtocol):
			t.Fatalf("%d: accepted, or %v", code, err)
		}
	}
	if code, _, err := ParseClose(nil); code != CloseNoStatus || err != nil {
		t.Errorf("empty: %d, %v", code, err)
	}
	if _, _, err := ParseClose([]byte{3}); err == nil || err.Code != CloseProtocol {
		t.Errorf("one byte: %v", err)
	}
	if _, _, err := ParseClose([]byte{3, 0xe8, 0xff}); err == nil || err.Code != CloseNotUTF8 {
		t.Errorf("not UTF-8: %v", err)
	}
}

func TestErrorSaysReason(t *testing.T) {
	if got, want := fmt.Sprint(errTooBig), "websocket: message too big"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
