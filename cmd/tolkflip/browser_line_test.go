package main

import (
	"io"
	"net"
	"sync"
	"testing"
)

// line is a network between a browser and the server that a test can cut.
type line struct {
	URL string
	to  string
	ln  net.Listener
	wg  sync.WaitGroup
	mu  struct {
		sync.Mutex
		down  bool
		conns map[net.Conn]struct{}
	}
}

// newLine forwards a port of its own to address, host:port, until the test ends.
func newLine(t *testing.T, address string) *line {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{URL: "http://" + ln.Addr().String(), to: address, ln: ln}
	l.mu.conns = map[net.Conn]struct{}{}
	l.wg.Go(l.accept)
	t.Cleanup(func() {
		if err := ln.Close(); err != nil {
			t.Error(err)
		}
		l.cut()
		l.wg.Wait()
	})
	return l
}

// cut breaks every connection and refuses new ones.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.down = true
	for c := range l.mu.conns {
		c.Close()
	}
}

func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.down = false
}

func (l *line) accept() {
	for {
		c, err := l.ln.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("tcp", l.to)
		if err != nil || !l.keep(c, s) {
			c.Close()
			if s != nil {
				s.Close()
			}
			continue
		}
		l.wg.Go(func() { l.pass(c, s) })
		l.wg.Go(func() { l.pass(s, c) })
	}
}

// keep notes both ends of a connection, unless the line is down.
func (l *line) keep(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.down {
		return false
	}
	for _, c := range conns {
		l.mu.conns[c] = struct{}{}
	}
	return true
}

// pass copies one way; at its end both ends are closed.
func (l *line) pass(from, to net.Conn) {
	io.Copy(to, from) // it fails when the line is cut, which is what it is for
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range []net.Conn{from, to} {
		c.Close()
		delete(l.mu.conns, c)
	}
}
