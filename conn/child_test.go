package conn

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What needs the process's own limits runs in a child: the test binary again, told by a variable which of
// the functions here it is. A child fails by a panic or by t's functions, and then its output is shown.
const childVariable = "TOLKFLIP_TEST_CONN_CHILD"

// childT stands for the testing.TB of a child.
type childT struct {
	testing.TB
	cleanups []func()
	failed   bool
}

func (c *childT) Helper()                   {}
func (c *childT) Cleanup(f func())          { c.cleanups = append(c.cleanups, f) }
func (c *childT) Errorf(f string, a ...any) { c.failed = true; fmt.Fprintf(os.Stderr, f+"\n", a...) }
func (c *childT) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (c *childT) Fatal(a ...any)            { panic(fmt.Sprint(a...)) }
func (c *childT) Error(a ...any)            { c.failed = true; fmt.Fprintln(os.Stderr, a...) }

func (c *childT) done() int {
	for i := len(c.cleanups) - 1; i >= 0; i-- {
		c.cleanups[i]()
	}
	if c.failed {
		return 1
	}
	return 0
}

func runChild(name string) int {
	t := &childT{}
	switch name {
	case "accept":
		childAccept(t)
	case "hand over":
		childHandOver(t)
	case "descriptors":
		childDescriptors(t)
	case "panic":
		t.Error("as it should")
	default:
		t.Errorf("no child %q", name)
	}
	return t.done()
}

func inChild(t *testing.T, name string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+name)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func TestWithoutDescriptors(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"accept", "hand over", "descriptors"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if out, err := inChild(t, name); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	if out, err := inChild(t, "panic"); err == nil || !strings.Contains(out, "as it should") {
		t.Errorf("a child that fails: %v\n%s", err, out)
	}
}

// descriptors lists what is open.
func descriptors(t testing.TB) (open []string) {
	dir, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range dir {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.HasPrefix(to, "/proc/") { // that of the listing itself
			open = append(open, e.Name()+" "+to)
		}
	}
	return open
}

// setLimit lets the process open n descriptors and no more.
func setLimit(t testing.TB, n int) (restore func()) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	top := 0
	for _, d := range descriptors(t) {
		var fd int
		fmt.Sscan(d, &fd)
		top = max(top, fd)
	}
	low := unix.Rlimit{Cur: uint64(top + 1 + n), Max: old.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	var fill []int // what is closed below
	for {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			break
		}
		fill = append(fill, fd)
	}
	for _, fd := range fill[len(fill)-n:] {
		unix.Close(fd)
	}
	fill = fill[:len(fill)-n]
	return func() {
		for _, fd := range fill {
			unix.Close(fd)
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Fatal(err)
		}
	}
}

// childAccept runs out of descriptors at accept: established connections live on, those that wait are told
// or wait, and all is well when there are descriptors again.
func childAccept(t *childT) {
	r := start(t, nil, nil)
	p, _ := r.login(1)
	at := netip.MustParseAddrPort(r.addr)
	var sockets []int
	for range 10 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		sockets = append(sockets, fd)
	}
	restore := setLimit(t, 2)
	for _, fd := range sockets {
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}); err != nil {
			t.Fatal(err)
		}
	}
	r.until("all were told or accepted", func() bool {
		return r.stats.refused[refusedDescriptors].Load() == 8 && r.open.Load() == 3
	})
	for range 5 {
		p.text(`{"action":"ping"}`)
		p.expect("pong")
	}
	restore()
	told := 0
	for _, fd := range sockets {
		f := os.NewFile(uintptr(fd), "client")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		w := r.wrap(c)
		w.Write([]byte(handshake("/ws"))) // fails when the connection was refused
		if h := w.head(); strings.HasPrefix(h, "HTTP/1.1 503") {
			told++
		} else if !strings.HasPrefix(h, "HTTP/1.1 101") {
			t.Errorf("got %q", h)
		}
	}
	if told != 8 {
		t.Errorf("%d were told", told)
	}
	q, _ := r.login(2)
	q.text(`{"action":"ping"}`)
	q.expect("pong")
	p.text(`{"action":"ping"}`)
	p.expect("pong")
}

// childHandOver runs out of descriptors at the hand-over to the HTTP server.
func childHandOver(t *childT) {
	r := start(t, nil, nil)
	r.serveHTTP(nil)
	p, q := r.dial(), r.dial()
	r.until("accepted", func() bool { return r.stats.accepted.Load() == 2 })
	restore := setLimit(t, 0)
	p.write("GET /b HTTP/1.1\r\nHost: x\r\n\r\n")
	if h := p.head(); !strings.HasPrefix(h, "HTTP/1.1 503") {
		t.Errorf("got %q", h)
	}
	restore()
	q.write("GET /b HTTP/1.1\r\nHost: x\r\n\r\n")
	if code, _ := q.reply(); code != 200 {
		t.Errorf("got %d", code)
	}
	if n := r.stats.refused[refusedHandOver].Load(); n != 1 {
		t.Errorf("counted %d", n)
	}
}

// childDescriptors counts descriptors over the life of a server.
func childDescriptors(t *childT) {
	wakePoller(t)
	before := descriptors(t)
	r := start(t, func(c *Config) { c.DrainWindow = 100 * time.Millisecond }, nil)
	r.serveHTTP(nil)
	var peers []*peer
	for i := range byte(50) {
		p, _ := r.login(i)
		peers = append(peers, p)
	}
	r.dial() // sends nothing
	web := r.dial()
	web.write("GET /b HTTP/1.1\r\nHost: x\r\n\r\n")
	web.reply()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for _, p := range peers {
			p.expectClose(1001)
		}
	}()
	if err := r.Shutdown(context.Background()); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	<-ended
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
	t.cleanups = nil
	after := descriptors(t)
	if len(after) > len(before) {
		t.Errorf("open before: %v\nopen after: %v", before, after)
	}
	if len(r.rules.detached) != 50 {
		t.Errorf("%d were detached", len(r.rules.detached))
	}
}

// wakePoller has the runtime open the descriptors that it keeps for ever.
func wakePoller(t testing.TB) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
}
