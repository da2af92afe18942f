package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"log/slog"
	"runtime/debug"

	"golang.org/x/image/webp"

	"github.com/tolkflip/tolkflip/store"
)

const (
	thumbSide    = 200 // pixels
	thumbQuality = 80
	thumbType    = "image/jpeg"
	prefix       = 256 << 10 // bytes of a picture in which its header must stand
)

var (
	errUnreadable = errors.New("media: not a picture that can be read")
	errOutsized   = errors.New("media: the picture is out of bounds")
)

// codec is how one type of picture is read.
type codec struct {
	decode func(io.Reader) (image.Image, error)
	// measure reads the header: sides, and the bytes that decode will take at most.
	measure func(head []byte) (measured, error)
}

// measured is what the header of a picture says.
type measured struct {
	width, height int
	memory        int64
	turned        orientation
}

// codecs are the types that get a thumbnail.
var codecs = map[string]codec{ //nolint:gochecknoglobals // a table
	"image/jpeg": {jpeg.Decode, measureJPEG},
	"image/png":  {png.Decode, measurePNG},
	"image/gif":  {gif.Decode, measureGIF}, // decodes the first frame alone
	"image/webp": {webp.Decode, measureWebP},
}

// picture notes the sides of a picture and stores its thumbnail. Failures are counted and no more: the
// upload stands without.
func (s *Service) picture(ctx context.Context, row *store.Media) {
	c, ok := codecs[row.Type]
	if !ok {
		return
	}
	result := thumbMade
	err := s.thumbnail(ctx, row, c)
	switch {
	case err == nil:
	case errors.Is(err, errOutsized):
		result = thumbTooLarge
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		result = thumbBusy
	case errors.Is(err, errUnreadable):
		result = thumbUnreadable
	default:
		result = thumbFailed
		s.log.Warn("make a thumbnail", slog.String("media", row.ID.String()), slog.Any("error", err))
	}
	s.metrics.thumbs[result].Inc()
}

func (s *Service) thumbnail(ctx context.Context, row *store.Media, c codec) error {
	bounds := s.cfg.Pictures
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	head, err := s.start(ctx, row)
	if err != nil {
		return err
	}
	m, err := c.measure(head)
	if errors.Is(err, errOutsized) {
		return err
	}
	if err != nil || m.width < 1 || m.height < 1 {
		return errUnreadable
	}
	if m.width > bounds.MaxSide || m.height > bounds.MaxSide {
		return errOutsized // and no sides: a page would make room for them
	}
	row.Width, row.Height = m.turned.sides(m.width, m.height)
	if int64(m.width)*int64(m.height) > bounds.MaxPixels || m.memory > bounds.Memory || row.Size > bounds.MaxBytes {
		return errOutsized
	}
	waiting, stop := context.WithTimeout(ctx, bounds.Wait)
	defer stop()
	if err := s.decoding.Acquire(waiting, m.memory); err != nil {
		return err
	}
	defer s.decoding.Release(m.memory)
	body, _, err := s.blobs.Open(ctx, row.Key, 0, -1)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // it was read only
	small, err := shrunk(body, c, m)
	if err != nil {
		return err
	}
	key := row.Owner.String() + "/" + row.ID.String() + "_thumb.jpg"
	if _, err := s.blobs.Put(ctx, key, thumbType, bytes.NewReader(small), int64(len(small))); err != nil {
		return err
	}
	row.Thumbnail = key
	return nil
}

// start reads the beginning of a picture.
func (s *Service) start(ctx context.Context, row *store.Media) ([]byte, error) {
	body, _, err := s.blobs.Open(ctx, row.Key, 0, min(prefix, row.Size))
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }() // it was read only
	return io.ReadAll(body)
}

// shrunk decodes a picture and gives its thumbnail as a JPEG. The decoders are made for files that nobody
// forged: one that panics is one that cannot read.
func shrunk(from io.Reader, c codec, m measured) (small []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			small, err = nil, fmt.Errorf("%w: the decoder panicked: %v\n%s", errUnreadable, p, debug.Stack())
		}
	}()
	img, err := c.decode(from)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if b := img.Bounds(); b.Dx() < 1 || b.Dy() < 1 || b.Dx() > m.width || b.Dy() > m.height {
		return nil, errUnreadable // it is not what its header said
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, m.turned.apply(shrink(img, thumbSide)), &jpeg.Options{Quality: thumbQuality}); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
