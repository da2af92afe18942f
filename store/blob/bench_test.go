package blob

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tolkflip/tolkflip/store"
)

// BenchmarkHundredUploads stores a hundred files of 20 MiB at once, of a size that is not known before, and
// reads them back, all at once. rss-MB is the most that the process grew by.
func BenchmarkHundredUploads(b *testing.B) {
	b.Run("disk", func(b *testing.B) { hundred(b, openDisk(b, b.TempDir(), nil)) })
	b.Run("server", func(b *testing.B) {
		s := openS3(b, nil, nil)
		hundred(b, s)
		_, high := s.pool.lent()
		b.ReportMetric(float64(high)/(1<<20), "pool-MB")
	})
}

const (
	hundredFiles = 100
	hundredSize  = 20 << 20
)

func hundred(b *testing.B, blobs store.Blobs) {
	b.SetBytes(hundredFiles * hundredSize)
	debug.FreeOSMemory()
	before := resident(b, "VmRSS")
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // VmHWM begins anew
		b.Skip(err)
	}
	var goroutines int
	for b.Loop() {
		atOnce(b, func(i int) error {
			if i == hundredFiles/2 {
				goroutines = runtime.NumGoroutine()
			}
			n, err := blobs.Put(b.Context(), fmt.Sprint("k", i), "video/mp4", &pattern{left: hundredSize, at: i}, -1)
			if err == nil && n != hundredSize {
				err = fmt.Errorf("%d bytes", n)
			}
			return err
		})
	}
	put := resident(b, "VmHWM")
	atOnce(b, func(i int) error {
		r, _, err := blobs.Open(b.Context(), fmt.Sprint("k", i), 0, -1)
		if err != nil {
			return err
		}
		same, err := compare(r, &pattern{left: hundredSize, at: i})
		if err == nil && !same {
			err = fmt.Errorf("file %d came back as other bytes", i)
		}
		_ = r.Close() // only read
		return err
	})
	b.ReportMetric(float64(put-before)/1024, "put-rss-MB")
	b.ReportMetric(float64(resident(b, "VmHWM")-before)/1024, "rss-MB")
	b.ReportMetric(float64(goroutines), "goroutines")
}

func atOnce(b *testing.B, f func(i int) error) {
	b.Helper()
	var group sync.WaitGroup
	for i := range hundredFiles {
		group.Go(func() {
			if err := f(i); err != nil {
				b.Error(err)
			}
		})
	}
	group.Wait()
}

// resident reads a line of /proc/self/status, in KiB.
func resident(b *testing.B, line string) (kib int) {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip(err)
	}
	_, rest, _ := bytes.Cut(status, []byte(line+":"))
	if _, err := fmt.Sscan(string(rest), &kib); err != nil {
		b.Skip(err)
	}
	return kib
}

// pattern gives bytes that differ from file to file and from place to place, a network read at a time.
type pattern struct{ left, at int }

func (p *pattern) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n := min(len(b), p.left, 16<<10)
	for i := range b[:n] {
		b[i] = byte(p.at ^ p.at>>8)
		p.at++
	}
	p.left -= n
	return n, nil
}

// compare reads both to their ends.
func compare(a, b io.Reader) (same bool, err error) {
	x, y := make([]byte, 16<<10), make([]byte, 16<<10)
	for {
		n, err := io.ReadFull(a, x)
		m, _ := io.ReadFull(b, y) // a pattern fails only by ending
		if !bytes.Equal(x[:n], y[:m]) {
			return false, nil
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return true, nil
		default:
			return false, err
		}
	}
}

// BenchmarkSmallFiles stores, opens and deletes files of 20 KiB, eight at a time.
func BenchmarkSmallFiles(b *testing.B) {
	b.Run("disk", func(b *testing.B) { small(b, openDisk(b, b.TempDir(), nil)) })
	b.Run("server", func(b *testing.B) { small(b, openS3(b, nil, nil)) })
}

func small(b *testing.B, blobs store.Blobs) {
	const size = 20 << 10
	var next atomic.Int64
	key := func() string { return fmt.Sprint("k", next.Add(1)) }
	for name, f := range map[string]func(key string) error{
		"put": func(key string) error {
			_, err := blobs.Put(b.Context(), key, "image/jpeg", &pattern{left: size}, size)
			return err
		},
		"open": func(string) error {
			r, _, err := blobs.Open(b.Context(), "k", 0, -1)
			if err == nil {
				_, err = io.Copy(io.Discard, r)
				_ = r.Close() // only read
			}
			return err
		},
	} {
		if _, err := blobs.Put(b.Context(), "k", "image/jpeg", &pattern{left: size}, size); err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(4)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := f(key()); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
