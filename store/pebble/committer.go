package pebble

import (
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// committer writes the threads that belong to it. One goroutine takes what waits, finds retries, gives
// out seq and applies a group as one batch; a second one, the syncer, waits until the group is durable
// and lets its effects out. Groups go from one to the other in order, and come back empty.
type committer struct {
	shard
	index int
	queue queue
	full  chan *group   // to the syncer
	empty chan *group   // back
	ended chan struct{} // the syncer has ended, after the committer
	due   chan struct{} // to the filer: something to file may be durable; capacity 1
	filed chan struct{} // from it: a generation was; capacity 1
	over  chan struct{} // the filer has ended, after the syncer

	// Owned by the committer's goroutine.
	applied   time.Time   // when the last batch was
	pause     *time.Timer // stopped and drained
	rest      []queued    // taken, not yet in a group
	taken     []queued    // all that rest is a part of
	lagging   uint64      // number of the last lagging row
	journaled uint64      // number of the last row of the journal
	key       [messageKeyLen]byte
	found     []byte // the value that an id look-up found
	first     store.Message
}

func newCommitter(s *Store, index int) (*committer, error) {
	hot, err := newWindow(s.cfg.HotBytes / s.cfg.Committers)
	if err != nil {
		return nil, err
	}
	c := &committer{
		shard: shard{
			s: s, limit: max(1, s.cfg.Threads/s.cfg.Committers),
			threads: map[id.Thread]*thread{}, window: hot, growing: &unfiled{}, spare: &unfiled{},
		},
		index: index,
		queue: queue{maxItems: s.cfg.QueueItems, maxBytes: s.cfg.QueueBytes, wake: make(chan struct{}, 1)},
		full:  make(chan *group, s.cfg.Inflight),
		empty: make(chan *group, s.cfg.Inflight),
		ended: make(chan struct{}),
		due:   make(chan struct{}, 1),
		filed: make(chan struct{}, 1),
		over:  make(chan struct{}),
	}
	c.pause = time.NewTimer(time.Hour)
	c.pause.Stop()
	for range s.cfg.Inflight {
		c.empty <- newGroup(s.db)
	}
	return c, nil
}

func (c *committer) start() {
	go func() {
		defer close(c.full)
		c.commit()
	}()
	go func() {
		defer close(c.ended)
		c.sync()
	}()
	go func() {
		defer close(c.over)
		c.runFiler()
	}()
}

func (c *committer) close() { c.queue.close() }

func (c *committer) wait() { <-c.over }

func (c *committer) append(e *store.Entry) {
	if why, err := c.queue.put(queued{entry: e}, costs(&e.Message)); err != nil {
		c.s.refuse(e, err, why)
	}
}

// mark queues f, and reports false where nobody would call it any more.
func (c *committer) mark(th *thread, f func(uint64)) bool {
	_, err := c.queue.put(queued{thread: th, mark: f}, 0)
	return err == nil
}

func (c *committer) commit() {
	for {
		var g *group
		select {
		case g = <-c.empty:
		case <-c.s.dead:
			return
		}
		if len(c.rest) == 0 {
			if !c.queue.wait(c.s.dead) || !c.pace() || !c.await() {
				return
			}
			clear(c.taken)
			c.taken = c.queue.take(c.taken[:0])
			c.rest = c.taken
		}
		if err := c.fill(g); err != nil {
			c.s.fail(err)
			return
		}
		c.full <- g // never blocks: there are no more groups than it holds
	}
}

// pace waits until the last batch is Pace old, unless much waits already: each batch costs a sync, whose
// price the messages of the batch share. It reports false when the store has failed.
func (c *committer) pace() bool {
	left := c.s.cfg.Pace - time.Since(c.applied)
	if left <= 0 || c.queue.entries() >= c.s.cfg.GroupMessages/4 {
		return true
	}
	c.pause.Reset(left)
	select {
	case <-c.pause.C:
		return true
	case <-c.s.dead:
		return false
	}
}

// fill takes a group's worth of what waits, places each, and applies the batch.
func (c *committer) fill(g *group) error {
	n, entries, bytes := 0, 0, 0
	c.mu.Lock()
	for n < len(c.rest) && n < c.s.cfg.GroupMessages {
		it := &c.rest[n]
		if it.mark != nil {
			g.items = append(g.items, groupItem{thread: it.thread, mark: it.mark})
			n++
			continue
		}
		size := costs(&it.entry.Message)
		if entries > 0 && bytes+size > c.s.cfg.GroupBytes {
			break
		}
		th := c.threads[it.entry.Thread]
		if th != nil {
			th.pins++
			th.used = true
		}
		g.items = append(g.items, groupItem{entry: it.entry, thread: th})
		entries++
		bytes += size
		n++
	}
	c.mu.Unlock()
	c.rest = c.rest[n:]
	c.queue.grouped(entries, bytes)
	for i := range g.items {
		if err := c.place(g, i); err != nil {
			return err
		}
	}
	c.markLagging(g)
	return c.apply(g)
}

// place finds out what is to become of an item: the result of an earlier one, or the next seq.
func (c *committer) place(g *group, i int) error {
	it := &g.items[i]
	if it.mark != nil {
		return nil
	}
	e := it.entry
	if it.thread == nil {
		th, err := c.acquire(e.Thread)
		if err != nil {
			return err
		}
		it.thread = th
	}
	e.Duplicate, e.Err = false, nil
	if c.s.cfg.faults.noDedup {
		c.write(g, it)
		return nil
	}
	j, slot := g.ids.find(e.ID)
	if j >= 0 {
		join(e, &g.items[j].entry.Message)
		return nil
	}
	if !c.s.filter.absent(e.ID) {
		known, err := c.lookUp(e.ID)
		if err != nil {
			return err
		}
		if known {
			join(e, &c.first)
			return nil
		}
	}
	g.ids.note(slot, e.ID, i)
	c.write(g, it)
	return c.s.filter.add(e.ID)
}

// join gives e the result of the first message with its id, or the conflict with it.
func join(e *store.Entry, first *store.Message) {
	if first.Thread != e.Thread || !store.SameBody(first, &e.Message) {
		e.Err = store.ErrConflict
		return
	}
	e.Duplicate, e.Seq, e.Sent = true, first.Seq, first.Sent
}

// lookUp reads the stored message with an id into c.first, and reports whether there is one.
func (c *committer) lookUp(m id.Message) (bool, error) {
	var bad error
	if c.s.unfiledByID(m, func(e *unfiledEntry, _ uint64) {
		c.found = append(c.found[:0], e.value...)
		bad = decodeMessage(&c.first, e.thread.id, e.seq, c.found)
	}) {
		return true, bad
	}
	putIDKey(c.key[:idKeyLen], tableIDs, m.ID)
	v, closer, err := c.s.db.Get(c.key[:idKeyLen])
	if err != nil {
		if err == pebble.ErrNotFound { //nolint:errorlint // Pebble returns it bare, and before the filter is filled this is every message
			return false, nil
		}
		return false, fmt.Errorf("look a message id up: %w", err)
	}
	t, seq, err := decodeIDValue(v)
	if closeErr := closer.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return false, fmt.Errorf("look a message id up: %w", err)
	}
	putMessageKey(c.key[:], t, seq)
	body, found, err := c.s.get(c.found[:0], c.key[:])
	if err != nil || !found {
		return false, fmt.Errorf("read the first message of an id (there: %v): %w", found, err)
	}
	c.found = body
	if err := decodeMessage(&c.first, t, seq, body); err != nil {
		return false, fmt.Errorf("read the first message of an id: %w", err)
	}
	return true, nil
}

// write gives e the next seq of its thread and puts its rows into the batch.
func (c *committer) write(g *group, it *groupItem) {
	e, th := it.entry, it.thread
	seq := th.next.Load() + 1
	if skip := c.s.cfg.faults.skip; skip != nil && skip() {
		seq++
	}
	e.Seq, it.seq = seq, seq
	n, flags := messageLen(&e.Message)
	g.journal = appendJournal(g.journal, e.Thread, seq, n)
	at := len(g.journal)
	g.journal = appendMessage(g.journal, &e.Message, flags)
	it.value = g.journal[at:] // stays where it is when the row grows

	if seq == 1 && !e.Group() {
		c.listDirect(g, &e.Message)
		it.listed = true
	}
	th.next.Store(seq)
	if !it.listed && !th.marked.Load() {
		th.marked.Store(true)
		g.lagging = append(g.lagging, th)
	}
	g.written++
}

// listDirect writes the rows that a direct thread begins with.
func (c *committer) listDirect(g *group, m *store.Message) {
	row := threadRow{a: m.Sender, b: m.Receiver, created: m.Sent, listed: m.Sent}
	row.order()
	_ = g.batch.Set(idKey(tableThreads, m.Thread.ID), row.encode(), nil) // a plain batch cannot fail
	row.list(g.batch, m.Thread)
}

func (c *committer) apply(g *group) error {
	if g.written > 0 {
		c.journaled++
		g.row = c.journaled
		op := g.batch.SetDeferred(journalKeyLen, len(g.journal))
		putJournalKey(op.Key, c.index, g.row)
		copy(op.Value, g.journal)
		_ = op.Finish() // only an indexed batch can fail
	}
	if g.batch.Empty() {
		return nil
	}
	c.applied = time.Now()
	if err := c.s.write(g.batch); err != nil {
		return fmt.Errorf("write a group of messages: %w", err)
	}
	c.keep(g)
	if f := c.s.cfg.faults.applied; f != nil {
		f(g.written)
	}
	return nil
}

// write applies a batch that SyncWait makes durable.
func (s *Store) write(b *pebble.Batch) error {
	if s.cfg.faults.noSync {
		return s.db.Apply(b, pebble.NoSync)
	}
	return s.db.ApplyNoSyncWait(b, pebble.Sync)
}
