//go:build !race

package proto

import "testing"

func TestNoAllocations(t *testing.T) {
	r := Request{Users: nil}
	kind := []byte("voice_note")
	for name, f := range map[string]func(){
		"reset":        func() { r.Reset() },
		"message type": func() { _ = ParseMessageType(kind).String() },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
