package media

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

var errPlaces = proto.Fail(proto.Busy, "Too many uploads at once, please try again")

// upload takes a file in, whatever the form of the body.
func (s *Service) upload(r *httpapi.Request) error {
	row, err := s.admit(r)
	result := uploadStored
	if err != nil {
		result = resultOf(err)
	}
	s.metrics.uploads[result].Inc()
	if err != nil {
		return err
	}
	s.metrics.bytes.Add(float64(row.Size))
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
	defer cancel()
	out, err := s.describe(ctx, row, place{r.Origin(), r.Path()}, false)
	if err != nil {
		return err
	}
	r.Reply(200, out)
	return nil
}

// admit gives the upload a place and takes the body in.
func (s *Service) admit(r *httpapi.Request) (store.Media, error) {
	owner := r.Caller.User
	if !s.places.take(owner) {
		return store.Media{}, errPlaces
	}
	defer s.places.free(owner)
	s.metrics.uploading.Inc()
	defer s.metrics.uploading.Dec()
	taken, err := s.limits.Take(r.Context(), "media:"+owner.String(), s.cfg.PerHour, time.Hour)
	if err != nil {
		s.log.Warn("count an upload", slog.Any("error", err)) // a cache must not take the service down
	} else if !taken.OK {
		return store.Media{}, httpapi.RefuseFor("Too many uploads, please try again later.", taken.Reset)
	}
	body := r.Stream()
	if isForm(r.Header("Content-Type")) && body.Declared() > s.cfg.MaxFile+2*envelope {
		return store.Media{}, errTooLarge
	}
	row, err := s.take(r.Context(), owner, r.Header("Content-Type"), body)
	if cause := body.Err(); err != nil && cause != nil {
		return store.Media{}, cause // what the stores and the readers above made of it says less
	}
	return row, err
}

// take reads an upload into the store, and writes its record. When it fails nothing is left behind.
func (s *Service) take(ctx context.Context, owner id.User, contentType string, body io.Reader) (row store.Media, err error) {
	in, err := open(contentType, body)
	if err != nil {
		return store.Media{}, err
	}
	var f fields
	file, err := in.file(&f)
	if err != nil {
		return store.Media{}, err
	}
	row = store.Media{ID: s.new(), Owner: owner}
	if err := s.share(ctx, &row, f); err != nil { // before the file came, where the thread is named before it
		return store.Media{}, err
	}
	defer func() {
		if err != nil {
			s.discard(ctx, row)
		}
	}()
	counted := &counter{r: file, left: s.cfg.MaxFile}
	k, err := s.keep(ctx, &row, f, counted)
	if err != nil {
		if counted.over {
			err = errTooLarge
		}
		return row, err
	}
	if err := in.rest(&f); err != nil {
		return row, err
	}
	k = refined(k, f.declared, f.name) // a document may say these behind its data
	row.Name, row.Type = cleanName(f.name, k.ext), k.mime
	if err := s.share(ctx, &row, f); err != nil {
		return row, err
	}
	s.picture(ctx, &row)
	saving, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	row.Created = s.now().UnixMilli()
	if err := s.records.Put(saving, row); err != nil {
		return row, err
	}
	return row, nil
}

// share notes the thread that an upload names. Only its members may name it.
func (s *Service) share(ctx context.Context, row *store.Media, f fields) error {
	if f.thread.IsZero() || f.thread == row.Thread {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	if err := s.threads.Member(asking, f.thread, row.Owner); err != nil {
		return err
	}
	row.Thread = f.thread
	return nil
}

// keep puts the file into the store under a key of its own, and says what it is.
func (s *Service) keep(ctx context.Context, row *store.Media, f fields, file io.Reader) (kind, error) {
	head := bufio.NewReaderSize(file, sniffed)
	start, err := head.Peek(sniffed)
	if err != nil && !errors.Is(err, io.EOF) {
		return kind{}, err
	}
	k := refined(kindOf(start), f.declared, f.name)
	if !allowed(s.cfg.Allowed, k.mime) {
		return kind{}, httpapi.Refuse(415, proto.Invalid, "Files of type "+k.mime+" are not accepted")
	}
	row.Key = row.Owner.String() + "/" + row.ID.String() + "." + k.ext
	row.Size, err = s.blobs.Put(ctx, row.Key, k.served(), head, -1)
	return k, err
}

// discard removes what a failed upload left in the store, also when the client or the server is going away.
func (s *Service) discard(ctx context.Context, row store.Media) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Timeout)
	defer cancel()
	if row.Created != 0 { // its record may have been written, whatever the store said
		if _, err := s.records.Delete(ctx, row.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
			s.log.Warn("remove a record", slog.String("media", row.ID.String()), slog.Any("error", err))
			return // the record may stand, so its file must
		}
	}
	s.removeFiles(ctx, row)
}

// removeFiles removes a file and its thumbnail from the store. What cannot be removed is an orphan.
func (s *Service) removeFiles(ctx context.Context, row store.Media) {
	for _, key := range []string{row.Key, row.Thumbnail} {
		if key == "" {
			continue
		}
		if err := s.blobs.Delete(ctx, key); err != nil {
			s.metrics.orphans.Inc()
			s.log.Warn("remove a file", slog.String("key", key), slog.Any("error", err))
		}
	}
}

// resultOf says what an error of an upload counts as.
func resultOf(err error) uploadResult {
	var own httpapi.Replier
	if errors.As(err, &own) {
		switch status, _ := own.Reply(); {
		case status == 413:
			return uploadTooLarge
		case status == 408, errors.Is(err, httpapi.ErrCut):
			return uploadCut
		default:
			return uploadRefused
		}
	}
	var coded *proto.Error
	if errors.As(err, &coded) {
		switch coded.Code {
		case proto.Busy:
			return uploadBusy
		case proto.Internal:
			return uploadFailed
		default:
			return uploadRefused
		}
	}
	if errors.Is(err, store.ErrBusy) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return uploadBusy
	}
	return uploadFailed
}

// counter lets a file through up to its limit.
type counter struct {
	r    io.Reader
	left int64
	over bool
}

func (c *counter) Read(p []byte) (int, error) {
	if c.over {
		return 0, errTooLarge
	}
	if int64(len(p)) > c.left+1 { // one byte more tells that it is too large
		p = p[:c.left+1]
	}
	n, err := c.r.Read(p)
	if int64(n) > c.left {
		c.over = true
		return int(c.left), errTooLarge
	}
	c.left -= int64(n)
	return n, err
}
