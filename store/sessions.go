package store

import (
	"context"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
)

// Session is one device's login.
type Session struct {
	ID      id.Session
	User    id.User
	Device  string // deviceId of the login, or one made for it
	Created int64
	Expires int64
	Refresh [16]byte // identifies the refresh token that is current
}

// Revocation refuses tokens before they expire.
type Revocation struct {
	User    id.User
	Session id.Session // absent: every session of User that was opened before At
	At      int64
	Expires int64 // when the last token it concerns is over; it may be forgotten then
}

// blockLife is how long a block stands unless it is lifted, and how long it is kept in any case: longer
// than any token. Milliseconds.
const blockLife = int64(5 * 365 * 24 * time.Hour / time.Millisecond)

// Block gives the revocation that refuses u from now on whatever token it shows, also one that is made
// later: it expires only when the time comes that it names. Of a user's blocks and lifts the one that was
// made last counts; a store keeps them like any other revocation.
func Block(u id.User, now int64) Revocation {
	return Revocation{User: u, At: now + blockLife, Expires: now + blockLife}
}

// Lift gives the revocation that ends u's blocks from now on. It refuses nothing.
func Lift(u id.User, now int64) Revocation {
	return Revocation{User: u, Expires: now + blockLife}
}

// Standing reports whether r is a block or a lift, which of them, and when it was made.
func (r Revocation) Standing() (made int64, lifts, ok bool) {
	if !r.Session.IsZero() || (r.At != r.Expires && r.At != 0) {
		return 0, false, false
	}
	return r.Expires - blockLife, r.At == 0, true
}

// Concerns reports whether r ends s.
func (r Revocation) Concerns(s Session) bool {
	if r.User != s.User {
		return false
	}
	if r.Session.IsZero() {
		return s.Created < r.At
	}
	return r.Session == s.ID
}

// Displaced gives those of a user's live sessions, oldest first, that must go when next is opened: the
// one of the same device, and the oldest while with next there are more than limit.
func Displaced(live []Session, next Session, limit int) []Session {
	var gone, stay []Session
	for _, s := range live {
		switch {
		case s.ID == next.ID: // opened again: replaced, not ended
		case s.Device == next.Device:
			gone = append(gone, s)
		default:
			stay = append(stay, s)
		}
	}
	if over := len(stay) + 1 - limit; over > 0 {
		gone = append(gone, stay[:min(over, len(stay))]...)
	}
	return gone
}

// Sessions keeps logins and their revocations. Both survive a crash from the moment a call returns.
type Sessions interface {
	// Open stores s in place of the user's session with the same Device, and removes the oldest while
	// the user has more than limit. What it removed is revoked (until its Expires) in the same write,
	// and returned. Expired sessions are removed silently and do not count.
	Open(ctx context.Context, s Session, limit int) (removed []Session, err error)
	// Get is ErrNotFound for an unknown, expired or removed session.
	Get(ctx context.Context, u id.User, s id.Session) (Session, error)
	// Rotate makes next the current refresh token. ErrConflict when old is not the current one any more,
	// ErrNotFound as Get.
	Rotate(ctx context.Context, u id.User, s id.Session, old, next [16]byte) error
	// List gives a user's live sessions, oldest first.
	List(ctx context.Context, u id.User) ([]Session, error)
	// Revoke stores r and removes the sessions it concerns.
	Revoke(ctx context.Context, r Revocation) error
	// Revocations calls each with every revocation that has not expired at now.
	Revocations(ctx context.Context, now int64, each func(Revocation)) error
}
