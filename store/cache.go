package store

import (
	"context"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
)

// Verdict is what came of a try at a verification code.
type Verdict struct {
	OK      bool
	Expired bool // there is no code, or it was used up
	TooMany bool // the tries were used up by earlier ones; the code is gone now
	Left    int  // tries that remain after this wrong one
}

// Codes keeps verification codes and what a right one earns. It may forget everything at a restart.
type Codes interface {
	// Put stores a code for a phone for ttl, in place of any other, with the full number of tries.
	Put(ctx context.Context, phone, code string, ttl time.Duration, tries int) error
	// Try compares in constant time and counts, in one step, so that parallel guesses cannot pass the
	// limit; a wrong one does not lengthen the code's life. A right one removes the code.
	Try(ctx context.Context, phone, code string) (Verdict, error)
	// Grant notes that a phone was verified from an address, for ttl.
	Grant(ctx context.Context, phone, address string, ttl time.Duration) error
	// Granted reports whether such a grant stands, and uses it up when take is set.
	Granted(ctx context.Context, phone, address string, take bool) (bool, error)
}

// Taken is what came of asking a limit for one more.
type Taken struct {
	OK        bool
	Remaining int
	Reset     time.Duration // until the window ends
}

// Limits counts events by key in fixed windows. It may forget everything at a restart.
type Limits interface {
	Take(ctx context.Context, key string, limit int, window time.Duration) (Taken, error)
}

// Place is where a thread stands in its user's list.
type Place struct {
	At     int64 // when its newest message was sent, or it came into being
	Thread id.Thread
}

// Recency is a cache of the order of users' direct threads, for stores that cannot keep it themselves. It
// may forget any user at any time; what it holds of a user is all of that user's direct threads. So use it
// like this: ask Newest; where it knows nothing, scan the main store and Fill.
//
// An error means that the cache could not be asked; what it holds stays right all the same: a list that a
// failed Touch may have missed is forgotten as soon as it can be reached.
type Recency interface {
	// Touch moves a thread forward to at, never back, in the lists of those of the users that it holds, or
	// that are being filled. It must come after the main store tells whoever scans it of the thread and of
	// at, or the scan of a Fill may miss what the Touch was not yet told to keep.
	Touch(ctx context.Context, t id.Thread, at int64, users []id.User) error
	// Newest gives the places after (older than) the given one, newest first (the greater thread id first
	// at the same time), at most limit; the zero Place is the start. known is false where nothing is held;
	// from then on, for a minute at least, Touches of that user are kept for the Fill that may follow.
	Newest(ctx context.Context, u id.User, after Place, limit int) (places []Place, known bool, err error)
	// Fill makes the cache hold u's list, which was read after a Newest that found nothing. A Touch that
	// came since is not lost: the later time stays. Where the cache cannot be sure of that (there was no
	// such Newest, it was too long ago, or the cache lost its memory since) it goes on holding nothing,
	// which is no error.
	Fill(ctx context.Context, u id.User, all []Place) error
}

// Node names one process among those that share a main store and a cache.
type Node struct{ id.ID }

// LeaseLapse is how long after its death a node's leases may still be seen, at most.
const LeaseLapse = 30 * time.Second

// Leases say which nodes hold connections of a user. Each node speaks for itself, through a value of its
// own that knows the node's name. A node that dies is seen for LeaseLapse at most; one that lives is seen
// as long as it holds the user, and again LeaseLapse at most after the cache lost its memory.
type Leases interface {
	// Hold notes that this node holds connections of these users. When it returns nil, every Of that is
	// asked from then on, on any node, gives this node for them: so whoever holds first and reads a
	// thread's head then cannot miss what is sent after that. An error (ErrBusy) means that others may not
	// see it yet; the node keeps it in mind and makes it seen as soon as it can. Calls are put together,
	// so it is cheap to call it for one user from many goroutines.
	Hold(ctx context.Context, users ...id.User) error
	// Release notes that this node holds none of them any more. Errors as Hold.
	Release(ctx context.Context, users ...id.User) error
	// Of gives for each of the users, in the same order, the nodes that hold it, in byte order, this node
	// among them.
	Of(ctx context.Context, users []id.User) ([][]Node, error)
}

// Fanout tells the other nodes of revocations, so that they refuse tokens at once. The main store is what
// keeps a revocation, and is written first; this only spares the other nodes from asking it all the time.
// Whoever listens either is told of a revocation or is told that it missed some.
type Fanout interface {
	// Publish tells the nodes that listen, other than this one. An error (ErrBusy) means that some may not
	// have been told; they will be told that they missed some, as soon as they can be reached.
	Publish(ctx context.Context, r Revocation) error
	// Listen calls told for what other nodes publish, and missed when something may have been published
	// that told was not called for: the live revocations must then be read from the main store. It calls
	// missed first of all, once it listens; after each connection that was lost; every few seconds while
	// it cannot listen; every few minutes in any case, for the node that died between its write and its
	// Publish; and again, a little later, when missed returns an error. It calls one at a time, from its
	// own goroutine, and returns when ctx ends. One call a node.
	Listen(ctx context.Context, told func(Revocation), missed func(context.Context) error)
}

// MaxResponse is the longest value that Responses keep, in bytes.
const MaxResponse = 64 << 10

// Response is what Responses have under a key.
type Response struct {
	Value  []byte // nil where none is
	Found  bool
	Ticket uint64 // where none was found: what Put must be given
}

// Responses cache what was made from the main store. They may forget anything at any time, so an error of
// Get is to be taken as one more value that was not found.
type Responses interface {
	// Get gives the value that was Put under key and has neither expired nor been dropped. Where there is
	// none it gives a ticket: the caller reads the main store then, and Puts with that ticket.
	Get(ctx context.Context, key string) (Response, error)
	// Put stores a value for ttl, unless the key was dropped or another value was put since the Get that
	// gave the ticket: what was read before a write never hides the write. (A Put more than a minute after
	// its Get, or after the cache lost its memory, may; for ttl at most.) A value longer than MaxResponse,
	// or one that there is no room for, is not stored, which is no error.
	Put(ctx context.Context, key string, ticket uint64, value []byte, ttl time.Duration) error
	// Drop forgets the values under keys. It must come after the write to the main store. After an error
	// old values may be given until they expire.
	Drop(ctx context.Context, keys ...string) error
}
