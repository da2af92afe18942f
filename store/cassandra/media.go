package cassandra

import (
	"context"

	"github.com/gocql/gocql"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

type media struct{ s *Store }

const (
	insertMedia = `INSERT INTO media (media_id, owner, thread_id, name, type, size, width, height, key, thumbnail, created)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS`
	selectMedia = `SELECT owner, thread_id, name, type, size, width, height, key, thumbnail, created FROM media WHERE media_id = ?`
	deleteMedia = `DELETE FROM media WHERE media_id = ? IF key = ?`
)

type mediaRow struct {
	Owner, ThreadID gocql.UUID
	Name, Type      string
	Size            int64
	Width, Height   int
	Key, Thumbnail  string
	Created         int64
}

func (v media) Put(ctx context.Context, m store.Media) error {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return err
	}
	defer c.end()
	err = c.until(func(unsure bool) (bool, error) {
		applied, err := c.cas(insertMedia, gocql.UUID(m.ID.ID), gocql.UUID(m.Owner.ID), gocql.UUID(m.Thread.ID),
			m.Name, m.Type, m.Size, m.Width, m.Height, m.Key, m.Thumbnail, m.Created)
		if err != nil || applied {
			return applied, err
		}
		if unsure { // is what stands there this call's?
			var r mediaRow
			if err := c.serial(selectMedia, gocql.UUID(m.ID.ID)).GetRelease(&r); err != nil {
				return false, err
			}
			if r.media(m.ID) == m {
				return true, nil
			}
		}
		return true, store.ErrConflict
	})
	return c.failed("store a file's record", err)
}

func (r *mediaRow) media(m id.Media) store.Media {
	return store.Media{
		ID: m, Owner: id.User{ID: id.ID(r.Owner)}, Thread: id.Thread{ID: id.ID(r.ThreadID)}, Name: r.Name, Type: r.Type, Size: r.Size,
		Width: r.Width, Height: r.Height, Key: r.Key, Thumbnail: r.Thumbnail, Created: r.Created,
	}
}

func (v media) Get(ctx context.Context, m id.Media) (store.Media, error) {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return store.Media{}, err
	}
	defer c.end()
	return v.get(c, m)
}

func (v media) get(c *call, m id.Media) (store.Media, error) {
	var r mediaRow
	if err := c.read(selectMedia, gocql.UUID(m.ID)).GetRelease(&r); err != nil {
		return store.Media{}, c.failed("read a file's record", err)
	}
	return r.media(m), nil
}

// Delete gives the record to the one of several at once whose condition held.
func (v media) Delete(ctx context.Context, m id.Media) (store.Media, error) {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return store.Media{}, err
	}
	defer c.end()
	r, err := v.get(c, m)
	if err != nil {
		return r, err
	}
	err = c.until(func(unsure bool) (bool, error) {
		applied, err := c.cas(deleteMedia, gocql.UUID(m.ID), r.Key)
		switch {
		case err != nil:
			return false, err
		case !applied && !unsure: // after an unknown outcome it is gone by this call, as far as anyone can tell
			return true, store.ErrNotFound
		}
		return true, nil
	})
	if err != nil {
		return store.Media{}, c.failed("delete a file's record", err)
	}
	return r, nil
}
