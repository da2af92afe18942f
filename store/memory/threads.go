package memory

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"slices"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

type threads struct{ s *Store }

func (v threads) Get(_ context.Context, t id.Thread) (store.Thread, error) {
	v.s.mu.RLock()
	defer v.s.mu.RUnlock()
	r := v.s.threads[t]
	if r == nil || !r.listed {
		return store.Thread{}, store.ErrNotFound
	}
	return r.get(), nil
}

// get is the row with head and preview; Store.mu is held.
func (t *thread) get() store.Thread {
	r := t.row
	if n := len(t.messages); n > 0 {
		r.Head = uint64(n)
		r.Last = store.PreviewOf(&t.messages[n-1])
	}
	return r
}

// recency is a place in a user's list of threads, which goes from the newest to the oldest, and by id
// where two are equally old.
type recency struct {
	at     int64
	thread id.Thread
}

func (a recency) compare(b recency) int {
	return cmp.Or(cmp.Compare(b.at, a.at), bytes.Compare(a.thread.ID[:], b.thread.ID[:]))
}

func recencyOf(t *store.Thread) recency {
	if t.Last.Seq > 0 {
		return recency{t.Last.Sent, t.ID}
	}
	return recency{t.Created, t.ID}
}

func (v threads) ByUser(_ context.Context, u id.User, after []byte, limit int) ([]store.ThreadOf, []byte, error) {
	var from recency
	if len(after) > 0 {
		if len(after) != 24 {
			return nil, nil, store.ErrPosition
		}
		from.at = int64(binary.BigEndian.Uint64(after))
		copy(from.thread.ID[:], after[8:])
	}
	v.s.mu.RLock()
	defer v.s.mu.RUnlock()
	list := v.s.listed(u)
	if len(after) > 0 {
		list = slices.DeleteFunc(list, func(t store.ThreadOf) bool { return recencyOf(&t.Thread).compare(from) <= 0 })
	}
	if len(list) <= limit {
		return list, nil, nil
	}
	list = list[:max(0, limit)]
	if len(list) == 0 {
		return nil, after, nil
	}
	last := recencyOf(&list[len(list)-1].Thread)
	next := binary.BigEndian.AppendUint64(nil, uint64(last.at))
	return list, append(next, last.thread.ID[:]...), nil
}

// listed gives a user's threads, most recent first; mu is held.
func (s *Store) listed(u id.User) []store.ThreadOf {
	var list []store.ThreadOf
	for _, set := range [...]map[id.Thread]struct{}{s.directs[u], s.groupsOf[u]} {
		for t := range set {
			of := store.ThreadOf{Thread: s.threads[t].get()}
			if !of.Group {
				of.Peer = of.A
				if of.A == u {
					of.Peer = of.B
				}
			}
			list = append(list, of)
		}
	}
	slices.SortFunc(list, func(a, b store.ThreadOf) int {
		return recencyOf(&a.Thread).compare(recencyOf(&b.Thread))
	})
	return list
}

func (v threads) Peers(_ context.Context, u id.User, limit int) ([]id.User, error) {
	v.s.mu.RLock()
	defer v.s.mu.RUnlock()
	var peers []id.User
	for _, t := range v.s.listed(u) {
		if len(peers) >= limit {
			break
		}
		if !t.Group {
			peers = append(peers, t.Peer)
		}
	}
	return peers, nil
}

func (v threads) Settings(_ context.Context, t id.Thread, u id.User) (store.ThreadSettings, error) {
	v.s.mu.RLock()
	defer v.s.mu.RUnlock()
	return v.settings(t, u), nil
}

func (v threads) settings(t id.Thread, u id.User) store.ThreadSettings {
	if r, ok := v.s.settings[cursorKey{t, u}]; ok {
		return r
	}
	return store.DefaultThreadSettings()
}

func (v threads) SetSettings(_ context.Context, t id.Thread, u id.User, p store.ThreadSettingsPatch) (store.ThreadSettings, error) {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	r := v.settings(t, u)
	p.Apply(&r)
	v.s.settings[cursorKey{t, u}] = r
	return r, nil
}

type cursors struct{ s *Store }

func (v cursors) Advance(_ context.Context, t id.Thread, u id.User, c store.Cursor) (before, after store.Cursor, err error) {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	if v.s.cursors[t] == nil {
		v.s.cursors[t] = map[id.User]store.Cursor{}
	}
	before = v.s.cursors[t][u]
	after = before.Forward(c)
	v.s.cursors[t][u] = after
	return before, after, nil
}

func (v cursors) Of(_ context.Context, u id.User, threads []id.Thread) ([]store.Cursor, error) {
	v.s.mu.RLock()
	defer v.s.mu.RUnlock()
	list := make([]store.Cursor, len(threads))
	for i, t := range threads {
		list[i] = v.s.cursors[t][u]
	}
	return list, nil
}

func (v cursors) In(_ context.Context, t id.Thread, limit int) ([]store.CursorOf, error) {
	v.s.mu.RLock()
	defer v.s.mu.RUnlock()
	var list []store.CursorOf
	for u, c := range v.s.cursors[t] {
		list = append(list, store.CursorOf{User: u, Cursor: c})
	}
	slices.SortFunc(list, func(a, b store.CursorOf) int { return bytes.Compare(a.User.ID[:], b.User.ID[:]) })
	return list[:max(0, min(limit, len(list)))], nil
}
