package floor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// gnetServer does what epollServer does on gnet's own engine, by the way that the engine offers for it:
// Write on a connection's own loop, AsyncWrite to the others.
type gnetServer struct {
	gnet.BuiltinEventEngine
	answers
	config Config
	booted chan gnet.Engine

	mu struct {
		sync.Mutex
		members map[gnet.Conn]struct{}
		pending int
	}
}

func serveGnet(ctx context.Context, c Config, ready func(netip.AddrPort)) error {
	s := &gnetServer{answers: newAnswers(c), config: c, booted: make(chan gnet.Engine, 1)}
	s.mu.members = map[gnet.Conn]struct{}{}
	ended := make(chan error, 1)
	go func() {
		ended <- gnet.Run(s, "tcp4://127.0.0.1:0", gnet.WithMulticore(true), gnet.WithReuseAddr(true), gnet.WithLogger(quiet{}))
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("gnet: %w", err)
	case engine := <-s.booted:
		addr, err := boundTo(engine)
		if err == nil {
			ready(addr)
			<-ctx.Done()
		}
		return errors.Join(err, engine.Stop(context.WithoutCancel(ctx)), <-ended)
	}
}

// boundTo asks the kernel for the port, which the engine does not tell.
func boundTo(e gnet.Engine) (netip.AddrPort, error) {
	fd, err := e.Dup()
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("gnet listener: %w", err)
	}
	sa, err := unix.Getsockname(fd)
	if err = errors.Join(err, unix.Close(fd)); err != nil {
		return netip.AddrPort{}, fmt.Errorf("gnet listener: %w", err)
	}
	v4, ok := sa.(*unix.SockaddrInet4)
	if !ok {
		return netip.AddrPort{}, errors.New("gnet listener: not an IPv4 address")
	}
	return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), uint16(v4.Port)), nil
}

func (s *gnetServer) OnBoot(e gnet.Engine) gnet.Action {
	s.booted <- e
	return gnet.None
}

func (s *gnetServer) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	c.SetContext(&peer{stage: 1})
	return nil, gnet.None
}

func (s *gnetServer) OnClose(c gnet.Conn, _ error) gnet.Action {
	s.mu.Lock()
	delete(s.mu.members, c)
	s.mu.Unlock()
	return gnet.None
}

func (s *gnetServer) OnTraffic(c gnet.Conn) gnet.Action {
	p, ok := c.Context().(*peer)
	if !ok {
		return gnet.Close
	}
	b, err := c.Next(-1)
	if err != nil {
		return gnet.Close
	}
	switch {
	case p.stage == 1:
		if bytes.HasSuffix(b, []byte("\r\n\r\n")) {
			p.stage = 2
			_, err = c.Write(s.upgraded)
		}
	case p.stage == 2:
		p.stage, p.member = 3, true
		s.mu.Lock()
		s.mu.members[c] = struct{}{}
		s.mu.Unlock()
		_, err = c.Write(s.authenticated)
	case s.config.Echo:
		_, err = c.Write(b)
	default:
		err = s.send(c, p, b)
	}
	if err != nil {
		return gnet.Close
	}
	return gnet.None
}

// send counts the messages in b and sends them to all members, Batch at a time.
func (s *gnetServer) send(c gnet.Conn, p *peer, b []byte) error {
	count := p.frames(b)
	for range count {
		if _, err := c.Write(s.acked); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.member {
		p.member = false
		delete(s.mu.members, c)
	}
	s.mu.pending += count
	for s.mu.pending >= s.config.Batch {
		s.mu.pending -= s.config.Batch
		for m := range s.mu.members {
			_ = m.AsyncWrite(s.broadcast, nil) // one that is gone is taken out by OnClose
		}
	}
	return nil
}

// quiet drops the engine's log: a baseline has no log of its own.
type quiet struct{}

func (quiet) Debugf(string, ...any) {}
func (quiet) Infof(string, ...any)  {}
func (quiet) Warnf(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(string, ...any) {}
