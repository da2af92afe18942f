package blob

import (
	"context"
	"crypto/md5" //nolint:gosec // the protocol's name of a file of parts, not a safeguard
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/tolkflip/tolkflip/store"
)

// emptySHA256 is the SHA-256 of nothing.
const emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// abortTime is how long a failed upload waits for the server to forget it; the janitor does the rest.
const abortTime = 5 * time.Second

var errTooLarge = errors.New("blob: larger than 10,000 parts")

// upload is one Put under way. A file that fits into one part is one request; a larger one is parts, one
// after the other. Between two parts it holds no memory, so that uploads take turns.
type upload struct {
	s    *S3
	key  string
	kind string
	from *store.BlobSource
	part lease

	began time.Time // of the current part
	id    string    // of the upload on the server; empty before its second part is known to come
	done  []minio.CompletePart
	ahead [1]byte // the first byte of a part, read before memory is asked for
}

// Put streams a file to the server.
func (s *S3) Put(ctx context.Context, key, mediaType string, r io.Reader, size int64) (n int64, err error) {
	defer func() {
		s.metrics.count(opPut, err)
		if err == nil {
			s.metrics.stored.Add(float64(n))
		}
	}()
	if err := store.CheckBlob(key, mediaType, size); err != nil {
		return 0, err
	}
	if size > maxParts*int64(s.cfg.PartBytes) {
		return 0, errTooLarge
	}
	ctx, done, err := s.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer done()
	u := &upload{s: s, key: key, kind: mediaType, from: store.NewBlobSource(ctx, r, size), part: lease{p: s.pool}}
	defer u.part.release()
	return u.run(ctx)
}

func (u *upload) run(ctx context.Context) (int64, error) {
	last, err := u.fill(ctx, 0)
	if err != nil {
		return 0, err
	}
	if last {
		if err := u.single(ctx); err != nil {
			return 0, err
		}
		return u.from.Bytes(), nil
	}
	if err := u.multipart(ctx); err != nil {
		u.abort(ctx)
		return 0, err
	}
	return u.from.Bytes(), nil
}

// fill reads a part, of which n bytes are in ahead, and reports whether it is the last one. While others
// wait for its memory it may not take longer than PartTime.
func (u *upload) fill(ctx context.Context, n int) (last bool, err error) {
	u.began = time.Now()
	if n > 0 {
		if err := u.part.grow(ctx); err != nil {
			return false, err
		}
		u.part.n = copy(u.part.room(), u.ahead[:n])
	}
	for !u.part.full() {
		room := u.part.room()
		if len(room) == 0 {
			if err := u.part.grow(ctx); err != nil {
				return false, err
			}
			room = u.part.room()
		}
		n, err := u.from.Read(room)
		u.part.n += n
		switch {
		case err == io.EOF: //nolint:errorlint // a bare one is the end, a wrapped one a failure
			return true, nil
		case err != nil:
			return false, err
		case time.Since(u.began) > u.s.cfg.PartTime && u.s.pool.crowded():
			return false, fmt.Errorf("the file comes too slowly while others wait: %w", store.ErrBusy)
		}
	}
	if u.from.Bytes() != u.from.Said() {
		return false, nil
	}
	if _, err := u.from.Read(u.ahead[:]); err != io.EOF { //nolint:errorlint // a bare one is the end, a wrapped one a failure
		return false, err
	}
	return true, nil
}

func (u *upload) single(ctx context.Context) error {
	opts := minio.PutObjectOptions{ContentType: u.kind, DisableContentSha256: true}
	_, err := u.s.server.PutObject(ctx, u.s.cfg.Bucket, u.key, &reader{l: &u.part}, int64(u.part.n), "", u.sum(), opts)
	if err != nil {
		return u.s.explain(ctx, "store a file", err)
	}
	return nil
}

// sum is the SHA-256 of the part. It is signed: the server refuses a part that arrives otherwise.
func (u *upload) sum() string {
	h := sha256.New()
	u.part.pieces(func(b []byte) { _, _ = h.Write(b) }) // a hash cannot fail
	return hex.EncodeToString(h.Sum(nil))
}

func (u *upload) multipart(ctx context.Context) error {
	var err error
	u.id, err = u.s.server.NewMultipartUpload(ctx, u.s.cfg.Bucket, u.key, minio.PutObjectOptions{ContentType: u.kind})
	if err != nil {
		return u.s.explain(ctx, "begin a file of parts", err)
	}
	for last := false; ; {
		if err := u.send(ctx); err != nil {
			return err
		}
		if last {
			return u.complete(ctx)
		}
		n, err := u.from.Read(u.ahead[:])
		if err == io.EOF { //nolint:errorlint // a bare one is the end, a wrapped one a failure
			return u.complete(ctx)
		}
		if err != nil {
			return err
		}
		if len(u.done) == maxParts {
			return errTooLarge
		}
		if last, err = u.fill(ctx, n); err != nil {
			return err
		}
	}
}

func (u *upload) send(ctx context.Context) error {
	part, err := u.s.server.PutObjectPart(ctx, u.s.cfg.Bucket, u.key, u.id, len(u.done)+1, &reader{l: &u.part}, int64(u.part.n),
		minio.PutObjectPartOptions{Sha256Hex: u.sum(), DisableContentSha256: true})
	u.part.release()
	if err != nil {
		return u.s.explain(ctx, "store a part of a file", err)
	}
	u.done = append(u.done, minio.CompletePart{PartNumber: part.PartNumber, ETag: part.ETag})
	return nil
}

// complete makes the file of its parts. Where the answer is lost the server is asked whether it did.
func (u *upload) complete(ctx context.Context) error {
	_, err := u.s.server.CompleteMultipartUpload(ctx, u.s.cfg.Bucket, u.key, u.id, u.done, minio.PutObjectOptions{})
	if err == nil {
		return nil
	}
	if info, lost := u.s.server.StatObject(ctx, u.s.cfg.Bucket, u.key, minio.StatObjectOptions{}); lost == nil &&
		info.Size == u.from.Bytes() && info.ETag == u.name() {
		return nil
	}
	return u.s.explain(ctx, "put a file together", err)
}

// name is the ETag that S3 gives to a file of these parts: the MD5 of their MD5s, and how many they are.
// Where a server names them otherwise a lost answer counts as a failure.
func (u *upload) name() string {
	h := md5.New() //nolint:gosec // as above
	for _, p := range u.done {
		sum, err := hex.DecodeString(p.ETag)
		if err != nil {
			return ""
		}
		_, _ = h.Write(sum) // a hash cannot fail
	}
	return hex.EncodeToString(h.Sum(nil)) + "-" + strconv.Itoa(len(u.done))
}

// abort lets the server forget the parts, now or later.
func (u *upload) abort(ctx context.Context) {
	u.part.release()
	if u.id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	if u.s.remove(ctx, leftover{u.key, u.id}) != nil {
		u.s.janitor.add(u.s, leftover{u.key, u.id})
	}
}
