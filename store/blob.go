package store

import (
	"context"
	"errors"
	"io"
	"time"
)

// The failures of Blobs beside those of all stores. What the reader of a Put fails with comes back
// wrapped, and so does the context's error.
var (
	ErrKey  = errors.New("store: not a key of a file")
	ErrSize = errors.New("store: a file has another size than it was said to have") // nothing was stored
)

// MaxBlobKey is the length of the longest key, in bytes.
const MaxBlobKey = 200

// Object is what is known of a stored file.
type Object struct {
	Size     int64  // of the whole file, bytes
	Type     string // media type it was stored with
	Modified int64  // when it was stored
}

// Blobs keeps files under keys: slash-separated parts of [a-z0-9._-], none empty, "." or "..", at most
// MaxBlobKey bytes in all; any other is ErrKey. Nothing holds a whole file in memory, neither way. A file
// is there whole or not at all, and never changes: a second Put of a key takes the first one's place for
// those who open it later. Of a failed Put nothing is ever seen, save that after ErrBusy, where the answer of
// a server was lost, the file may be there, whole. No key is to be a folder of another one.
type Blobs interface {
	// Put streams r to its end and stores it under key, in place of what was there, with its media type,
	// which is at most 200 bytes of ASCII. size is the number of bytes that r gives, or -1 where that is not
	// known; another number than it said is ErrSize. It returns the bytes stored. r is not read after it
	// returns. ErrBusy, retryable, where the store cannot take it now; the context ends the wait for a buffer
	// too, but not a Read that blocks: that is r's owner's to end.
	Put(ctx context.Context, key, mediaType string, r io.Reader, size int64) (int64, error)
	// Open gives length bytes of a file from offset on; length -1 is the rest. Both may reach past the end:
	// there are no bytes there. ErrNotFound for an unknown key. The reader is the caller's to close, and is
	// good for as long as ctx is; one that ends early fails with another error than io.EOF.
	Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, Object, error)
	// Stat is ErrNotFound for an unknown key.
	Stat(ctx context.Context, key string) (Object, error)
	// Delete is nil also where nothing was. Who has the file open reads on, where the store can.
	Delete(ctx context.Context, key string) error
	// Signed gives a URL at which anybody may read the file until ttl is over (at most 7 days), as an
	// attachment of that name where one is given, or "" where the store has no address of its own that
	// clients could reach; the media service then signs a URL of its own. It asks nobody: the URL of an
	// unknown key is one that answers 404.
	Signed(ctx context.Context, key, attachment string, ttl time.Duration) (string, error)
	// Healthy says what keeps the store from taking files; nil when nothing does. It is cheap enough for a
	// readiness probe.
	Healthy(ctx context.Context) error
}

// CheckBlobKey is ErrKey where key is not a key of Blobs.
func CheckBlobKey(key string) error {
	if len(key) > MaxBlobKey {
		return ErrKey
	}
	part := 0 // where the current one begins
	for i := 0; i <= len(key); i++ {
		if i == len(key) || key[i] == '/' {
			if p := key[part:i]; p == "" || p == "." || p == ".." {
				return ErrKey
			}
			part = i + 1
			continue
		}
		switch c := key[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return ErrKey
		}
	}
	return nil
}
