package pebble

import (
	"fmt"
	"time"
)

// sync lets groups out in order: durable first, then shown to readers, then Done.
func (c *committer) sync() {
	for g := range c.full {
		if err := c.waitFor(g); err != nil {
			c.s.fail(err)
			return
		}
		c.publish(g)
		c.answer(g)
		g.reset()
		c.empty <- g // never blocks: there are no more groups than it holds
	}
}

func (c *committer) waitFor(g *group) error {
	if g.batch.Empty() || c.s.cfg.faults.noSync {
		return nil
	}
	if f := c.s.cfg.faults.synced; f != nil {
		f()
	}
	start := time.Now()
	err := g.batch.SyncWait()
	c.s.metrics.syncSeconds.Observe(time.Since(start).Seconds())
	if f := c.s.cfg.faults.syncFail; f != nil && err == nil {
		err = f()
	}
	if err != nil {
		return fmt.Errorf("sync a group of messages: %w", err)
	}
	if c.s.failed.Load() {
		return fmt.Errorf("sync a group of messages: %w", errStopped)
	}
	return nil
}

// publish shows a durable group to readers.
func (c *committer) publish(g *group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.synced = max(c.synced, g.number)
	c.published = max(c.published, g.row)
	for i := range g.items {
		it := &g.items[i]
		th := it.thread
		th.pins--
		if it.seq == 0 {
			continue
		}
		th.newest = c.window.add(th.newest, it.seq, it.value)
		th.durable.Store(it.seq)
		th.sent = it.entry.Sent
		if !th.dirty && !it.listed {
			th.dirty = true
			c.dirty = append(c.dirty, th)
		}
	}
	if c.filing != nil && c.published >= c.filing.last {
		select {
		case c.due <- struct{}{}:
		default:
		}
	}
}

// answer calls Done and marks, in order. No lock is held.
func (c *committer) answer(g *group) {
	duplicates, conflicts := 0, 0
	for i := range g.items {
		it := &g.items[i]
		if it.mark != nil {
			it.mark(it.thread.done)
			continue
		}
		seq := it.seq
		switch {
		case it.entry.Duplicate:
			duplicates++
		case it.entry.Err != nil:
			conflicts++
		}
		it.entry.Done(it.entry) // it is the caller's again
		if seq > 0 {
			it.thread.done = seq
		}
	}
	c.s.metrics.observe(g, duplicates, conflicts)
}
