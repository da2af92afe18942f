package pebble

import (
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/tolkflip/tolkflip/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small is a configuration whose budgets tests reach.
func small(fs vfs.FS) Config {
	cfg := Default()
	cfg.Dir, cfg.FS = "store", fs
	cfg.CacheBytes, cfg.MemTableBytes = 1<<20, 4<<20
	cfg.RecencyEvery, cfg.CursorsEvery = 2*time.Millisecond, 2*time.Millisecond
	cfg.FileEvery, cfg.FileTables = time.Millisecond, 32
	return cfg
}

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	if cfg.Fatal == nil {
		cfg.Fatal = func(err error) { t.Errorf("fatal: %v", err) }
	}
	s, err := Open(cfg, silent(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestContract(t *testing.T) {
	storetest.All(t, func(tb testing.TB) storetest.Set { return storetest.Of(open(tb, small(vfs.NewMem()))) })
}

// TestContractCold has no hot window, next to no state in memory and several committers, so that every
// read and every activation goes to the store.
func TestContractCold(t *testing.T) {
	storetest.All(t, func(tb testing.TB) storetest.Set {
		cfg := small(vfs.NewMem())
		cfg.HotBytes, cfg.FilterBytes, cfg.Threads, cfg.Cursors, cfg.Committers = 1, 0, 1, 1, 5
		cfg.GroupMessages = 3
		return storetest.Of(open(tb, cfg))
	})
}
