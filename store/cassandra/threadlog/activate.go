package threadlog

import (
	"errors"
	"fmt"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

var (
	// errHigher says that a row of a higher epoch was read: another owner writes the thread.
	errHigher = errors.New("threadlog: a row has a higher epoch than this owner's")
	// errLost says that the store does not give what it once acknowledged.
	errLost = errors.New("threadlog: an acknowledged row is missing")
)

// activation is what was read of a thread that is to become active.
type activation struct {
	ending
	hint  Hint
	rows  []store.Message // above indexed, all of them
	again bool            // they are a former owner's
	done  int             // of rows: written again
	first bool            // the rows that a direct thread begins with are to be written again
}

// activate finds the end of a thread's log and makes it this owner's own.
func (l *Log) activate(th *thread) job {
	if err := l.ended(); errors.Is(err, store.ErrDeposed) {
		return l.drop(th, err)
	}
	th.epoch = l.epochs[th.slot].Load()
	if th.epoch == 0 {
		return l.drop(th, store.ErrDeposed)
	}
	if l.unknown.Load() >= int64(l.cfg.UnknownThreads) {
		return l.notActivated(th)
	}
	a, err := l.readTail(th)
	if errors.Is(err, errHigher) {
		err = errors.Join(err, l.owners())
	}
	if over := l.over(th); over != nil {
		return l.drop(th, over)
	}
	if err != nil {
		l.failed("read the end of a thread", err)
		return l.notActivated(th)
	}
	l.metrics.activated.Inc()
	th.act = a
	return l.rewrite(th)
}

// readTail reads from indexed on to the end, through as many buckets as there are.
func (l *Log) readTail(th *thread) (*activation, error) {
	hint, err := l.q.Hint(l.ctx, th.id)
	if err != nil {
		return nil, fmt.Errorf("read the hint of the end: %w", err)
	}
	a := &activation{hint: hint}
	a.faults, a.mine = &l.faults, th.epoch
	for bucket := hint.Bucket; ; bucket++ {
		base := l.shape.bucketBase(bucket)
		indexed, err := l.q.Indexed(l.ctx, th.id, bucket)
		if err != nil {
			return nil, fmt.Errorf("read how far ids are written: %w", err)
		}
		indexed = max(indexed, base) // where the bucket is open all before it is final
		from := max(indexed, base+1)
		if l.faults.aboveIndexed {
			from = indexed + 1
		}
		a.begin(indexed)
		if err := l.readRange(th.id, bucket, from, a); err != nil {
			return nil, err
		}
		if err := a.end(indexed > base); err != nil {
			return nil, fmt.Errorf("the end in bucket %d: %w", bucket, err)
		}
		if bucket > 0 && bucket == hint.Bucket && a.head <= base {
			return nil, fmt.Errorf("bucket %d is empty, and not the first: %w", bucket, errLost)
		}
		if a.head < l.shape.bucketEnd(bucket) {
			break
		}
	}
	a.rows = a.above
	a.again = a.epoch != th.epoch && !l.faults.noRewrite
	a.first = a.indexed == 0 && a.head > 0 && !a.rows[0].Group() && !l.faults.noFirst
	return a, nil
}

// readRange feeds the rows of a bucket from a seq on to the tail.
func (l *Log) readRange(t id.Thread, bucket, from uint64, a *activation) error {
	r := Range{Thread: t, Bucket: bucket, From: from, To: l.shape.bucketEnd(bucket), Limit: l.shape.pageRows}
	var page []byte
	var rows []Row
	for {
		var err error
		rows, page, err = l.q.Rows(l.ctx, r, page, rows[:0])
		if err != nil {
			return fmt.Errorf("read the rows above: %w", err)
		}
		for i := range rows {
			if err := a.row(&rows[i]); err != nil {
				return err
			}
		}
		clear(rows)
		if page == nil {
			return nil
		}
	}
}

// notActivated tells who waits that the thread could not be read. Nothing was written. Marks wait for the
// next attempt.
func (l *Log) notActivated(th *thread) job {
	th.fails++
	l.tell(th)
	th.mu.Lock()
	th.stuck = false
	waits := th.queue.len() > 0
	if !waits {
		th.busy = false
		th.fails = 0
	}
	l.schedule(th)
	th.mu.Unlock()
	if waits {
		l.world.after(l.pause(th.fails), func() { l.run.push(job{(*Log).begin, th}) })
		return job{}
	}
	l.alive(-1)
	return job{}
}

// rewrite writes the rows above indexed again under this owner's epoch, where they are a former one's. Until
// all are in, none of them counts for whoever comes next. The same batch is repeated until it is in.
func (l *Log) rewrite(th *thread) job {
	a := th.act
	for a.again && a.done < len(a.rows) {
		if over := l.over(th); over != nil {
			return l.drop(th, over)
		}
		n := l.rewriteBatch(a.rows[a.done:])
		batch := a.rows[a.done : a.done+n]
		if err := l.q.Write(l.ctx, th.id, l.shape.bucketOf(batch[0].Seq), Term{th.epoch, a.head}, batch); err != nil {
			l.failed("write the end of a thread again", err)
			l.unsure(th)
			return l.again(th, (*Log).rewrite)
		}
		th.fails = 0
		a.done += n
	}
	l.sure(th)
	if a.first {
		if err := l.q.First(l.ctx, firstOf(&a.rows[0])); err != nil {
			l.failed("write a thread's rows", err)
			if over := l.over(th); over != nil {
				return l.drop(th, over)
			}
			return l.again(th, (*Log).rewrite)
		}
		a.first = false
	}
	th.fails = 0
	return l.toFence(th)
}

// rewriteBatch is how many of rows go into one batch. All are of one bucket.
func (l *Log) rewriteBatch(rows []store.Message) int {
	n, size := 0, 0
	for n < min(len(rows), l.shape.rewrite) {
		if size += costs(&rows[n]); n > 0 && size > l.shape.turnBytes {
			break
		}
		n++
	}
	return n
}

// activated makes a thread active whose end is certain.
func (l *Log) activated(th *thread) job {
	a := th.act
	stands := make([]unindexed, len(a.rows))
	lag := 0
	var body []byte
	for i := range a.rows {
		m := &a.rows[i]
		s := &stands[i]
		s.bytes = costs(m)
		s.Place = Place{Message: m.ID, Thread: th.id, Seq: m.Seq, Sent: m.Sent}
		s.Hash, body = bodyHash(body[:0], m)
		lag += s.bytes
		l.ids.add(&s.Place)
	}
	if f := l.faults.activated; f != nil {
		f(th.id, a.rows)
	}
	l.metrics.rewritten.Add(float64(a.done))
	th.act = nil
	th.fails = 0
	th.start = a.head
	th.mu.Lock()
	th.active, th.stuck = true, false
	th.head, th.indexed = a.head, a.indexed
	th.tail, th.lag, th.leaving, th.known = stands, lag, 0, 0
	th.newest = 0
	for i := range a.rows {
		th.newest = l.hot.add(th.newest, &a.rows[i])
	}
	if a.hint.LastSeq < a.head {
		l.noteRecent(th, &a.last)
	}
	if len(stands) > 0 {
		l.indexLater(th)
	}
	if a.head > 0 && l.shape.bucketOf(a.head) > a.hint.Bucket && !th.hinting {
		th.hinting = true
		l.alive(1)
		l.run.push(job{(*Log).writeHint, th})
	}
	readers := th.takeReaders()
	th.mu.Unlock()
	endReaders(readers, nil)
	return job{(*Log).begin, th}
}

func (th *thread) takeReaders() []*reader {
	list := th.readers
	th.readers = nil
	return list
}

func endReaders(list []*reader, err error) {
	for _, r := range list {
		r.err = err
		close(r.done)
	}
}

// firstOf is what a direct thread's first message says of it.
func firstOf(m *store.Message) First {
	f := First{Thread: m.Thread, A: m.Sender, B: m.Receiver, Created: m.Sent}
	f.A, f.B = inOrder(f.A, f.B)
	return f
}

func inOrder(a, b id.User) (lo, hi id.User) {
	if string(a.ID[:]) > string(b.ID[:]) {
		return b, a
	}
	return a, b
}
