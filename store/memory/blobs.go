package memory

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/tolkflip/tolkflip/store"
)

// Blobs keeps files in memory, for tests. It is the one store of files that holds them whole.
type Blobs struct {
	limit int64
	now   func() time.Time

	mu    sync.Mutex
	files map[string]file
	bytes int64 // of them and of those under way
}

type file struct {
	content []byte // not changed any more
	object  store.Object
}

// NewBlobs makes one of at most so many bytes of files; beyond, ErrBusy.
func NewBlobs(limit int64, now func() time.Time) *Blobs {
	return &Blobs{limit: limit, now: now, files: map[string]file{}}
}

// take reserves n bytes.
func (b *Blobs) take(n int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.limit-b.bytes {
		return fmt.Errorf("memory for files is used up: %w", store.ErrBusy)
	}
	b.bytes += n
	return nil
}

// Put reads r to its end, then stores it.
func (b *Blobs) Put(ctx context.Context, key, mediaType string, r io.Reader, size int64) (_ int64, err error) {
	if err := store.CheckBlob(key, mediaType, size); err != nil {
		return 0, err
	}
	var content bytes.Buffer
	defer func() {
		if err != nil {
			_ = b.take(-int64(content.Len())) // gives back, so that it cannot fail
		}
	}()
	source := store.NewBlobSource(ctx, r, size)
	var part [32 << 10]byte
	for {
		n, err := source.Read(part[:])
		if err == io.EOF { //nolint:errorlint // a bare one is the end, a wrapped one a failure
			break
		}
		if err == nil {
			err = b.take(int64(n))
		}
		if err != nil {
			return 0, err
		}
		content.Write(part[:n])
	}
	n := int64(content.Len())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes -= b.files[key].object.Size
	b.files[key] = file{content.Bytes(), store.Object{Size: n, Type: mediaType, Modified: b.now().UnixMilli()}}
	return n, nil
}

// Open gives a part of a file.
func (b *Blobs) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, store.Object, error) {
	f, err := b.get(key)
	if err != nil {
		return nil, store.Object{}, err
	}
	from, n, err := store.BlobRange(offset, length, f.object.Size)
	if err != nil {
		return nil, store.Object{}, err
	}
	return io.NopCloser(bytes.NewReader(f.content[from : from+n])), f.object, nil
}

func (b *Blobs) get(key string) (file, error) {
	if err := store.CheckBlobKey(key); err != nil {
		return file{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	f, ok := b.files[key]
	if !ok {
		return file{}, store.ErrNotFound
	}
	return f, nil
}

// Stat says what is known of a file.
func (b *Blobs) Stat(_ context.Context, key string) (store.Object, error) {
	f, err := b.get(key)
	return f.object, err
}

// Delete removes a file.
func (b *Blobs) Delete(_ context.Context, key string) error {
	if err := store.CheckBlobKey(key); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes -= b.files[key].object.Size
	delete(b.files, key)
	return nil
}

// Signed is "": memory has no address.
func (b *Blobs) Signed(_ context.Context, key, _ string, _ time.Duration) (string, error) {
	return "", store.CheckBlobKey(key)
}

// Healthy says when nothing more fits.
func (b *Blobs) Healthy(context.Context) error { return b.take(0) }
