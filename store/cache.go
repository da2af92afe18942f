package store

import (
	"context"
	"time"
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
