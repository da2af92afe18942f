package floor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ChildCommand is the argument with which the program starts itself as a server; it then calls RunChild.
const ChildCommand = "floor-server"

const (
	readyPrefix = "ready "
	stopWithin  = 5 * time.Second
)

// Child is a server in a process of its own.
type Child struct {
	Addr netip.AddrPort
	PID  int

	cmd   *exec.Cmd
	stdin io.Closer
	once  sync.Once
	err   error
}

// Start runs this program again as a server. The config goes over stdin, so that no secret shows in the process list; the server
// ends when stdin does, also when this process is killed.
func Start(ctx context.Context, c Config) (*Child, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, ChildCommand)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's interrupt is for the parent, which ends the child
	stdin, err1 := cmd.StdinPipe()
	cmd.Cancel = func() error { return stdin.Close() }
	cmd.WaitDelay = stopWithin
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("start a %s server: %w", c.Kind, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a %s server: %w", c.Kind, err)
	}
	child := &Child{PID: cmd.Process.Pid, cmd: cmd, stdin: stdin}
	if err := json.NewEncoder(stdin).Encode(c); err != nil {
		return nil, errors.Join(fmt.Errorf("configure a %s server: %w", c.Kind, err), child.Stop())
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err == nil {
		child.Addr, err = netip.ParseAddrPort(strings.TrimPrefix(strings.TrimSpace(line), readyPrefix))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("a %s server did not start: %w", c.Kind, err), child.Stop())
	}
	return child, nil
}

// Stop ends the server and waits for it.
func (c *Child) Stop() error {
	c.once.Do(func() {
		_ = c.stdin.Close()
		c.err = c.cmd.Wait()
	})
	return c.err
}

// RunChild is the server's side: config from stdin, the address to stdout, until stdin ends.
func RunChild(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := json.NewDecoder(stdin)
	var c Config
	if err := in.Decode(&c); err != nil {
		return fmt.Errorf("read the config: %w", err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		cancel()
	}()
	return Serve(ctx, c, func(a netip.AddrPort) { _, _ = fmt.Fprintf(stdout, "%s%s\n", readyPrefix, a) })
}
