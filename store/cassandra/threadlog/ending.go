package threadlog

import (
	"fmt"

	"github.com/tolkflip/tolkflip/store"
)

// ending finds the end of a log in its rows, fed to it rising by (seq, epoch), a bucket after the other. A
// seq's highest epoch counts. The log ends at the first missing seq, and at the first row whose epoch is
// lower than the one before it; nothing above counts: it is what a former owner left there, and what no
// acknowledged message can be.
type ending struct {
	faults *faults
	mine   uint32 // the reader's epoch

	head    uint64 // the last seq that counts
	indexed uint64 // all ids up to here are written
	floor   uint64 // and up to here, if the bucket has a row that counts
	epoch   uint32 // of the row at head
	over    bool   // the end was seen
	again   bool   // a row above indexed is not of the reader's epoch
	above   []store.Message
	last    store.Message // the row at head

	some bool // row is there: the last seq's, of which higher epochs may follow
	is   Row
}

// begin goes on with the next bucket, whose rows follow from a seq on. A bucket is only opened when all ids
// of the one before are written: so where it has a row that counts, no other bucket's ids are left to write.
func (t *ending) begin(from, indexed uint64) {
	t.head = from - 1
	t.floor = indexed
}

// row takes the next row.
func (t *ending) row(r *Row) error {
	if r.Epoch > t.mine {
		return fmt.Errorf("seq %d has epoch %d: %w", r.Seq, r.Epoch, errHigher)
	}
	if t.over {
		return nil
	}
	if t.some && t.is.Seq != r.Seq {
		t.count()
	}
	t.is, t.some = *r, true
	return nil
}

// end says that no rows of the bucket follow.
func (t *ending) end() {
	if t.some {
		t.count()
	}
}

// count lets the row that was read last count, unless the log has ended before it.
func (t *ending) count() {
	r := &t.is
	t.some = false
	if t.over || r.Seq != t.head+1 || r.Epoch < t.epoch && !t.faults.epochsMayFall {
		t.over = true
		return
	}
	t.head, t.epoch, t.last = r.Seq, max(t.epoch, r.Epoch), r.Message
	if t.floor > t.indexed {
		t.indexed = t.floor
		clear(t.above)
		t.above, t.again = t.above[:0], false
	}
	if r.Seq > t.indexed {
		t.above = append(t.above, r.Message)
		if r.Epoch != t.mine {
			t.again = true
		}
	}
	*r = Row{}
}
