package threadlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// readChunk is how many messages a reader asks for at once. Most are small; a page of large ones reads more
// than it needs, by this many at most.
const readChunk = 32

// After gives the messages above after.
func (l *Log) After(ctx context.Context, t id.Thread, after uint64, limit int) ([]store.Message, error) {
	th, head, newest, err := l.at(ctx, t)
	if err != nil {
		return nil, err
	}
	defer th.unpin()
	if limit < 1 || after >= head {
		return nil, nil
	}
	p := page{limit: limit}
	if l.hot.after(&p, newest, head, after) {
		l.metrics.hotReads.Inc()
		return p.messages(t)
	}
	l.metrics.storeReads.Inc()
	var list []store.Message
	size := 0
	for after < head && len(list) < limit {
		chunk, err := l.read(ctx, t, after+1, min(head, after+uint64(min(limit-len(list), readChunk))))
		if err != nil {
			return nil, err
		}
		for i := range chunk {
			if size += recordLen(&chunk[i]); size > pageBytes && len(list) > 0 {
				return list, nil
			}
			list = append(list, chunk[i])
			after = chunk[i].Seq
		}
	}
	return list, nil
}

// Before gives the newest messages below before.
func (l *Log) Before(ctx context.Context, t id.Thread, before uint64, limit int) ([]store.Message, error) {
	th, head, newest, err := l.at(ctx, t)
	if err != nil {
		return nil, err
	}
	defer th.unpin()
	if before == 0 || before > head {
		before = head + 1
	}
	if limit < 1 || before == 1 {
		return nil, nil
	}
	p := page{limit: limit}
	if l.hot.before(&p, newest, before) {
		l.metrics.hotReads.Inc()
		return p.messages(t)
	}
	l.metrics.storeReads.Inc()
	var list []store.Message // falling
	size := 0
	for before > 1 && len(list) < limit {
		n := min(uint64(min(limit-len(list), readChunk)), before-1)
		chunk, err := l.read(ctx, t, before-n, before-1)
		if err != nil {
			return nil, err
		}
		for i := len(chunk) - 1; i >= 0; i-- {
			if size += recordLen(&chunk[i]); size > pageBytes && len(list) > 0 {
				return rising(list), nil
			}
			list = append(list, chunk[i])
			before = chunk[i].Seq
		}
	}
	return rising(list), nil
}

func rising(list []store.Message) []store.Message {
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	return list
}

// Head is the durable head.
func (l *Log) Head(ctx context.Context, t id.Thread) (uint64, error) {
	th, head, _, err := l.at(ctx, t)
	if err != nil {
		return 0, err
	}
	th.unpin()
	return head, nil
}

// Find looks a message up by its id. A message that was acked in the moments before its owner died is found
// only after its thread was used again: until then its id is nowhere but in its row.
func (l *Log) Find(ctx context.Context, m id.Message) (store.Message, error) {
	if err := l.readable(); err != nil {
		return store.Message{}, err
	}
	p, ok := l.ids.get(m)
	if !ok {
		var places [1]Place
		if err := l.q.Lookup(ctx, []id.Message{m}, places[:]); err != nil {
			return store.Message{}, unavailable("look a message id up", err)
		}
		p = places[0]
	}
	if p.Seq == 0 {
		return store.Message{}, store.ErrNotFound
	}
	list, err := l.read(ctx, p.Thread, p.Seq, p.Seq)
	if err != nil {
		return store.Message{}, err
	}
	return list[0], nil
}

// readable is why nothing can be read.
func (l *Log) readable() error {
	switch {
	case l.deposed.Load():
		return store.ErrDeposed
	case l.ctx.Err() != nil:
		return store.ErrClosed
	}
	return nil
}

// at gives a thread's durable head and its place in the ring; the thread is active, and pinned where there
// is no error.
func (l *Log) at(ctx context.Context, t id.Thread) (*thread, uint64, uint64, error) {
	for {
		if err := l.readable(); err != nil {
			return nil, 0, 0, err
		}
		th := l.lock(t)
		if th.active {
			head, newest := th.head, th.newest
			if l.faults.aboveHead && th.turn != nil {
				head += uint64(len(th.turn.messages))
			}
			th.mu.Unlock()
			return th, head, newest, nil
		}
		if th.stuck {
			l.unlock(th)
			return nil, 0, 0, store.ErrBusy
		}
		r := &reader{done: make(chan struct{})}
		th.readers = append(th.readers, r)
		l.schedule(th)
		th.mu.Unlock()
		err := l.world.wait(ctx, r.done)
		th.unpin()
		if err == nil {
			err = r.err
		}
		if err != nil {
			return nil, 0, 0, err
		}
	}
}

// read gives the messages from one seq to another, both included, all of which are durable.
func (l *Log) read(ctx context.Context, t id.Thread, from, to uint64) ([]store.Message, error) {
	list := make([]store.Message, 0, to-from+1)
	for from <= to {
		bucket := l.shape.bucketOf(from)
		end := min(to, l.shape.bucketEnd(bucket))
		r := Range{Thread: t, Bucket: bucket, From: from, To: end, Limit: int(end-from) + 2}
		var err error
		if list, err = l.readRows(ctx, r, list); err != nil {
			return nil, err
		}
		from = end + 1
	}
	return list, nil
}

// readRows appends a range of one bucket to list. Of a seq's rows the one of the highest epoch counts, once
// all of them were read.
func (l *Log) readRows(ctx context.Context, r Range, list []store.Message) ([]store.Message, error) {
	var state []byte
	var rows []Row
	begin := len(list)
	last := r.From - 1
	for {
		var err error
		rows, state, err = l.q.Rows(ctx, r, state, rows[:0])
		if err != nil {
			return nil, unavailable("read a page of a thread", err)
		}
		for i := range rows {
			switch seq := rows[i].Seq; {
			case seq == last && i == 0 && l.faults.splitPage:
			case seq == last && len(list) > begin:
				list[len(list)-1] = rows[i].Message
			case seq == last+1:
				list = append(list, rows[i].Message)
				last = seq
			default:
				return nil, l.missing(last+1, r)
			}
		}
		if state == nil {
			break
		}
	}
	if last < r.To {
		return nil, l.missing(last+1, r)
	}
	return list, nil
}

// missing is the error of a seq that was acknowledged and is not there.
func (l *Log) missing(seq uint64, r Range) error {
	err := fmt.Errorf("read seq %d of %d to %d: %w", seq, r.From, r.To, errLost)
	l.failed("read a thread", err)
	return err
}

// unavailable is a failed read, which may go well at another time.
func unavailable(doing string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w: %w", doing, store.ErrBusy, err)
}
