//go:build !race

package id

import "testing"

func TestNoAllocations(t *testing.T) {
	in, buf := []byte(text), make([]byte, 0, 64)
	a, b := User{ID{1}}, User{ID{2}}
	var v ID
	for name, f := range map[string]func(){
		"parse":   func() { v, _ = Parse(in) },
		"refuse":  func() { _, _ = Parse(in[1:]) },
		"append":  func() { buf = v.Append(buf[:0]) },
		"direct":  func() { Direct(a, b) },
		"message": func() { ClientMessage(a, in) },
		"session": func() { LegacySession(a, 1) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	in := []byte(text)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	v, err := Parse(text)
	if err != nil {
		b.Fatal(err)
	}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = v.Append(dst[:0])
	}
}

func BenchmarkClientMessage(b *testing.B) {
	u, c := User{ID{1}}, []byte("c-000000000001")
	b.ReportAllocs()
	for b.Loop() {
		ClientMessage(u, c)
	}
}
