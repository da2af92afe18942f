package router_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/proto/token"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/store"
)

// mint makes a token of a session that no store knows, as whoever has the secret can.
func (d *door) mint(u id.User) string {
	d.t.Helper()
	return d.sign(u, id.NewSession(), token.Access)
}

func (d *door) block(u id.User) {
	d.t.Helper()
	if err := d.Block(context.Background(), u, d.now.Add(24*time.Hour).UnixMilli()); err != nil {
		d.t.Fatal(err)
	}
}

func (d *door) unblock(u id.User) {
	d.t.Helper()
	if err := d.Unblock(context.Background(), u); err != nil {
		d.t.Fatal(err)
	}
}

// TestGateBlocks: a block refuses what is minted later too, for years and over restarts, and its end lets
// nothing in that was refused before it, however fast an operator changes their mind.
func TestGateBlocks(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	u, other := id.NewUser(), id.NewUser()
	_, before := d.open(u)
	_, theirs := d.open(other)
	d.block(u)
	if fmt.Sprint(d.closed) != "[user 4401]" {
		t.Errorf("closed %v", d.closed)
	}
	legacy := func() string { return d.sign(u, id.LegacySession(u, d.now.Unix()), token.Access) }
	for range 2 {
		d.now = d.now.Add(time.Minute)
		_, opened := d.open(u)
		for _, tok := range []string{before, opened, d.mint(u), legacy()} {
			d.wants(tok, "invalid_token")
		}
		d.wants(theirs, "")
		if !d.Blocked(u) || d.Blocked(other) {
			t.Errorf("blocked %v, another %v", d.Blocked(u), d.Blocked(other))
		}
		d.reload()
	}
	for range 3 { // within a millisecond
		d.unblock(u)
		d.wants(d.mint(u), "")
		d.wants(before, "invalid_token")
		d.block(u)
		d.wants(d.mint(u), "invalid_token")
	}
	d.reload()
	d.wants(d.mint(u), "invalid_token")
	during := d.mint(u)
	d.now = d.now.Add(time.Second)
	d.unblock(u)
	for range 2 {
		d.wants(d.mint(u), "")
		for _, tok := range []string{before, during} {
			d.wants(tok, "invalid_token")
		}
		d.reload()
	}
	d.block(u)
	d.now = d.now.Add(4 * 365 * 24 * time.Hour)
	d.wants(d.mint(u), "invalid_token")
	d.reload()
	d.wants(d.mint(u), "invalid_token")
}

// TestGateToldOfBlocks: another node's blocks and lifts count in the order in which they were made, not in
// that in which they come, and a lift closes nothing.
func TestGateToldOfBlocks(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	u := id.NewUser()
	at := d.now.UnixMilli()
	first, lift, second := store.Block(u, at-3), store.Lift(u, at-2), store.Block(u, at-1)
	for _, order := range [][]store.Revocation{
		{first, lift, second}, {first, second, lift}, {lift, first, second}, {lift, second, first}, {second, first, lift}, {second, lift, first},
	} {
		d.reload()
		for _, r := range order {
			d.Told(r)
			d.Told(r)
		}
		d.wants(d.mint(u), "invalid_token")
	}
	d.reload()
	d.closed = nil
	d.Told(first)
	d.Told(lift)
	d.Told(first)
	d.wants(d.mint(u), "")
	if fmt.Sprint(d.closed) != "[user 4401]" {
		t.Errorf("closed %v", d.closed)
	}
	d.unblock(u) // of one who is not blocked
	d.wants(d.mint(u), "")
}

// TestGateForgetsBlocks: a block that nobody lifted is over after five years, and leaves memory.
func TestGateForgetsBlocks(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	u, v := id.NewUser(), id.NewUser()
	d.block(u)
	d.block(v)
	d.unblock(v)
	d.now = d.now.Add(5*365*24*time.Hour + 2*time.Hour)
	for range 12 { // some hours at a time
		d.Check([]byte(d.mint(u)))
	}
	d.wants(d.mint(u), "")
	if d.Len() != 0 {
		t.Errorf("%d revocations, want 0", d.Len())
	}
}

// deaf is a store of sessions that cannot be written.
type deaf struct{ store.Sessions }

var errDeaf = errors.New("deaf")

func (deaf) Revoke(context.Context, store.Revocation) error { return errDeaf }

// TestGateBlockThatIsNotDurable refuses all the same, and says so; one that could not be lifted stands.
func TestGateBlockThatIsNotDurable(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	d.sessions = deaf{d.sessions}
	d.reload()
	u := id.NewUser()
	if err := d.Block(context.Background(), u, 0); !errors.Is(err, errDeaf) {
		t.Errorf("block: %v", err)
	}
	if err := d.Unblock(context.Background(), u); !errors.Is(err, errDeaf) {
		t.Errorf("unblock: %v", err)
	}
	d.wants(d.mint(u), "invalid_token")
}

// TestGateAttachOfABlocked: one whose token was checked before the block, and who attaches after it, is closed,
// though no store knows the session.
func TestGateAttachOfABlocked(t *testing.T) {
	t.Parallel()
	r, l := started(t, 1)
	d := newDoor(t)
	g, err := router.NewGate(context.Background(), d.signer, d.sessions, r, func() time.Time { return d.now })
	if err != nil {
		t.Fatal(err)
	}
	u := id.NewUser()
	claims, err := g.Check([]byte(d.mint(u)))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Block(context.Background(), u, d.now.Add(time.Hour).UnixMilli()); err != nil {
		t.Fatal(err)
	}
	c := router.Caller{Conn: l.Open(1, claims.Session), User: u, Session: claims.Session}
	r.Attach(c)
	l.Idle()
	if got := l.Closed(c.Conn); got == nil || got.Code != 4401 {
		t.Errorf("closed with %v, want 4401", got)
	}
}
