package threadlog

import "sync"

// indexer writes the ids of acked messages to message_ids, off their path, those of several threads
// together, and moves each thread's indexed when its ids are in.
type indexer struct {
	limit int

	mu      sync.Mutex
	waiting fifo[*thread]
	calls   int
	armed   bool // a timer will start a call
}

// indexPart is what one call writes of a thread.
type indexPart struct {
	th *thread
	n  int
}

// indexRound is one call's memory.
type indexRound struct {
	parts  []indexPart
	places []Place
}

func (r *indexRound) reset() *indexRound {
	clear(r.parts)
	r.parts, r.places = r.parts[:0], r.places[:0]
	return r
}

// indexLater has the thread's ids written before long, at once when they are many. mu is held.
func (l *Log) indexLater(th *thread) {
	if th.gone {
		return
	}
	if !th.listed {
		th.listed = true
		l.alive(1)
		x := &l.index
		x.mu.Lock()
		x.waiting.push(th)
		many := x.waiting.len() >= MaxIndex
		arm := !x.armed
		x.armed = true
		x.mu.Unlock()
		if arm {
			l.world.after(l.cfg.IndexEvery, l.indexTick)
		}
		if many {
			l.indexStart()
		}
	}
	if len(th.tail)-th.leaving-th.known >= max(1, l.shape.lagItems/4) || l.closing.Load() {
		l.indexStart()
	}
}

// indexSoon has them written now: a message waits for it. mu is held.
func (l *Log) indexSoon(th *thread) {
	if len(th.tail) > th.leaving {
		l.indexLater(th)
		l.indexStart()
	}
}

func (l *Log) indexTick() {
	l.index.mu.Lock()
	l.index.armed = false
	l.index.mu.Unlock()
	l.indexStart()
}

// indexStart begins another call where one may, for whoever waits.
func (l *Log) indexStart() {
	x := &l.index
	x.mu.Lock()
	start := x.calls < x.limit && x.waiting.len() > 0
	if start {
		x.calls++
	}
	x.mu.Unlock()
	if start {
		l.run.push(job{(*Log).indexCall, nil})
	}
}

// indexCall writes as many ids as one call takes.
func (l *Log) indexCall(*thread) job {
	r := l.rounds.Get().(*indexRound) //nolint:forcetypeassert // the pool has nothing else
	for len(r.places) < MaxIndex {
		th := l.indexNext()
		if th == nil {
			break
		}
		l.indexTake(r, th)
	}
	if len(r.parts) == 0 {
		l.rounds.Put(r.reset())
		return l.indexEnd()
	}
	if l.faults.indexedFirst {
		for _, p := range r.parts {
			l.moveIndexed(p.th, p.th.known+p.n)
		}
	}
	var err error
	if len(r.places) > 0 {
		err = l.q.Index(l.ctx, r.places)
	}
	if err != nil {
		l.failed("write message ids", err)
	} else {
		l.metrics.indexed.Add(float64(len(r.places)))
	}
	for _, p := range r.parts {
		l.indexDone(p, err)
	}
	l.rounds.Put(r.reset())
	return l.indexEnd()
}

func (l *Log) indexNext() *thread {
	x := &l.index
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.waiting.len() == 0 {
		return nil
	}
	return x.waiting.pop()
}

func (l *Log) indexEnd() job {
	x := &l.index
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.waiting.len() > 0 && l.ctx.Err() == nil {
		return job{(*Log).indexCall, nil}
	}
	x.calls--
	return job{}
}

// indexTake copies what of a thread fits into a call.
func (l *Log) indexTake(r *indexRound, th *thread) {
	th.mu.Lock()
	defer th.mu.Unlock()
	if th.gone || l.over(th) != nil {
		th.listed = false
		l.alive(-1)
		return
	}
	th.indexing = true
	rest := th.tail[th.leaving+th.known:]
	n := min(len(rest), MaxIndex-len(r.places))
	for i := range rest[:n] {
		r.places = append(r.places, rest[i].Place)
		if l.faults.forgetEarly {
			l.ids.remove(&rest[i].Place)
		}
	}
	r.parts = append(r.parts, indexPart{th, n})
}

// indexDone notes what of a thread is in message_ids, and moves indexed where that is all or much.
func (l *Log) indexDone(p indexPart, err error) {
	th := p.th
	th.mu.Lock()
	defer th.mu.Unlock()
	switch {
	case th.gone:
		th.listed, th.indexing = false, false
		l.alive(-1)
	case err != nil:
		l.world.after(l.pause(indexPause), func() {
			l.indexPush(th)
			l.indexStart()
		})
	default:
		th.known += p.n
		if left := len(th.tail) - th.leaving - th.known; left > 0 && th.known < max(1, l.shape.lagItems/4) {
			l.indexPush(th)
			return
		}
		l.run.push(job{(*Log).setIndexed, th})
	}
}

// indexPause is how long what failed off the path waits, as a number of repetitions.
const indexPause = 4

func (l *Log) indexPush(th *thread) {
	l.index.mu.Lock()
	defer l.index.mu.Unlock()
	l.index.waiting.push(th)
}

// setIndexed moves a thread's indexed to what is in message_ids.
func (l *Log) setIndexed(th *thread) job {
	th.mu.Lock()
	n := th.known
	gone := th.gone
	th.mu.Unlock()
	if gone || l.ctx.Err() != nil {
		l.indexOver(th)
		return job{}
	}
	if n > 0 && !l.moveIndexed(th, n) {
		l.world.after(l.pause(indexPause), func() { l.run.push(job{(*Log).setIndexed, th}) })
		return job{}
	}
	th.mu.Lock()
	defer th.mu.Unlock()
	if n > 0 && !th.gone {
		part := th.tail[th.leaving : th.leaving+n]
		th.indexed = part[n-1].Seq
		for i := range part {
			th.lag -= part[i].bytes
		}
		th.leaving += n
		th.known -= n
		if !th.busy {
			l.forgetIDs(th)
		}
	}
	th.listed, th.indexing = false, false
	l.alive(-1)
	if len(th.tail) > th.leaving {
		l.indexLater(th)
	}
	l.schedule(th)
	return job{}
}

// indexOver gives a thread up that is gone.
func (l *Log) indexOver(th *thread) {
	th.mu.Lock()
	defer th.mu.Unlock()
	th.listed, th.indexing = false, false
	l.alive(-1)
}

// moveIndexed writes the static for the first n of what indexed has not passed.
func (l *Log) moveIndexed(th *thread, n int) bool {
	th.mu.Lock()
	if n < 1 || len(th.tail) < th.leaving+n {
		th.mu.Unlock()
		return true
	}
	seq := th.tail[th.leaving+n-1].Seq
	th.mu.Unlock()
	if err := l.q.SetIndexed(l.ctx, th.id, l.shape.bucketOf(seq), seq); err != nil {
		l.failed("write how far ids are written", err)
		return false
	}
	return true
}

// forgetIDs lets ids that are in message_ids leave memory. No turn is under way. mu is held.
func (l *Log) forgetIDs(th *thread) {
	if th.leaving == 0 {
		return
	}
	for i := range th.tail[:th.leaving] {
		l.ids.remove(&th.tail[i].Place)
	}
	left := copy(th.tail, th.tail[th.leaving:])
	th.tail = th.tail[:left]
	th.leaving = 0
	if left == 0 && cap(th.tail) > fifoKeep {
		th.tail = nil
	}
}

// writeHint moves the thread's last_bucket to where its head is.
func (l *Log) writeHint(th *thread) job {
	th.mu.Lock()
	bucket := l.shape.bucketOf(th.head)
	gone := th.gone
	th.mu.Unlock()
	if !gone && l.ctx.Err() == nil {
		if err := l.q.SetBucket(l.ctx, th.id, bucket); err != nil {
			l.failed("write a thread's last bucket", err)
			l.world.after(l.pause(indexPause), func() { l.run.push(job{(*Log).writeHint, th}) })
			return job{}
		}
	}
	th.mu.Lock()
	defer th.mu.Unlock()
	if !th.gone && l.ctx.Err() == nil && l.shape.bucketOf(th.head) > bucket {
		return job{(*Log).writeHint, th}
	}
	th.hinting = false
	l.alive(-1)
	return job{}
}
