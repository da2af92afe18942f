package blob

import (
	"bytes"
	"context"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/store"
)

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
