// Package target is the server under test as an operator sees it: its process, its URLs, its metrics and
// its control socket.
package target

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	readyWithin = 60 * time.Second
	stopWithin  = 30 * time.Second
	askWithin   = 60 * time.Second
)

// Server is a running server.
type Server struct {
	URL     string // of the gateway, without the last slash
	Addr    netip.AddrPort
	PID     int    // 0 = not known
	Control string // path of the control socket; empty = not known
	Data    string // its data directory; empty = not known

	cmd   *exec.Cmd
	ended chan struct{} // closed once the process has ended and its output was read
	once  sync.Once
	err   error
}

// Given is a server that somebody else started.
func Given(base string, pid int, control string) (*Server, error) {
	s := &Server{URL: strings.TrimRight(base, "/"), PID: pid, Control: control}
	u, err := url.Parse(s.URL)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("not a server's URL: %q", base)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	addrs, err := (&net.Resolver{}).LookupNetIP(context.Background(), "ip", u.Hostname())
	if err != nil || len(addrs) == 0 {
		return nil, fmt.Errorf("find the address of %s: %w", u.Hostname(), err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("not a port: %q", port)
	}
	s.Addr = netip.AddrPortFrom(addrs[0].Unmap(), uint16(n))
	return s, nil
}

// Spawn starts `program serve --dev --data data --port-base 0` with more arguments and waits until it is ready. What it
// logs goes to a file beside the data directory.
func Spawn(ctx context.Context, program, data string, args []string) (*Server, error) {
	log, err := os.OpenFile(data+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log of the server: %w", err)
	}
	defer log.Close() //nolint:errcheck // the child has its own
	cmd := exec.CommandContext(ctx, program, append([]string{"serve", "--dev", "--data", data, "--port-base", "0"}, args...)...)
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopWithin
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	ready := make(chan string, 1)
	s := &Server{PID: cmd.Process.Pid, Data: data, Control: filepath.Join(data, "control.sock"), cmd: cmd, ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		readOutput(stdout, ready)
		s.err = cmd.Wait()
	}()
	timeout := time.NewTimer(readyWithin)
	defer timeout.Stop()
	select {
	case base := <-ready:
		given, err := Given(base, s.PID, s.Control)
		if err != nil {
			return nil, errors.Join(err, s.Stop())
		}
		s.URL, s.Addr = given.URL, given.Addr
		return s, nil
	case <-s.ended:
		return nil, fmt.Errorf("the server ended before it was ready (%w); its log is %s", s.err, log.Name())
	case <-timeout.C:
		return nil, errors.Join(fmt.Errorf("the server was not ready in %s; its log is %s", readyWithin, log.Name()), s.Stop())
	}
}

// readOutput looks for `tolkflip ready in 312 ms: http://127.0.0.1:3000/` and reads the rest away.
func readOutput(r io.Reader, ready chan<- string) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if base, ok := readyLine(lines.Text()); ok {
			select {
			case ready <- base:
			default:
			}
		}
	}
	_, _ = io.Copy(io.Discard, r)
}

func readyLine(line string) (base string, ok bool) {
	if !strings.HasPrefix(line, "tolkflip ready in ") {
		return "", false
	}
	_, base, ok = strings.Cut(line, " ms: ")
	return strings.TrimSpace(base), ok
}

// Stop ends a server that Spawn started, and waits for it.
func (s *Server) Stop() error {
	if s.cmd == nil {
		return nil
	}
	s.once.Do(func() { _ = s.cmd.Process.Signal(syscall.SIGTERM) })
	timeout := time.NewTimer(stopWithin)
	defer timeout.Stop()
	select {
	case <-s.ended:
	case <-timeout.C:
		_ = s.cmd.Process.Kill()
		<-s.ended
		return fmt.Errorf("the server did not end in %s and was killed", stopWithin)
	}
	return nil
}

// Heap is what the server says of itself after a collection.
type Heap struct {
	Objects    uint64 `json:"heapObjects"`
	Alloc      uint64 `json:"heapAlloc"`
	Goroutines int    `json:"goroutines"`
}

// Collect has the server collect its garbage and give memory back. It needs the control socket.
func (s *Server) Collect(ctx context.Context) (Heap, error) {
	var h Heap
	if s.Control == "" {
		return h, errors.New("collect garbage: no control socket is known (--control)")
	}
	t := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.Control)
	}}
	defer t.CloseIdleConnections()
	b, err := ask(ctx, &http.Client{Transport: t, Timeout: askWithin}, http.MethodPost, "http://control/gc")
	if err != nil {
		return h, fmt.Errorf("collect garbage: %w", err)
	}
	if err := json.Unmarshal(b, &h); err != nil {
		return h, fmt.Errorf("collect garbage: %w", err)
	}
	return h, nil
}

// Metrics reads /metrics. Series with labels are added up under the name without them.
func (s *Server) Metrics(ctx context.Context) (map[string]float64, error) {
	t := &http.Transport{}
	defer t.CloseIdleConnections()
	b, err := ask(ctx, &http.Client{Transport: t, Timeout: askWithin}, http.MethodGet, s.URL+"/metrics")
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	return parseMetrics(b), nil
}

func parseMetrics(b []byte) map[string]float64 {
	m := map[string]float64{}
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(strings.TrimSpace(line), ' ')
		if at < 0 {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
		if err != nil {
			continue
		}
		name, _, _ := strings.Cut(line[:at], "{")
		m[name] += v
	}
	return m
}

func ask(ctx context.Context, c *http.Client, method, where string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, where, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	return b, nil
}
