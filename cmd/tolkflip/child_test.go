package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// child is a server in a process of its own.
type child struct {
	cmd  *exec.Cmd
	URL  string // the gateway
	data string
}

// startChild runs `tolkflip serve` with args on free ports and waits until it is ready.
func startChild(t *testing.T, data string, args ...string) *child {
	t.Helper()
	return startChildIn(t, nil, data, args...)
}

// childCommand is what startChild runs.
func childCommand(env []string, data string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], append([]string{"serve", "--dev", "--port-base", "0", "--data", data, "--drain", "0s", "--log-level", "error"}, args...)...)
	cmd.Env = append(append(os.Environ(), env...), asServer+"=1")
	return cmd
}

// startChildIn is startChild with more variables.
func startChildIn(t *testing.T, env []string, data string, args ...string) *child {
	t.Helper()
	cmd := childCommand(env, data, args...)
	cmd.Stderr = testLog{t}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd, data: data}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), " ms: "); ok && strings.HasPrefix(lines.Text(), "tolkflip ready in ") {
			c.URL = strings.TrimSuffix(url, "/")
			go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the process
			t.Cleanup(c.kill)
			return c
		}
	}
	c.kill()
	t.Fatal("the server ended before it was ready")
	return nil
}

// kill is kill -9, and waits until the process is gone.
func (c *child) kill() {
	if c.cmd.ProcessState != nil {
		return
	}
	_ = c.cmd.Process.Kill() // it may be gone already
	_ = c.cmd.Wait()
}

// terminate asks the process to stop and gives its exit code.
func (c *child) terminate() (int, error) {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	err := c.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	return c.cmd.ProcessState.ExitCode(), nil
}
