package threadlog

import (
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// faults are the rules that a test switches off, to see that it would notice. A server has none.
type faults struct {
	// No fault, but a test's eye: what an activation found above indexed, when its head is certain.
	activated func(t id.Thread, rows []store.Message)

	noFence           bool // ack without a fence read
	noFenceActivating bool // trust the head that was read without one
	lateFence         bool // join a fence read that began before the write was in
	noRewrite         bool // leave the rows above indexed under the epoch of a former owner
	noStart           bool // let the rows count of an owner that has not written all of them again
	epochsMayFall     bool // the log goes on above indexed under a lower epoch than at it
	aboveIndexed      bool // do not read the row at indexed itself
	newBatch          bool // after an unknown outcome go on with other messages
	refusedIsFinal    bool // take a refusal after an unknown outcome for a refusal
	noLookup          bool // do not look for ids in message_ids
	forgetEarly       bool // ids leave memory before they are in message_ids
	indexedFirst      bool // indexed moves before the ids are in message_ids
	openEarly         bool // a bucket opens before all ids of the one before are in message_ids
	noLag             bool // head may be any number above indexed
	aboveHead         bool // readers see what stands above the head
	splitPage         bool // a seq counts as soon as one row of it was read
	assumeTaken       bool // a take with unknown outcome is taken for done
	noFirst           bool // do not write a direct thread's rows again for a seq 1 that was not acked
	lateFirst         bool // ack seq 1 of a direct thread before its rows are in
}

// shape is the sizes of rules, which a test makes small so that their edges are met often.
type shape struct {
	bucketBits int // seqs a bucket, as a power of two
	turnItems  int // messages a turn
	turnBytes  int
	lagItems   int // messages above indexed
	lagBytes   int
	rewrite    int // messages in one batch of an activation
	pageRows   int // rows a page of messages
}

func defaultShape() shape {
	return shape{
		bucketBits: BucketBits,
		turnItems:  64,
		turnBytes:  1 << 20,
		lagItems:   1024,
		lagBytes:   2 << 20,
		rewrite:    1024,
		pageRows:   128,
	}
}

// bucketOf is the bucket of a seq, which is not 0.
func (s *shape) bucketOf(seq uint64) uint64 { return (seq - 1) >> s.bucketBits }

// bucketEnd is the last seq of a bucket.
func (s *shape) bucketEnd(bucket uint64) uint64 { return (bucket + 1) << s.bucketBits }

// bucketBase is the last seq before a bucket.
func (s *shape) bucketBase(bucket uint64) uint64 { return bucket << s.bucketBits }
