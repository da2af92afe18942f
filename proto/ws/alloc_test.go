//go:build !race

package ws

import (
	"strings"
	"testing"
)

// The frame path and the handshake run on the loops: nothing there may allocate.
func TestNoAllocations(t *testing.T) {
	text := wire(piece{Text, true, strings.Repeat("h\u00e9", 100)})
	fragments := wire(piece{Text, false, "h\xc3"}, piece{Continuation, true, "\xa9"})
	broken := AppendFrame(nil, Text, []byte("not masked"))
	head := []byte(upgradeHead)
	query := []byte("x=1&token=a%2Eb")
	buf := make([]byte, 0, 4096)
	in := make([]byte, 4096)
	var s State
	var h Head
	for name, f := range map[string]func(){
		"message":   func() { _, _, _ = s.Next(in[:copy(in, text)], 1<<20) },
		"fragments": func() { b := in[:copy(in, fragments)]; _, n, _ := s.Next(b, 100); _, _, _ = s.Next(b[n:], 100) },
		"error":     func() { _, _, _ = s.Next(broken, 100) },
		"frame":     func() { buf = AppendFrame(buf[:0], Text, text) },
		"masked":    func() { buf = AppendMaskedFrame(buf[:0], Text, true, testMask(), text) },
		"gap":       func() { PutHeader(in, Text, 1000) },
		"close":     func() { buf = AppendClose(buf[:0], CloseToken, "token expired"); _, _, _ = ParseClose(buf[2:]) },
		"head":      func() { ParseHead(head, &h); h.Refuse() },
		"accept":    func() { buf = AppendAccept(buf[:0], h.Key, h.Protocol()) },
		"refusal":   func() { buf = AppendRefusal(buf[:0], 503, "too many connections") },
		"query":     func() { v, _ := QueryValue(query, "token"); buf, _ = AppendUnescaped(buf[:0], v) },
	} {
		if n := testing.AllocsPerRun(200, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
