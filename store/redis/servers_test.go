package redis

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// server is a redis-server of a test's own, which it may kill, empty and lock up.
type server struct {
	t    testing.TB
	dir  string
	port int
	args []string
	cmd  *exec.Cmd
	done chan error
}

// ownServers says whether tests may start servers: they do where real servers are asked for at all.
func ownServers(t testing.TB) {
	t.Helper()
	if os.Getenv("TOLKFLIP_TEST_REDIS") == "" { //nolint:forbidigo // a real server is named by a variable
		t.Skip("TOLKFLIP_TEST_REDIS names no server: tests with servers of their own are left out too")
	}
	for _, tool := range []string{"redis-server", "redis-cli"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("there is no %s to start servers of the test's own with", tool)
		}
	}
}

// freePort gives one that was free a moment ago.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { must(t, l.Close()) }()
	return l.Addr().(*net.TCPAddr).Port
}

// begin starts a server and waits until it answers. Another process may take its port first; then it takes
// another.
func begin(t testing.TB, args ...string) *server {
	t.Helper()
	ownServers(t)
	s := &server{t: t, dir: t.TempDir(), args: args}
	for range 5 {
		s.port = freePort(t)
		if s.start() == nil {
			t.Cleanup(s.kill)
			return s
		}
	}
	t.Fatal("no server could be started")
	return nil
}

func (s *server) addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

var errEnded = errors.New("the server ended")

// start runs the server, again after a kill, with what it was given.
func (s *server) start() error {
	args := append([]string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--save", "", "--appendonly", "no", "--dir", s.dir,
	}, s.args...)
	if len(s.args) > 0 && s.args[0] == "--sentinel" {
		args = []string{filepath.Join(s.dir, "sentinel.conf"), "--sentinel", "--bind", "127.0.0.1", "--port", strconv.Itoa(s.port)}
		if err := os.WriteFile(args[0], []byte(strings.Join(s.args[1:], "\n")+"\n"), 0o600); err != nil {
			return err
		}
	}
	s.cmd = exec.Command("redis-server", args...)
	var out bytes.Buffer
	s.cmd.Stdout, s.cmd.Stderr = &out, &out
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.done = make(chan error, 1)
	go func(cmd *exec.Cmd, done chan<- error) { done <- cmd.Wait() }(s.cmd, s.done)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-s.done:
			s.cmd = nil
			return fmt.Errorf("%w: %w: %s", errEnded, err, out.String())
		case <-tick.C:
		}
		if c, err := net.Dial("tcp", s.addr()); err == nil {
			must(s.t, c.Close())
			return nil
		}
	}
}

// kill ends the server at once; nothing is saved.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	must(s.t, s.cmd.Process.Kill())
	<-s.done
	s.cmd = nil
}

func (s *server) restart() {
	s.t.Helper()
	must(s.t, s.start())
}

func (s *server) signal(sig syscall.Signal) { must(s.t, s.cmd.Process.Signal(sig)) }

// ask is redis-cli.
func (s *server) ask(args ...string) string {
	s.t.Helper()
	out, err := exec.Command("redis-cli", append([]string{"-h", "127.0.0.1", "-p", strconv.Itoa(s.port)}, args...)...).CombinedOutput()
	if err != nil || bytes.HasPrefix(out, []byte("ERR")) {
		s.t.Fatalf("redis-cli %v: %v: %s", args, err, out)
	}
	return strings.ReplaceAll(string(out), "\r", "")
}

// ensemble is a primary, a replica and three sentinels.
type ensemble struct {
	servers   []*server
	sentinels []*server
}

func beginSentinels(t testing.TB) *ensemble {
	t.Helper()
	primary := begin(t)
	replica := begin(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(primary.port), "--repl-diskless-sync-delay", "0")
	waitFor(t, func() bool { return strings.Contains(primary.ask("info", "replication"), "state=online") })
	e := &ensemble{servers: []*server{primary, replica}}
	for range 3 {
		e.sentinels = append(e.sentinels, begin(t, "--sentinel",
			fmt.Sprintf("sentinel monitor mymaster 127.0.0.1 %d 2", primary.port),
			"sentinel down-after-milliseconds mymaster 1000", "sentinel failover-timeout mymaster 3000"))
	}
	for _, s := range e.sentinels {
		waitFor(t, func() bool {
			about := s.ask("sentinel", "master", "mymaster")
			return strings.Contains(about, "num-slaves\n1\n") && strings.Contains(about, "num-other-sentinels\n2\n")
		})
	}
	return e
}

func (e *ensemble) url() string {
	var at []string
	for _, s := range e.sentinels {
		at = append(at, s.addr())
	}
	return "redis+sentinel://" + strings.Join(at, ",") + "/mymaster"
}

// beginCluster is three primaries with a replica each.
func beginCluster(t testing.TB) []*server {
	t.Helper()
	list := make([]*server, 6)
	args := []string{"--cluster", "create"}
	for i := range list {
		list[i] = begin(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "1500",
			"--cluster-port", strconv.Itoa(freePort(t)), "--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0")
		args = append(args, list[i].addr())
	}
	out, err := exec.Command("redis-cli", append(args, "--cluster-replicas", "1", "--cluster-yes")...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	waitFor(t, func() bool {
		pairs := 0
		for _, s := range list {
			if !strings.Contains(s.ask("cluster", "info"), "cluster_state:ok") {
				return false
			}
			if strings.Contains(s.ask("info", "replication"), "state=online") {
				pairs++
			}
		}
		return pairs == 3
	})
	return list
}

func clusterURL(list []*server) string {
	var at []string
	for _, s := range list {
		at = append(at, s.addr())
	}
	return "redis+cluster://" + strings.Join(at, ",")
}

// waitFor waits until ok; the test binary's own time-out ends one that never becomes true.
func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		<-tick.C
	}
}
