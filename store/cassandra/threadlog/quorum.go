package threadlog

import (
	"context"
	"errors"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// SlotCount is how many slots the threads are spread over. It never changes: a thread's slot is a hash of
// its id, see SlotOf.
const SlotCount = 256

// SlotOf is the slot that a thread belongs to. Thread ids are hashes or random, so any byte does that no
// version or variant sits in.
func SlotOf(t id.Thread) int { return int(t.ID[15]) }

// BucketBits is the size of a bucket as a power of two: bucket = (seq-1) >> BucketBits.
const BucketBits = 14

// Node names an installation: the UUID that its data directory keeps. The zero Node is nobody.
type Node [16]byte

// String is the hyphenated form.
func (n Node) String() string { return id.ID(n).String() }

// ErrRefused is what a write's error wraps when surely nothing of it was written and nothing will be: the
// coordinator answered that too few replicas live (Unavailable), that the statement is invalid, or it never
// left this process. Every other error of a write means that its outcome is unknown: a time-out of either
// side, WriteTimeout, WriteFailure, a lost connection, overload, a cancelled context. In doubt, do not wrap.
var ErrRefused = errors.New("threadlog: refused, nothing was written")

// Quorum is the store below the log: each method is one statement (or one page of one) at LOCAL_QUORUM,
// prepared, without speculative execution and without any retry of the driver: the log repeats what may
// be repeated. Each is bound by its context, which is that of the log's life, and by a time-out of the
// implementation's own. All may be called from many goroutines at once. Arguments stay the caller's and are
// not used after the call has returned; results belong to the caller.
type Quorum interface {
	Messages
	IDs
	Threads
	Owners
}

// Messages is the table messages ((thread_id, bucket), seq, epoch; STATIC indexed; start, message_id, ...).
//
// Every write of a row carries USING TIMESTAMP epoch<<32 | seq. Rows are only deleted with the timestamp that
// they have, never by wall clock (it would hide later ones), and have no TTL. read_repair is BLOCKING: what
// one read has seen the next one sees too.
type Messages interface {
	// Indexed reads the bucket's static indexed, 0 where it was never set: a statement of its own, which
	// must not be folded into Rows.
	Indexed(ctx context.Context, t id.Thread, bucket uint64) (uint64, error)
	// Rows appends one page of a range to into, rising by (seq, epoch): all epochs of a seq are rows of
	// their own. next is the driver's paging state, nil after the last page; page is nil for the first. A
	// page may end between two rows of one seq, and may be short or empty where next is not nil.
	Rows(ctx context.Context, r Range, page []byte, into []Row) (rows []Row, next []byte, err error)
	// Write inserts messages of one bucket under a term, in one unlogged batch on one partition; each with
	// its own timestamp.
	Write(ctx context.Context, t id.Thread, bucket uint64, under Term, messages []store.Message) error
	// SetIndexed writes the static USING TIMESTAMP seq: whoever writes it, it only moves forward.
	SetIndexed(ctx context.Context, t id.Thread, bucket uint64, seq uint64) error
}

// Range is a part of one bucket.
type Range struct {
	Thread   id.Thread
	Bucket   uint64
	From, To uint64 // seq, both included; To may lie beyond the bucket's end
	Limit    int    // rows a page
}

// Term is what an owner writes a thread's rows under.
type Term struct {
	Epoch uint32
	Start uint64 // where the thread's head stood when it began: rows up to here it wrote again
}

// Row is one row of messages.
type Row struct {
	Term
	store.Message
}

// IDs is the table message_ids ((message_id); thread_id, seq, sent, body_hash). A row is written after its
// message is final, always with the same values for one message of a thread, so it may be written with the
// driver's own timestamp, any number of times; no TTL, never deleted.
type IDs interface {
	// Lookup fills places[i] for ids[i], with Seq 0 where there is no row: at most MaxLookup of them, in
	// one statement where that is good (IN), else at once beside each other.
	Lookup(ctx context.Context, ids []id.Message, places []Place) error
	// Index writes the rows of places, at most MaxIndex of them, of any threads: an unlogged batch or
	// single inserts beside each other. It returns nil only when all are in.
	Index(ctx context.Context, places []Place) error
}

// The most that one call of IDs is given. More than ten partitions in one batch make Cassandra warn.
const (
	MaxLookup = 64
	MaxIndex  = 10
)

// Hash is the first half of the SHA-256 of what a retry must repeat (store.WriteBody).
type Hash [16]byte

// Place is where a message stands, and what a retry of it is answered with and compared to.
type Place struct {
	Message id.Message
	Thread  id.Thread
	Seq     uint64
	Sent    int64 // kept beside the seq so that answering a retry reads no row of messages
	Hash    Hash
}

// Threads is the log's part of the table threads ((thread_id); last_bucket, last_seq, last_ts, preview, ...)
// and of threads_by_user.
type Threads interface {
	// Hint reads last_bucket and last_seq, zero where there is no row. Both may lag.
	Hint(ctx context.Context, t id.Thread) (Hint, error)
	// SetBucket writes last_bucket, USING TIMESTAMP bucket, so that it only moves forward.
	SetBucket(ctx context.Context, t id.Thread, bucket uint64) error
	// First makes the rows that a direct thread begins with: threads and both people's threads_by_user, in
	// one unlogged batch. It comes before the ack of seq 1, and may come again at any later time, also from
	// a former owner: it must not touch what Config.Recent writes (or with an older timestamp).
	First(ctx context.Context, f First) error
}

// Hint is where the end of a thread is looked for first.
type Hint struct {
	Bucket  uint64 // last_bucket: the end is in it or in a later one
	LastSeq uint64 // last_seq of the stored preview
}

// First is what is known of a direct thread at its first message.
type First struct {
	Thread  id.Thread
	A, B    id.User // in byte order; the same for a thread with oneself
	Created int64
}

// Owners are the tables log_slots ((log), slot; STATIC version; owner, epoch) and log_nodes ((log), node;
// address, pid, beat), one partition each.
type Owners interface {
	// Version reads the static version alone, 0 where nobody ever took a slot. It is the fence: one row
	// instead of 257.
	Version(ctx context.Context) (int64, error)
	// Slots reads version, owners and epochs in one statement; at LOCAL_SERIAL when serial is set.
	Slots(ctx context.Context, serial bool, into *Slots) error
	// Take is one conditional batch: version = have+1, and owner and epoch = have+1 for each of the slots,
	// IF version = have (IF version = null where have is 0); serial consistency LOCAL_SERIAL, commit at
	// LOCAL_QUORUM, no timestamp. It reports whether it was applied; an error leaves that unknown.
	Take(ctx context.Context, have int64, owner Node, slots []int) (applied bool, err error)
	// Nodes lists who beats.
	Nodes(ctx context.Context) ([]Member, error)
	// Beat writes a node's row.
	Beat(ctx context.Context, m Member) error
	// Leave deletes a node's row.
	Leave(ctx context.Context, n Node) error
}

// Slots is the table of owners as one statement read it.
type Slots struct {
	Version int64
	Owner   [SlotCount]Node
	Epoch   [SlotCount]uint32 // the version at which the slot was last taken
}

// Member is a node that lives, or lived.
type Member struct {
	Node    Node
	Address string // where its operator finds it: host name and data directory
	PID     int
	Beat    int64 // Unix milliseconds, by its own clock
}
