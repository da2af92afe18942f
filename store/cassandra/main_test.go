package cassandra

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gocql/gocql"
	"go.uber.org/goleak"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store/cassandra/threadlog"
)

// serversVariable names the servers that tests may use: host:port, comma-separated.
const serversVariable = "TOLKFLIP_TEST_CASSANDRA"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

// servers are the contact points of tests, which skip where there are none.
func servers(t testing.TB) []string {
	t.Helper()
	v := os.Getenv(serversVariable) //nolint:forbidigo // of tests alone
	if v == "" {
		t.Skipf("%s is not set: host:port of a Cassandra, several comma-separated", serversVariable)
	}
	return strings.Split(v, ",")
}

// keyspace makes a name for a keyspace, and removes the keyspace of that name at the test's end.
func keyspace(t testing.TB) string {
	t.Helper()
	var b [8]byte
	rand.Read(b[:])
	name := fmt.Sprintf("test_%x", b)
	hosts := servers(t)
	t.Cleanup(func() {
		cfg := Default()
		cfg.Hosts, cfg.Keyspace = hosts, name
		g, err := cfg.cluster(silent())
		if err != nil {
			t.Fatal(err)
		}
		g.Timeout = schemaTimeout
		s, err := gocql.NewSession(*g)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Query("DROP KEYSPACE IF EXISTS " + name).Exec(); err != nil {
			t.Error(err)
		}
	})
	return name
}

// shared is a keyspace that subtests share, each with a log of its own.
type shared struct {
	hosts    []string
	keyspace string
}

func share(t testing.TB) *shared {
	t.Helper()
	s := &shared{servers(t), keyspace(t)}
	cfg := s.config()
	if err := Migrate(t.Context(), cfg, silent()); err != nil {
		t.Fatal(err)
	}
	return s
}

// config is a small one, of a node and a log that are like no other.
func (s *shared) config() Config {
	cfg := Default()
	cfg.Hosts, cfg.Keyspace = s.hosts, s.keyspace
	cfg.Node = threadlog.Node(id.NewUser().ID)
	cfg.Address, cfg.PID = "test:"+s.keyspace, 1
	cfg.logName = cfg.Node.String()
	cfg.Connections = 1
	cfg.Timeout, cfg.Budget = 20*time.Second, 60*time.Second // a busy machine is no failure
	cfg.ConnectTimeout = 20 * time.Second
	cfg.CursorsEvery, cfg.Log.RecentEvery = 20*time.Millisecond, 20*time.Millisecond
	cfg.Log.HotBytes = 1 << 20
	return cfg
}

// open opens a store that lives until the test's end.
func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), cfg, silent(), nil)
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

// statements counts what was sent to the servers.
type statements struct {
	mu     sync.Mutex
	all    []string
	failed int
}

func (s *statements) observe(statement string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failed++
	}
	if statement != insertNode { // a beat
		s.all = append(s.all, statement)
	}
}

// take gives the statements since the last take.
func (s *statements) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.all
	s.all = nil
	return list
}

// fails waits until so many statements failed since it was last called.
func (s *statements) fails(n int) {
	eventually(func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.failed >= n
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = 0
}
