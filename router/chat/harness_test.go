package chat

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/router/internal/fake"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/memory"
)

// world is the rules over a memory store and fake loops.
type world struct {
	*Service
	t     *testing.T
	loops *fake.Loops
	mem   *memory.Store
	slot  uint32
}

func newWorld(t *testing.T, edit func(*memory.Config, *Config)) *world {
	t.Helper()
	mcfg, cfg := memory.Default(), Default()
	if edit != nil {
		edit(&mcfg, &cfg)
	}
	mem, err := memory.New(mcfg)
	if err != nil {
		t.Fatal(err)
	}
	l := fake.New(2)
	l.Start()
	r := router.New(l, prometheus.NewRegistry())
	s, err := New(cfg, r, l, Stores{
		Log: mem.Log(), Threads: mem.Threads(), Users: mem.Users(),
		Groups: mem.Groups(), Members: mem.Members(), Cursors: mem.Cursors(),
	}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mem.Close(); l.Stop() })
	return &world{Service: s, t: t, loops: l, mem: mem}
}

// user registers somebody.
func (w *world) user() id.User {
	w.t.Helper()
	u := id.NewUser()
	if err := w.mem.Users().Create(context.Background(), store.User{ID: u, Phone: u.String()}); err != nil {
		w.t.Fatal(err)
	}
	return u
}

// connect attaches a new connection of u.
func (w *world) connect(u id.User) router.Caller {
	w.slot++
	c := w.loops.Caller(w.slot, u)
	w.router.Attach(c)
	return c
}

// group makes a group of which the first user is the admin.
func (w *world) group(users ...id.User) id.Thread {
	w.t.Helper()
	g := id.NewGroup()
	var members []store.Member
	for i, u := range users {
		m := store.Member{Group: g, User: u}
		if i == 0 {
			m.Role = store.Admin
		}
		members = append(members, m)
	}
	if err := w.mem.Groups().Create(context.Background(), store.Group{ID: g, CreatedBy: users[0]}, members); err != nil {
		w.t.Fatal(err)
	}
	return g
}

func (w *world) setting(g id.Thread, key, value string) {
	w.t.Helper()
	if _, err := w.mem.Groups().Update(context.Background(), g, store.GroupPatch{Settings: map[string]string{key: value}}); err != nil {
		w.t.Fatal(err)
	}
	w.GroupChanged(g)
}

// post writes a text over REST.
func (w *world) post(from id.User, t id.Thread, to id.User, text string) Sent {
	w.t.Helper()
	sent, err := w.Post(context.Background(), from, Post{t, to, proto.Draft{Content: []byte(text)}})
	if err != nil {
		w.t.Fatal(err)
	}
	return sent
}

func text(s string) proto.Draft { return proto.Draft{Content: []byte(s)} }

// wantCode checks that err is a *proto.Error of a code, or nil for want < 0.
func wantCode(t *testing.T, what string, err error, want int) {
	t.Helper()
	if want < 0 {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return
	}
	var e *proto.Error
	if !errors.As(err, &e) || e.Code != proto.Code(want) {
		t.Errorf("%s: %v, want %v", what, err, proto.Code(want))
		return
	}
	if e.Code == proto.Invalid && (e.Field == "" || !strings.Contains(e.Message, e.Field) || len(e.Message) == len(e.Field)) {
		t.Errorf("%s: %q does not say what is wrong with the field %q", what, e.Message, e.Field)
	}
}

// one takes the only frame of a connection.
func one[E proto.Event](w *world, c router.Caller) E {
	w.t.Helper()
	var e E
	frames := w.loops.Wait(c.Conn, 1)
	if len(frames) != 1 {
		w.t.Fatalf("%d frames, want one", len(frames))
	}
	e, ok := frames[0].Event.(E)
	if !ok {
		w.t.Fatalf("got %+v, want a %T", frames[0].Event, e)
	}
	return e
}

// none checks that nothing was sent to some connections.
func (w *world) none(list ...router.Caller) {
	w.t.Helper()
	w.loops.Idle()
	for _, c := range list {
		if f := w.loops.Take(c.Conn); len(f) != 0 {
			w.t.Errorf("%d frames, want none: %+v", len(f), f[0].Event)
		}
	}
}
