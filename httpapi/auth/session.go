package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/proto/token"
	"github.com/tolkflip/tolkflip/store"
)

// maxDevice is the longest deviceId, in bytes.
const maxDevice = 128

// device names the device that logs in; a second login of it replaces the first.
type device struct {
	Device  httpapi.Value `json:"deviceId"`
	Device2 httpapi.Value `json:"device_id"`
}

// name is empty where none was sent.
func (d device) name(bad *httpapi.FieldErrors) string {
	v, field := d.Device, "deviceId"
	if !v.Sent() {
		v, field = d.Device2, "device_id"
	}
	if !v.Sent() {
		return ""
	}
	text, ok := v.Text()
	if !ok || text == "" || len(text) > maxDevice || !httpapi.Printable(text) {
		bad.Add(field, v, "")
	}
	return text
}

// tokensOut are an access and a refresh token in the spellings of all clients.
type tokensOut struct {
	Token    string `json:"token"`
	Access2  string `json:"accessToken"`
	Access3  string `json:"access_token"`
	Refresh  string `json:"refreshToken"`
	Refresh2 string `json:"refresh_token"`
	UserID   string `json:"userId"`
	UserID2  string `json:"user_id"`
	Session  string `json:"sessionId"`
	Expires  int64  `json:"expiresIn"` // seconds, of the access token
}

type sessionOut struct {
	Success bool `json:"success"`
	tokensOut
	User httpapi.Person `json:"user"`
}

// open starts a session. Its access token lives for access, or as long as the session if that is shorter.
func (s *service) open(ctx context.Context, u store.User, dev string, created bool, access time.Duration) (sessionOut, error) {
	var none sessionOut
	if u.Blocked {
		s.metrics.session(sessionBlocked)
		return none, blocked()
	}
	now := s.deps.Now()
	ses := store.Session{
		ID: id.NewSession(), User: u.ID, Device: dev,
		Created: now.UnixMilli(), Expires: now.Add(s.cfg.SessionLife).UnixMilli(), Refresh: newRefresh(),
	}
	if ses.Device == "" {
		ses.Device = "session " + ses.ID.String()
	}
	t, err := s.sign(u, ses, access, true)
	if err != nil {
		return none, err
	}
	removed, err := s.deps.Sessions.Open(ctx, ses, s.cfg.Sessions)
	if err != nil {
		return none, fmt.Errorf("open a session: %w", err)
	}
	if len(removed) > 0 {
		s.deps.Gate.Removed(removed)
	}
	if err := s.deps.Users.Seen(ctx, map[id.User]int64{u.ID: now.UnixMilli()}); err != nil {
		s.log.Warn("note a login's time", slog.Any("error", err))
	}
	s.metrics.session(sessionOpened)
	if created {
		s.metrics.session(sessionCreated)
	}
	return sessionOut{Success: true, tokensOut: t, User: httpapi.PersonOf(u, true)}, nil
}

func blocked() error { return proto.Fail(proto.Forbidden, "Account blocked") }

// newRefresh makes the id of a refresh token.
func newRefresh() (r [16]byte) {
	_, _ = rand.Read(r[:]) // never fails: crypto/rand aborts the process instead
	return r
}

// sign makes the tokens of a session. Neither outlives it. Without refresh only the access token is new.
func (s *service) sign(u store.User, ses store.Session, access time.Duration, refresh bool) (t tokensOut, err error) {
	now, end := s.deps.Now().Unix(), ses.Expires/1000
	expires := min(now+int64(access/time.Second), end)
	c := token.Claims{
		User: u.ID, Session: ses.ID, Phone: u.Phone, Type: token.Access, IssuedAt: now, Expires: expires,
	}
	if t.Token, err = s.deps.Tokens.Sign(c); err != nil {
		return t, err
	}
	t.Access2, t.Access3, t.Expires = t.Token, t.Token, expires-now
	t.UserID, t.Session = u.ID.String(), ses.ID.String()
	t.UserID2 = t.UserID
	if refresh {
		c.Type, c.Expires, c.ID, c.Phone = token.Refresh, end, ses.Refresh, ""
		if t.Refresh, err = s.deps.Tokens.Sign(c); err != nil {
			return t, err
		}
		t.Refresh2 = t.Refresh
	}
	return t, nil
}

type refreshIn struct {
	Token  httpapi.Value `json:"refreshToken"`
	Token2 httpapi.Value `json:"refresh_token"`
	Rotate bool          `json:"rotate"`
}

// token is the refresh token in either spelling; empty where none was sent.
func (in refreshIn) token() string {
	text, _ := in.Token.Text()
	if text == "" {
		text, _ = in.Token2.Text()
	}
	return text
}

type refreshOut struct {
	Success bool `json:"success"`
	tokensOut
}

// refresh gives a new access token for a refresh token, and with rotate a new one of that too. An old
// one that comes again was stolen, or is used by a thief's victim: the session ends.
func (s *service) refresh(ctx context.Context, _ httpapi.Caller, in refreshIn) (refreshOut, error) {
	var none refreshOut
	text := in.token()
	if text == "" {
		return none, proto.BadField("refreshToken", "Refresh token required")
	}
	claims, err := s.deps.Tokens.Verify([]byte(text), token.Refresh, s.deps.Now())
	if err != nil {
		if _, err := s.deps.Tokens.Verify([]byte(text), token.Access, s.deps.Now()); err == nil {
			return none, proto.Fail(proto.Unauthenticated, "Invalid token type")
		}
		return none, badRefresh()
	}
	ses, err := s.deps.Sessions.Get(ctx, claims.User, claims.Session)
	if errors.Is(err, store.ErrNotFound) {
		return none, badRefresh()
	}
	if err != nil {
		return none, fmt.Errorf("find a session: %w", err)
	}
	if ses.Refresh != claims.ID {
		return none, s.reused(ctx, ses)
	}
	u, err := s.deps.Users.Get(ctx, claims.User)
	if errors.Is(err, store.ErrNotFound) {
		return none, badRefresh()
	}
	if err != nil {
		return none, fmt.Errorf("find a user: %w", err)
	}
	if u.Blocked {
		s.metrics.session(sessionBlocked)
		return none, blocked()
	}
	if in.Rotate {
		next := newRefresh()
		err := s.deps.Sessions.Rotate(ctx, u.ID, ses.ID, ses.Refresh, next)
		switch {
		case errors.Is(err, store.ErrConflict):
			return none, s.reused(ctx, ses)
		case errors.Is(err, store.ErrNotFound):
			return none, badRefresh()
		case err != nil:
			return none, fmt.Errorf("rotate a refresh token: %w", err)
		}
		ses.Refresh = next
		s.metrics.session(sessionRotated)
	}
	t, err := s.sign(u, ses, s.cfg.AccessLife, in.Rotate)
	if err != nil {
		return none, err
	}
	if !in.Rotate {
		t.Refresh, t.Refresh2 = text, text
	}
	s.metrics.session(sessionRefreshed)
	return refreshOut{Success: true, tokensOut: t}, nil
}

func badRefresh() error { return proto.Fail(proto.Unauthenticated, "Invalid refresh token") }

// reused ends a session whose old refresh token came again.
func (s *service) reused(ctx context.Context, ses store.Session) error {
	s.metrics.session(sessionReused)
	if err := s.end(ctx, ses.User, ses.ID, ses.Expires); err != nil {
		return err
	}
	return badRefresh()
}

// end revokes one session until the last of its tokens is over.
func (s *service) end(ctx context.Context, u id.User, ses id.Session, expires int64) error {
	r := store.Revocation{User: u, Session: ses, At: s.deps.Now().UnixMilli(), Expires: expires}
	if err := s.deps.Gate.Revoke(ctx, r); err != nil {
		return fmt.Errorf("end a session: %w", err)
	}
	return nil
}

// logout ends the session of the bearer, or of the refresh token in the body, and no other: whatever
// userId the body names is not looked at. A stranger is told the same.
func (s *service) logout(ctx context.Context, c httpapi.Caller, in refreshIn) (doneOut, error) {
	user, session := c.User, c.Session
	if user.IsZero() {
		if claims, err := s.deps.Tokens.Verify([]byte(in.token()), token.Refresh, s.deps.Now()); err == nil {
			user, session = claims.User, claims.Session
		}
	}
	out := doneOut{true, "Logged out successfully"}
	if user.IsZero() {
		return out, nil
	}
	// A session that no store knows is an old token's; the longest that one can live is a session's life.
	expires := s.deps.Now().Add(s.cfg.SessionLife).UnixMilli()
	ses, err := s.deps.Sessions.Get(ctx, user, session)
	switch {
	case err == nil:
		expires = ses.Expires
	case !errors.Is(err, store.ErrNotFound):
		return doneOut{}, fmt.Errorf("find a session: %w", err)
	}
	if err := s.end(ctx, user, session, expires); err != nil {
		return doneOut{}, err
	}
	s.metrics.session(sessionEnded)
	return out, nil
}
