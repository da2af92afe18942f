package blob

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestCheckpoint copies a directory while files come and go, by links and by copies.
func TestCheckpoint(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func() error{
		"links":  nil,
		"copies": func() error { return syscall.EXDEV },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := openDisk(t, t.TempDir(), nil)
			d.faults.link = fault
			for i := range 300 {
				put(t, d, fmt.Sprint("stays/", i), fmt.Sprint("content of ", i))
			}
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					key := fmt.Sprint("moves/", i%50)
					_, err := d.Put(context.Background(), key, "text/plain", strings.NewReader(key), -1)
					if err == nil && i%2 == 0 {
						err = d.Delete(context.Background(), key)
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			}()
			to := filepath.Join(t.TempDir(), "copy")
			err := d.Checkpoint(to)
			close(stop)
			<-done
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Checkpoint(to); err == nil {
				t.Error("copied over another copy")
			}
			c := openDisk(t, to, nil)
			for i := range 300 {
				key := fmt.Sprint("stays/", i)
				if text, err := contents(c, key); text != fmt.Sprint("content of ", i) || err != nil {
					t.Fatalf("%s: %q, %v", key, text, err)
				}
				was, _ := d.Stat(t.Context(), key)
				if o, _ := c.Stat(t.Context(), key); o != was {
					t.Fatalf("%s: %+v, was %+v", key, o, was)
				}
			}
			for _, name := range names(t, filepath.Join(to, filesDir)) {
				key := strings.ReplaceAll(filepath.Base(name), ",", "/")
				if text, err := contents(c, key); err != nil || (strings.HasPrefix(key, "moves/") && text != key) {
					t.Errorf("%s: %q, %v", key, text, err)
				}
			}
			put(t, c, "stays/1", "changed in the copy")
			if text, err := contents(d, "stays/1"); text != "content of 1" || err != nil {
				t.Errorf("a change of the copy reached the original: %q, %v", text, err)
			}
		})
	}
}
