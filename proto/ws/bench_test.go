package ws

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	gobwas "github.com/gobwas/ws"
)

func BenchmarkNext(b *testing.B) {
	for name, text := range map[string]string{
		"ascii": strings.Repeat("a", 200), "cyrillic": strings.Repeat("\u0436", 100), "64KiB": strings.Repeat("\u0436", 32<<10),
	} {
		b.Run(name, func(b *testing.B) {
			frame := wire(piece{Text, true, text})
			in := make([]byte, len(frame))
			var s State
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			for b.Loop() {
				copy(in, frame)
				if _, n, err := s.Next(in, 1<<20); n == 0 || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}

func BenchmarkParseHeader(b *testing.B) {
	frame := wire(piece{Text, true, strings.Repeat("a", 200)})
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, s := ParseHeader(frame); s != Ready {
				b.Fatal(s)
			}
		}
	})
	b.Run("gobwas", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := gobwas.ReadHeader(bytes.NewReader(frame)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkUnmask(b *testing.B) {
	for _, n := range []int{20, 200, 16 << 10} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			p := make([]byte, n)
			b.SetBytes(int64(n))
			for b.Loop() {
				Unmask(p, testMask(), 0)
			}
		})
	}
}

func BenchmarkParseHead(b *testing.B) {
	head := []byte(upgradeHead)
	var h Head
	b.ReportAllocs()
	for b.Loop() {
		if ParseHead(head, &h) != Ready || h.Refuse() != 0 {
			b.Fatal("refused")
		}
	}
}

func BenchmarkAppendAccept(b *testing.B) {
	var h Head
	ParseHead([]byte(upgradeHead), &h)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendAccept(dst[:0], h.Key, h.Protocol())
	}
}
