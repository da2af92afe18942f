package main

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/proto/token"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/memory"
)

// nowhere closes nobody.
type nowhere struct{}

func (nowhere) CloseUser(id.User, uint16, string)                { /* nobody is connected */ }
func (nowhere) CloseSession(id.User, id.Session, uint16, string) { /* nobody is connected */ }

// TestRevocationsReachOtherNodes revokes on one node of a store, in all three ways, and asks another.
func TestRevocationsReachOtherNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := must[*memory.Store](t, "store")(memory.New(memory.Default()))
		defer m.Close()
		board := must[*memory.Board](t, "board")(memory.NewBoard(memory.DefaultCache(), nil))
		signer := must[*token.Signer](t, "signer")(token.NewSigner([]byte("0123456789abcdef0123456789abcdef")))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		node := func() (*router.Gate, told) {
			f := board.Fanout(store.Node{ID: id.NewUser().ID})
			s := told{m.Sessions(), f, slog.New(slog.DiscardHandler), time.Now}
			g := must[*router.Gate](t, "gate")(router.NewGate(ctx, signer, s, nowhere{}, time.Now))
			go f.Listen(ctx, g.Told, g.Reload)
			return g, s
		}
		here, sessions := node()
		there, _ := node()
		synctest.Wait()
		u := id.NewUser()
		login := func(device string) (store.Session, []byte) {
			now := time.Now()
			s := store.Session{ID: id.NewSession(), User: u, Device: device, Created: now.UnixMilli(), Expires: now.Add(time.Hour).UnixMilli()}
			if _, err := sessions.Open(ctx, s, 1); err != nil {
				t.Fatal(err)
			}
			signed := must[string](t, "sign")(signer.Sign(token.Claims{User: u, Session: s.ID, Type: token.Access, IssuedAt: now.Unix(), Expires: now.Add(time.Hour).Unix()}))
			return s, []byte(signed)
		}
		refused := func(tok []byte) bool {
			synctest.Wait()
			_, err := there.Check(tok)
			return err != nil
		}
		s, first := login("a")
		if refused(first) {
			t.Fatal("a good token is refused")
		}
		_, second := login("b") // the limit is one session
		if !refused(first) || refused(second) {
			t.Error("a session that another one displaced is good on the other node, or the new one is not")
		}
		if err := here.Revoke(ctx, store.Revocation{User: u, Session: s.ID, At: time.Now().UnixMilli(), Expires: s.Expires}); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Second) // tokens tell whole seconds
		_, third := login("c")
		<-time.After(2 * time.Second) // tokens tell whole seconds
		now := time.Now().UnixMilli()
		if err := here.Revoke(ctx, store.Revocation{User: u, At: now, Expires: now + 3_600_000}); err != nil {
			t.Fatal(err)
		}
		if !refused(third) {
			t.Error("a token of a user who was kicked elsewhere is good")
		}
		cancel()
		synctest.Wait()
	})
}

// deaf is a fan-out that reaches nobody.
type deaf struct{ store.Fanout }

func (deaf) Publish(context.Context, store.Revocation) error { return store.ErrBusy }

// TestRevocationWithoutFanout: what cannot be told is revoked all the same.
func TestRevocationWithoutFanout(t *testing.T) {
	t.Parallel()
	m := must[*memory.Store](t, "store")(memory.New(memory.Default()))
	defer m.Close()
	s := told{m.Sessions(), deaf{}, slog.New(slog.DiscardHandler), time.Now}
	now := time.Now().UnixMilli()
	one := store.Session{ID: id.NewSession(), User: id.NewUser(), Device: "a", Created: now, Expires: now + 3_600_000}
	if _, err := s.Open(t.Context(), one, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Revoke(t.Context(), store.Revocation{User: one.User, Session: one.ID, At: now, Expires: one.Expires}); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(t.Context(), one.User, one.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("%v", err)
	}
}
