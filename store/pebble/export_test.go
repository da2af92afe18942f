package pebble

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// TestExport fills a store with one to a few of everything and reads it back whole.
func TestExport(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := open(t, small(vfs.NewMem()))
	now := s.cfg.Now().UnixMilli()
	var people []store.User
	for i := range 3 {
		people = append(people, store.User{ID: id.NewUser(), Phone: fmt.Sprintf("+1555000%d", i), Name: "p", Created: now})
		check(t, s.Users().Create(ctx, people[i]))
	}
	a, b, c := people[0].ID, people[1].ID, people[2].ID
	check(t, s.Users().Seen(ctx, map[id.User]int64{a: now + 5}))
	live := store.Session{ID: id.NewSession(), User: a, Device: "d", Created: now, Expires: now + 1e6}
	for _, session := range []store.Session{live, {ID: id.NewSession(), User: b, Device: "d", Created: now - 10, Expires: now - 1}} {
		_, err := s.Sessions().Open(ctx, session, 20)
		check(t, err)
	}
	group, gone := id.NewGroup(), id.NewGroup()
	for _, g := range []id.Thread{group, gone} {
		check(t, s.Groups().Create(ctx, store.Group{ID: g, Name: "g", CreatedBy: a, Created: now}, []store.Member{{User: a, Role: store.Admin}, {User: b}}))
	}
	check(t, s.Devices().Put(ctx, store.Device{User: c, Token: "token", Platform: "ios", Added: now}))
	file := store.Media{ID: id.Media{ID: id.NewGroup().ID}, Owner: a, Name: "n", Type: "image/png", Key: "k"}
	check(t, s.Media().Put(ctx, file))
	direct := id.Direct(a, b)
	settings := store.ThreadSettings{PreferredLanguage: "de", ShowOriginal: true}
	_, err := s.Threads().SetSettings(ctx, direct, a, store.ThreadSettingsPatch{PreferredLanguage: &settings.PreferredLanguage})
	check(t, err)
	_, _, err = s.Cursors().Advance(ctx, direct, b, store.Cursor{Delivered: 2, Read: 1})
	check(t, err)
	heads := map[id.Thread]uint64{direct: 3, group: 1, gone: 2}
	for thread, head := range heads {
		for range head {
			m := store.Message{ID: id.Message{ID: id.NewGroup().ID}, Thread: thread, Sender: a, Sent: now, Content: []byte("x")}
			if thread == direct {
				m.Receiver = b
			}
			done := make(chan error, 1)
			s.Log().Append(&store.Entry{Message: m, Done: func(e *store.Entry) { done <- e.Err }})
			check(t, <-done)
		}
	}
	check(t, s.Groups().Delete(ctx, gone))

	x := s.Export()
	users := map[id.User]store.User{}
	check(t, x.Users(ctx, func(u store.User) error { users[u.ID] = u; return nil }))
	same(t, "users", len(users), 3)
	same(t, "last active", users[a].LastActive, now+5)
	same(t, "sessions", fmt.Sprint(collect(t, x.Sessions)), fmt.Sprint([]store.Session{live}))
	if groups := collect(t, x.Groups); len(groups) != 1 || groups[0].ID != group || groups[0].Members != 2 {
		t.Errorf("groups: %+v", groups)
	}
	if devices := collect(t, x.Devices); len(devices) != 1 || devices[0].User != c || devices[0].Token != "token" {
		t.Errorf("devices: %+v", devices)
	}
	if files := collect(t, x.Media); len(files) != 1 || files[0] != file {
		t.Errorf("media: %+v", files)
	}
	n := 0
	check(t, x.Cursors(ctx, func(thread id.Thread, c store.CursorOf) error {
		n++
		same(t, "cursor", fmt.Sprint(thread, c), fmt.Sprint(direct, store.CursorOf{User: b, Cursor: store.Cursor{Delivered: 2, Read: 1}}))
		return nil
	}))
	check(t, x.Settings(ctx, func(thread id.Thread, u id.User, got store.ThreadSettings) error {
		n++
		same(t, "settings", fmt.Sprint(thread, u, got), fmt.Sprint(direct, a, settings))
		return nil
	}))
	same(t, "cursors and settings", n, 2)
	check(t, x.Logs(ctx, func(thread id.Thread, head uint64) error {
		same(t, "head", head, heads[thread])
		var seqs []uint64
		check(t, x.Messages(ctx, thread, 1, func(m *store.Message) error {
			seqs = append(seqs, m.Seq)
			same(t, "sender", m.Sender, a)
			return nil
		}))
		var want []uint64
		for seq := uint64(2); seq <= head; seq++ {
			want = append(want, seq)
		}
		if !slices.Equal(seqs, want) {
			t.Errorf("seqs above 1: %v, want %v", seqs, want)
		}
		delete(heads, thread)
		return nil
	}))
	if len(heads) != 0 {
		t.Errorf("not exported: %v", heads)
	}
}

// TestExportStops ends walks by a callback's error and by the context.
func TestExportStops(t *testing.T) {
	t.Parallel()
	s := open(t, small(vfs.NewMem()))
	for i := range 2 {
		check(t, s.Users().Create(context.Background(), store.User{ID: id.NewUser(), Phone: fmt.Sprint(i)}))
	}
	enough := errors.New("enough")
	n := 0
	if err := s.Export().Users(context.Background(), func(store.User) error { n++; return enough }); !errors.Is(err, enough) || n != 1 {
		t.Errorf("%v after %d", err, n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Export().Users(ctx, func(store.User) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func collect[V any](t *testing.T, walk func(context.Context, func(V) error) error) (all []V) {
	t.Helper()
	check(t, walk(context.Background(), func(v V) error { all = append(all, v); return nil }))
	return all
}
