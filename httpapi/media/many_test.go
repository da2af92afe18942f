package media

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/tolkflip/tolkflip/httpapi/apitest"
	"github.com/tolkflip/tolkflip/store"
)

// sums is a store that keeps only the sum of each file: whatever memory grows, it is not the store's.
type sums struct {
	store.Blobs
	mu   sync.Mutex
	sums map[string]string
	all  *sync.WaitGroup // of the uploads that are to begin
	on   chan struct{}   // closed when they may go on
}

func (s *sums) Put(_ context.Context, key, _ string, r io.Reader, _ int64) (int64, error) {
	h := sha256.New()
	n, err := s.copy(h, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sums[key] = hex.EncodeToString(h.Sum(nil))
	return n, err
}

func (s *sums) copy(h hash.Hash, r io.Reader) (int64, error) {
	first := make([]byte, 4096)
	n, err := io.ReadFull(r, first)
	if err != nil {
		return int64(n), err
	}
	h.Write(first)
	s.all.Done()
	<-s.on
	rest, err := io.Copy(h, r)
	return int64(n) + rest, err
}

// TestManyUploads takes a hundred large files at once and looks at the heap while all are under way. It is
// alone: the others' pictures are in the same heap.
func TestManyUploads(t *testing.T) {
	const uploads, size = 100, 1 << 20
	w := newWorld(t, func(c *Config) { c.MaxFile = size })
	var all sync.WaitGroup
	all.Add(uploads)
	kept := &sums{Blobs: w.blobs, sums: map[string]string{}, all: &all, on: make(chan struct{})}
	w.svc.blobs = kept
	before := heap()
	var under sync.WaitGroup
	replies := make([]apitest.Reply, uploads)
	kind, empty := formOf(t, part{"file", "big.bin", "", "\x00"})
	head, tail, _ := strings.Cut(string(empty), "\x00")
	for i := range uploads {
		under.Go(func() {
			body := io.MultiReader(strings.NewReader(head), io.LimitReader(&pattern{seed: byte(i)}, size), strings.NewReader(tail))
			replies[i] = w.server.ViaGateway(w.ann).Send("POST", "/api/media/upload", body, "Content-Type", kind)
		})
	}
	kept.all.Wait() // all are under way, and wait for us
	grown := int64(heap()) - int64(before)
	close(kept.on)
	under.Wait()
	for i, r := range replies {
		if r.Status != 200 || r.Body["size"] != float64(size) {
			t.Fatalf("%d: %d %s", i, r.Status, r.Text)
		}
		h := sha256.New()
		if _, err := io.CopyN(h, &pattern{seed: byte(i)}, size); err != nil {
			t.Fatal(err)
		}
		if got := kept.sums[w.ann.String()+"/"+w.idOf(r)+".bin"]; got != hex.EncodeToString(h.Sum(nil)) {
			t.Errorf("%d: other bytes", i)
		}
	}
	// Both ends of every connection are in this heap: buffers of the clients as well, about 100 KiB an upload.
	if grown > 40<<20 {
		t.Errorf("the heap grew by %d MiB under %d MiB of uploads", grown>>20, uploads*size>>20)
	} else {
		t.Logf("the heap grew by %d KiB under %d MiB of uploads", grown>>10, uploads*size>>20)
	}
	if n := value(t, w.svc.metrics.uploading); n != 0 {
		t.Errorf("%v are still under way", n)
	}
}

// heap is what is reachable.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// pattern never ends.
type pattern struct {
	seed byte
	n    int
}

func (p *pattern) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(p.n>>8) ^ byte(p.n) ^ p.seed
		p.n++
	}
	return len(b), nil
}
