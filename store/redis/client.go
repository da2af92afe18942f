package redis

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/tolkflip/tolkflip/store"
)

// client makes calls that end in time, are counted, and do not pile up on a server that does not answer.
type client struct {
	cfg     Config
	metrics *metrics
	driver  rueidis.Client

	closed   atomic.Bool
	room     chan struct{} // a place a call in flight
	breakers [breakers]breaker
}

// breakers are kept apart by ranges of slots, so that one silent server of a cluster does not stop calls of
// the others. Without a cluster the first is the only one.
const breakers = 256

// breaker stops calls of a server that did not answer several in a row. After a pause it lets one through,
// and all when that one is answered.
type breaker struct {
	failed atomic.Int32
	until  atomic.Int64 // Unix ms; 0 = closed
}

const (
	breakAfter = 3
	breakFor   = 500 * time.Millisecond
)

// pass reports whether a call may be made.
func (b *breaker) pass(now time.Time) bool {
	until := b.until.Load()
	if until == 0 {
		return true
	}
	at := now.UnixMilli()
	return at >= until && b.until.CompareAndSwap(until, at+breakFor.Milliseconds())
}

func (b *breaker) answered() {
	if b.failed.Load() != 0 {
		b.failed.Store(0)
	}
	if b.until.Load() != 0 {
		b.until.Store(0)
	}
}

func (b *breaker) silent(now time.Time) {
	if b.failed.Add(1) >= breakAfter {
		b.until.Store(now.Add(breakFor).UnixMilli())
	}
}

func (c *client) breaker(slot uint16) *breaker {
	if c.cfg.Mode != Cluster {
		return &c.breakers[0]
	}
	return &c.breakers[slot>>6%breakers]
}

// build makes commands.
func (c *client) build() rueidis.Builder { return c.driver.B() }

// do makes one call.
func (c *client) do(ctx context.Context, k command, cmd rueidis.Completed) (rueidis.RedisMessage, error) {
	b := c.breaker(cmd.Slot())
	start := c.cfg.Now()
	release, err := c.enter(ctx, b)
	if err != nil {
		return rueidis.RedisMessage{}, c.ended(ctx, k, start, err)
	}
	defer release()
	within, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	m, err := c.driver.Do(within, cmd).ToMessage()
	c.judge(ctx, b, err)
	return m, c.ended(ctx, k, start, err)
}

// enter waits for room.
func (c *client) enter(ctx context.Context, b *breaker) (release func(), err error) {
	if c.closed.Load() {
		return nil, store.ErrClosed
	}
	if !b.pass(c.cfg.Now()) {
		return nil, errNotTried
	}
	select {
	case c.room <- struct{}{}:
	default:
		t := time.NewTimer(c.cfg.Timeout)
		defer t.Stop()
		select {
		case c.room <- struct{}{}:
		case <-t.C:
			return nil, errCrowded
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return func() { <-c.room }, nil
}

// judge tells a breaker how a call ended. An error that Redis sent is an answer; a caller that gave up says
// nothing.
func (c *client) judge(ctx context.Context, b *breaker, err error) {
	switch {
	case err == nil || rueidis.IsRedisNil(err) || isAnswer(err):
		b.answered()
	case ctx.Err() == nil:
		b.silent(c.cfg.Now())
	}
}

func isAnswer(err error) bool {
	_, ok := rueidis.IsRedisErr(err)
	return ok
}

// ended counts a call and gives its error; that nothing is there is none.
func (c *client) ended(ctx context.Context, k command, start time.Time, err error) error {
	if err == nil || rueidis.IsRedisNil(err) {
		err = nil
	} else if r, ok := rueidis.IsRedisErr(err); ok && r.IsNoScript() {
		return errUnknown // the caller sends the text then, and that call counts
	} else {
		err = c.fail(ctx, k, err)
	}
	c.metrics.observe(k, c.cfg.Now().Sub(start), err)
	return err
}

// answer is what came of one of several calls.
type answer struct {
	message rueidis.RedisMessage
	err     error
}

// all makes several calls at once, in the order given for the same server. first is the first error. The
// health check does not ask the breakers: it is what finds out that a server is back.
func (c *client) all(ctx context.Context, k command, cmds []rueidis.Completed) (list []answer, first error) {
	list = make([]answer, len(cmds))
	send, at := make([]rueidis.Completed, 0, len(cmds)), make([]int, 0, len(cmds))
	slots := make([]uint16, 0, len(cmds))
	start := c.cfg.Now()
	note := func(i int, m rueidis.RedisMessage, err error) {
		list[i] = answer{m, c.ended(ctx, k, start, err)}
		if first == nil {
			first = list[i].err
		}
	}
	release, err := c.enter(ctx, &breaker{})
	if err != nil {
		for i := range cmds {
			note(i, rueidis.RedisMessage{}, err)
		}
		return list, first
	}
	defer release()
	for i, cmd := range cmds {
		if k != healthCheck && !c.breaker(cmd.Slot()).pass(start) {
			note(i, rueidis.RedisMessage{}, errNotTried)
			continue
		}
		send, at, slots = append(send, cmd), append(at, i), append(slots, cmd.Slot())
	}
	if len(send) == 0 {
		return list, first
	}
	within, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	for i, r := range c.driver.DoMulti(within, send...) {
		m, err := r.ToMessage()
		c.judge(ctx, c.breaker(slots[i]), err)
		note(at[i], m, err)
	}
	return list, first
}
