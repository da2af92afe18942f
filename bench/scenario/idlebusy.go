package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tolkflip/tolkflip/bench/client"
)

// sendFor is how long people write to each other while goroutines are counted, and sendRate how often, over all of them.
const (
	sendFor  = 3 * time.Second
	sendRate = 2000
)

// busier takes what the server needs when connections are not idle, after an ascent: people who write, and HTTP connections that are
// kept open. Goroutines are the most that were seen meanwhile.
func (c IdleConfig) busier(ctx context.Context, s *Subject) (more []IdleLevel, err error) {
	if c.Sending > 0 {
		l, err := c.sending(ctx, s)
		if err != nil {
			return more, err
		}
		more = append(more, l)
	}
	if c.KeepAlive > 0 {
		l, err := c.keptAlive(ctx, s)
		if err != nil {
			return more, err
		}
		more = append(more, l)
	}
	return more, nil
}

func (c IdleConfig) sending(ctx context.Context, s *Subject) (IdleLevel, error) {
	l := IdleLevel{Connections: c.Sending, What: "sending"}
	if err := left(ctx, s); err != nil {
		return l, err
	}
	people, err := s.People(ctx, c.Sending)
	if err != nil {
		return l, err
	}
	chat := DefaultChat()
	chat.Options, chat.Pairs, chat.WarmUp, chat.Duration = c.Options, c.Sending/2, 0, sendFor
	run := &chatRun{config: chat, subject: s, zero: time.Now()}
	if err := run.connect(ctx, people); err != nil {
		return l, err
	}
	defer run.crowd.close()
	type written struct {
		level Level
		err   error
	}
	done := make(chan written, 1)
	go func() {
		level, err := run.level(ctx, sendRate)
		done <- written{level, errors.Join(err, level.broken())}
	}()
	most := 0
	for {
		select {
		case w := <-done:
			if w.err != nil {
				return l, w.err
			}
			at, err := c.read(ctx, s, c.Sending, Holding{})
			at.What = l.What
			at.Heap.Goroutines = max(at.Heap.Goroutines, most)
			c.say("%d connections that send: %d goroutines", c.Sending, at.Heap.Goroutines)
			return at, err
		case <-time.After(100 * time.Millisecond):
		}
		if s.Server != nil {
			m, err := s.Server.Metrics(ctx)
			if err != nil {
				return l, errors.Join(err, (<-done).err)
			}
			most = max(most, int(m["go_goroutines"]))
		}
	}
}

func (c IdleConfig) keptAlive(ctx context.Context, s *Subject) (IdleLevel, error) {
	l := IdleLevel{Connections: c.KeepAlive, What: "HTTP"}
	if err := left(ctx, s); err != nil {
		return l, err
	}
	loop, err := client.NewLoop(time.Now())
	if err != nil {
		return l, err
	}
	defer loop.Close()
	k := &keeper{loop: loop, left: c.KeepAlive, done: make(chan error, 1)}
	k.request = fmt.Appendf(nil, "GET /health HTTP/1.1\r\nHost: %s\r\n\r\n", s.Addr)
	loop.Do(func() {
		for range min(connectInFlight, c.KeepAlive) {
			k.dial(s)
		}
	})
	select {
	case err = <-k.done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return l, fmt.Errorf("open %d HTTP connections: %w", c.KeepAlive, err)
	}
	at, err := c.read(ctx, s, c.KeepAlive, Holding{})
	at.What = l.What
	loop.Call(func() {
		if k.gone > 0 {
			err = errors.Join(err, fmt.Errorf("%d of %d HTTP connections were closed before they were counted", k.gone, c.KeepAlive))
		}
	})
	c.say("%d HTTP connections that are kept open: %d goroutines", c.KeepAlive, at.Heap.Goroutines)
	return at, err
}

// keeper opens HTTP connections, asks once on each, and keeps them. Its fields belong to the loop's thread.
type keeper struct {
	loop    *client.Loop
	subject *Subject
	request []byte
	left    int // to be dialed
	open    int // dialed and not answered
	gone    int
	done    chan error
}

func (k *keeper) dial(s *Subject) {
	k.subject = s
	if k.left == 0 {
		return
	}
	k.left--
	k.open++
	if _, err := k.loop.Dial(s.Addr, k.left, client.HTTP{Answers: k}); err != nil {
		k.tell(err)
	}
}

func (k *keeper) tell(err error) {
	select {
	case k.done <- err:
	default:
	}
}

// Connected asks.
func (k *keeper) Connected(c *client.Conn) { c.Write(append(c.Buffer(), k.request...)) }

// Answered dials the next.
func (k *keeper) Answered(_ *client.Conn, status int) {
	if status != 200 {
		k.tell(fmt.Errorf("status %d", status))
		return
	}
	k.open--
	k.dial(k.subject)
	if k.open == 0 && k.left == 0 {
		k.tell(nil)
	}
}

// Gone counts one that was closed.
func (k *keeper) Gone(_ *client.Conn, err error) {
	k.gone++
	k.tell(err)
}
