package threadlog

import (
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// costs is what a message counts against budgets of bytes.
func costs(m *store.Message) int {
	n := 256 + len(m.Content) + len(m.Encrypted) + len(m.ClientID) + len(m.Language)
	for _, u := range m.MediaURLs {
		n += len(u)
	}
	return n
}

// Append queues e with its thread. A refusal is told from within.
func (l *Log) Append(e *store.Entry) {
	if err := l.ended(); err != nil {
		l.refuse(e, err)
		return
	}
	size := costs(&e.Message)
	if l.unknown.Load() >= int64(l.cfg.UnknownThreads) {
		l.refuseBusy(e, refusedUnknown)
		return
	}
	if !l.budget.take(1, size) {
		l.refuseBusy(e, refusedQueue)
		return
	}
	th := l.lock(e.Thread)
	why, err := l.admit(th)
	if err == nil {
		e.Duplicate, e.Err = false, nil
		th.queue.push(item{entry: e})
		th.entries++
		l.schedule(th)
	}
	l.unlock(th)
	if err != nil {
		l.budget.give(1, size)
		l.metrics.refused[why].Inc()
		answer(e, err)
	}
}

// admit says why an entry may not wait in th. mu is held.
func (l *Log) admit(th *thread) (refusal, error) {
	if err := l.ended(); err != nil {
		return refusalOf(err), err
	}
	switch {
	case l.epochs[th.slot].Load() == 0:
		return refusedDeposed, store.ErrDeposed
	case th.stuck:
		return refusedUnknown, store.ErrBusy
	case th.entries >= l.cfg.ThreadItems:
		return refusedThread, store.ErrBusy
	}
	return 0, nil
}

// Mark queues f with its thread. Marks count against no budget, since a mark cannot be refused: a connection
// has one resume at a time, of a bounded number of threads.
func (l *Log) Mark(t id.Thread, f func(head uint64)) {
	th := l.lock(t)
	ok := l.ended() == nil && l.epochs[th.slot].Load() != 0
	if ok {
		th.queue.push(item{mark: f})
		l.schedule(th)
	}
	l.unlock(th)
	if !ok {
		f(0)
	}
}

// lock gives a thread that lives, pinned and locked.
func (l *Log) lock(t id.Thread) *thread {
	for {
		th := l.acquire(t)
		th.mu.Lock()
		if !th.gone {
			return th
		}
		th.mu.Unlock()
		th.unpin()
	}
}

func (l *Log) unlock(th *thread) {
	th.mu.Unlock()
	th.unpin()
}

// answer tells e's sender that it was not written.
func answer(e *store.Entry, err error) {
	e.Duplicate, e.Err = false, err
	e.Done(e)
}

func (l *Log) refuse(e *store.Entry, err error) {
	l.metrics.refused[refusalOf(err)].Inc()
	answer(e, err)
}

func (l *Log) refuseBusy(e *store.Entry, why refusal) {
	l.metrics.refused[why].Inc()
	answer(e, store.ErrBusy)
}
