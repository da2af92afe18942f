package store

import (
	"context"
	"io"
	"time"
)

// Object is what is known of a stored file.
type Object struct {
	Size     int64
	Type     string // media type it was stored with
	Modified int64
}

// Blobs keeps files under keys: slash-separated parts of [a-z0-9._-], none empty, "." or "..". Nothing
// holds a whole file in memory, neither way. What a failed Put leaves behind is never seen by Open.
type Blobs interface {
	// Put streams r to its end and stores it under key, in place of what was there, with its media type.
	// size is the number of bytes that r gives, or -1 where that is not known; another number than it said
	// is an error, and nothing is stored. It returns the bytes stored. ErrBusy, retryable, where the store
	// cannot take it now; the context ends the wait for a buffer too.
	Put(ctx context.Context, key, mediaType string, r io.Reader, size int64) (int64, error)
	// Open gives length bytes of a file from offset on; length -1 is the rest. ErrNotFound for an unknown
	// key. The reader is the caller's to close.
	Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, Object, error)
	// Stat is ErrNotFound for an unknown key.
	Stat(ctx context.Context, key string) (Object, error)
	// Delete is nil also where nothing was.
	Delete(ctx context.Context, key string) error
	// Signed gives a URL at which anybody may read the file until ttl is over, as an attachment of that
	// name where one is given, or "" where the store has no address of its own that clients could reach;
	// the media service then signs a URL of its own.
	Signed(ctx context.Context, key, attachment string, ttl time.Duration) (string, error)
	// Healthy says what keeps the store from taking files; nil when nothing does.
	Healthy(ctx context.Context) error
}
