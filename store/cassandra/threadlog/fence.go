package threadlog

import (
	"fmt"

	"github.com/tolkflip/tolkflip/store"
)

// toFence lets a thread whose rows are in wait for a fence read that begins after now.
func (l *Log) toFence(th *thread) job {
	if l.faults.noFence && th.act == nil || l.faults.noFenceActivating && th.act != nil {
		return l.fenced(th)
	}
	if l.fences.join(th) {
		return job{(*Log).fence, nil}
	}
	return job{}
}

// fence reads the owners once for all threads whose rows are in.
func (l *Log) fence(*thread) job {
	var list []*thread
	one := func(*thread) int { return 0 }
	if !l.faults.lateFence {
		list = l.fences.take(0, one)
	}
	err := l.look()
	if l.faults.lateFence {
		list = l.fences.take(0, one)
	}
	l.metrics.fences.Observe(float64(len(list)))
	if l.fences.next() {
		l.run.push(job{(*Log).fence, nil})
	}
	for _, th := range list {
		var next job
		switch over := l.over(th); {
		case over != nil:
			next = l.drop(th, over)
		case err != nil:
			next = l.again(th, (*Log).toFence)
		default:
			th.fails = 0
			next = l.fenced(th)
		}
		if next.do != nil {
			l.run.push(next)
		}
	}
	l.fences.recycle(list)
	return job{}
}

// look reads which version the owners have. While it is the one that is known, all slots are still whose
// they were; else the owners are read, and what is lost is given up.
func (l *Log) look() error {
	v, err := l.q.Version(l.ctx)
	if err != nil {
		l.failed("read the owners' version", err)
		return err
	}
	if v == l.version.Load() {
		return nil
	}
	return l.owners()
}

// owners reads all owners, and gives up the slots that another has taken.
func (l *Log) owners() error {
	var s Slots
	if err := l.q.Slots(l.ctx, false, &s); err != nil {
		l.failed("read the owners", err)
		return err
	}
	left, err := l.keep(&s)
	if err != nil {
		l.failed("read the owners", err)
		return err
	}
	for i := range l.shards {
		l.shards[i].doom()
	}
	if left == 0 {
		l.depose(&s)
	}
	return nil
}

// keep gives up the epochs that are no longer this node's, and gives the number of those that are.
func (l *Log) keep(s *Slots) (left int, err error) {
	l.owning.Lock()
	defer l.owning.Unlock()
	if known := l.version.Load(); s.Version < known {
		return 0, fmt.Errorf("version %d after %d", s.Version, known)
	}
	for i := range s.Owner {
		epoch := l.epochs[i].Load()
		if epoch != 0 && (s.Owner[i] != l.cfg.Node || s.Epoch[i] != epoch) {
			l.epochs[i].Store(0)
			epoch = 0
		}
		if epoch != 0 {
			left++
		}
	}
	l.version.Store(s.Version)
	return left, nil
}

// doom has the threads of lost slots given up, of which no turn is under way that would notice.
func (h *shard) doom() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, th := range h.order {
		th.mu.Lock()
		if h.l.epochs[th.slot].Load() == 0 && !th.busy && th.queue.len() > 0 {
			th.busy = true
			h.l.alive(1)
			h.l.run.push(job{(*Log).begin, th})
		}
		th.mu.Unlock()
	}
}

// fenced goes on with a thread whose slot was still ours after its rows were in.
func (l *Log) fenced(th *thread) job {
	if th.act != nil {
		return l.activated(th)
	}
	head := th.head // only this turn moves it
	l.publish(th)
	l.result(th.turn)
	return l.conclude(th, head)
}

// publish makes a turn's messages what readers see.
func (l *Log) publish(th *thread) {
	t := th.turn
	if len(t.messages) == 0 {
		return
	}
	for i := range t.stands {
		l.ids.add(&t.stands[i].Place)
	}
	first, last := &t.messages[0], &t.messages[len(t.messages)-1]
	th.mu.Lock()
	defer th.mu.Unlock()
	for i := range t.messages {
		th.newest = l.hot.add(th.newest, &t.messages[i])
	}
	th.tail = append(th.tail, t.stands...)
	th.lag += t.added
	th.head = last.Seq
	l.noteRecent(th, last)
	l.indexLater(th)
	if bucket := l.shape.bucketOf(first.Seq); bucket > 0 && first.Seq == l.shape.bucketBase(bucket)+1 && !th.hinting {
		th.hinting = true
		l.alive(1)
		l.run.push(job{(*Log).writeHint, th})
	}
}

// result gives each entry what it is answered with.
func (l *Log) result(t *turn) {
	duplicates, conflicts := 0, 0
	for i := range t.items {
		it := &t.items[i]
		if it.entry == nil {
			continue
		}
		root := it
		if it.of > 0 {
			root = &t.items[it.of-1]
		}
		first := root.first
		if root.at > 0 {
			first = t.stands[root.at-1].Place
		}
		e := it.entry
		switch {
		case it.at > 0:
			e.Seq = first.Seq
		case first.Thread != e.Thread || first.Hash != it.hash:
			e.Err = store.ErrConflict
			conflicts++
		default:
			e.Duplicate, e.Seq, e.Sent = true, first.Seq, first.Sent
			duplicates++
		}
	}
	l.metrics.turn(len(t.messages), duplicates, conflicts)
}

// conclude calls Done and marks in order, beginning at a head, and lets the next turn begin. No lock is held.
func (l *Log) conclude(th *thread, head uint64) job {
	t := th.turn
	l.sure(th)
	l.budget.give(t.entries, t.bytes)
	for i := range t.items {
		it := &t.items[i]
		if it.mark != nil {
			it.mark(head)
			continue
		}
		if it.entry.Err == nil && !it.entry.Duplicate {
			head = it.entry.Seq
		}
		it.entry.Done(it.entry) // it is the caller's again
	}
	t.reset()
	l.turns.Put(t)
	th.turn = nil
	l.release(th)
	return job{}
}

// release ends a turn.
func (l *Log) release(th *thread) {
	th.fails = 0
	th.mu.Lock()
	th.busy, th.stuck = false, false
	l.forgetIDs(th)
	l.schedule(th)
	th.mu.Unlock()
	l.alive(-1)
}
