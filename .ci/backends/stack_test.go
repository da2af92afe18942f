package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestStack starts, breaks and repairs the smallest part of the stack.
func TestStack(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("skipped: no redis-server, so what starts real stores is not tried")
	}
	dir := filepath.Join(t.TempDir(), "stack")
	t.Cleanup(func() { script(t, "down", "-d", dir) })
	up := func() (pid int, address string) {
		t.Helper()
		if out, err := script(t, "up", "-d", dir, "redis"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		address = read(t, dir, "env", "TOLKFLIP_TEST_REDIS=%s")
		if out, err := exec.Command("redis-cli", "-u", "redis://"+address, "ping").Output(); err != nil || string(out) != "PONG\n" {
			t.Fatalf("ping %s: %q %v", address, out, err)
		}
		_, err := fmt.Sscan(read(t, dir, "pids", "redis %s"), &pid)
		if err != nil {
			t.Fatal(err)
		}
		return pid, address
	}
	pid, address := up()
	t.Run("what runs is used", func(t *testing.T) {
		if p, a := up(); p != pid || a != address {
			t.Errorf("process %d at %s, was %d at %s", p, a, pid, address)
		}
	})
	t.Run("what was killed is started again", func(t *testing.T) {
		kill(t, pid, syscall.SIGKILL)
		p, a := up()
		if p == pid || a != address {
			t.Errorf("process %d at %s, was %d at %s", p, a, pid, address)
		}
		pid = p
	})
	t.Run("what was stopped goes on", func(t *testing.T) {
		kill(t, pid, syscall.SIGSTOP)
		if p, _ := up(); p != pid {
			t.Errorf("process %d, was %d", p, pid)
		}
	})
	t.Run("a port that was taken is left", func(t *testing.T) {
		kill(t, pid, syscall.SIGKILL)
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Skipf("skipped: somebody has %s already: %v", address, err)
		}
		defer l.Close()
		p, a := up()
		if a == address {
			t.Errorf("still at %s", a)
		}
		pid, address = p, a
	})
	t.Run("a process that only has the number of ours is left alone", func(t *testing.T) {
		other := exec.Command("sleep", "1000")
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Wait() }()
		defer func() { _ = other.Process.Kill() }()
		file := filepath.Join(dir, "pids")
		was, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, fmt.Appendf(was, "minio %d 1\n", other.Process.Pid), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := script(t, "down", "-d", dir); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if err := other.Process.Signal(syscall.Signal(0)); err != nil {
			t.Errorf("it was killed: %v", err)
		}
		if err := syscall.Kill(pid, 0); err == nil && running(pid) {
			t.Errorf("process %d still runs", pid)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("the folder is still there: %v", err)
		}
	})
	t.Run("a part that is not there", func(t *testing.T) {
		if out, err := script(t, "up", "-d", dir, "postgres"); err == nil || !strings.Contains(string(out), "they are cassandra") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func script(t *testing.T, name string, args ...string) ([]byte, error) {
	t.Helper()
	return exec.Command(filepath.Join("..", "stack", name), args...).CombinedOutput()
}

// read gives the first value of a file's lines that has a form.
func read(t *testing.T, dir, file, form string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var v string
		if _, err := fmt.Sscanf(line, form, &v); err == nil {
			return v
		}
	}
	t.Fatalf("no %q in %q", form, b)
	return ""
}

func kill(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
	for sig == syscall.SIGKILL && running(pid) {
	}
}

// running reports whether a process is there and no zombie that nobody has waited for.
func running(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	return err == nil && !strings.HasPrefix(rest, "Z")
}
