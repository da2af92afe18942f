package store

import (
	"context"

	"github.com/tolkflip/tolkflip/proto/id"
)

// Media is the record of an uploaded file. The bytes are in Blobs.
type Media struct {
	ID        id.Media
	Owner     id.User
	Thread    id.Thread // whose members may read it; absent: the owner alone
	Name      string    // as the uploader called it; shown, never a path
	Type      string    // media type, sniffed
	Size      int64     // bytes
	Width     int       // of a picture, pixels; 0 where not known
	Height    int
	Key       string // of the file in Blobs
	Thumbnail string // key of the thumbnail; empty where there is none
	Created   int64
}

// MediaRecords keeps the records of uploaded files.
type MediaRecords interface {
	// Put stores m. ErrConflict when the id is taken.
	Put(ctx context.Context, m Media) error
	// Get is ErrNotFound for an unknown or deleted id.
	Get(ctx context.Context, m id.Media) (Media, error)
	// Delete removes the record and returns what it was; ErrNotFound as Get. Of those who delete one record
	// at the same moment at least one is given it.
	Delete(ctx context.Context, m id.Media) (Media, error)
}
