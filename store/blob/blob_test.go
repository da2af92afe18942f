package blob

import (
	"log/slog"
	"testing"

	"go.uber.org/goleak"

	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

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
	t.Cleanup(func() { _ = d.Close() }) // reported by those tests that look at it
	return d
}

func TestDiskContract(t *testing.T) {
	storetest.Blobs(t, func(tb testing.TB) store.Blobs { return openDisk(tb, tb.TempDir(), nil) })
}
