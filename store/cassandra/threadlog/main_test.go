package threadlog

import (
	"log/slog"
	"testing"

	"go.uber.org/goleak"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testConfig() Config {
	cfg := Default()
	cfg.Node = Node(id.NewUser().ID)
	cfg.HotBytes = 1 << 20
	return cfg
}

// open makes a log on q that lives until the test's end.
func open(t testing.TB, cfg Config, q Quorum) *Log {
	t.Helper()
	l, err := Open(t.Context(), cfg, q, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func TestLogContract(t *testing.T) {
	for name, edit := range map[string]func(*Config){
		"with a ring":    func(*Config) {},
		"without a ring": func(cfg *Config) { cfg.HotBytes = 0 },
		"few in memory":  func(cfg *Config) { cfg.Threads, cfg.Workers, cfg.FenceCalls, cfg.LookupCalls = 1, 3, 1, 1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Log(t, func(t testing.TB) storetest.Set {
				cfg := testConfig()
				edit(&cfg)
				l := open(t, cfg, newTable())
				return storetest.Set{Log: store.Log(l), Close: l.Close}
			})
		})
	}
}
