package ws

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"

	gobwas "github.com/gobwas/ws"
	"github.com/valyala/fasthttp"
)

// FuzzNext reads the same bytes in one piece and in two, which must make no difference, and checks what
// comes out of the header against gobwas/ws.
func FuzzNext(f *testing.F) {
	f.Add(wire(piece{Text, true, "hello"}), 3)
	f.Add(wire(piece{Text, false, "h\xc3"}, piece{Ping, true, "p"}, piece{Continuation, true, "\xa9"}), 9)
	f.Add(wire(piece{Close, true, "\x03\xe8bye"}), 7)
	f.Add(wire(piece{Binary, true, strings.Repeat("x", 300)}), 200)
	f.Add(AppendFrame(nil, Text, []byte("not masked")), 1)
	f.Add([]byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0}, 5)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		const limit = 1 << 10
		cut = min(max(cut, 0), len(b))
		var s1, s2 State
		one, rest1, err1 := read(&s1, limit, bytes.Clone(b))
		two, rest2, err2 := read(&s2, limit, bytes.Clone(b[:cut]), bytes.Clone(b[cut:]))
		// A split never hides an error; it can only show a too big message or a broken rule before the rest.
		if !equal(one, two) || err1 != err2 || rest1 != rest2 && err1 == nil || s1 != s2 && err1 == nil {
			t.Fatalf("cut at %d: %q %d %v; whole: %q %d %v", cut, two, rest2, err2, one, rest1, err1)
		}
		if err1 != nil && !validCode(err1.Code) {
			t.Fatalf("%v closes with %d", err1, err1.Code)
		}
		h, n, status := ParseHeader(b)
		ref, err := gobwas.ReadHeader(bytes.NewReader(b))
		if (status == Ready) != (err == nil) {
			t.Fatalf("% x: status %d, gobwas says %v", b[:min(len(b), 14)], status, err)
		}
		if status == Ready && (h.Length != uint64(ref.Length) || h.Mask != ref.Mask || byte(h.Op) != byte(ref.OpCode) ||
			h.Fin != ref.Fin || h.Reserved != ref.Rsv || n > len(b)) {
			t.Fatalf("%+v, gobwas reads %+v", h, ref)
		}
	})
}

// FuzzFrame writes a message in two fragments with a ping between and reads it again.
func FuzzFrame(f *testing.F) {
	f.Add("h\u00e9llo", 2, uint32(1))
	f.Add("", 0, uint32(0))
	f.Fuzz(func(t *testing.T, text string, cut int, key uint32) {
		text = strings.ToValidUTF8(text, "")
		cut = min(max(cut, 0), len(text))
		mask := [4]byte{byte(key), byte(key >> 8), byte(key >> 16), byte(key >> 24)}
		b := AppendMaskedFrame(nil, Text, false, mask, []byte(text[:cut]))
		b = AppendMaskedFrame(b, Ping, true, mask, nil)
		b = AppendMaskedFrame(b, Continuation, true, mask, []byte(text[cut:]))
		out, rest, err := read(new(State), len(text), b)
		if err != nil || rest != 0 || !equal(out, []got{{Ping, ""}, {Text, text}}) {
			t.Fatalf("%q, %d left, %v", out, rest, err)
		}
		if _, _, err = read(new(State), len(text)-1, b); text != "" && err != errTooBig {
			t.Fatalf("one byte over the limit: %v", err)
		}
	})
}

// FuzzParseHead holds the parser against the two HTTP servers that could get the same bytes. What is Ready
// here must mean the same there: the same method and target, the same end of head and length of body. (The
// other way round more is refused here, on purpose.)
func FuzzParseHead(f *testing.F) {
	f.Add([]byte(upgradeHead))
	f.Add([]byte(request("Content-Length: 3") + "abc"))
	f.Add([]byte(request("Transfer-Encoding: chunked") + "0\r\n\r\n"))
	f.Add([]byte(request("Content-Length : 3", "A: b", " c")))
	f.Add([]byte("GET http://a/b?c HTTP/1.1\r\nHost: h\r\n\r\n"))
	f.Add([]byte("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Head
		status := ParseHead(b, &h)
		if status != Ready {
			return
		}
		for cut := range h.Size {
			var part Head
			if s := ParseHead(b[:cut], &part); s != NeedMore {
				t.Fatalf("%q: %v after %d bytes", b[:h.Size], s, cut)
			}
		}
		againstFastHTTP(t, b, &h)
		againstNetHTTP(t, b, &h)
	})
}

func againstFastHTTP(t *testing.T, b []byte, h *Head) {
	t.Helper()
	var r fasthttp.RequestHeader
	in := bufio.NewReaderSize(bytes.NewReader(b), 2*MaxHead)
	if err := r.Read(in); err != nil {
		return // it refuses more than we do: no harm
	}
	if used := len(b) - remaining(in); used != h.Size {
		t.Fatalf("%q: head of %d bytes, fasthttp took %d", b, h.Size, used)
	}
	length := r.ContentLength()
	want := int(h.ContentLength)
	switch {
	case h.Chunked:
		want = -1
	case want < 0 && length <= 0 && length != -1:
		want = length // no body said, in fasthttp's several ways
	}
	ignored := r.IsGet() || r.IsHead() // fasthttp reads no body then, whatever the header says
	if string(r.Method()) != string(h.Method) || string(r.RequestURI()) != string(h.Target) || !ignored && length != want {
		t.Fatalf("%q: %s %s %d, fasthttp reads %s %s %d", b, h.Method, h.Target, want, r.Method(), r.RequestURI(), length)
	}
}

func remaining(in *bufio.Reader) (n int) {
	for {
		k, err := in.Discard(1)
		n += k
		if err != nil {
			return n
		}
	}
}

func againstNetHTTP(t *testing.T, b []byte, h *Head) {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReaderSize(bytes.NewReader(b), 2*MaxHead))
	if err != nil {
		return
	}
	chunked := len(r.TransferEncoding) > 0
	length := r.ContentLength
	want := h.ContentLength
	if want < 0 && !chunked {
		want = 0
	}
	if r.Method != string(h.Method) || r.RequestURI != string(h.Target) || chunked != h.Chunked || length != want {
		t.Fatalf("%q: %s %s %d %v, net/http reads %s %s %d %v", b, h.Method, h.Target, want, h.Chunked, r.Method, r.RequestURI, length, chunked)
	}
}
