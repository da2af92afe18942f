package pebble

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// A user's direct threads stand in a table in order of their newest message, so that the newest fifty of
// five thousand are one short scan. A message moves its thread in that order for both people, which is
// five rows; so moves are coalesced: a thread that has new messages is in its shard's dirty list, and
// runRecency moves it once in RecencyEvery. Previews are not kept at all, since the last message, which
// Head needs anyway, says the same.
//
// After a crash the order must not lag for good. So the batch that first makes a thread lag also writes a
// lagging row that names it (one a group, whatever the number of threads), the flush that moves it removes
// that row in the same batch, and Open moves all that are still named.

// threadRow is the row of a direct thread or of a group.
type threadRow struct {
	group   bool
	a, b    id.User // direct only, in byte order
	created int64
	listed  int64 // the time by which the thread stands in the order
}

func (r *threadRow) order() {
	if bytes.Compare(r.a.ID[:], r.b.ID[:]) > 0 {
		r.a, r.b = r.b, r.a
	}
}

func (r *threadRow) peer(u id.User) id.User {
	if u == r.a {
		return r.b
	}
	return r.a
}

func (r *threadRow) encode() []byte {
	b := make([]byte, 0, 64)
	b = append(b, valueV1)
	if r.group {
		b = append(b, 1)
	} else {
		b = append(b, 0)
		b = append(b, r.a.ID[:]...)
		b = append(b, r.b.ID[:]...)
	}
	b = binary.AppendVarint(b, r.created)
	return binary.AppendVarint(b, r.listed)
}

func decodeThreadRow(v []byte) (row threadRow, err error) {
	r := read(v)
	row.group = r.byte() == 1
	if !row.group {
		row.a.ID, row.b.ID = r.id(), r.id()
	}
	row.created, row.listed = r.int(), r.int()
	return row, r.end()
}

// people are those in whose lists a direct thread stands.
func (r *threadRow) people() []id.User {
	if r.a == r.b {
		return []id.User{r.a}
	}
	return []id.User{r.a, r.b}
}

// list puts a direct thread into the lists of its people at r.listed.
func (r *threadRow) list(b *pebble.Batch, t id.Thread) {
	for _, u := range r.people() {
		peer := r.peer(u)
		_ = b.Set(recencyKey(u, r.listed, t), append([]byte{valueV1}, peer.ID[:]...), nil) // a plain batch cannot fail
	}
}

// unlist takes it out of them.
func (r *threadRow) unlist(b *pebble.Batch, t id.Thread) {
	for _, u := range r.people() {
		_ = b.Delete(recencyKey(u, r.listed, t), nil) // a plain batch cannot fail
	}
}

func (s *Store) threadRow(t id.Thread) (row threadRow, found bool, err error) {
	v, found, err := s.get(nil, idKey(tableThreads, t.ID))
	if err != nil || !found {
		return row, false, err
	}
	row, err = decodeThreadRow(v)
	if err != nil {
		return row, false, fmt.Errorf("read a thread's row: %w", err)
	}
	return row, true, nil
}

// markLagging names the threads that this group is the first to make lag.
func (c *committer) markLagging(g *group) {
	if len(g.lagging) == 0 {
		return
	}
	c.lagging++
	g.number = c.lagging
	op := g.batch.SetDeferred(2+8, 16*len(g.lagging))
	copy(op.Key, laggingKey(c.index, g.number))
	for i, th := range g.lagging {
		copy(op.Value[16*i:], th.id.ID[:])
	}
	_ = op.Finish() // only an indexed batch can fail
}

func (s *Store) runRecency() {
	tick := time.NewTicker(s.cfg.RecencyEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		if s.failed.Load() {
			return
		}
		if err := s.flushRecency(); err != nil {
			s.fail(err)
			return
		}
	}
}

// lister is what a flush remembers for the next one.
type lister struct {
	flushed []uint64 // by committer: lagging rows up to this are gone
	kept    uint64   // number of the flush's own lagging row, 0 = none
	last    uint64   // the highest number such a row had
}

// keptRows is the committer number in the keys of lagging rows that a flush writes.
const keptRows = 0xff

// moving is a dirty thread that a flush took.
type moving struct {
	thread *thread
	sent   int64
	kept   bool // more is on its way: it stays dirty and named
}

// flushRecency moves every thread whose newest message is durable and not yet in the order.
func (s *Store) flushRecency() error {
	s.listing.Lock()
	defer s.listing.Unlock()
	l := &s.lister
	if l.flushed == nil {
		l.flushed = make([]uint64, len(s.committers))
	}
	b := s.db.NewBatch()
	var kept []byte
	for i, c := range s.committers {
		list, synced := c.takeDirty()
		for n := l.flushed[i] + 1; n <= synced; n++ {
			_ = b.Delete(laggingKey(i, n), nil) // a plain batch cannot fail
		}
		l.flushed[i] = synced
		for _, m := range list {
			if m.kept {
				kept = append(kept, m.thread.id.ID[:]...)
			}
			if err := s.move(b, m.thread.id, m.sent); err != nil {
				return errors.Join(err, b.Close())
			}
		}
	}
	if l.kept > 0 {
		_ = b.Delete(laggingKey(keptRows, l.kept), nil) // a plain batch cannot fail
	}
	l.kept = 0
	if len(kept) > 0 {
		l.last++
		l.kept = l.last
		_ = b.Set(laggingKey(keptRows, l.kept), kept, nil) // a plain batch cannot fail
	}
	if b.Empty() {
		return b.Close()
	}
	return errors.Join(s.db.Apply(b, pebble.NoSync), b.Close())
}

// takeDirty empties the dirty list. The lagging rows up to synced name only threads in it or in an
// earlier one, and those marked kept: the committer gave out a seq that is not durable yet, under a mark
// that this flush takes away. The order of the two stores and loads here and in committer.write is what
// makes that sure: either the committer sees the mark gone and names the thread again, or this sees its seq.
func (h *shard) takeDirty() (list []moving, synced uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	taken := h.dirty
	h.dirty = nil
	list = make([]moving, 0, len(taken))
	for _, th := range taken {
		th.marked.Store(false)
		m := moving{thread: th, sent: th.sent, kept: th.next.Load() != th.durable.Load()}
		if m.kept {
			th.marked.Store(true)
			h.dirty = append(h.dirty, th)
		} else {
			th.dirty = false
		}
		list = append(list, m)
	}
	return list, h.synced
}

// move puts a thread where a message of the time sent belongs. A group's row is written at once, under the
// group's lock, since it must not come back when the group is deleted meanwhile.
func (s *Store) move(b *pebble.Batch, t id.Thread, sent int64) error {
	row, found, err := s.threadRow(t)
	if err != nil || !found || row.listed == sent {
		return err
	}
	if row.group {
		return s.moveGroup(t, sent)
	}
	row.unlist(b, t)
	row.listed = sent
	row.list(b, t)
	_ = b.Set(idKey(tableThreads, t.ID), row.encode(), nil) // a plain batch cannot fail
	return nil
}

func (s *Store) moveGroup(t id.Thread, sent int64) error {
	defer s.locks.lock(t.ID[:])()
	row, found, err := s.threadRow(t)
	if err != nil || !found {
		return err
	}
	row.listed = sent
	return s.db.Set(idKey(tableThreads, t.ID), row.encode(), pebble.NoSync)
}

// repairRecency moves the threads that a crash left lagging, before anything else is written.
func (s *Store) repairRecency() error {
	from, to := []byte{tableLagging}, []byte{tableLagging + 1}
	lagging := map[id.Thread]struct{}{}
	err := s.scan(from, to, func(_, value []byte) (bool, error) {
		for chunk := range slices.Chunk(value, 16) {
			var t id.Thread
			copy(t.ID[:], chunk)
			lagging[t] = struct{}{}
		}
		return true, nil
	})
	if err != nil || len(lagging) == 0 {
		return err
	}
	b := s.db.NewBatch()
	for t := range lagging {
		it, err := s.tail(t)
		if err != nil {
			return errors.Join(err, b.Close())
		}
		m, err := last(it, t)
		if err == nil && m.Seq > 0 {
			err = s.move(b, t, m.Sent)
		}
		if err != nil {
			return errors.Join(err, b.Close())
		}
	}
	_ = b.DeleteRange(from, to, nil) // a plain batch cannot fail
	s.log.Info("the order of threads was repaired after a crash", "threads", len(lagging))
	return errors.Join(s.db.Apply(b, pebble.Sync), b.Close())
}

// Settle files what the journal holds and flushes what ByUser's order and the cursors lag behind. Tests and
// backups call it.
func (s *Store) Settle() error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.end()
	return errors.Join(s.fileAll(), s.settle())
}

func (s *Store) settle() error { return errors.Join(s.flushRecency(), s.cursors.flush()) }

// of makes what a list says of a thread of u.
func (r *threadRow) of(t id.Thread, u id.User, last *store.Message) store.ThreadOf {
	v := store.ThreadOf{Thread: store.Thread{ID: t, Group: r.group, A: r.a, B: r.b, Created: r.created}}
	if last.Seq > 0 {
		v.Head, v.Last = last.Seq, store.PreviewOf(last)
	}
	if !r.group {
		v.Peer = r.peer(u)
	}
	return v
}
