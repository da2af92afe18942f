package ws

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// edges are the bytes at which a row of the Unicode standard's table 3-7 begins or ends, and one inside.
func edges() []byte {
	return []byte{
		0x00, 'a', 0x7f, 0x80, 0x85, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed,
		0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff,
	}
}

func TestRunesAgreeWithTheLibrary(t *testing.T) {
	var p [5]byte
	var walk func(n int)
	walk = func(n int) {
		want := utf8.Valid(p[:n])
		var r runes
		for _, c := range p[:n] {
			r = r.step(c)
		}
		if (r == between) != want {
			t.Fatalf("% x byte by byte: %d, library says %v", p[:n], r, want)
		}
		for cut := range n + 1 {
			if r := runes(0).through(p[:cut]).through(p[cut:n]); (r == between) != want {
				t.Fatalf("% x cut at %d: %d, library says %v", p[:n], cut, r, want)
			}
		}
		if n == 4 {
			return
		}
		for _, c := range edges() {
			p[n] = c
			walk(n + 1)
		}
	}
	walk(0)
}

// A vector at a time is validated: a fault must be seen at every place in and between vectors.
func TestTextFaultsAtEveryPlace(t *testing.T) {
	for _, fault := range []string{"\xff", "\xc3", "\xe2\x82", "\xed\xa0\x80", "\xf0\x9f\x98", "\xc0\xaf", "\x80"} {
		for n := range 140 {
			text := strings.Repeat("a", n)
			for _, tail := range []string{"", "b", strings.Repeat("b", 64), "\u00e9", strings.Repeat("\u20ac", 20)} {
				if runes(0).through([]byte(text+fault+tail)) == between {
					t.Fatalf("% x after %d bytes and before %q passed", fault, n, tail)
				}
				if runes(0).through([]byte(text+"\u20ac"+tail)) != between {
					t.Fatalf("a character after %d bytes and before %q was refused", n, tail)
				}
			}
		}
	}
}

func TestRunesFailEarly(t *testing.T) {
	for _, s := range []string{"\xc0", "\xf5", "\xed\xa0", "\xe0\x80", "\xf0\x8f", "\xf4\x90", "a\x80"} {
		if r := runes(0).through([]byte(s)); r != notUTF8 {
			t.Errorf("% x: %d, not refused at once", s, r)
		}
	}
	if r := notUTF8.through([]byte("a")); r != notUTF8 {
		t.Error("forgot that the text was wrong")
	}
}

func FuzzRunes(f *testing.F) {
	f.Add([]byte("a\u00e9\u20ac\U0001f600"), 3, 7)
	f.Add([]byte("\xed\xa0\x80"), 1, 2)
	f.Fuzz(func(t *testing.T, b []byte, i, j int) {
		i = min(max(i, 0), len(b))
		j = min(max(j, i), len(b))
		r := runes(0).through(b[:i]).through(b[i:j]).through(b[j:])
		if (r == between) != utf8.Valid(b) {
			t.Fatalf("% x cut at %d and %d: %d", b, i, j, r)
		}
	})
}
