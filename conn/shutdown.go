package conn

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tolkflip/tolkflip/proto/ws"
	"github.com/tolkflip/tolkflip/router"
)

const (
	// drainStep is the time between two shares of connections that are closed.
	drainStep = 50 * time.Millisecond
	// drainEach is the part of the drain window that one connection takes up at most.
	drainEach = 5 * time.Millisecond
)

// Shutdown ends the server: no new connections; every WebSocket is closed with 1001, spread evenly over
// DrainWindow so that their clients do not come back all at once; those that have not answered when
// CloseTimeout is over, or ctx, are cut. Connections at the HTTP servers are those servers' to end.
// Messages that a worker has begun are finished. When it returns no goroutine and no descriptor of the
// server's is left; the error is ctx's when it ended the wait.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopped.Do(func() { s.stopErr = s.shutdown(ctx) })
	return s.stopErr
}

func (s *Server) shutdown(ctx context.Context) (err error) {
	s.seating.Lock()
	s.stopping.Store(true)
	s.seating.Unlock()
	if s.started.Load() {
		s.acceptor.close()
	}
	for _, p := range s.ports {
		_ = unix.Close(p.fd)
		_ = p.http.Close()
	}
	if s.started.Load() {
		err = s.drainAll(ctx)
		s.each(&cutAll{})
		s.queue.close()
		s.running.workers.Wait()
		s.finishFeeds()
		s.each(&stop{})
		s.running.loops.Wait()
	}
	for _, l := range s.loops {
		for _, it := range append(l.items[l.itemAt:], l.inbox.close()...) {
			if it.frame != nil {
				s.frames.release(it.frame, 1)
			}
		}
		l.free()
	}
	s.slots.free()
	return err
}

// finishFeeds does what the last runs of feeds have set off, now that the workers are gone: every feeder is
// told that its connection is, too.
func (s *Server) finishFeeds() {
	w := &worker{server: s}
	for {
		s.each(&cutAll{}) // every loop has seen what the last run put in
		t, ok := s.queue.take()
		if !ok {
			return
		}
		t.run(w)
	}
}

// drainAll closes the connections by shares and waits until they are gone. The window is there so that
// thousands do not come back at once: a few do not need all of it.
func (s *Server) drainAll(ctx context.Context) error {
	window := min(s.config.DrainWindow, time.Duration(s.open.Load())*drainEach)
	steps := max(int(window/drainStep), 1)
	top := s.slots.limit()
	t := time.NewTicker(drainStep)
	defer t.Stop()
	for i := range steps {
		for _, l := range s.loops {
			l.operate(&drainShare{from: top * i / steps, to: top * (i + 1) / steps})
		}
		if i == steps-1 {
			break
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	deadline := time.NewTimer(s.config.CloseTimeout)
	defer deadline.Stop()
	for s.open.Load() > 0 {
		select {
		case <-t.C:
		case <-deadline.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// operate has the loop do something that names no connection.
func (l *loop) operate(do operation) {
	if l.inbox.must(item{do: do}) == putFirst {
		l.wake()
	}
}

// each has every loop do something and waits until all have.
func (s *Server) each(do interface {
	operation
	wait() *sync.WaitGroup
},
) {
	do.wait().Add(len(s.loops))
	for _, l := range s.loops {
		l.operate(do)
	}
	do.wait().Wait()
}

// owned calls f for every open connection of the loop in a range of descriptors.
func (l *loop) owned(from, to int, f func(fd int, s *slot)) {
	for fd := from; fd < to; {
		if l.slots.chunks[fd/chunkSlots].Load() == nil {
			fd = (fd/chunkSlots + 1) * chunkSlots
			continue
		}
		if s := l.slots.at(fd); s.key.Load()&0xff == l.mark {
			f(fd, s)
		}
		fd++
	}
}

// drainShare closes the connections in a range of descriptors.
type drainShare struct{ from, to int }

func (o *drainShare) apply(l *loop, _ router.Conn, _ *frame) {
	l.owned(o.from, o.to, func(fd int, s *slot) {
		l.close(fd, s, ws.CloseGoingAway, "shutting down", closedDraining)
	})
}

// cutAll drops what is left.
type cutAll struct{ done sync.WaitGroup }

func (o *cutAll) wait() *sync.WaitGroup { return &o.done }

func (o *cutAll) apply(l *loop, _ router.Conn, _ *frame) {
	defer o.done.Done()
	l.owned(0, l.slots.limit(), func(fd int, s *slot) { l.drop(fd, s, closedDraining) })
}

// stop ends the loop after this pass.
type stop struct{ done sync.WaitGroup }

func (o *stop) wait() *sync.WaitGroup { return &o.done }

func (o *stop) apply(l *loop, _ router.Conn, _ *frame) {
	defer o.done.Done()
	l.stopping = true
}
