package threadlog

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// rowsOf makes rows of a text like "1:5/2=a": seq 1, epoch 5, start 2, message a.
func rowsOf(t *testing.T, text string) (list []Row) {
	for _, f := range strings.Fields(text) {
		var r Row
		var name byte
		if _, err := fmt.Sscanf(f, "%d:%d/%d=%c", &r.Seq, &r.Epoch, &r.Start, &name); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		r.ID = id.Message{ID: id.ID{name}}
		list = append(list, r)
	}
	return list
}

func TestEnding(t *testing.T) {
	for _, c := range []struct {
		name  string
		final uint64
		rows  string
		head  uint64
		above string
		epoch uint32
		lost  bool
	}{
		{name: "nothing"},
		{name: "one owner", rows: "1:1/0=a 2:1/0=b 3:1/0=c", head: 3, above: "abc", epoch: 1},
		{name: "from indexed on", final: 2, rows: "2:1/0=b 3:1/0=c", head: 3, above: "c", epoch: 1},
		{name: "nothing above indexed", final: 3, rows: "3:1/0=c", head: 3, epoch: 1},
		{name: "a gap", rows: "1:1/0=a 3:1/0=c 4:1/0=d", head: 1, above: "a", epoch: 1},
		{name: "the first is missing", rows: "2:1/0=b 3:1/0=c"},
		{name: "written again", rows: "1:1/0=a 1:4/2=a 2:1/0=b 2:4/2=b 3:4/2=x", head: 3, above: "abx", epoch: 4},
		{name: "written again from indexed on", final: 1, rows: "1:1/0=a 2:1/0=b 2:4/2=b 3:4/2=x", head: 3, above: "bx", epoch: 4},
		{name: "left above the end", rows: "1:1/0=a 1:4/1=a 2:1/0=b", head: 1, above: "a", epoch: 4},
		{name: "left above a final row", final: 1, rows: "1:1/0=a 1:4/0=z 2:1/0=b", head: 1, epoch: 4},
		{name: "half written again, the upper part", rows: "1:1/0=a 2:1/0=b 2:4/3=b 3:1/0=c 3:4/3=c", head: 3, above: "abc", epoch: 1},
		{name: "half written again, the lower part", rows: "1:1/0=a 1:4/3=a 2:1/0=b 3:1/0=c", head: 3, above: "abc", epoch: 1},
		{name: "half of it in sight, a hole", rows: "1:1/0=a 1:4/3=a 2:1/0=b 3:1/0=c 3:4/3=c", head: 3, above: "abc", epoch: 1},
		{
			name: "two that said nothing", rows: "1:1/0=a 1:5/0=b 2:1/0=b 2:5/0=a 2:9/3=b 3:1/0=c 3:5/0=c 3:9/3=c",
			head: 3, above: "bac", epoch: 5,
		},
		{
			name: "half written again, the row at indexed too", final: 2, rows: "2:1/0=b 2:4/3=b 3:1/0=c",
			head: 3, above: "c", epoch: 1,
		},
		{name: "indexed has moved past the half that is missing", final: 2, rows: "2:1/0=b 3:1/0=c 3:4/3=c", head: 3, above: "c", epoch: 4},
		{name: "what is final is missing", final: 2, rows: "3:1/0=c", lost: true},
		{name: "all is missing", final: 2, lost: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := ending{faults: &faults{}, mine: 20}
			e.begin(c.final)
			for _, r := range rowsOf(t, c.rows) {
				if err := e.row(&r); err != nil {
					t.Fatal(err)
				}
			}
			err := e.end(c.final > 0)
			if errors.Is(err, errLost) != c.lost {
				t.Fatalf("end: %v", err)
			}
			if c.lost {
				return
			}
			above := ""
			for _, m := range e.above {
				above += string(m.ID.ID[0])
			}
			if e.head != c.head || above != c.above || e.epoch != c.epoch {
				t.Errorf("head %d, above %q of epoch %d; want %d, %q, %d", e.head, above, e.epoch, c.head, c.above, c.epoch)
			}
		})
	}
}

// The ends of buckets: what is above indexed in the one before is final once the next one has a row.
func TestEndingAcrossBuckets(t *testing.T) {
	for _, c := range []struct {
		name, first, second string
		head, indexed       uint64
		above               string
	}{
		{"the next is not open", "3:1/0=c 4:1/0=d", "", 4, 3, "d"},
		{"the next is open", "3:1/0=c 4:1/0=d", "5:1/0=e 6:1/0=f", 6, 4, "ef"},
		{"the next is another owner's", "3:1/0=c 4:1/0=d", "5:4/4=e", 5, 4, "e"},
		{"what is left in the next", "3:1/0=c 4:1/0=d 4:4/4=d", "5:1/0=e", 4, 4, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := ending{faults: &faults{}, mine: 20}
			for i, text := range []string{c.first, c.second} {
				e.begin(uint64(3 + i))
				for _, r := range rowsOf(t, text) {
					if err := e.row(&r); err != nil {
						t.Fatal(err)
					}
				}
				if err := e.end(i == 0); err != nil {
					t.Fatal(err)
				}
			}
			above := ""
			for _, m := range e.above {
				above += string(m.ID.ID[0])
			}
			if e.head != c.head || e.indexed != c.indexed || above != c.above {
				t.Errorf("head %d, indexed %d, above %q; want %d, %d, %q", e.head, e.indexed, above, c.head, c.indexed, c.above)
			}
		})
	}
}

func TestEndingSeesHigherEpochs(t *testing.T) {
	e := ending{faults: &faults{}, mine: 3}
	e.begin(0)
	if err := e.row(&Row{Term{Epoch: 4}, store.Message{Seq: 9}}); !errors.Is(err, errHigher) {
		t.Errorf("a row of epoch 4: %v", err)
	}
}
