package client

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// echoServer gives back what it gets; it ends with the test.
func echoServer(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return netip.MustParseAddrPort(l.Addr().String())
}

// big writes size bytes and wants them back.
type big struct {
	size int
	got  bytes.Buffer
	done chan error
}

func (b *big) Opened(c *Conn) {
	out := c.Buffer()
	for i := range b.size {
		out = append(out, byte(i))
	}
	c.Write(out)
}

func (b *big) Received(c *Conn, p []byte) int {
	b.got.Write(p)
	if b.got.Len() >= b.size {
		c.Close()
		b.done <- nil
	}
	return len(p)
}

func (b *big) Closed(_ *Conn, err error) { b.done <- err }

func newLoop(t *testing.T) *Loop {
	t.Helper()
	l, err := NewLoop(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func TestLoopWritesMoreThanTheSocketTakes(t *testing.T) {
	t.Parallel()
	to, l := echoServer(t), newLoop(t)
	all := make([]*big, 3)
	for i := range all {
		all[i] = &big{size: 5 << 20, done: make(chan error, 1)}
		l.Do(func() {
			if _, err := l.Dial(to, i, all[i]); err != nil {
				all[i].done <- err
			}
		})
	}
	for _, b := range all {
		if err := <-b.done; err != nil {
			t.Fatal(err)
		}
		l.Call(func() {
			for i, v := range b.got.Bytes() {
				if v != byte(i) {
					t.Fatalf("byte %d came back as %d", i, v)
				}
			}
		})
	}
	l.Call(func() {
		if l.Open() != 0 {
			t.Errorf("%d connections are still counted", l.Open())
		}
	})
}

func TestLoopTellsOfARefusedConnect(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := netip.MustParseAddrPort(closed.Addr().String())
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	l, b := newLoop(t), &big{done: make(chan error, 1)}
	l.Do(func() {
		if _, err := l.Dial(to, 0, b); err != nil {
			b.done <- err
		}
	})
	if err := <-b.done; err == nil {
		t.Error("a connect to a closed port was told as a success")
	}
}

func TestLoopTellsOfTheEnd(t *testing.T) {
	t.Parallel()
	server, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	l, b := newLoop(t), &big{size: 4, done: make(chan error, 1)}
	l.Do(func() {
		if _, err := l.Dial(netip.MustParseAddrPort(server.Addr().String()), 6000, b); err != nil {
			b.done <- err
		}
	})
	c, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if from := netip.MustParseAddrPort(c.RemoteAddr().String()).Addr().String(); from != "127.1.0.1" {
		t.Errorf("connection 6000 comes from %s", from)
	}
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); err != nil { // data and end may come as one event
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-b.done; !errors.Is(err, io.EOF) {
		t.Errorf("the end was told as %v", err)
	}
}

func TestLoopHolds(t *testing.T) {
	t.Parallel()
	to, l := echoServer(t), newLoop(t)
	b := &big{size: 1 << 10, done: make(chan error, 1)}
	opened := make(chan *Conn, 1)
	l.Do(func() {
		c, err := l.Dial(to, 0, b)
		if err != nil {
			t.Error(err)
		}
		c.Hold(true)
		opened <- c
	})
	c := <-opened
	// The edge of what comes back is noted and not read.
	for noted := false; !noted; {
		l.Call(func() { noted = c.paused })
	}
	l.Call(func() {
		if b.got.Len() != 0 {
			t.Errorf("%d bytes were read on a connection that is held", b.got.Len())
		}
		c.Hold(false)
	})
	if err := <-b.done; err != nil {
		t.Error(err)
	}
}

func TestLoopTicksWhenAsked(t *testing.T) {
	t.Parallel()
	l := newLoop(t)
	times := make(chan int64, 3)
	want := l.Now() + int64(3*time.Millisecond)
	l.Do(func() {
		l.Tick(func(now int64) int64 {
			if now < want {
				return want
			}
			times <- now
			return Never
		})
	})
	if at := <-times; at < want {
		t.Errorf("ticked at %d, wanted not before %d", at, want)
	}
}

func TestClosedLoopRunsNothing(t *testing.T) {
	t.Parallel()
	l, err := NewLoop(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	l.Do(func() { t.Error("ran after Close") })
	if l.Call(func() {}) {
		t.Error("Call on a closed loop says that it ran")
	}
}

func TestSource(t *testing.T) {
	t.Parallel()
	loopback, remote := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.0.0.1")
	for _, c := range []struct {
		to   netip.Addr
		id   int
		want string
	}{
		{loopback, 0, ""},
		{loopback, 4999, ""},
		{loopback, 5000, "127.1.0.1"},
		{loopback, 14_999, "127.1.0.2"},
		{loopback, 5000 * 256, "127.1.1.0"},
		{remote, 9000, ""},
		{netip.IPv6Loopback(), 9000, ""},
	} {
		got, ok := Source(c.to, c.id)
		if ok != (c.want != "") || ok && got.String() != c.want {
			t.Errorf("Source(%s, %d) = %v %v, want %q", c.to, c.id, got, ok, c.want)
		}
	}
}
