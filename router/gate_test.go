package router_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/proto/token"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/memory"
)

// door is a gate over a memory store, with a clock.
type door struct {
	*router.Gate
	t        *testing.T
	now      time.Time
	signer   *token.Signer
	sessions store.Sessions
	closed   []string
}

func (d *door) CloseUser(u id.User, code uint16, _ string) {
	d.closed = append(d.closed, fmt.Sprint("user ", code))
}

func (d *door) CloseSession(u id.User, _ id.Session, code uint16, _ string) {
	d.closed = append(d.closed, fmt.Sprint("session ", code))
}

func newDoor(t *testing.T) *door {
	t.Helper()
	d := &door{t: t, now: time.UnixMilli(1_800_000_000_300)}
	cfg := memory.Default()
	cfg.Now = func() time.Time { return d.now }
	m, err := memory.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	d.sessions = m.Sessions()
	if d.signer, err = token.NewSigner([]byte("0123456789abcdef-a test's secret-0123456789abcdef")); err != nil {
		t.Fatal(err)
	}
	d.reload()
	return d
}

// reload is a restart: only what the store has is known.
func (d *door) reload() {
	d.t.Helper()
	g, err := router.NewGate(context.Background(), d.signer, d.sessions, d, func() time.Time { return d.now })
	if err != nil {
		d.t.Fatal(err)
	}
	d.Gate = g
}

// open logs a user in and gives the access token.
func (d *door) open(u id.User) (id.Session, string) {
	d.t.Helper()
	s := id.NewSession()
	gone, err := d.sessions.Open(context.Background(), store.Session{
		ID: s, User: u, Device: s.String(), Created: d.now.UnixMilli(), Expires: d.now.Add(24 * time.Hour).UnixMilli(),
	}, 3)
	if err != nil {
		d.t.Fatal(err)
	}
	d.Removed(gone)
	return s, d.sign(u, s, token.Access)
}

func (d *door) sign(u id.User, s id.Session, of token.Type) string {
	d.t.Helper()
	tok, err := d.signer.Sign(token.Claims{
		User: u, Session: s, Type: of, IssuedAt: d.now.Unix(), Expires: d.now.Add(time.Hour).Unix(), ID: [16]byte{1},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return tok
}

// wants checks a token: the message that it is refused with, or "".
func (d *door) wants(tok, refused string) {
	d.t.Helper()
	c, err := d.Check([]byte(tok))
	var e *proto.Error
	switch {
	case err == nil && refused == "" && !c.User.IsZero():
	case errors.As(err, &e) && e.Code == proto.Unauthenticated && e.Message == refused:
	default:
		d.t.Errorf("%v, want %q", err, refused)
	}
}

func (d *door) revoke(u id.User, s id.Session) {
	d.t.Helper()
	at := d.now.UnixMilli()
	if err := d.Revoke(context.Background(), store.Revocation{User: u, Session: s, At: at, Expires: at + 2*3_600_000}); err != nil {
		d.t.Fatal(err)
	}
}

func TestGateCheck(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	u := id.NewUser()
	s, tok := d.open(u)
	d.wants(tok, "")
	d.wants(tok[:len(tok)-2], "invalid_token")
	d.wants("", "invalid_token")
	d.wants(d.sign(u, s, token.Refresh), "invalid_token")
	d.now = d.now.Add(time.Hour)
	d.wants(tok, "token_expired")
}

func TestGateRevokesSession(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	u := id.NewUser()
	s, tok := d.open(u)
	_, other := d.open(u)
	d.revoke(u, s)
	for range 2 {
		d.wants(tok, "invalid_token")
		d.wants(other, "")
		d.reload()
	}
	if fmt.Sprint(d.closed) != "[session 4401]" {
		t.Errorf("closed %v", d.closed)
	}
}

// TestGateRevokesUser puts a user out who logs in again in the same second: the old tokens are refused,
// the new one is not, also after a restart.
func TestGateRevokesUser(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	u, other := id.NewUser(), id.NewUser()
	_, tok := d.open(u)
	_, theirs := d.open(other)
	legacy := d.sign(u, id.LegacySession(u, d.now.Unix()), token.Access)
	d.now = d.now.Add(100 * time.Millisecond)
	d.revoke(u, id.Session{})
	d.now = d.now.Add(100 * time.Millisecond)
	_, again := d.open(u)
	for range 2 {
		d.wants(tok, "invalid_token")
		d.wants(legacy, "invalid_token")
		d.wants(again, "")
		d.wants(theirs, "")
		d.reload()
	}
	if fmt.Sprint(d.closed) != "[user 4401]" {
		t.Errorf("closed %v", d.closed)
	}
}

// TestGateRemoved: the fourth login of a limit of three ends the first.
func TestGateRemoved(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	u := id.NewUser()
	_, first := d.open(u)
	for range 3 {
		d.now = d.now.Add(time.Second)
		_, tok := d.open(u)
		d.wants(tok, "")
	}
	d.wants(first, "invalid_token")
	if fmt.Sprint(d.closed) != "[session 4401]" {
		t.Errorf("closed %v", d.closed)
	}
}

// TestGateForgets: what no token can need any more leaves memory, and nothing before its time.
func TestGateForgets(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	u := id.NewUser()
	s, _ := d.open(u)
	d.revoke(u, s)
	d.revoke(id.NewUser(), id.Session{})
	_, tok := d.open(u)
	if d.Len() != 2 {
		t.Fatalf("%d revocations, want 2", d.Len())
	}
	d.now = d.now.Add(110 * time.Minute)
	d.Check([]byte(tok))
	if d.Len() != 2 {
		t.Fatalf("%d revocations before their time, want 2", d.Len())
	}
	d.now = d.now.Add(70 * time.Minute)
	_, tok = d.open(u)
	d.wants(tok, "")
	if d.Len() != 0 {
		t.Errorf("%d revocations, want 0", d.Len())
	}
}

// TestGateAttach: a session that is revoked after its token was checked and before it attaches is closed.
func TestGateAttach(t *testing.T) {
	t.Parallel()
	r, l := started(t, 1)
	d := newDoor(t)
	g, err := router.NewGate(context.Background(), d.signer, d.sessions, r, func() time.Time { return d.now })
	if err != nil {
		t.Fatal(err)
	}
	u := id.NewUser()
	s, tok := d.open(u)
	if _, err := g.Check([]byte(tok)); err != nil {
		t.Fatal(err)
	}
	for _, of := range []id.Session{s, {}} {
		s, _ := d.open(u)
		if !of.IsZero() {
			of = s
		}
		d.now = d.now.Add(time.Second)
		at := d.now.UnixMilli()
		if err := g.Revoke(context.Background(), store.Revocation{User: u, Session: of, At: at, Expires: at + 1000}); err != nil {
			t.Fatal(err)
		}
		c := router.Caller{Conn: l.Open(uint32(1+len(of.String())), s), User: u, Session: s}
		r.Attach(c)
		l.Idle()
		if got := l.Closed(c.Conn); got == nil || got.Code != 4401 {
			t.Errorf("closed with %v, want 4401", got)
		}
	}
}

// TestGateTold learns from another node what it revoked, and again, and what nobody told it of.
func TestGateTold(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	u, v := id.NewUser(), id.NewUser()
	s, tok := d.open(u)
	_, of := d.open(v)
	at := d.now.UnixMilli()
	one := store.Revocation{User: u, Session: s, At: at, Expires: at + 3_600_000}
	for range 2 {
		d.Told(one)
		d.wants(tok, "invalid_token")
	}
	if fmt.Sprint(d.closed) != "[session 4401]" {
		t.Errorf("closed %v, want one session, once", d.closed)
	}
	d.now = d.now.Add(2 * time.Second)
	at = d.now.UnixMilli()
	if err := d.sessions.Revoke(context.Background(), store.Revocation{User: v, At: at, Expires: at + 3_600_000}); err != nil {
		t.Fatal(err)
	}
	d.wants(of, "")
	for range 2 {
		if err := d.Reload(context.Background()); err != nil {
			t.Fatal(err)
		}
		d.wants(of, "invalid_token")
	}
	if fmt.Sprint(d.closed) != "[session 4401 user 4401]" {
		t.Errorf("closed %v, want the user's connections too, once", d.closed)
	}
	d.now = d.now.Add(time.Second)
	if _, again := d.open(v); again == "" {
		t.Fatal("no token")
	} else {
		d.wants(again, "")
	}
}
