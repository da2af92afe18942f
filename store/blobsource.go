package store

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// What the stores of files share.

// MaxBlobType is the length of the longest media type, in bytes.
const MaxBlobType = 200

var errBlobType = fmt.Errorf("store: a media type is at most %d printable characters of ASCII", MaxBlobType)

// CheckBlob looks at what a Put of Blobs is given.
func CheckBlob(key, mediaType string, size int64) error {
	if err := CheckBlobKey(key); err != nil {
		return err
	}
	if len(mediaType) > MaxBlobType {
		return errBlobType
	}
	for i := range len(mediaType) {
		if c := mediaType[i]; c < ' ' || c > '~' {
			return errBlobType
		}
	}
	if size < -1 {
		return ErrSize
	}
	return nil
}

// errBlobRange is of a caller that did not check what it was asked for.
var errBlobRange = errors.New("store: no range of a file")

// BlobRange cuts a range, as Open of Blobs takes it, to a file of that size.
func BlobRange(offset, length, size int64) (from, n int64, err error) {
	if offset < 0 || length < -1 {
		return 0, 0, errBlobRange
	}
	from = min(offset, size)
	n = size - from
	if length >= 0 {
		n = min(n, length)
	}
	return from, n, nil
}

// BlobSource is what a Put of Blobs reads: it holds the reader to the size that was said, and gives up when
// the context ends between two reads.
type BlobSource struct {
	ctx  context.Context
	r    io.Reader
	said int64 // -1 = nothing
	n    int64
	over bool // r has ended
}

// NewBlobSource makes one of a reader that gives size bytes, or any number where size is -1.
func NewBlobSource(ctx context.Context, r io.Reader, size int64) *BlobSource {
	return &BlobSource{ctx: ctx, r: r, said: size}
}

// Bytes is how many were read.
func (s *BlobSource) Bytes() int64 { return s.n }

// Said is the size that was said, or -1.
func (s *BlobSource) Said() int64 { return s.said }

// emptyReads is how many reads in a row may give nothing before they count as an error.
const emptyReads = 100

// Read gives bytes or an error, not both. After the last byte that is io.EOF itself, or ErrSize; what the
// reader fails with is wrapped, also where it says io.EOF in other words.
func (s *BlobSource) Read(b []byte) (int, error) {
	for range emptyReads {
		switch {
		case s.ctx.Err() != nil:
			return 0, context.Cause(s.ctx)
		case s.over && s.said >= 0 && s.n < s.said:
			return 0, ErrSize
		case s.over:
			return 0, io.EOF
		}
		n, err := s.r.Read(b)
		s.n += int64(n)
		s.over = err == io.EOF
		switch {
		case s.said >= 0 && s.n > s.said:
			return 0, ErrSize
		case err != nil && !s.over:
			return 0, fmt.Errorf("read the file: %w", err)
		case n > 0:
			return n, nil
		}
	}
	return 0, io.ErrNoProgress
}
