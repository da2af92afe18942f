//go:build !race

package action

import (
	"testing"

	"github.com/tolkflip/tolkflip/proto"
)

func TestDecodeAllocatesNothing(t *testing.T) {
	buf := make([]byte, 4096)
	for name, in := range inputs(t) {
		var r proto.Request
		if Decode(buf[:copy(buf, in)], &r) != nil {
			continue
		}
		if n := testing.AllocsPerRun(100, func() { _ = Decode(buf[:copy(buf, in)], &r) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 4096)
	for name, ev := range events() {
		if n := testing.AllocsPerRun(100, func() { buf = Append(buf[:0], ev) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
