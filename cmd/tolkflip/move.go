package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/cassandra"
	"github.com/tolkflip/tolkflip/store/pebble"
)

// kind is one of the things that are moved and counted.
type kind int

const (
	usersKind kind = iota
	phonesKind
	revocations
	sessions
	devices
	groups
	members
	settingsKind
	media
	threads // that have messages
	messages
	messageIDs
	cursors
	kinds
)

// String is the kind's name in reports, and in cassandra.Count.
func (k kind) String() string {
	return [kinds]string{
		"users", "phones", "revocations", "sessions", "devices", "groups", "members", "thread settings", "media",
		"threads", "messages", "message ids", "cursors",
	}[k]
}

const (
	movers       = 32 // items that are written at once
	movePatience = 2 * time.Minute
)

// mover copies a stopped store into a keyspace. Everything it does may be done again: an item that is there
// already is left alone or made equal, and a thread goes on where it ended. So a run that was killed is
// simply run again.
type mover struct {
	from  pebble.Export
	store *pebble.Store
	to    *cassandra.Store

	read  [kinds]atomic.Int64
	moved [kinds]atomic.Int64 // by this run: what was not there yet
	took  [kinds]time.Duration
}

func newMover(from *pebble.Store, to *cassandra.Store) *mover {
	return &mover{from: from.Export(), store: from, to: to}
}

// run moves kind after kind: what others refer to comes first.
func (m *mover) run(ctx context.Context, progress io.Writer) error {
	telling, stop := context.WithCancel(ctx)
	var teller sync.WaitGroup
	teller.Go(func() { m.tell(telling, progress) })
	defer teller.Wait()
	defer stop()
	for _, step := range []struct {
		kind kind
		move func(context.Context) error
	}{
		{usersKind, func(ctx context.Context) error { return each(ctx, m.from.Users, m.user) }},
		{revocations, m.moveRevocations},
		{sessions, func(ctx context.Context) error { return each(ctx, m.from.Sessions, m.session) }},
		{devices, func(ctx context.Context) error { return each(ctx, m.from.Devices, m.device) }},
		{groups, func(ctx context.Context) error { return each(ctx, m.from.Groups, m.group) }},
		{settingsKind, m.moveSettings},
		{media, func(ctx context.Context) error { return each(ctx, m.from.Media, m.file) }},
		{messages, m.moveMessages},
		{cursors, m.moveCursors},
	} {
		began := time.Now()
		if err := step.move(ctx); err != nil {
			return fmt.Errorf("move %s: %w", step.kind, err)
		}
		m.took[step.kind] = time.Since(began)
	}
	return nil
}

// tell shows how far it is, every two seconds.
func (m *mover) tell(ctx context.Context, w io.Writer) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		line := []byte("read")
		for k := range kinds {
			if n := m.read[k].Load(); n > 0 {
				line = fmt.Appendf(line, "  %s %d", k, n)
			}
		}
		_, _ = w.Write(append(line, '\n')) // nobody may be reading it
	}
}

// recount sets what the comparison expects where it is not just what was read: sessions and revocations end
// meanwhile, and every user has a phone, every message an id.
func (m *mover) recount(ctx context.Context, after int64) error {
	m.read[phonesKind].Store(m.read[usersKind].Load())
	m.read[messageIDs].Store(m.read[messages].Load())
	m.read[sessions].Store(0)
	m.read[revocations].Store(0)
	err := m.from.Sessions(ctx, func(s store.Session) error {
		if s.Expires > after {
			m.read[sessions].Add(1)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return m.store.Sessions().Revocations(ctx, after, func(store.Revocation) { m.read[revocations].Add(1) })
}

// each has what walk gives worked on by several at once, and ends at the first error.
func each[V any](ctx context.Context, walk func(context.Context, func(V) error) error, work func(context.Context, V) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	items := make(chan V)
	var crew sync.WaitGroup
	for range movers {
		crew.Go(func() {
			for v := range items {
				if ctx.Err() != nil {
					continue
				}
				if err := work(ctx, v); err != nil {
					cancel(err)
				}
			}
		})
	}
	err := walk(ctx, func(v V) error {
		select {
		case items <- v:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	close(items)
	crew.Wait()
	if err == nil || ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// patiently repeats what the keyspace refuses because it is busy, and gives up after a while.
func patiently(ctx context.Context, do func() error) error {
	pause, deadline := 20*time.Millisecond, time.Now().Add(movePatience)
	for {
		err := do()
		if !errors.Is(err, store.ErrBusy) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, 2*time.Second)
	}
}

// count notes one that was read, and what became of it.
func (m *mover) count(k kind, wrote bool, err error) error {
	if err == nil {
		m.read[k].Add(1)
		if wrote {
			m.moved[k].Add(1)
		}
	}
	return err
}

func (m *mover) user(ctx context.Context, u store.User) error {
	var wrote bool
	err := patiently(ctx, func() (err error) {
		wrote, err = m.to.PutUser(ctx, u)
		return err
	})
	return m.count(usersKind, wrote, err)
}

func (m *mover) session(ctx context.Context, s store.Session) error {
	wrote := false
	err := patiently(ctx, func() error {
		have, err := m.to.Sessions().Get(ctx, s.User, s.ID)
		if err == nil && have == s {
			return nil
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		wrote = true
		_, err = m.to.Sessions().Open(ctx, s, 1<<20) // the old store has kept to its limit
		return err
	})
	return m.count(sessions, wrote, err)
}

func (m *mover) moveRevocations(ctx context.Context) error {
	walk := func(ctx context.Context, give func(store.Revocation) error) error {
		var stopped error
		err := m.store.Sessions().Revocations(ctx, time.Now().UnixMilli(), func(r store.Revocation) {
			if stopped == nil {
				stopped = give(r)
			}
		})
		return errors.Join(stopped, err)
	}
	return each(ctx, walk, func(ctx context.Context, r store.Revocation) error {
		err := patiently(ctx, func() error { return m.to.Sessions().Revoke(ctx, r) })
		return m.count(revocations, true, err)
	})
}

func (m *mover) device(ctx context.Context, d store.Device) error {
	err := patiently(ctx, func() error { return m.to.Devices().Put(ctx, d) })
	return m.count(devices, true, err)
}

func (m *mover) file(ctx context.Context, f store.Media) error {
	wrote := false
	err := patiently(ctx, func() error {
		err := m.to.Media().Put(ctx, f)
		if err == nil {
			wrote = true
		}
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
		have, err := m.to.Media().Get(ctx, f.ID)
		if err == nil && have != f {
			err = fmt.Errorf("file %s is there with another record: %w", f.ID, store.ErrConflict)
		}
		return err
	})
	return m.count(media, wrote, err)
}

// memberOf is a row of a table of members.
type memberOf[V any] struct {
	thread id.Thread
	user   id.User
	v      V
}

func (m *mover) moveSettings(ctx context.Context) error {
	type row = memberOf[store.ThreadSettings]
	walk := func(ctx context.Context, give func(row) error) error {
		return m.from.Settings(ctx, func(t id.Thread, u id.User, s store.ThreadSettings) error { return give(row{t, u, s}) })
	}
	return each(ctx, walk, func(ctx context.Context, r row) error {
		err := patiently(ctx, func() error {
			_, err := m.to.Threads().SetSettings(ctx, r.thread, r.user, store.ThreadSettingsPatch{
				PreferredLanguage: &r.v.PreferredLanguage, ShowOriginal: &r.v.ShowOriginal, DetectEmotion: &r.v.DetectEmotion,
			})
			return err
		})
		return m.count(settingsKind, true, err)
	})
}

func (m *mover) moveCursors(ctx context.Context) error {
	type row = memberOf[store.Cursor]
	walk := func(ctx context.Context, give func(row) error) error {
		return m.from.Cursors(ctx, func(t id.Thread, c store.CursorOf) error { return give(row{t, c.User, c.Cursor}) })
	}
	return each(ctx, walk, func(ctx context.Context, r row) error {
		err := patiently(ctx, func() error {
			_, _, err := m.to.Cursors().Advance(ctx, r.thread, r.user, r.v)
			return err
		})
		return m.count(cursors, true, err)
	})
}

// group moves a group and its members, or makes what is there equal.
func (m *mover) group(ctx context.Context, g store.Group) error {
	list, err := allMembers(ctx, m.store.Members(), g.ID)
	if err != nil {
		return err
	}
	wrote := false
	err = patiently(ctx, func() error {
		_, err := m.to.Groups().Get(ctx, g.ID)
		if errors.Is(err, store.ErrNotFound) {
			wrote = true
			return m.to.Groups().Create(ctx, g, list)
		}
		if err != nil {
			return err
		}
		return m.mendGroup(ctx, g, list)
	})
	if err == nil {
		m.read[members].Add(int64(len(list)))
	}
	return m.count(groups, wrote, err)
}

// mendGroup makes a group that is there equal.
func (m *mover) mendGroup(ctx context.Context, g store.Group, want []store.Member) error {
	if _, err := m.to.Groups().Update(ctx, g.ID, store.GroupPatch{
		Name: &g.Name, Description: &g.Description, Avatar: &g.Avatar, Settings: g.Settings,
	}); err != nil {
		return err
	}
	have, err := allMembers(ctx, m.to.Members(), g.ID)
	if err != nil {
		return err
	}
	right := make(map[store.Member]bool, len(want))
	for _, w := range want {
		right[w] = true
	}
	for _, h := range have {
		if right[h] {
			delete(right, h)
		} else if err := m.to.Members().Remove(ctx, g.ID, h.User); err != nil {
			return err
		}
	}
	for w := range right {
		if err := m.to.Members().Add(ctx, w); err != nil && !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return nil
}

func allMembers(ctx context.Context, from store.Members, g id.Thread) ([]store.Member, error) {
	var all []store.Member
	var after id.User
	for {
		page, err := from.List(ctx, g, after, 1000)
		if err != nil || len(page) == 0 {
			return all, err
		}
		all = append(all, page...)
		after = page[len(page)-1].User
	}
}
