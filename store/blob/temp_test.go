package blob

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

const childDir = "TOLKFLIP_TEST_BLOB_CHILD" // set in the child of TestDiskKilled

// TestDiskKilled kills a process with uploads under way: another one that is open removes nothing of it,
// the next one everything, and nothing of those who live.
func TestDiskKilled(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv(childDir); dir != "" { //nolint:forbidigo // how a test speaks to its child
		uploadForEver(t, dir)
	}
	dir := t.TempDir()
	living := openDisk(t, dir, nil)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), exe, "-test.run=^TestDiskKilled$")
	child.Env = append(os.Environ(), childDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil { // its uploads are under way
		t.Fatal(err)
	}
	openDisk(t, dir, nil)
	if list := names(t, filepath.Join(dir, tempRoot)); len(list) != 3 {
		t.Errorf("of a living process: %v", list)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed
	_, err = living.Put(t.Context(), "k", "a/b", io.MultiReader(strings.NewReader("con"), then(func() error {
		reg := prometheus.NewRegistry()
		next, err := OpenDisk(DefaultDisk(dir), silent(), reg)
		if err != nil {
			return err
		}
		if list := names(t, filepath.Join(dir, tempRoot)); len(list) != 1 {
			t.Errorf("left: %v", list)
		}
		return next.Close()
	}), strings.NewReader("tent")), -1)
	if err != nil {
		t.Error(err)
	}
	if text, err := contents(living, "k"); text != "content" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if list := names(t, filepath.Join(dir, filesDir)); !slices.Equal(list, []string{filepath.Base(first(place("k"))) + "/k"}) {
		t.Errorf("stored: %v", list)
	}
}

func first(a, _ string) string { return a }

// uploadForEver says so when three uploads are under way, and waits to be killed.
func uploadForEver(t *testing.T, dir string) {
	d, err := OpenDisk(DefaultDisk(dir), silent(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var under sync.WaitGroup
	for i := range 3 {
		under.Add(1)
		go func() {
			_, _ = d.Put(context.Background(), strconv.Itoa(i), "a/b", io.MultiReader(zeros(100_000), then(func() error {
				under.Done()
				select {}
			})), -1) // never returns
		}()
	}
	under.Wait()
	_, _ = os.Stdout.Write([]byte{'!'}) // whoever reads it kills this process
	select {}
}

// TestSweepIsBounded leaves more folders behind than one OpenDisk removes.
func TestSweepIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	openDisk(t, dir, nil)
	for i := range sweepLimit + 10 {
		at := filepath.Join(dir, tempRoot, strconv.Itoa(i))
		if err := errors.Join(os.Mkdir(at, 0o700), os.WriteFile(at+lockSuffix, nil, 0o600), os.WriteFile(at+"/1", nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []int{10, 0} {
		openDisk(t, dir, nil)
		if list := names(t, filepath.Join(dir, tempRoot)); len(list) != want {
			t.Errorf("%d are left after %d", len(list), i+1)
		}
	}
}
