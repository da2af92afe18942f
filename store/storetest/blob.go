package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/tolkflip/tolkflip/store"
)

// Blobs is the contract of store.Blobs.
func Blobs(t *testing.T, open func(testing.TB) store.Blobs) {
	t.Helper()
	subtest(t, open, "put and open", blobsSizes)
	subtest(t, open, "readers of all kinds", blobsReaders)
	subtest(t, open, "ranges", blobsRanges)
	subtest(t, open, "what is known of a file", blobsStat)
	subtest(t, open, "a second put takes the place", blobsReplace)
	subtest(t, open, "delete", blobsDelete)
	subtest(t, open, "wrong sizes", blobsWrongSize)
	subtest(t, open, "a reader that fails", blobsReaderFails)
	subtest(t, open, "a context that ends", blobsContext)
	subtest(t, open, "keys", blobsKeys)
	subtest(t, open, "media types", blobsTypes)
	subtest(t, open, "many at once", blobsManyAtOnce)
	subtest(t, open, "one key at once", blobsOneKeyAtOnce)
	subtest(t, open, "signed", blobsSigned)
	subtest(t, open, "healthy", func(t *testing.T, blobs store.Blobs) { must(t, blobs.Healthy(t.Context())) })
}

// partBytes is the part of an S3 upload, around which sizes are chosen.
const partBytes = 5 << 20

// noise gives bytes that tell one place of a file from another.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(b) // cannot fail
	return b
}

// plain hides everything of a reader but Read.
type plain struct{ io.Reader }

func blobsSizes(t *testing.T, blobs store.Blobs) {
	for i, size := range []int{0, 1, 255, 256<<10 - 1, 256 << 10, 256<<10 + 1, partBytes - 1, partBytes, partBytes + 1, 2 * partBytes, 2*partBytes + 12345} {
		content := noise(uint64(i), size)
		for _, said := range []int64{int64(size), -1} {
			key := fmt.Sprintf("sizes/%d.%d", size, said&1)
			n := got(blobs.Put(t.Context(), key, "image/png", plain{bytes.NewReader(content)}, said))(t)
			if n != int64(size) {
				t.Fatalf("Put of %d bytes stored %d", size, n)
			}
			wantFile(t, blobs, key, "image/png", content)
		}
	}
}

func wantFile(t testing.TB, blobs store.Blobs, key, mediaType string, content []byte) {
	t.Helper()
	r, o, err := blobs.Open(t.Context(), key, 0, -1)
	must(t, err)
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	if o.Size != int64(len(content)) || o.Type != mediaType {
		t.Fatalf("Open of %s = %+v, want %d bytes of %s", key, o, len(content), mediaType)
	}
	if !bytes.Equal(b, content) {
		t.Fatalf("%s: %d bytes came back of %d, or others", key, len(b), len(content))
	}
}

func wantNoFile(t testing.TB, blobs store.Blobs, key string) {
	t.Helper()
	if _, _, err := blobs.Open(t.Context(), key, 0, -1); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Open of %s, which is not there: %v", key, err)
	}
	if _, err := blobs.Stat(t.Context(), key); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Stat of %s, which is not there: %v", key, err)
	}
}

func blobsReaders(t *testing.T, blobs store.Blobs) {
	content := noise(7, 700<<10)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"half":      iotest.HalfReader,
		"data-err":  iotest.DataErrReader,
		"hesitates": func(r io.Reader) io.Reader { return &hesitant{r: r} },
	} {
		for _, said := range []int64{-1, int64(len(content))} {
			if n := got(blobs.Put(t.Context(), name, "a/b", wrap(bytes.NewReader(content)), said))(t); n != int64(len(content)) {
				t.Fatalf("%s: stored %d bytes", name, n)
			}
			wantFile(t, blobs, name, "a/b", content)
		}
	}
	small := noise(8, 3000)
	got(blobs.Put(t.Context(), "bytes", "a/b", iotest.OneByteReader(bytes.NewReader(small)), -1))(t)
	wantFile(t, blobs, "bytes", "a/b", small)
	if _, err := blobs.Put(t.Context(), "stalls", "a/b", stalled{}, -1); !errors.Is(err, io.ErrNoProgress) {
		t.Fatalf("a reader that gives nothing for ever: %v", err)
	}
	wantNoFile(t, blobs, "stalls")
}

// hesitant gives nothing at every second call.
type hesitant struct {
	r     io.Reader
	calls int
}

func (h *hesitant) Read(b []byte) (int, error) {
	if h.calls++; h.calls%2 == 0 {
		return 0, nil
	}
	return h.r.Read(b)
}

type stalled struct{}

func (stalled) Read([]byte) (int, error) { return 0, nil }

func blobsRanges(t *testing.T, blobs store.Blobs) {
	content := noise(3, partBytes+300<<10)
	size := int64(len(content))
	got(blobs.Put(t.Context(), "ranges", "video/mp4", bytes.NewReader(content), size))(t)
	got(blobs.Put(t.Context(), "empty", "video/mp4", bytes.NewReader(nil), 0))(t)
	for _, c := range []struct{ offset, length int64 }{
		{0, 1},
		{0, 10},
		{1, 1},
		{size - 1, 1},
		{size - 1, -1},
		{partBytes - 5, 10},
		{partBytes, 5},
		{partBytes, -1},
		{100, -1},
		{0, size},
		{0, size + 1},
		{size - 10, 100},
		{0, 0},
		{5, 0},
		{size, -1},
		{size, 1},
		{size + 1, 1},
		{size + 1<<40, -1},
		{0, 1 << 60},
	} {
		from := min(c.offset, size)
		to := size
		if c.length >= 0 {
			to = from + min(c.length, size-from)
		}
		r, o, err := blobs.Open(t.Context(), "ranges", c.offset, c.length)
		must(t, err)
		b := got(io.ReadAll(r))(t)
		must(t, r.Close())
		if !bytes.Equal(b, content[from:to]) || o.Size != size || o.Type != "video/mp4" {
			t.Fatalf("%d bytes from %d: %d bytes, %+v", c.length, c.offset, len(b), o)
		}
		r, o, err = blobs.Open(t.Context(), "empty", c.offset, c.length)
		must(t, err)
		if b := got(io.ReadAll(r))(t); len(b) != 0 || o.Size != 0 {
			t.Fatalf("%d bytes from %d of nothing: %d bytes, %+v", c.length, c.offset, len(b), o)
		}
		must(t, r.Close())
		if _, _, err := blobs.Open(t.Context(), "none", c.offset, c.length); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("%d bytes from %d of no file: %v", c.length, c.offset, err)
		}
	}
	for _, c := range []struct{ offset, length int64 }{{-1, 1}, {0, -2}, {-5, -1}} {
		if _, _, err := blobs.Open(t.Context(), "ranges", c.offset, c.length); err == nil || errors.Is(err, store.ErrBusy) {
			t.Fatalf("%d bytes from %d: %v", c.length, c.offset, err)
		}
	}
	r, _, err := blobs.Open(t.Context(), "ranges", 0, -1) // closed before its end
	must(t, err)
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	must(t, r.Close())
}

func blobsStat(t *testing.T, blobs store.Blobs) {
	before := time.Now().Add(-time.Hour).UnixMilli()
	got(blobs.Put(t.Context(), "a/b", "audio/ogg", strings.NewReader("12345"), -1))(t)
	o := got(blobs.Stat(t.Context(), "a/b"))(t)
	if o.Size != 5 || o.Type != "audio/ogg" || o.Modified < before || o.Modified > time.Now().Add(time.Hour).UnixMilli() {
		t.Fatalf("Stat = %+v", o)
	}
	r, opened, err := blobs.Open(t.Context(), "a/b", 2, 1)
	must(t, err)
	must(t, r.Close())
	if opened != o {
		t.Fatalf("Open says %+v, Stat %+v", opened, o)
	}
	wantNoFile(t, blobs, "a/c")
}

func blobsReplace(t *testing.T, blobs store.Blobs) {
	for i, size := range []int{100, partBytes + 1, 7, 0, 300 << 10} {
		content := noise(uint64(40+i), size)
		mediaType := fmt.Sprintf("a/%d", i)
		got(blobs.Put(t.Context(), "k", mediaType, bytes.NewReader(content), int64(size)))(t)
		wantFile(t, blobs, "k", mediaType, content)
	}
}

func blobsDelete(t *testing.T, blobs store.Blobs) {
	must(t, blobs.Delete(t.Context(), "never"))
	for _, key := range []string{"a", "b/c"} {
		got(blobs.Put(t.Context(), key, "a/b", strings.NewReader(key), -1))(t)
	}
	must(t, blobs.Delete(t.Context(), "a"))
	wantNoFile(t, blobs, "a")
	must(t, blobs.Delete(t.Context(), "a"))
	wantFile(t, blobs, "b/c", "a/b", []byte("b/c"))
	got(blobs.Put(t.Context(), "a", "a/b", strings.NewReader("again"), -1))(t)
	wantFile(t, blobs, "a", "a/b", []byte("again"))
}

func blobsWrongSize(t *testing.T, blobs store.Blobs) {
	old := noise(50, 1000)
	for _, size := range []int{0, 1, 1000, 300 << 10, partBytes, partBytes + 1, 2*partBytes + 5} {
		content := noise(51, size)
		for _, said := range []int{size - 1, size + 1, size + partBytes, 0} {
			if said < 0 || said == size {
				continue
			}
			got(blobs.Put(t.Context(), "k", "old/old", bytes.NewReader(old), -1))(t)
			n, err := blobs.Put(t.Context(), "k", "new/new", plain{bytes.NewReader(content)}, int64(said))
			if !errors.Is(err, store.ErrSize) || errors.Is(err, store.ErrBusy) || n != 0 {
				t.Fatalf("%d bytes that were said to be %d: %d, %v", size, said, n, err)
			}
			wantFile(t, blobs, "k", "old/old", old)
		}
	}
	if _, err := blobs.Put(t.Context(), "k", "a/b", strings.NewReader("x"), -2); !errors.Is(err, store.ErrSize) {
		t.Fatalf("a size of -2: %v", err)
	}
}

func blobsReaderFails(t *testing.T, blobs store.Blobs) {
	cut := errors.New("the line was cut")
	old := noise(60, 1000)
	for _, after := range []int{0, 1, 300 << 10, partBytes - 1, partBytes, partBytes + 1, 2*partBytes + 1} {
		for _, said := range []int64{-1, 4 * partBytes} {
			content := noise(61, after)
			if _, err := blobs.Put(t.Context(), "new", "a/b", io.MultiReader(bytes.NewReader(content), iotest.ErrReader(cut)), said); !errors.Is(err, cut) || errors.Is(err, store.ErrBusy) {
				t.Fatalf("cut after %d bytes: %v", after, err)
			}
			wantNoFile(t, blobs, "new")
			got(blobs.Put(t.Context(), "old", "a/b", bytes.NewReader(old), -1))(t)
			if _, err := blobs.Put(t.Context(), "old", "c/d", io.MultiReader(bytes.NewReader(content), iotest.ErrReader(io.ErrUnexpectedEOF)), said); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("cut after %d bytes: %v", after, err)
			}
			wantFile(t, blobs, "old", "a/b", old)
		}
	}
}

// blobsContext ends the context while the reader waits for its next byte.
func blobsContext(t *testing.T, blobs store.Blobs) {
	for _, after := range []int{0, 10, partBytes + 10} {
		ctx, cancel := context.WithCancel(t.Context())
		r := io.MultiReader(bytes.NewReader(noise(70, after)), readerFunc(func(b []byte) (int, error) {
			cancel()
			return copy(b, "x"), nil
		}), bytes.NewReader(noise(71, 10<<20)))
		if _, err := blobs.Put(ctx, "k", "a/b", r, -1); !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrBusy) {
			t.Fatalf("canceled after %d bytes: %v", after, err)
		}
		cancel()
		wantNoFile(t, blobs, "k")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := blobs.Put(ctx, "k", "a/b", strings.NewReader("x"), 1); !errors.Is(err, context.Canceled) {
		t.Fatalf("Put with a context that has ended: %v", err)
	}
	wantNoFile(t, blobs, "k")
}

// readerFunc gives what it gives once, then nothing.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) {
	n, err := f(b)
	if err == nil {
		err = io.EOF
	}
	return n, err
}

func blobsKeys(t *testing.T, blobs store.Blobs) {
	long := strings.Repeat("k", store.MaxBlobKey)
	deep := strings.Repeat("d/", store.MaxBlobKey/2-1) + "dd"
	for _, key := range []string{"a", "0", "-", "_", "...", ".a", "a.", "a..b", "-rf", "x/y/z", "x-y_z.0/1", long, deep, "con", "tmp", "files"} {
		must(t, store.CheckBlobKey(key))
		got(blobs.Put(t.Context(), key, "a/b", strings.NewReader("of "+key), -1))(t)
	}
	for _, key := range []string{"a", "...", "x/y/z", long, deep, "tmp", "files"} {
		wantFile(t, blobs, key, "a/b", []byte("of "+key))
	}
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/.", "../a", "a/..", "a/../b", "A", "a b", "a\x00b", "a\nb", "a\\b", "a,b",
		"a%2fb", "a:b", "a?b", "a#b", "ä", "a\xffb", "~", "*", long + "k", "/etc/passwd", "../../etc/passwd",
	} {
		if err := store.CheckBlobKey(key); !errors.Is(err, store.ErrKey) {
			t.Fatalf("CheckBlobKey(%q) = %v", key, err)
		}
		_, err := blobs.Put(t.Context(), key, "a/b", strings.NewReader("x"), 1)
		_, _, opened := blobs.Open(t.Context(), key, 0, -1)
		_, looked := blobs.Stat(t.Context(), key)
		_, signed := blobs.Signed(t.Context(), key, "", time.Minute)
		for _, err := range []error{err, opened, looked, signed, blobs.Delete(t.Context(), key)} {
			if !errors.Is(err, store.ErrKey) {
				t.Fatalf("%q: %v", key, err)
			}
		}
	}
}

func blobsTypes(t *testing.T, blobs store.Blobs) {
	for i, mediaType := range []string{"application/octet-stream", `text/plain; charset="utf-8"`, "a/" + strings.Repeat("b", 198)} {
		key := fmt.Sprintf("k%d", i)
		got(blobs.Put(t.Context(), key, mediaType, strings.NewReader("x"), 1))(t)
		wantFile(t, blobs, key, mediaType, []byte("x"))
	}
	for _, mediaType := range []string{"a/b\r\nx: y", "a/\x00", "ä/b", "a/" + strings.Repeat("b", 199)} {
		if _, err := blobs.Put(t.Context(), "k", mediaType, strings.NewReader("x"), 1); err == nil || errors.Is(err, store.ErrBusy) {
			t.Fatalf("a media type of %q: %v", mediaType, err)
		}
		wantNoFile(t, blobs, "k")
	}
}

// blobsManyAtOnce uploads more parts than any buffer holds.
func blobsManyAtOnce(t *testing.T, blobs store.Blobs) {
	const files = 15
	size := func(i int) int { return (i%3)*partBytes + i*1000 }
	all(files, func(i int) {
		content := noise(uint64(100+i), size(i))
		if n, err := blobs.Put(t.Context(), fmt.Sprintf("many/%d", i), "a/b", plain{bytes.NewReader(content)}, -1); err != nil || n != int64(size(i)) {
			t.Errorf("file %d: %d bytes, %v", i, n, err)
		}
	})
	for i := range files {
		wantFile(t, blobs, fmt.Sprintf("many/%d", i), "a/b", noise(uint64(100+i), size(i)))
	}
}

// blobsOneKeyAtOnce puts, opens and deletes one key: whoever opens it finds one of the files, whole.
func blobsOneKeyAtOnce(t *testing.T, blobs store.Blobs) {
	size := func(i int) int { return partBytes + i*70_000 }
	var found atomic.Int64
	got(blobs.Put(t.Context(), "k", "t/0", bytes.NewReader(noise(0, size(0))), -1))(t)
	all(8, func(i int) {
		for range 4 {
			if i%2 == 0 {
				if _, err := blobs.Put(t.Context(), "k", fmt.Sprint("t/", i), bytes.NewReader(noise(uint64(i), size(i))), -1); err != nil {
					t.Error(err)
				}
				continue
			}
			if i == 7 {
				if err := blobs.Delete(t.Context(), "k"); err != nil {
					t.Error(err)
				}
				continue
			}
			r, o, err := blobs.Open(t.Context(), "k", 0, -1)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				t.Error(err)
				continue
			}
			b, err := io.ReadAll(r)
			_ = r.Close() // what was read is compared
			if err != nil {
				t.Errorf("read: %v", err)
				continue
			}
			var of int
			_, _ = fmt.Sscanf(o.Type, "t/%d", &of) // 0 where it is none of ours
			if !bytes.Equal(b, noise(uint64(of), size(of))) {
				t.Errorf("%d bytes that are no file", len(b))
			}
			found.Add(1)
		}
	})
	t.Logf("%d reads found a file", found.Load())
	got(blobs.Put(t.Context(), "k", "t/1", bytes.NewReader(noise(1, size(1))), -1))(t)
	wantFile(t, blobs, "k", "t/1", noise(1, size(1)))
}

func blobsSigned(t *testing.T, blobs store.Blobs) {
	got(blobs.Put(t.Context(), "a/b", "a/b", strings.NewReader("x"), 1))(t)
	for _, name := range []string{"", "a.png", "ä \"\\\r\n世界.png"} {
		for _, ttl := range []time.Duration{0, time.Minute, 1000 * time.Hour} {
			if u := got(blobs.Signed(t.Context(), "a/b", name, ttl))(t); u != "" && !strings.HasPrefix(u, "http") {
				t.Fatalf("Signed = %q", u)
			}
		}
	}
}
