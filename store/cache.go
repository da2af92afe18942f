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
// may forget any user at any time; what it holds of a user is all of that user's direct threads.
type Recency interface {
	// Touch moves a thread forward to at, never back, in the lists of those of the users that it holds.
	Touch(ctx context.Context, t id.Thread, at int64, users []id.User) error
	// Newest gives the places after (older than) the given one, newest first (the greater thread id first
	// at the same time), at most limit; the zero Place is the start. known is false where nothing is held.
	Newest(ctx context.Context, u id.User, after Place, limit int) (places []Place, known bool, err error)
	// Fill makes the cache hold u's list. A Touch that came in between is not lost: the later time stays.
	Fill(ctx context.Context, u id.User, all []Place) error
}
