package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/storetest"
)

func openDisk(t testing.TB, dir string, edit func(*DiskConfig)) *Disk {
	t.Helper()
	cfg := DefaultDisk(dir)
	cfg.FreeBytes = func() (free, total uint64, err error) { return 1 << 40, 2 << 40, nil }
	if edit != nil {
		edit(&cfg)
	}
	d, err := OpenDisk(cfg, silent(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestDiskContract(t *testing.T) {
	storetest.Blobs(t, func(tb testing.TB) store.Blobs { return openDisk(tb, tb.TempDir(), nil) })
}

// put stores a text, and contents reads one.
func put(t testing.TB, b store.Blobs, key, text string) {
	t.Helper()
	if _, err := b.Put(t.Context(), key, "text/plain", strings.NewReader(text), -1); err != nil {
		t.Fatal(err)
	}
}

func contents(b store.Blobs, key string) (string, error) {
	r, _, err := b.Open(context.Background(), key, 0, -1)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(r)
	return string(text), errors.Join(err, r.Close())
}

// names lists the files below a directory, without locks.
func names(t testing.TB, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !strings.HasSuffix(name, lockSuffix) {
			name, _ = filepath.Rel(dir, name)
			list = append(list, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestDiskReopen(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "blob")
	d := openDisk(t, dir, nil)
	put(t, d, "x/y", "content")
	before, err := d.Stat(t.Context(), "x/y")
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := d.Open(t.Context(), "x/y", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if list := names(t, dir); len(list) != 1 || !strings.HasSuffix(list[0], "/x,y") {
		t.Errorf("on the disk: %v", list)
	}
	if text, err := io.ReadAll(r); string(text) != "content" || err != nil {
		t.Errorf("opened before Close: %q, %v", text, err)
	}
	_ = r.Close() // only read
	_, opened := contents(d, "x/y")
	_, stat := d.Stat(t.Context(), "x/y")
	_, stored := d.Put(t.Context(), "k", "a/b", strings.NewReader("x"), 1)
	for _, err := range []error{opened, stat, stored, d.Delete(t.Context(), "x/y"), d.Healthy(t.Context()), d.Checkpoint(dir + "2")} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
	if err := d.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	again := openDisk(t, dir, nil)
	if text, err := contents(again, "x/y"); text != "content" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if o, err := again.Stat(t.Context(), "x/y"); o != before || err != nil {
		t.Errorf("%+v, %v; was %+v", o, err, before)
	}
}

// TestDiskReadsOn deletes and replaces an open file.
func TestDiskReadsOn(t *testing.T) {
	t.Parallel()
	d := openDisk(t, t.TempDir(), nil)
	put(t, d, "k", "first")
	first, _, err := d.Open(t.Context(), "k", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	put(t, d, "k", "second")
	second, _, err := d.Open(t.Context(), "k", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	for want, r := range map[string]io.ReadCloser{"first": first, "second": second} {
		if text, err := io.ReadAll(r); string(text) != want || err != nil {
			t.Errorf("%q, %v", text, err)
		}
		_ = r.Close() // only read
	}
}

// TestDiskLinks puts links and other things where files would be: nothing outside is read or written.
func TestDiskLinks(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.Mkdir(outside, 0o700); err != nil {
		t.Fatal(err)
	}
	secret := appendTrailer([]byte("secret"), "a/b", 6)
	if err := os.WriteFile(filepath.Join(outside, "k"), secret, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	d := openDisk(t, dir, nil)
	folder, _ := place("k")
	for name, c := range map[string]func(at string) error{
		"link":             func(at string) error { return os.Symlink(filepath.Join(outside, "k"), at) },
		"relative link":    func(at string) error { return os.Symlink("../../../outside/k", at) },
		"link to a folder": func(at string) error { return os.Symlink("../../"+tempRoot, at) },
		"pipe":             func(at string) error { return syscall.Mkfifo(at, 0o600) },
		"folder":           func(at string) error { return os.Mkdir(at, 0o700) },
		"empty":            func(at string) error { return os.WriteFile(at, nil, 0o600) },
		"not ours":         func(at string) error { return os.WriteFile(at, bytes.Repeat([]byte("x"), 500), 0o600) },
		"cut":              func(at string) error { return os.WriteFile(at, secret[1:], 0o600) },
		"cut at its end":   func(at string) error { return os.WriteFile(at, secret[:len(secret)-1], 0o600) },
		"a wrong length": func(at string) error {
			return os.WriteFile(at, append([]byte("secret"), "\xff\x00\x00\x00\x00\x00\x00\x00\x06TKF1"...), 0o600)
		},
	} {
		at := filepath.Join(dir, folder, "k")
		if err := c(at); err != nil {
			t.Fatal(err)
		}
		if text, err := contents(d, "k"); err == nil || text != "" || errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: read %q, %v", name, text, err)
		}
		if _, err := d.Stat(t.Context(), "k"); err == nil {
			t.Errorf("%s: Stat", name)
		}
		if name != "folder" {
			put(t, d, "k", "mine")
			if text, err := contents(d, "k"); text != "mine" || err != nil {
				t.Errorf("%s: then %q, %v", name, text, err)
			}
		}
		if err := d.Delete(t.Context(), "k"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Remove(filepath.Join(dir, folder)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, folder)); err != nil {
		t.Fatal(err)
	}
	if text, err := contents(d, "k"); err == nil || text != "" {
		t.Errorf("through a folder that is a link: %q, %v", text, err)
	}
	if _, err := d.Put(t.Context(), "k", "a/b", strings.NewReader("x"), 1); err == nil {
		t.Error("stored through a folder that is a link")
	}
	if err := d.Delete(t.Context(), "k"); err == nil {
		t.Error("deleted through a folder that is a link")
	}
	if left, err := os.ReadFile(filepath.Join(outside, "k")); err != nil || !bytes.Equal(left, secret) {
		t.Errorf("outside: %q, %v", left, err)
	}
	if list := names(t, filepath.Join(dir, tempRoot)); len(list) != 0 {
		t.Errorf("left: %v", list)
	}
}

// TestDiskFails lets the file system fail: nothing is stored, nothing is left, and a full disk is busy.
func TestDiskFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		busy bool
	}{
		"no space": {&os.PathError{Op: "write", Path: "/secret/place", Err: syscall.ENOSPC}, true},
		"quota":    {syscall.EDQUOT, true},
		"files":    {syscall.EMFILE, true},
		"broken":   {&os.PathError{Op: "write", Path: "/secret/place", Err: syscall.EIO}, false},
	} {
		dir := t.TempDir()
		d := openDisk(t, dir, nil)
		put(t, d, "k", "old")
		writes := 0
		d.faults.write = func() error {
			if writes++; writes == 3 {
				return c.err
			}
			return nil
		}
		n, err := d.Put(t.Context(), "k", "a/b", zeros(1<<20), -1)
		if n != 0 || err == nil || errors.Is(err, store.ErrBusy) != c.busy || strings.Contains(err.Error(), "/secret") {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		if text, err := contents(d, "k"); text != "old" || err != nil {
			t.Errorf("%s: then %q, %v", name, text, err)
		}
		if list := names(t, filepath.Join(dir, tempRoot)); len(list) != 0 {
			t.Errorf("%s: left: %v", name, list)
		}
		d.faults.write = nil
		d.faults.sync = func(string) error { return c.err }
		if _, err := d.Put(t.Context(), "k", "a/b", zeros(1), -1); err == nil {
			t.Errorf("%s: a folder that is not on the disk was acknowledged", name)
		}
		if err := d.Delete(t.Context(), "k"); err == nil {
			t.Errorf("%s: a delete that is not on the disk was acknowledged", name)
		}
	}
}

// TestDiskIsNearlyFull lets the free space go, before an upload and in one.
func TestDiskIsNearlyFull(t *testing.T) {
	t.Parallel()
	const total = 100 << 30
	var free atomic.Uint64
	dir := t.TempDir()
	d := openDisk(t, dir, func(c *DiskConfig) {
		c.FreeBytes = func() (uint64, uint64, error) { return free.Load(), total, nil }
	})
	least := uint64(total / 100 * 3)
	free.Store(least + 1000)
	put(t, d, "k", "x")
	if err := d.Healthy(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := d.Put(t.Context(), "k", "a/b", zeros(2000), 2000); !errors.Is(err, store.ErrBusy) {
		t.Errorf("a file that would not leave enough: %v", err)
	}
	r := io.MultiReader(zeros(1<<20), then(func() error {
		free.Store(least - 1)
		return nil
	}), zeros(1<<30))
	if _, err := d.Put(t.Context(), "k", "a/b", r, -1); !errors.Is(err, store.ErrBusy) {
		t.Errorf("a file that fills the disk: %v", err)
	}
	if err := d.Healthy(t.Context()); !errors.Is(err, store.ErrBusy) || !strings.Contains(err.Error(), "full") {
		t.Errorf("Healthy: %v", err)
	}
	if text, err := contents(d, "k"); text != "x" || err != nil {
		t.Errorf("reading needs no space: %q, %v", text, err)
	}
	if err := d.Delete(t.Context(), "k"); err != nil {
		t.Errorf("deleting needs no space: %v", err)
	}
	free.Store(least)
	put(t, d, "k", "again")
	if list := names(t, filepath.Join(dir, tempRoot)); len(list) != 0 {
		t.Errorf("left: %v", list)
	}
}

// TestDiskCannotBeWritten removes the folder of unfinished files.
func TestDiskCannotBeWritten(t *testing.T) {
	t.Parallel()
	d := openDisk(t, t.TempDir(), nil)
	if err := os.Remove(filepath.Join(d.cfg.Dir, d.temp.name)); err != nil {
		t.Fatal(err)
	}
	if err := d.Healthy(t.Context()); err == nil || !strings.Contains(err.Error(), d.cfg.Dir) {
		t.Errorf("Healthy: %v", err)
	}
	if _, err := d.Put(t.Context(), "k", "a/b", zeros(1), 1); err == nil {
		t.Error("stored")
	}
}

func FuzzTrailer(f *testing.F) {
	f.Add([]byte{})
	f.Add(appendTrailer([]byte("content"), "image/png", 7))
	f.Add(appendTrailer(nil, strings.Repeat("x", store.MaxBlobType), 1<<62))
	f.Fuzz(func(t *testing.T, b []byte) {
		mediaType, size, ok := parseTrailer(b)
		if !ok {
			return
		}
		again := appendTrailer(nil, mediaType, size)
		if !bytes.HasSuffix(b, again) {
			t.Fatalf("%q was read as %q, %d", b, mediaType, size)
		}
	})
}

// TestPlaces looks whether keys share a name, and whether they are spread.
func TestPlaces(t *testing.T) {
	t.Parallel()
	seen, used := map[string]string{}, map[string]int{}
	for i := range 20_000 {
		for _, key := range []string{fmt.Sprint("media/", i), fmt.Sprint("media-", i), fmt.Sprintf("m/%d.t", i)} {
			dir, name := place(key)
			if other, taken := seen[dir+"/"+name]; taken {
				t.Fatalf("%s and %s are one file", key, other)
			}
			seen[dir+"/"+name] = key
			used[dir]++
		}
	}
	if len(used) != folders {
		t.Errorf("%d folders are used", len(used))
	}
	for dir, n := range used {
		if n > 2*len(seen)/folders {
			t.Errorf("%d of %d files are in %s", n, len(seen), dir)
		}
	}
	if _, name := place(strings.Repeat("k", store.MaxBlobKey)); len(name) > 255 {
		t.Error("a name is too long for a file system")
	}
}
