package blob

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/storetest"
)

// server is where the tests' S3 server is, or the test is skipped.
func server(t testing.TB) S3Config {
	t.Helper()
	const variable = "TOLKFLIP_TEST_S3"
	at := os.Getenv(variable) //nolint:forbidigo // names what the test runs on
	if at == "" {
		t.Skipf("%s=http://key:secret@host:port names no S3 server", variable)
	}
	u, err := url.Parse(at)
	if err != nil || u.User == nil || u.Host == "" {
		t.Fatalf("%s is not http://key:secret@host:port", variable)
	}
	cfg := DefaultS3()
	cfg.Endpoint, cfg.Secure, cfg.Key = u.Host, u.Scheme == "https", u.User.Username()
	cfg.Secret, _ = u.User.Password()
	cfg.Bucket = "tolkflip-test-" + strings.ToLower(rand.Text())
	return cfg
}

// openS3 opens a bucket of the test's own, and removes it with all that is in it at the end.
func openS3(t testing.TB, edit func(*S3Config), reg prometheus.Registerer) *S3 {
	t.Helper()
	cfg := server(t)
	if edit != nil {
		edit(&cfg)
	}
	s, err := OpenS3(t.Context(), cfg, silent(), reg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		empty(t, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// empty removes a bucket and what is in it.
func empty(t testing.TB, s *S3) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for o := range s.server.ListObjectsIter(ctx, s.cfg.Bucket, minio.ListObjectsOptions{Recursive: true}) {
		if err := s.Delete(ctx, o.Key); err != nil {
			t.Errorf("empty the bucket: %v", err)
		}
	}
	if err := s.server.RemoveBucket(ctx, s.cfg.Bucket); err != nil {
		t.Errorf("remove the bucket: %v", err)
	}
}

// both runs f on the fake, and on the real server where there is one.
func both(t *testing.T, f func(t *testing.T, open func(edit func(*S3Config)) *S3)) {
	t.Parallel()
	t.Run("fake", func(t *testing.T) {
		t.Parallel()
		f(t, func(edit func(*S3Config)) *S3 {
			s, _ := openFake(t, func(_ *fake, cfg *S3Config) {
				if edit != nil {
					edit(cfg)
				}
			})
			return s
		})
	})
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		f(t, func(edit func(*S3Config)) *S3 { return openS3(t, edit, nil) })
	})
}

func TestS3Contract(t *testing.T) {
	storetest.Blobs(t, func(tb testing.TB) store.Blobs { return openS3(tb, nil, nil) })
}

func TestFakeContract(t *testing.T) {
	storetest.Blobs(t, func(tb testing.TB) store.Blobs {
		s, _ := openFake(tb, nil)
		return s
	})
}

// until waits for ok; the test binary's own time-out ends one that never becomes true.
func until(ok func() bool) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		<-tick.C
	}
}

// zeros gives n bytes without holding them.
func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

func (zero) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// then calls f when the reader before it has ended, and gives no bytes.
func then(f func() error) io.Reader { return funcReader(f) }

type funcReader func() error

func (f funcReader) Read([]byte) (int, error) {
	if err := f(); err != nil {
		return 0, err
	}
	return 0, io.EOF
}

// unfinished lists the uploads of a key that are neither complete nor aborted.
func unfinished(t testing.TB, s *S3, key string) int {
	t.Helper()
	page, err := s.server.ListMultipartUploads(context.Background(), s.cfg.Bucket, key, "", "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	return len(page.Uploads)
}

// TestFailedUploadLeavesNothing cuts an upload in its third part, in every way.
func TestFailedUploadLeavesNothing(t *testing.T) {
	both(t, func(t *testing.T, open func(func(*S3Config)) *S3) {
		s := open(nil)
		cut := errors.New("cut")
		for name, c := range map[string]struct {
			said int64
			end  func(cancel context.CancelFunc) error
			want error
		}{
			"reader":  {-1, func(context.CancelFunc) error { return cut }, cut},
			"context": {-1, func(cancel context.CancelFunc) error { cancel(); return nil }, context.Canceled},
			"short":   {20 << 20, func(context.CancelFunc) error { return nil }, store.ErrSize},
			"long":    {12 << 20, func(context.CancelFunc) error { return nil }, store.ErrSize},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			under := 0
			r := io.MultiReader(zeros(12<<20), then(func() error {
				under = unfinished(t, s, name)
				return c.end(cancel)
			}), zeros(1))
			_, err := s.Put(ctx, name, "a/b", r, c.said)
			cancel()
			if !errors.Is(err, c.want) || errors.Is(err, store.ErrBusy) {
				t.Errorf("%s: %v", name, err)
			}
			if under != 1 {
				t.Errorf("%s: %d uploads were under way", name, under)
			}
			if n := unfinished(t, s, name); n != 0 {
				t.Errorf("%s: %d uploads are left", name, n)
			}
			if _, err := s.Stat(t.Context(), name); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: stored: %v", name, err)
			}
		}
		if now, _ := s.pool.lent(); now != 0 {
			t.Errorf("%d bytes are lent", now)
		}
	})
}

// TestUploadsShareThePool sends 16 files of 6 MiB at once through the memory of two parts.
func TestUploadsShareThePool(t *testing.T) {
	both(t, func(t *testing.T, open func(func(*S3Config)) *S3) {
		const buffer, files, size = 10 << 20, 16, 6 << 20
		s := open(func(cfg *S3Config) { cfg.BufferBytes = buffer })
		var group sync.WaitGroup
		for i := range files {
			group.Go(func() {
				if n, err := s.Put(t.Context(), strconv.Itoa(i), "a/b", zeros(size), -1); err != nil || n != size {
					t.Errorf("file %d: %d bytes, %v", i, n, err)
				}
			})
		}
		group.Wait()
		now, high := s.pool.lent()
		if now != 0 || high > buffer || high < buffer/2 {
			t.Errorf("%d bytes are lent, %d were", now, high)
		}
		for i := range files {
			if o, err := s.Stat(t.Context(), strconv.Itoa(i)); err != nil || o.Size != size {
				t.Errorf("file %d: %+v, %v", i, o, err)
			}
		}
	})
}

// TestSlowUploadMakesRoom has a file that hardly moves hold the only part while another one waits.
func TestSlowUploadMakesRoom(t *testing.T) {
	t.Parallel()
	s, _ := openFake(t, func(_ *fake, cfg *S3Config) { cfg.BufferBytes, cfg.PartTime = minPart, time.Nanosecond })
	slow := make(chan error)
	steps, stop := make(chan struct{}), make(chan struct{})
	go func() {
		_, err := s.Put(context.Background(), "slow", "a/b", io.MultiReader(zeros(minPart-blockBytes), stepReader(steps)), -1)
		close(stop)
		slow <- err
	}()
	steps <- struct{}{} // it holds all but a block, and waits for more bytes
	fast := make(chan error)
	go func() {
		_, err := s.Put(context.Background(), "fast", "a/b", zeros(2*blockBytes), -1)
		fast <- err
	}()
	for over := false; !over; {
		select {
		case steps <- struct{}{}:
		case <-stop:
			over = true
		}
	}
	if err := <-slow; !errors.Is(err, store.ErrBusy) {
		t.Errorf("the slow one: %v", err)
	}
	if err := <-fast; err != nil {
		t.Errorf("the other one: %v", err)
	}
}

// stepReader gives a byte a step.
type stepReader chan struct{}

func (s stepReader) Read(b []byte) (int, error) {
	<-s
	b[0] = 'x'
	return 1, nil
}

// TestStaleUploads leaves uploads of another process behind, on three pages: the old ones go, the young
// ones stay.
func TestStaleUploads(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.bucket = true
	for i := range 6 {
		at := time.Now()
		if i%2 == 0 {
			at = at.Add(-25 * time.Hour)
		}
		f.uploads[strconv.Itoa(i)] = &fakeUpload{key: "k" + strconv.Itoa(i), at: at}
	}
	reg := prometheus.NewRegistry()
	s, err := OpenS3(t.Context(), f.config(), silent(), reg)
	if err != nil {
		t.Fatal(err)
	}
	until(func() bool { return f.unfinished() <= 3 })
	if err := s.Close(); err != nil { // waits for the janitor
		t.Fatal(err)
	}
	for id, u := range f.uploads {
		if u.at.Before(time.Now().Add(-24 * time.Hour)) {
			t.Errorf("upload %s is left", id)
		}
	}
	if len(f.uploads) != 3 {
		t.Errorf("%d uploads are left", len(f.uploads))
	}
}

// TestCloseEndsUploads closes the store under an upload and a download.
func TestCloseEndsUploads(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	s, err := OpenS3(t.Context(), f.config(), silent(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), "k", "a/b", zeros(20<<20), -1); err != nil {
		t.Fatal(err)
	}
	r, _, err := s.Open(t.Context(), "k", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	_, put := s.Put(t.Context(), "new", "a/b", io.MultiReader(zeros(12<<20), then(s.Close), zeros(1)), -1)
	_, read := io.Copy(io.Discard, r)
	_ = r.Close() // of a store that is closed
	_, again := s.Put(t.Context(), "new", "a/b", strings.NewReader("x"), 1)
	_, _, opened := s.Open(t.Context(), "k", 0, -1)
	for _, err := range []error{put, read, again, opened, s.Healthy(t.Context()), s.Delete(t.Context(), "k")} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%v", err)
		}
	}
	if s.pool.memory != nil {
		t.Error("the memory of uploads is still mapped")
	}
	if n := f.unfinished(); n != 0 {
		t.Errorf("%d uploads are left", n)
	}
}
