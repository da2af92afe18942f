package blob

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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

// TestUploadsShareThePool sends 30 files of 6 MiB at once through the memory of two parts.
func TestUploadsShareThePool(t *testing.T) {
	both(t, func(t *testing.T, open func(func(*S3Config)) *S3) {
		const buffer, files, size = 10 << 20, 30, 6 << 20
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

// TestServerGoesAndComesBack closes the way to the server in the middle of an upload.
func TestServerGoesAndComesBack(t *testing.T) {
	both(t, func(t *testing.T, open func(func(*S3Config)) *S3) {
		var way *gate
		s := open(func(cfg *S3Config) {
			way = newGate(t, cfg.Endpoint)
			cfg.Endpoint = way.at
			cfg.RetryEvery, cfg.HealthEvery = 10*time.Millisecond, time.Nanosecond
		})
		if _, err := s.Put(t.Context(), "old", "a/b", strings.NewReader("old"), -1); err != nil {
			t.Fatal(err)
		}
		_, err := s.Put(t.Context(), "k", "a/b", io.MultiReader(zeros(12<<20), then(func() error {
			way.close()
			return nil
		}), zeros(12<<20)), -1)
		if !errors.Is(err, store.ErrBusy) || !strings.Contains(err.Error(), way.at) {
			t.Errorf("Put without a server: %v", err)
		}
		if n := s.janitor.waiting(); n != 1 {
			t.Errorf("%d uploads are to be removed", n)
		}
		if err := s.Healthy(t.Context()); !errors.Is(err, store.ErrBusy) || !strings.Contains(err.Error(), way.at) {
			t.Errorf("Healthy without a server: %v", err)
		}
		if _, _, err := s.Open(t.Context(), "old", 0, -1); !errors.Is(err, store.ErrBusy) || errors.Is(err, store.ErrNotFound) {
			t.Errorf("Open without a server: %v", err)
		}
		if _, err := s.Stat(t.Context(), "old"); !errors.Is(err, store.ErrBusy) || errors.Is(err, store.ErrNotFound) {
			t.Errorf("Stat without a server: %v", err)
		}
		if err := s.Delete(t.Context(), "old"); !errors.Is(err, store.ErrBusy) {
			t.Errorf("Delete without a server: %v", err)
		}
		way.open(t)
		until(func() bool { return s.janitor.waiting() == 0 })
		if n := unfinished(t, s, "k"); n != 0 {
			t.Errorf("%d uploads are left", n)
		}
		if err := s.Healthy(t.Context()); err != nil {
			t.Errorf("Healthy with the server back: %v", err)
		}
		if _, err := s.Put(t.Context(), "k", "a/b", zeros(12<<20), -1); err != nil {
			t.Errorf("Put with the server back: %v", err)
		}
	})
}

// TestServerGoesInADownload closes the way to the server while a file is read: its reader does not say that
// the file has ended.
func TestServerGoesInADownload(t *testing.T) {
	both(t, func(t *testing.T, open func(func(*S3Config)) *S3) {
		var way *gate
		s := open(func(cfg *S3Config) {
			way = newGate(t, cfg.Endpoint)
			cfg.Endpoint = way.at
		})
		if _, err := s.Put(t.Context(), "k", "a/b", zeros(40<<20), -1); err != nil {
			t.Fatal(err)
		}
		r, _, err := s.Open(t.Context(), "k", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, r, 1<<20); err != nil {
			t.Fatal(err)
		}
		way.close()
		n, err := io.Copy(io.Discard, r)
		if !errors.Is(err, store.ErrBusy) || n >= 39<<20 {
			t.Errorf("%d bytes more, then %v", n, err)
		}
		_ = r.Close() // of a line that is dead
		way.open(t)
	})
}

// TestBucketGoes removes the bucket under an open store.
func TestBucketGoes(t *testing.T) {
	t.Parallel()
	s, f := openFake(t, func(_ *fake, cfg *S3Config) { cfg.HealthEvery = time.Nanosecond })
	f.mu.Lock()
	f.bucket = false
	f.mu.Unlock()
	_, put := s.Put(t.Context(), "k", "a/b", strings.NewReader("x"), 1)
	_, _, opened := s.Open(t.Context(), "k", 0, -1)
	for _, err := range []error{put, opened, s.Healthy(t.Context())} {
		if !errors.Is(err, store.ErrBusy) || errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), "no such bucket") {
			t.Errorf("%v", err)
		}
	}
}

// TestLostAnswer has the server complete a file, and the answer lost: the file is there, and Put says so.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	lost := 0
	s, f := openFake(t, func(f *fake, _ *S3Config) {
		f.around = func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
			if r.Method != http.MethodPost || !r.URL.Query().Has("uploadId") {
				serve(w, r)
				return
			}
			serve(httptest.NewRecorder(), r)
			lost++
			hangUp(w)
		}
	})
	n, err := s.Put(t.Context(), "k", "a/b", zeros(12<<20), -1)
	if err != nil || n != 12<<20 || lost == 0 {
		t.Fatalf("%d bytes, %v; %d answers were lost", n, err, lost)
	}
	if n := f.unfinished(); n != 0 {
		t.Errorf("%d uploads are left", n)
	}
}

// TestRetriedPart has the server hang up in the middle of every part, once: the part is sent again, whole.
func TestRetriedPart(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]bool{}
	s, _ := openFake(t, func(f *fake, _ *S3Config) {
		f.around = func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
			mu.Lock()
			again := seen[r.URL.String()]
			seen[r.URL.String()] = true
			mu.Unlock()
			if r.Method == http.MethodPut && r.ContentLength > 0 && !again {
				_, _ = io.CopyN(io.Discard, r.Body, 100_000)
				hangUp(w)
				return
			}
			serve(w, r)
		}
	})
	content := make([]byte, 12<<20)
	_, _ = mathrand.NewChaCha8([32]byte{1}).Read(content)
	for key, size := range map[string]int{"parts": len(content), "one": 1 << 20} {
		if _, err := s.Put(t.Context(), key, "a/b", bytes.NewReader(content[:size]), -1); err != nil {
			t.Fatal(err)
		}
		r, _, err := s.Open(t.Context(), key, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r); err != nil || !bytes.Equal(b, content[:size]) {
			t.Errorf("%s: %d bytes, %v", key, len(b), err)
		}
		_ = r.Close() // read to its end
	}
}

// TestSilentServer answers nothing, or stops in the middle: every step is bounded in time.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	silence := make(chan struct{})
	var of atomic.Pointer[string] // method that is not answered
	f := newFake(t)
	f.around = func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
		m := of.Load()
		switch {
		case m == nil || *m != r.Method:
			serve(w, r)
		case r.Method == http.MethodGet: // half of an answer
			w.Header().Set("Content-Length", "1000")
			w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
			_, _ = w.Write(make([]byte, 500))
			_ = http.NewResponseController(w).Flush()
			<-silence
		default:
			<-silence
		}
	}
	cfg := f.config()
	cfg.ResponseTimeout, cfg.HealthTimeout, cfg.IdleTimeout = 20*time.Millisecond, 20*time.Millisecond, 200*time.Millisecond
	cfg.HealthEvery = time.Nanosecond
	s, err := OpenS3(t.Context(), cfg, silent(), nil)
	for err != nil { // a busy machine takes longer than that
		s, err = OpenS3(t.Context(), cfg, silent(), nil)
	}
	defer func() { _ = s.Close() }() // nothing is asked of it any more
	defer close(silence)
	for _, method := range []string{http.MethodPut, http.MethodHead, http.MethodDelete} {
		of.Store(&method)
		var err error
		switch method {
		case http.MethodPut:
			_, err = s.Put(t.Context(), "k", "a/b", strings.NewReader("x"), -1)
		case http.MethodHead:
			err = errors.Join(s.Healthy(t.Context()))
			if _, stat := s.Stat(t.Context(), "k"); !errors.Is(stat, store.ErrBusy) {
				t.Errorf("Stat: %v", stat)
			}
		default:
			err = s.Delete(t.Context(), "k")
		}
		if !errors.Is(err, store.ErrBusy) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s without an answer: %v", method, err)
		}
	}
	get := http.MethodGet
	of.Store(&get)
	r, _, err := s.Open(t.Context(), "k", 0, -1)
	for err != nil { // as above
		r, _, err = s.Open(t.Context(), "k", 0, -1)
	}
	if n, err := io.Copy(io.Discard, r); n != 500 || !errors.Is(err, store.ErrBusy) {
		t.Errorf("half of an answer: %d bytes, %v", n, err)
	}
	_ = r.Close() // of a line that is dead
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
