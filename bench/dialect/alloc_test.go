//go:build !race

package dialect_test

import (
	"testing"

	"github.com/tolkflip/tolkflip/bench/dialect"
	"github.com/tolkflip/tolkflip/proto/id"
)

func TestNothingAllocates(t *testing.T) {
	buf := make([]byte, 0, 1024)
	user := id.NewUser()
	frame := []byte(`{"type":"new_message","seq":41,"content":"00000007-0007cf-00003039-00000000123456 and"}`)
	for name, f := range map[string]func(){
		"append": func() { buf = dialect.AppendDirect(buf[:0], user, dialect.Stamp{N: 4}, 200) },
		"scan": func() {
			if dialect.KindOf(frame) != dialect.NewMessage || dialect.Seq(frame) != 41 {
				t.Error("misread")
			}
			if _, ok := dialect.ContentStamp(frame); !ok {
				t.Error("no stamp")
			}
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}
