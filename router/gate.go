package router

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/proto/token"
	"github.com/tolkflip/tolkflip/store"
)

// Closer ends open connections; Router is one.
type Closer interface {
	CloseUser(u id.User, code uint16, reason string)
	CloseSession(u id.User, s id.Session, code uint16, reason string)
}

const (
	hour = int64(time.Hour / time.Millisecond)
	// forgetAtOnce bounds the revocations that one call drops, so that no caller waits for all of an hour.
	forgetAtOnce = 4096
)

// Gate says whether an access token is good: its signature, its time, and that it was not revoked. It
// holds the live revocations in memory (about 70 bytes each, until the last token they concern is over)
// and reads no store. Its methods may be called from many goroutines at once.
type Gate struct {
	// Fixed after construction.
	signer   *token.Signer
	sessions store.Sessions
	closer   Closer
	now      func() time.Time

	// Whoever acts for a user holds one of these as a reader; who has revoked takes it once as a writer, so
	// that nothing is under way any more when the revocation returns. Never held while mu is waited for by
	// a writer: mu is taken below it, for a look.
	passes [64]pass

	mu struct {
		sync.RWMutex
		sessions map[id.Session]int64 // when the revocation may be forgotten, Unix ms
		users    map[id.User]cut
		blocks   map[id.User]block
		due      map[int64][]mark // by the hour after which they may be forgotten
		swept    int64            // the hour up to which due was emptied
	}
}

// pass is on a cache line of its own: workers take it for every message.
type pass struct {
	sync.RWMutex
	_ [40]byte
}

func (g *Gate) pass(u id.User) *pass { return &g.passes[u.ID[15]%uint8(len(g.passes))] }

// settle waits for what is under way for a user.
func (g *Gate) settle(u id.User) {
	p := g.pass(u)
	p.Lock()
	p.Unlock() //nolint:staticcheck // to have waited is all
}

// cut refuses a user's sessions that were opened before at.
type cut struct{ at, expires int64 }

// block refuses all that a user shows, or says that nothing does so any more.
type block struct {
	made, expires int64
	lifted        bool
}

// mark names what is due to be forgotten: a session's revocation, or one of a user's.
type mark struct {
	session id.Session
	user    id.User
}

// NewGate loads the revocations that are live at now and gives a Gate that knows them. If closer is a
// Router, its Attach also asks the gate, so that a session which is revoked while a connection is between
// its token's check and its Attach does not slip through.
func NewGate(ctx context.Context, s *token.Signer, sessions store.Sessions, closer Closer, now func() time.Time) (*Gate, error) {
	g := &Gate{signer: s, sessions: sessions, closer: closer, now: now}
	g.mu.sessions = make(map[id.Session]int64)
	g.mu.users = make(map[id.User]cut)
	g.mu.blocks = make(map[id.User]block)
	g.mu.due = make(map[int64][]mark)
	g.mu.swept = now().UnixMilli() / hour
	if err := sessions.Revocations(ctx, now().UnixMilli(), func(r store.Revocation) { g.remember(r) }); err != nil {
		return nil, fmt.Errorf("load revocations: %w", err)
	}
	if r, ok := closer.(*Router); ok {
		r.gate.Store(g)
	}
	return g, nil
}

// Check reads an access token. Its error is a *proto.Error, Unauthenticated, with the Message
// token_expired or invalid_token. Nothing of tok is kept.
func (g *Gate) Check(tok []byte) (token.Claims, error) {
	now := g.now()
	c, err := g.signer.Verify(tok, token.Access, now)
	switch {
	case errors.Is(err, token.ErrExpired):
		return token.Claims{}, proto.Fail(proto.Unauthenticated, "token_expired")
	case err != nil:
		return token.Claims{}, proto.Fail(proto.Unauthenticated, "invalid_token")
	case g.revoked(c, now.UnixMilli()):
		return token.Claims{}, proto.Fail(proto.Unauthenticated, "invalid_token")
	}
	return c, nil
}

// revoked reports whether a revocation concerns the token. Tokens tell their time in whole seconds. One
// of the very second of a cut is judged by its session, which Revoke marks as well, so that a user who is
// put out and logs in again at once is let in; a token that names no session has only its time to show.
func (g *Gate) revoked(c token.Claims, now int64) bool {
	g.mu.RLock()
	_, ended := g.mu.sessions[c.Session]
	u := g.mu.users[c.User]
	b := g.mu.blocks[c.User]
	due := g.mu.swept < now/hour
	g.mu.RUnlock()
	if due {
		g.forget(now)
	}
	if ended || b.made > 0 && !b.lifted {
		return true
	}
	at := max(u.at, b.made) // what was refused by a block stays so after it
	if at == 0 {
		return false
	}
	issued := c.IssuedAt * 1000
	if c.Session == id.LegacySession(c.User, c.IssuedAt) {
		return issued < at
	}
	return issued+999 < at
}

// live reports whether a connection's session was not revoked.
func (g *Gate) live(c Caller) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	_, ended := g.mu.sessions[c.Session]
	return !ended && !g.blockedLocked(c.User)
}

// Revoke refuses a session, or all of a user's that were opened before r.At, from when it returns and
// also after a crash, and closes their connections with 4401: what Router.Enter let through has left by
// then, and it lets nothing through any more. What it could not make durable it refuses all the same until
// the process ends, and returns the error.
func (g *Gate) Revoke(ctx context.Context, r store.Revocation) error {
	all := []store.Revocation{r}
	var failed error
	if r.Session.IsZero() {
		list, err := g.sessions.List(ctx, r.User)
		if err != nil {
			failed = fmt.Errorf("list sessions: %w", err)
		}
		for _, s := range list {
			if r.Concerns(s) {
				all = append(all, store.Revocation{User: r.User, Session: s.ID, At: r.At, Expires: r.Expires})
			}
		}
	}
	for i := len(all) - 1; i >= 0; i-- { // the user's own last: it removes the sessions that the others name
		if err := g.sessions.Revoke(ctx, all[i]); err != nil {
			failed = fmt.Errorf("revoke: %w", err)
		}
		g.remember(all[i])
	}
	g.settle(r.User)
	if r.Session.IsZero() {
		g.closer.CloseUser(r.User, closeToken, "token revoked")
	} else {
		g.closer.CloseSession(r.User, r.Session, closeToken, "token revoked")
	}
	return failed
}

// Block refuses a user whatever token it shows, also one that is made later, from when it returns and also
// after a crash, until Unblock; it closes the user's connections with 4401. The user's sessions are over even
// after Unblock: expires is when the last of their tokens is. What it could not make durable it refuses all
// the same until the process ends, and returns the error.
func (g *Gate) Block(ctx context.Context, u id.User, expires int64) error {
	b := store.Block(u, g.next(u))
	g.remember(b)                                                                                     // before connections are closed, so that none slips in behind
	failed := g.Revoke(ctx, store.Revocation{User: u, At: g.now().UnixMilli() + 1, Expires: expires}) // this very millisecond's too
	if err := g.sessions.Revoke(ctx, b); err != nil {
		failed = fmt.Errorf("block: %w", err)
	}
	return failed
}

// Unblock ends a user's block, also after a crash. Tokens from before it stay refused.
func (g *Gate) Unblock(ctx context.Context, u id.User) error {
	r := store.Lift(u, g.next(u))
	if err := g.sessions.Revoke(ctx, r); err != nil {
		return fmt.Errorf("unblock: %w", err)
	}
	g.remember(r)
	return nil
}

// next is the time of a new block or lift: now, and later than the user's last.
func (g *Gate) next(u id.User) int64 {
	g.mu.RLock()
	defer g.mu.RUnlock()
	now := g.now().UnixMilli()
	if b, ok := g.mu.blocks[u]; ok {
		now = max(now, b.made+1)
	}
	return now
}

// Blocked reports whether a user is refused whatever token it shows.
func (g *Gate) Blocked(u id.User) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.blockedLocked(u)
}

func (g *Gate) blockedLocked(u id.User) bool {
	b, known := g.mu.blocks[u]
	return known && !b.lifted
}

// Removed refuses sessions that the store has revoked already, as Sessions.Open says that it did, and
// closes their connections with 4401.
func (g *Gate) Removed(ss []store.Session) {
	for _, s := range ss {
		g.remember(store.Revocation{User: s.User, Session: s.ID, Expires: s.Expires})
		g.settle(s.User)
		g.closer.CloseSession(s.User, s.ID, closeToken, "session ended")
	}
}

// Told refuses what another node has revoked and made durable, and closes its connections here with 4401.
// What was known already changes nothing, so it may be told any number of times.
func (g *Gate) Told(r store.Revocation) {
	if !g.remember(r) {
		return
	}
	if _, lifts, standing := r.Standing(); standing && lifts {
		return
	}
	if r.Session.IsZero() {
		g.closer.CloseUser(r.User, closeToken, "token revoked")
	} else {
		g.closer.CloseSession(r.User, r.Session, closeToken, "token revoked")
	}
}

// Reload is Told of all that the store has: what other nodes revoked while nobody could be told of it.
func (g *Gate) Reload(ctx context.Context) error {
	if err := g.sessions.Revocations(ctx, g.now().UnixMilli(), g.Told); err != nil {
		return fmt.Errorf("load revocations: %w", err)
	}
	return nil
}

// Len is the number of revocations in memory.
func (g *Gate) Len() int {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return len(g.mu.sessions) + len(g.mu.users) + len(g.mu.blocks)
}

// remember reports whether r was news.
func (g *Gate) remember(r store.Revocation) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := mark{session: r.Session}
	if made, lifts, standing := r.Standing(); standing {
		m.user = r.User
		if old, known := g.mu.blocks[r.User]; known && made <= old.made {
			return false
		}
		g.mu.blocks[r.User] = block{made: made, expires: r.Expires, lifted: lifts}
	} else if r.Session.IsZero() {
		m.user = r.User
		old := g.mu.users[r.User]
		now := cut{max(old.at, r.At), max(old.expires, r.Expires)}
		if now == old {
			return false
		}
		g.mu.users[r.User] = now
	} else {
		old, known := g.mu.sessions[r.Session]
		if known && old >= r.Expires {
			return false
		}
		g.mu.sessions[r.Session] = max(old, r.Expires)
	}
	at := max(r.Expires/hour, g.mu.swept)
	g.mu.due[at] = append(g.mu.due[at], m)
	return true
}

// forget drops revocations whose hour has passed, some at a time.
func (g *Gate) forget(now int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	left := forgetAtOnce
	for ; g.mu.swept < now/hour; g.mu.swept++ {
		marks := g.mu.due[g.mu.swept]
		for len(marks) > 0 {
			if left--; left < 0 {
				g.mu.due[g.mu.swept] = marks
				return
			}
			m := marks[len(marks)-1]
			marks = marks[:len(marks)-1]
			if g.mu.sessions[m.session] <= now {
				delete(g.mu.sessions, m.session)
			}
			if g.mu.users[m.user].expires <= now {
				delete(g.mu.users, m.user)
			}
			if g.mu.blocks[m.user].expires <= now {
				delete(g.mu.blocks, m.user)
			}
		}
		delete(g.mu.due, g.mu.swept)
	}
}
