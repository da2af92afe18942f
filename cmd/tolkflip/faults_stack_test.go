package main

import (
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

// wreck is a stack of real servers of a test's own, to break. Clients reach its Cassandra nodes only
// through fronts of ours.
type wreck struct {
	t      *testing.T
	dir    string
	env    map[string]string
	fronts []*front
}

// faultWindow is how long each fault lasts. Without it, or without the servers' software, there are none.
func faultWindow(t *testing.T) time.Duration {
	t.Helper()
	v := os.Getenv("TOLKFLIP_TEST_FAULTS")
	if v == "" {
		t.Skip("skipped: TOLKFLIP_TEST_FAULTS=30s breaks real stores under load, each for that long")
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// frontNet is the network of the addresses that Cassandra tells its clients.
const frontNet = "127.0.1."

// newWreck starts the parts of a stack.
func newWreck(t *testing.T, parts ...string) *wreck {
	t.Helper()
	w := &wreck{t: t, dir: filepath.Join(t.TempDir(), "stack")}
	t.Cleanup(func() {
		if out, err := w.script("down"); err != nil {
			t.Errorf("stop the servers: %v\n%s", err, out)
		}
	})
	w.up(parts...)
	nodes := w.env["TOLKFLIP_TEST_CASSANDRA"]
	if nodes == "" {
		return w
	}
	for i, node := range strings.Split(nodes, ",") {
		_, port, err := net.SplitHostPort(node)
		if err != nil {
			t.Fatal(err)
		}
		f := &front{t: t, address: net.JoinHostPort(frontNet+strconv.Itoa(i+1), port), node: node}
		w.fronts = append(w.fronts, f)
		f.open()
		t.Cleanup(f.close)
	}
	return w
}

// up starts what does not run.
func (w *wreck) up(parts ...string) {
	w.t.Helper()
	if out, err := w.script("up", parts...); err != nil {
		w.t.Fatalf("start the servers: %v\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(w.dir, "env"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.env = map[string]string{}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		w.env[name] = value
	}
}

func (w *wreck) script(name string, parts ...string) ([]byte, error) {
	cmd := exec.Command(filepath.Join("..", "..", ".ci", "stack", name), append([]string{"-d", w.dir}, parts...)...)
	cmd.Env = append(os.Environ(), "CASSANDRA_FRONT="+frontNet, "REDIS_DOWN_AFTER=1500")
	return cmd.CombinedOutput()
}

// signal sends a signal to processes of the stack.
func (w *wreck) signal(sig syscall.Signal, names ...string) {
	w.t.Helper()
	pids := w.noted("pids")
	for _, name := range names {
		if pids[name] == 0 {
			w.t.Fatalf("no process is called %s", name)
		}
		if err := syscall.Kill(pids[name], sig); err != nil {
			w.t.Errorf("%v to %s: %v", sig, name, err)
		}
	}
}

// noted reads the numbers that the stack keeps by name, in its file of pids or of ports.
func (w *wreck) noted(file string) map[string]int {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, file))
	if err != nil {
		w.t.Fatal(err)
	}
	all := map[string]int{}
	for line := range strings.Lines(string(b)) {
		var name string
		var n int
		if _, err := fmt.Sscan(line, &name, &n); err != nil {
			w.t.Fatalf("%s: %q: %v", file, line, err)
		}
		all[name] = n
	}
	return all
}

// at gives the process that has an address.
func (w *wreck) at(address string) string {
	w.t.Helper()
	_, port, _ := strings.Cut(address, ":")
	for name, p := range w.noted("ports") {
		if strconv.Itoa(p) == port {
			return name
		}
	}
	w.t.Fatalf("no server has the address %s", address)
	return ""
}

// kill ends processes as a crash does. A node's front goes with it.
func (w *wreck) kill(names ...string) {
	w.t.Helper()
	w.signal(syscall.SIGKILL, names...)
	for _, name := range names {
		if f := w.front(name); f != nil {
			f.close()
		}
	}
}

// restart starts a part's processes that were killed.
func (w *wreck) restart(part string) {
	w.t.Helper()
	w.up(part)
	for _, f := range w.fronts {
		f.open()
	}
}

func (w *wreck) front(name string) *front {
	for i, f := range w.fronts {
		if name == fmt.Sprint("cassandra-", i+1) {
			return f
		}
	}
	return nil
}

// redis runs a command on one of the stack's Redis servers.
func (w *wreck) redis(address string, command ...string) string {
	w.t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := exec.Command("redis-cli", append([]string{"-h", host, "-p", port}, command...)...).CombinedOutput()
	if err != nil {
		w.t.Errorf("redis-cli %v: %v %s", command, err, out)
	}
	return string(out)
}

// statementTime is what one statement may take: two cores run three nodes, a server and its clients.
const statementTime = 5 * time.Second

// settings are the variables and flags that put a server of ours on the stack.
func (w *wreck) settings(keyspace, cache string) (env, args []string) {
	w.t.Helper()
	var nodes []string
	for _, f := range w.fronts {
		nodes = append(nodes, f.address)
	}
	user, host, _ := strings.Cut(strings.TrimPrefix(w.env["TOLKFLIP_TEST_S3"], "http://"), "@")
	key, secret, _ := strings.Cut(user, ":")
	env = []string{"TOLKFLIP_JWT_SECRET=" + strings.Repeat("of a test, and not short ", 2), "TOLKFLIP_BLOB_KEY=" + key, "TOLKFLIP_BLOB_SECRET=" + secret}
	return env, []string{
		"--store", "cassandra://" + strings.Join(nodes, ",") + "/" + keyspace + "?rf=3&timeout=" + statementTime.String(), "--cache", w.cache(cache),
		"--blob", "s3://" + host + "/" + strings.ReplaceAll(keyspace, "_", "-"),
		"--auth-timeout", "1m", "--ping-after", "10m", // a machine that stands still for a while must not end sockets
	}
}

// migrate makes a keyspace, with all the time that a busy machine needs for it.
func (w *wreck) migrate(keyspace string) {
	w.t.Helper()
	_, args := w.settings(keyspace, "redis")
	store := strings.Replace(args[1], statementTime.String(), time.Minute.String(), 1)
	cmd := exec.Command(os.Args[0], "migrate", "--store", store)
	cmd.Env = append(os.Environ(), asServer+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("migrate: %v\n%s", err, out)
	}
}

// serve starts a server of ours on the stack.
func (w *wreck) serve(data, keyspace, cache string, more ...string) *child {
	w.t.Helper()
	env, args := w.settings(keyspace, cache)
	return startChildIn(w.t, env, data, append(args, more...)...)
}

// cache gives the URL of a kind of Redis.
func (w *wreck) cache(kind string) string {
	w.t.Helper()
	switch kind {
	case "redis":
		return "redis://" + w.env["TOLKFLIP_TEST_REDIS"]
	case "sentinel":
		name, hosts, _ := strings.Cut(w.env["TOLKFLIP_TEST_SENTINEL"], "@")
		return "redis+sentinel://" + hosts + "/" + name
	case "cluster":
		return "redis+cluster://" + w.env["TOLKFLIP_TEST_CLUSTER"]
	}
	w.t.Fatalf("no cache is called %s", kind)
	return ""
}
