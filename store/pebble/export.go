package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// Export reads the whole of a store, for moving it elsewhere: each kind from its beginning to its end, in
// an order that stays the same as long as nothing is written, at constant memory. A callback's error ends
// the walk and is returned as it is.
type Export struct{ s *Store }

// Export gives what reads everything. Nothing should be written meanwhile: each walk shows the store as it
// was when the walk began. The store must not be closed before a walk has ended.
func (s *Store) Export() Export { return Export{s} }

// walk calls each with a table's keys and values.
func (x Export) walk(ctx context.Context, table byte, what string, each func(key, value []byte) error) error {
	if err := x.s.begin(); err != nil {
		return err
	}
	defer x.s.end()
	var stopped error
	err := x.s.scan([]byte{table}, []byte{table + 1}, func(key, value []byte) (bool, error) {
		if stopped = ctx.Err(); stopped == nil {
			stopped = each(key, value)
		}
		return stopped == nil, nil
	})
	switch {
	case errors.Is(stopped, errCorrupt):
		return fmt.Errorf("read %s: %w", what, stopped)
	case stopped != nil:
		return stopped
	case err != nil:
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}

// pair reads the two ids of a pair table's key.
func pair(key []byte) (a, b id.ID, err error) {
	if len(key) != pairKeyLen {
		return a, b, errCorrupt
	}
	copy(a[:], key[1:])
	return a, second(key), nil
}

// single reads the id of a key.
func single(key []byte) (v id.ID, err error) {
	if len(key) != idKeyLen {
		return v, errCorrupt
	}
	copy(v[:], key[1:])
	return v, nil
}

// Users gives all people, with their LastActive.
func (x Export) Users(ctx context.Context, each func(store.User) error) error {
	return x.walk(ctx, tableUsers, "the users", func(key, _ []byte) error {
		v, err := single(key)
		if err != nil {
			return err
		}
		u, err := users(x).get(id.User{ID: v})
		if err != nil {
			return err
		}
		return each(u)
	})
}

// Sessions gives all sessions that have not expired.
func (x Export) Sessions(ctx context.Context, each func(store.Session) error) error {
	now := x.s.cfg.Now().UnixMilli()
	return x.walk(ctx, tableSessions, "the sessions", func(key, value []byte) error {
		u, s, err := pair(key)
		if err != nil {
			return err
		}
		r, err := decodeSession(id.User{ID: u}, id.Session{ID: s}, value)
		if err != nil || r.Expires <= now {
			return err
		}
		return each(r)
	})
}

// Groups gives all groups.
func (x Export) Groups(ctx context.Context, each func(store.Group) error) error {
	return x.walk(ctx, tableGroups, "the groups", func(key, value []byte) error {
		g, err := single(key)
		if err != nil {
			return err
		}
		r, err := decodeGroup(id.Thread{ID: g}, value)
		if err != nil {
			return err
		}
		return each(r)
	})
}

// Devices gives all push tokens.
func (x Export) Devices(ctx context.Context, each func(store.Device) error) error {
	return x.walk(ctx, tableDevices, "the devices", func(key, value []byte) error {
		if len(key) < idKeyLen {
			return errCorrupt
		}
		u, err := single(key[:idKeyLen])
		if err != nil {
			return err
		}
		d, err := decodeDevice(id.User{ID: u}, string(key[idKeyLen:]), value)
		if err != nil {
			return err
		}
		return each(d)
	})
}

// Media gives the records of all files.
func (x Export) Media(ctx context.Context, each func(store.Media) error) error {
	return x.walk(ctx, tableMedia, "the files' records", func(key, value []byte) error {
		m, err := single(key)
		if err != nil {
			return err
		}
		r, err := decodeMedia(id.Media{ID: m}, value)
		if err != nil {
			return err
		}
		return each(r)
	})
}

// Cursors gives all members' positions.
func (x Export) Cursors(ctx context.Context, each func(id.Thread, store.CursorOf) error) error {
	if err := x.s.begin(); err != nil {
		return err
	}
	err := x.s.cursors.flush()
	x.s.end()
	if err != nil {
		return err
	}
	return x.walk(ctx, tableCursors, "the cursors", func(key, value []byte) error {
		t, u, err := pair(key)
		if err != nil {
			return err
		}
		c, err := decodeCursor(value)
		if err != nil {
			return err
		}
		return each(id.Thread{ID: t}, store.CursorOf{User: id.User{ID: u}, Cursor: c})
	})
}

// Settings gives what members wished for their threads.
func (x Export) Settings(ctx context.Context, each func(id.Thread, id.User, store.ThreadSettings) error) error {
	return x.walk(ctx, tableSettings, "the threads' settings", func(key, value []byte) error {
		t, u, err := pair(key)
		if err != nil {
			return err
		}
		r, err := decodeSettings(value)
		if err != nil {
			return err
		}
		return each(id.Thread{ID: t}, id.User{ID: u}, r)
	})
}

// Logs gives every thread that has messages, also those of groups that were deleted, with its head.
func (x Export) Logs(ctx context.Context, each func(t id.Thread, head uint64) error) (err error) {
	if err := x.s.begin(); err != nil {
		return err
	}
	defer x.s.end()
	if err := x.s.fileAll(); err != nil {
		return err
	}
	it, err := x.s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{tableMessages}, UpperBound: []byte{tableMessages + 1}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; {
		t, err := threadOf(it.Key())
		if err != nil {
			return fmt.Errorf("read the threads: %w", err)
		}
		if !it.SeekLT(afterThread(t)) {
			break
		}
		head := seqOf(it.Key())
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := each(t, head); err != nil {
			return err
		}
		ok = it.SeekGE(afterThread(t))
	}
	return it.Error()
}

// Messages gives a thread's messages above after, in order, up to its end. A message is valid only within
// the call.
func (x Export) Messages(ctx context.Context, t id.Thread, after uint64, each func(*store.Message) error) (err error) {
	if err := x.s.begin(); err != nil {
		return err
	}
	defer x.s.end()
	if err := x.s.fileAll(); err != nil {
		return err
	}
	it, err := x.s.tail(t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.SeekGE(messageKey(t, after+1)); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		var m store.Message
		if err := decodeMessage(&m, t, seqOf(it.Key()), value); err != nil {
			return fmt.Errorf("read a thread's messages: %w", err)
		}
		if err := each(&m); err != nil {
			return err
		}
	}
	return it.Error()
}

// threadOf reads the thread of a message's key.
func threadOf(key []byte) (t id.Thread, err error) {
	if len(key) != messageKeyLen || binary.BigEndian.Uint64(key[17:]) == 0 {
		return t, errCorrupt
	}
	copy(t.ID[:], key[1:])
	return t, nil
}
