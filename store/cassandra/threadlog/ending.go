package threadlog

import (
	"fmt"

	"github.com/tolkflip/tolkflip/store"
)

// ending finds the end of a log in its rows, a bucket after the other.
//
// What stands up to indexed is final. Above it may stand what several owners left: whole, half written, or
// half in sight. An owner writes all that it found above indexed again before it says anything, and each of
// its rows says how far that went (Term.Start); so an owner of which any row up to there is missing has never
// said anything, and none of its rows counts. Of the others the last one's count, from indexed+1 on until one
// is missing. They do not where the row at indexed has a higher epoch: then that one's owner is later, and
// saw nothing above.
type ending struct {
	faults *faults
	mine   uint32 // the reader's epoch

	head    uint64
	indexed uint64
	epoch   uint32          // of the rows above indexed, or of the row there
	above   []store.Message // indexed+1 to head
	last    store.Message   // the row at head; absent where no row was read

	// Of the bucket that is being read.
	from uint64 // all up to here is final
	some bool   // a row was read
	runs []run
}

// run is the rows of one owner, from the first final seq on as far as none is missing.
type run struct {
	epoch    uint32
	start    uint64
	there    bool // it has the row at from
	final    store.Message
	messages []store.Message // from+1 and so on
}

// complete reports whether all is there that the owner wrote before it said anything.
func (r *run) complete(from uint64) bool { return r.start <= from+uint64(len(r.messages)) }

// begin goes on with a bucket of which all up to a seq is final.
func (e *ending) begin(from uint64) {
	e.from, e.some = from, false
	clear(e.runs)
	e.runs = e.runs[:0]
}

// row takes the next row, rising by (seq, epoch).
func (e *ending) row(r *Row) error {
	if r.Epoch > e.mine {
		return fmt.Errorf("seq %d has epoch %d: %w", r.Seq, r.Epoch, errHigher)
	}
	e.some = true
	v := e.of(r.Epoch)
	if !e.faults.noStart {
		v.start = max(v.start, r.Start)
	}
	switch r.Seq {
	case e.from:
		v.there, v.final = true, r.Message
	case e.from + uint64(len(v.messages)) + 1:
		v.messages = append(v.messages, r.Message)
	}
	return nil
}

func (e *ending) of(epoch uint32) *run {
	for i := range e.runs {
		if e.runs[i].epoch == epoch {
			return &e.runs[i]
		}
	}
	e.runs = append(e.runs, run{epoch: epoch})
	return &e.runs[len(e.runs)-1]
}

// end decides, when all rows of the bucket were read. It gives an error where the row that must be there,
// since its seq is final, is not.
func (e *ending) end(mustHave bool) error {
	if !e.some && !mustHave {
		return nil // the bucket was never opened
	}
	var final, above *run
	for i := range e.runs {
		r := &e.runs[i]
		if !r.complete(e.from) {
			continue
		}
		if r.there && (final == nil || r.epoch > final.epoch) {
			final = r
		}
		if len(r.messages) > 0 && (above == nil || r.epoch > above.epoch) {
			above = r
		}
	}
	if final == nil && mustHave && !e.faults.aboveIndexed {
		return fmt.Errorf("seq %d: %w", e.from, errLost)
	}
	if final != nil {
		e.epoch, e.last = final.epoch, final.final
	}
	e.head, e.indexed, e.above = e.from, e.from, nil
	if above == nil || above.epoch < e.epoch && !e.faults.epochsMayFall {
		return nil
	}
	e.epoch, e.above = above.epoch, above.messages
	e.head += uint64(len(e.above))
	e.last = e.above[len(e.above)-1]
	return nil
}
