package memory_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/memory"
	"github.com/tolkflip/tolkflip/store/storetest"
)

func TestBlobs(t *testing.T) {
	storetest.Blobs(t, func(testing.TB) store.Blobs { return memory.NewBlobs(1<<30, time.Now) })
}

func TestBlobsAreBounded(t *testing.T) {
	t.Parallel()
	blobs := memory.NewBlobs(10, time.Now)
	put := func(key string, n int) error {
		_, err := blobs.Put(t.Context(), key, "a/b", strings.NewReader(strings.Repeat("x", n)), -1)
		return err
	}
	if err := put("a", 6); err != nil {
		t.Fatal(err)
	}
	for range 3 { // a refused one takes nothing
		if err := put("b", 5); !errors.Is(err, store.ErrBusy) {
			t.Fatalf("11 bytes of 10: %v", err)
		}
	}
	if err := put("b", 4); err != nil {
		t.Fatal(err)
	}
	if err := blobs.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := put("b", 3); err != nil { // in place of the 4
		t.Fatal(err)
	}
	if err := put("c", 7); err != nil {
		t.Fatal(err)
	}
}
