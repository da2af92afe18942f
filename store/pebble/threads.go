package pebble

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

type threads struct{ s *Store }

func (v threads) Get(_ context.Context, t id.Thread) (store.Thread, error) {
	if err := v.s.begin(); err != nil {
		return store.Thread{}, err
	}
	defer v.s.end()
	row, found, err := v.s.threadRow(t)
	if err != nil {
		return store.Thread{}, err
	}
	if !found {
		return store.Thread{}, store.ErrNotFound
	}
	last, err := v.s.newest(t)
	if err != nil {
		return store.Thread{}, err
	}
	if !row.group && last.Seq == 0 { // its first message is not durable yet
		return store.Thread{}, store.ErrNotFound
	}
	return row.of(t, row.a, &last).Thread, nil
}

// position is a place in a user's list: the newest first, by id where two are equally old.
type position struct {
	at     int64
	thread id.Thread
}

const positionLen = 1 + 8 + 16

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(q.at, p.at), bytes.Compare(p.thread.ID[:], q.thread.ID[:]))
}

func (p position) encode() []byte {
	b := binary.BigEndian.AppendUint64([]byte{valueV1}, uint64(p.at))
	return append(b, p.thread.ID[:]...)
}

func decodePosition(b []byte) (p position, err error) {
	if len(b) != positionLen || b[0] != valueV1 {
		return p, store.ErrPosition
	}
	p.at = int64(binary.BigEndian.Uint64(b[1:]))
	copy(p.thread.ID[:], b[9:])
	return p, nil
}

// ByUser costs a scan of limit rows and a look at limit threads' newest messages for the direct threads,
// however many there are, and a look at the row of every group that the user is in.
func (v threads) ByUser(_ context.Context, u id.User, after []byte, limit int) ([]store.ThreadOf, []byte, error) {
	if err := v.s.begin(); err != nil {
		return nil, nil, err
	}
	defer v.s.end()
	var from *position
	if len(after) > 0 {
		p, err := decodePosition(after)
		if err != nil {
			return nil, nil, err
		}
		from = &p
	}
	if limit < 1 {
		return nil, after, nil
	}
	// One more than asked for says whether there are more.
	places, err := v.directs(u, from, limit+1)
	if err != nil {
		return nil, nil, fmt.Errorf("list a user's threads: %w", err)
	}
	groups, err := v.groups(u, from)
	if err != nil {
		return nil, nil, fmt.Errorf("list a user's groups: %w", err)
	}
	places = append(places, groups...)
	slices.SortFunc(places, position.compare)
	var next []byte
	if len(places) > limit {
		places = places[:limit]
		next = places[limit-1].encode()
	}
	list := make([]store.ThreadOf, 0, len(places))
	for _, p := range places {
		row, found, err := v.s.threadRow(p.thread)
		if err != nil {
			return nil, nil, err
		}
		if !found { // a group that was deleted meanwhile
			continue
		}
		last, err := v.s.newest(p.thread)
		if err != nil {
			return nil, nil, fmt.Errorf("read a thread's newest message: %w", err)
		}
		if !row.group && last.Seq == 0 { // its first message is not durable yet
			continue
		}
		list = append(list, row.of(p.thread, u, &last))
	}
	return list, next, nil
}

// directs gives the places of a user's direct threads after from, at most limit.
func (v threads) directs(u id.User, from *position, limit int) ([]position, error) {
	start := idKey(tableRecency, u.ID)
	end := prefixEnd(start)
	if from != nil {
		start = append(recencyKey(u, from.at, from.thread), 0)
	}
	var list []position
	err := v.s.scan(start, end, func(key, _ []byte) (bool, error) {
		at, t := recencyOf(key)
		list = append(list, position{at, t})
		return len(list) < limit, nil
	})
	return list, err
}

// groups gives the places of all of a user's groups after from.
func (v threads) groups(u id.User, from *position) ([]position, error) {
	var list []position
	start := idKey(tableGroupsOf, u.ID)
	err := v.s.scan(start, prefixEnd(start), func(key, _ []byte) (bool, error) {
		g := id.Thread{ID: second(key)}
		row, found, err := v.s.threadRow(g)
		if err != nil || !found {
			return true, err
		}
		if p := (position{row.listed, g}); from == nil || p.compare(*from) > 0 {
			list = append(list, p)
		}
		return true, nil
	})
	return list, err
}

func (v threads) Peers(_ context.Context, u id.User, limit int) ([]id.User, error) {
	if err := v.s.begin(); err != nil {
		return nil, err
	}
	defer v.s.end()
	var peers []id.User
	start := idKey(tableRecency, u.ID)
	err := v.s.scan(start, prefixEnd(start), func(_, value []byte) (bool, error) {
		if len(peers) >= limit {
			return false, nil
		}
		r := read(value)
		peer := id.User{ID: r.id()}
		if err := r.end(); err != nil {
			return false, err
		}
		peers = append(peers, peer)
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("list a user's peers: %w", err)
	}
	return peers, nil
}

func (v threads) Settings(_ context.Context, t id.Thread, u id.User) (store.ThreadSettings, error) {
	if err := v.s.begin(); err != nil {
		return store.ThreadSettings{}, err
	}
	defer v.s.end()
	return v.settings(pairKey(tableSettings, t.ID, u.ID))
}

func (v threads) settings(key []byte) (store.ThreadSettings, error) {
	value, found, err := v.s.get(nil, key)
	if err != nil || !found {
		return store.DefaultThreadSettings(), err
	}
	r, err := decodeSettings(value)
	if err != nil {
		return r, fmt.Errorf("read a thread's settings: %w", err)
	}
	return r, nil
}

func (v threads) SetSettings(_ context.Context, t id.Thread, u id.User, p store.ThreadSettingsPatch) (store.ThreadSettings, error) {
	if err := v.s.beginWrite(); err != nil {
		return store.ThreadSettings{}, err
	}
	defer v.s.end()
	key := pairKey(tableSettings, t.ID, u.ID)
	var r store.ThreadSettings
	return r, v.s.update(key, func(c change) (err error) {
		if r, err = v.settings(key); err != nil {
			return err
		}
		p.Apply(&r)
		c.set(key, encodeSettings(&r))
		return nil
	})
}

func encodeSettings(r *store.ThreadSettings) []byte {
	var flags byte
	if r.ShowOriginal {
		flags |= 1
	}
	if r.DetectEmotion {
		flags |= 2
	}
	return appendText([]byte{valueV1, flags}, r.PreferredLanguage)
}

func decodeSettings(v []byte) (store.ThreadSettings, error) {
	r := read(v)
	flags := r.byte()
	s := store.ThreadSettings{ShowOriginal: flags&1 != 0, DetectEmotion: flags&2 != 0, PreferredLanguage: r.text()}
	return s, r.end()
}
