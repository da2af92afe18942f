package threadlog

import (
	"errors"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// turn is what of a thread is on its way together: looked up, written, fenced and answered as one. There is
// one at a time a thread, and its owner is whoever runs the thread's step.
type turn struct {
	items   []turnItem
	entries int
	bytes   int // of the entries
	added   int // bytes of the new ones

	ids    []id.Message // to be looked up
	asked  []int        // which item each is of
	places []Place      // what came of it

	messages []store.Message // the new ones, in order; they alias their entries until the senders were told
	stands   []unindexed     // of messages
	written  bool
	told     bool // the entries were answered, and are their callers' again
	body     []byte
}

// turnItem is an entry or a mark, and what is to become of it.
type turnItem struct {
	item
	hash  Hash
	of    int   // the place in items of an earlier entry with the same id, plus one
	at    int   // the place in messages, plus one
	first Place // where it stood before
}

func newTurn() *turn { return &turn{} }

// turnKeep is how large a turn's scratch may be to be used again.
const turnKeep = 64 << 10

// reset empties the turn and keeps its memory, but nothing that it referred to.
func (t *turn) reset() {
	clear(t.items)
	clear(t.messages)
	body := t.body[:0]
	if cap(body) > turnKeep {
		body = nil
	}
	*t = turn{
		items: t.items[:0], ids: t.ids[:0], asked: t.asked[:0], places: t.places[:0],
		messages: t.messages[:0], stands: t.stands[:0], body: body,
	}
}

// begin takes what the next turn holds, and answers what needs no turn.
func (l *Log) begin(th *thread) job {
	th.mu.Lock()
	if !th.active {
		th.mu.Unlock()
		return l.activate(th)
	}
	if err := l.over(th); err != nil {
		th.mu.Unlock()
		return l.drop(th, err)
	}
	t := l.turns.Get().(*turn) //nolint:forcetypeassert // the pool has nothing else
	th.turn = t
	l.fill(th, t)
	th.mu.Unlock()
	if t.entries == 0 {
		return l.conclude(th, th.head)
	}
	if l.unknown.Load() >= int64(l.cfg.UnknownThreads) {
		return l.refuseTurn(th, refusedUnknown)
	}
	l.recall(t)
	if len(t.ids) == 0 {
		return l.place(th)
	}
	if l.lookups.join(th) {
		return job{(*Log).lookUp, nil}
	}
	return job{}
}

// fill moves a turn's worth of the queue into t: it ends at the end of the bucket. mu is held.
func (l *Log) fill(th *thread, t *turn) {
	room := l.shape.turnItems
	if left := l.shape.bucketEnd(th.head>>l.shape.bucketBits) - th.head; uint64(room) > left {
		room = int(left)
	}
	wait := th.mustWait(l)
	for th.queue.len() > 0 {
		it := th.queue.at(0)
		if it.entry != nil {
			size := costs(&it.entry.Message)
			if wait || t.entries >= room || t.entries > 0 && t.bytes+size > l.shape.turnBytes {
				break
			}
			t.entries++
			t.bytes += size
			th.entries--
		}
		t.items = append(t.items, turnItem{item: th.queue.pop()})
	}
}

// recall finds what memory knows of the turn's ids, and what is to be looked up. Memory is asked first: an
// id leaves it only after it is in message_ids.
func (l *Log) recall(t *turn) {
	for i := range t.items {
		it := &t.items[i]
		if it.entry == nil {
			continue
		}
		m := &it.entry.Message
		it.hash, t.body = bodyHash(t.body[:0], m)
		if it.of = t.earlier(i, m.ID) + 1; it.of > 0 {
			continue
		}
		if p, ok := l.ids.get(m.ID); ok {
			it.first = p
		} else if !l.cfg.Import && !l.faults.noLookup {
			t.ids = append(t.ids, m.ID)
			t.asked = append(t.asked, i)
		}
	}
}

// earlier is the first item before i with an id, or -1.
func (t *turn) earlier(i int, m id.Message) int {
	for j := range t.items[:i] {
		if e := t.items[j].entry; e != nil && e.ID == m {
			return j
		}
	}
	return -1
}

// lookUp asks for the ids of all turns that wait for it.
func (l *Log) lookUp(*thread) job {
	list := l.lookups.take(MaxLookup, func(th *thread) int { return len(th.turn.ids) })
	if len(list) == 0 {
		if l.lookups.next() {
			return job{(*Log).lookUp, nil}
		}
		return job{}
	}
	q := l.questions.Get().(*question) //nolint:forcetypeassert // the pool has nothing else
	for _, th := range list {
		q.ids = append(q.ids, th.turn.ids...)
	}
	for range q.ids {
		q.places = append(q.places, Place{})
	}
	err := l.q.Lookup(l.ctx, q.ids, q.places)
	l.metrics.lookups.Observe(float64(len(q.ids)))
	if l.lookups.next() {
		l.run.push(job{(*Log).lookUp, nil})
	}
	if err != nil {
		l.failed("look message ids up", err)
	}
	n := 0
	for i, th := range list {
		t := th.turn
		t.places = append(t.places, q.places[n:n+len(t.ids)]...)
		n += len(t.ids)
		next := job{(*Log).place, th}
		if err != nil {
			next.do = (*Log).refuseLookup
		}
		if i == len(list)-1 {
			l.questions.Put(q.reset())
			l.lookups.recycle(list)
			return next
		}
		l.run.push(next)
	}
	return job{}
}

// question is what one look-up asks, and its answers.
type question struct {
	ids    []id.Message
	places []Place
}

func (q *question) reset() *question {
	q.ids, q.places = q.ids[:0], q.places[:0]
	return q
}

// refuseLookup ends a turn whose ids could not be looked up. Nothing of it was written.
func (l *Log) refuseLookup(th *thread) job {
	if err := l.over(th); err != nil {
		return l.drop(th, err)
	}
	return l.refuseTurn(th, refusedStore)
}

// place gives out seq to what is new.
func (l *Log) place(th *thread) job {
	if err := l.over(th); err != nil {
		return l.drop(th, err)
	}
	t := th.turn
	for k, i := range t.asked {
		if p := &t.places[k]; p.Seq > 0 {
			p.Message = t.ids[k]
			t.items[i].first = *p
		}
	}
	for i := range t.items {
		it := &t.items[i]
		if it.entry == nil || it.of > 0 || it.first.Seq > 0 {
			continue
		}
		m := &it.entry.Message
		seq := th.head + uint64(len(t.messages)) + 1 // only this turn moves it
		if l.cfg.Import && m.Seq != seq {
			continue // a conflict: it stands nowhere
		}
		t.messages = append(t.messages, *m)
		it.at = len(t.messages)
		t.messages[it.at-1].Seq = seq
		size := costs(m)
		t.added += size
		t.stands = append(t.stands, unindexed{Place{m.ID, m.Thread, seq, m.Sent, it.hash}, size})
	}
	if len(t.messages) == 0 {
		return l.toFence(th)
	}
	return l.write(th)
}

// write writes the turn's messages: always the same, until they are in or the node is gone. A refusal at
// the first attempt ends the turn; after one unknown outcome there are no refusals.
func (l *Log) write(th *thread) job {
	if err := l.over(th); err != nil {
		return l.drop(th, err)
	}
	t := th.turn
	if !t.written {
		err := l.q.Write(l.ctx, th.id, l.shape.bucketOf(t.messages[0].Seq), Term{th.epoch, th.start}, t.messages)
		if err != nil {
			return l.notWritten(th, err)
		}
		t.written = true
	}
	if t.messages[0].Seq == 1 && !t.messages[0].Group() && !l.faults.lateFirst {
		if err := l.q.First(l.ctx, firstOf(&t.messages[0])); err != nil {
			l.failed("write a thread's rows", err)
			if over := l.over(th); over != nil {
				return l.drop(th, over)
			}
			l.unsure(th)
			return l.again(th, (*Log).write)
		}
	}
	th.fails = 0
	return l.toFence(th)
}

// notWritten decides what follows a write that failed.
func (l *Log) notWritten(th *thread, err error) job {
	l.failed("write messages", err)
	if over := l.over(th); over != nil {
		return l.drop(th, over)
	}
	if errors.Is(err, ErrRefused) && (!th.unknown || l.faults.refusedIsFinal) {
		return l.refuseTurn(th, refusedStore)
	}
	l.unsure(th)
	if l.faults.newBatch {
		return l.refuseTurn(th, refusedUnknown)
	}
	return l.again(th, (*Log).write)
}

// unsure counts the thread against the budget of unknown outcomes.
func (l *Log) unsure(th *thread) {
	if !th.unknown {
		th.unknown = true
		l.unknown.Add(1)
	}
	l.metrics.unknown.Inc()
}

// sure ends that.
func (l *Log) sure(th *thread) {
	if th.unknown {
		th.unknown = false
		l.unknown.Add(-1)
	}
}

// again repeats a step: the first time at once, since another coordinator may well answer; then after a
// pause, and who waits in the thread is told to come again meanwhile.
func (l *Log) again(th *thread, do step) job {
	if th.fails++; th.fails == 1 {
		return job{do, th}
	}
	l.tell(th)
	l.world.after(l.pause(th.fails), func() { l.run.push(job{do, th}) })
	return job{}
}

// tell answers the senders of a turn that does not get on, and whoever waits behind it. Marks are given the
// durable head: none of what is on its way will be told to anyone by Done.
func (l *Log) tell(th *thread) {
	told := l.turns.Get().(*turn) //nolint:forcetypeassert // the pool has nothing else
	th.mu.Lock()
	th.stuck = true
	for range th.queue.len() {
		it := th.queue.pop()
		if it.mark != nil && !th.active { // there is no head yet to call it with
			th.queue.push(it)
			continue
		}
		if it.entry != nil {
			th.entries--
		}
		told.items = append(told.items, turnItem{item: it})
	}
	readers := th.takeReaders()
	head := th.head
	th.mu.Unlock()
	if t := th.turn; t != nil && !t.told {
		t.detach()
		l.tellItems(t.items, head)
		clear(t.items)
		t.items = t.items[:0]
	}
	for i := range told.items {
		if e := told.items[i].entry; e != nil {
			l.budget.give(1, costs(&e.Message))
		}
	}
	l.tellItems(told.items, head)
	told.reset()
	l.turns.Put(told)
	endReaders(readers, store.ErrBusy)
}

// tellItems answers in order: entries are to come again, marks are at the durable head.
func (l *Log) tellItems(items []turnItem, head uint64) {
	for i := range items {
		if it := &items[i]; it.mark != nil {
			it.mark(head)
		} else {
			l.refuseBusy(it.entry, refusedUnknown)
		}
	}
}

// detach makes the turn's messages its own, before the entries go back to their callers.
func (t *turn) detach() {
	t.told = true
	for i := range t.messages {
		own(&t.messages[i])
	}
}

// refuseTurn ends a turn of which nothing was written.
func (l *Log) refuseTurn(th *thread, why refusal) job {
	t := th.turn
	for i := range t.items {
		if e := t.items[i].entry; e != nil {
			e.Duplicate, e.Err = false, store.ErrBusy
			l.metrics.refused[why].Inc()
		}
	}
	t.messages, t.stands = t.messages[:0], t.stands[:0]
	return l.conclude(th, th.head)
}
