package redis

import (
	"context"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// health looks at the servers all the time: it writes a key that lives for a few seconds, since a server that
// answers may still refuse writes. Of a cluster it writes one in each 32nd of the slots. When that succeeds,
// what is owed is paid.
type health struct {
	c     *client
	log   *slog.Logger
	pay   []func(context.Context) error
	tags  []string
	state atomic.Pointer[error] // of the last check
}

const healthParts = 32

func newHealth(c *client, log *slog.Logger, pay ...func(context.Context) error) *health {
	h := &health{c: c, log: log, pay: pay, tags: []string{"0"}}
	if c.cfg.Mode == Cluster {
		h.tags = spread(healthParts)
	}
	return h
}

// spread finds a hash tag for each of n equal parts of the slots.
func spread(n int) []string {
	tags := make([]string, n)
	for i, left := 0, n; left > 0; i++ {
		tag := strconv.Itoa(i)
		if part := int(slot(tag)) * n / slots; tags[part] == "" {
			tags[part] = tag
			left--
		}
	}
	return tags
}

// slots is how many a cluster has.
const slots = 1 << 14

// slot is where a cluster keeps a hash tag: CRC16 (XMODEM) of it.
func slot(tag string) uint16 {
	var crc uint16
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc % slots
}

// check asks once, and notes and logs what changed.
func (h *health) check(ctx context.Context) error {
	cmds := make([]rueidis.Completed, len(h.tags))
	for i, tag := range h.tags {
		cmds[i] = h.c.build().Set().Key(h.c.cfg.Prefix + healthKeys + "{" + tag + "}").Value("1").Px(time.Minute).Build()
	}
	_, err := h.c.all(ctx, healthCheck, cmds)
	if ctx.Err() != nil {
		return err
	}
	before := h.state.Swap(&err)
	switch {
	case err != nil && (before == nil || *before == nil):
		h.c.metrics.healthy.Set(0)
		h.log.Error("redis does not answer", "error", err)
	case err == nil && (before == nil || *before != nil):
		h.c.metrics.healthy.Set(1)
		if before != nil {
			h.log.Info("redis answers again")
		}
	}
	return err
}

// run checks until ctx ends.
func (h *health) run(ctx context.Context) {
	t := time.NewTicker(h.c.cfg.HealthEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if h.check(ctx) != nil {
			continue
		}
		for _, pay := range h.pay {
			_ = pay(ctx) // stays owed; the call is counted
		}
	}
}

// error is what the last check found.
func (h *health) error() error {
	if p := h.state.Load(); p != nil {
		return *p
	}
	return nil
}
