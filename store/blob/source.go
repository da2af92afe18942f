package blob

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tolkflip/tolkflip/store"
)

// errType says that a media type cannot be stored as one.
var errType = errors.New("blob: a media type is at most 200 printable characters of ASCII")

const maxType = 200

// check looks at what a Put is given.
func check(key, mediaType string, size int64) error {
	if err := store.CheckBlobKey(key); err != nil {
		return err
	}
	if len(mediaType) > maxType {
		return errType
	}
	for i := range len(mediaType) {
		if c := mediaType[i]; c < ' ' || c > '~' {
			return errType
		}
	}
	if size < -1 {
		return store.ErrSize
	}
	return nil
}

// source is what a Put reads: it holds the reader to the size that was said, and gives up when the context
// ends between two reads.
type source struct {
	ctx  context.Context //nolint:containedctx // lives as long as the call
	r    io.Reader
	said int64 // -1 = nothing
	n    int64 // bytes read
	over bool  // r has ended
}

// stalls is how many reads in a row may give nothing before they count as an error.
const stalls = 100

// Read gives bytes or an error, not both. After the last byte it is io.EOF, or store.ErrSize.
func (s *source) Read(b []byte) (int, error) {
	for range stalls {
		switch {
		case s.ctx.Err() != nil:
			return 0, context.Cause(s.ctx)
		case s.over && s.said >= 0 && s.n < s.said:
			return 0, store.ErrSize
		case s.over:
			return 0, io.EOF
		}
		n, err := s.r.Read(b)
		s.n += int64(n)
		s.over = err == io.EOF //nolint:errorlint // readers give it bare
		switch {
		case s.said >= 0 && s.n > s.said:
			return 0, store.ErrSize
		case err != nil && !s.over:
			return 0, fmt.Errorf("read the file: %w", err)
		case n > 0:
			return n, nil
		}
	}
	return 0, io.ErrNoProgress
}

// span cuts a range to a file of that size.
func span(offset, length, size int64) (from, n int64, err error) {
	if offset < 0 || length < -1 {
		return 0, 0, fmt.Errorf("blob: no range: %d bytes from %d", length, offset)
	}
	from = min(offset, size)
	n = size - from
	if length >= 0 {
		n = min(n, length)
	}
	return from, n, nil
}
