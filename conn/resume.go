package conn

import (
	"runtime/debug"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/proto/ws"
	"github.com/tolkflip/tolkflip/router"
)

const (
	holdItems = 256       // events that a hold keeps back
	holdBytes = 256 << 10 // bytes of those; all holds of a connection together keep Config.OutboundBytes
	maxHolds  = 4096      // threads of one connection that are held; more are not, and live events pass
	feedBelow = 256 << 10 // bytes that may wait for a connection that is fed
)

// resume is the holds and feeders of one connection. It belongs to the loop.
type resume struct {
	holds map[id.Thread]*hold
	held  int // bytes in all holds
	feeds []*feed
}

// hold keeps the live messages of one thread back while older ones are on their way.
type hold struct {
	frames []*frame
	bytes  int
	claims int          // Releases that are still to come
	last   *holdThreads // the last that claimed it
	over   bool         // it overflowed: what it had was dropped, as is what comes, until the next Release
}

// keep takes a live frame, with its reference, if its thread is held.
func (r *resume) keep(l *loop, f *frame) bool {
	h := r.holds[f.thread]
	if h == nil {
		return false
	}
	n := len(f.bytes)
	switch {
	case h.over:
	case len(h.frames) == holdItems, h.bytes+n > holdBytes, r.held+n > l.server.config.OutboundBytes:
		h.over = true
		l.stats.overflows.add(1)
		r.empty(l, h)
	default:
		h.frames = append(h.frames, f)
		h.bytes += n
		r.held += n
		return true
	}
	l.stats.dropped[dropHold].add(1)
	l.server.frames.release(f, 1)
	return true
}

// empty drops what a hold has.
func (r *resume) empty(l *loop, h *hold) {
	for _, f := range h.frames {
		l.server.frames.release(f, 1)
	}
	l.stats.dropped[dropHold].add(int64(len(h.frames)))
	r.held -= h.bytes
	h.frames, h.bytes = nil, 0
}

// feed is a Feeder at one connection. All but job belongs to the loop; job is the worker's while running.
type feed struct {
	server  *Server
	conn    router.Conn
	feeder  router.Feeder
	wants   bool // Next is to be called until it says that there is no more
	again   bool // Feed came while a worker had it, perhaps after Next had looked: its "no more" does not count
	running bool // a worker has it
	dead    bool // the connection is gone: only Gone is still to be called
	news    []released
	job     struct {
		next bool
		gone bool
		news []released
		more bool // result
	}
}

// released is what a feeder is to be told of a Release.
type released struct {
	thread id.Thread
	ok     bool
}

// feed gives the workers what can be done for a connection's feeders while size bytes wait for it. Only
// the first that wants to be asked for more is asked; the others wait for it to end.
func (r *resume) feed(size int) {
	first := true
	kept := r.feeds[:0]
	for _, f := range r.feeds {
		next := f.wants && first
		if f.wants {
			first = false
		}
		if !f.running && (len(f.news) > 0 || next && size < feedBelow) {
			f.start(next && size < feedBelow)
		}
		if f.running || f.wants {
			kept = append(kept, f)
		}
	}
	clear(r.feeds[len(kept):])
	r.feeds = kept
}

// start hands the feed to the workers.
func (f *feed) start(next bool) {
	f.running = true
	f.job.next, f.job.gone, f.job.more = next, f.dead, false
	f.job.news, f.news = f.news, f.job.news[:0]
	f.server.queue.push(f)
}

// run calls the feeder on a worker.
func (f *feed) run(*worker) {
	defer func() {
		if cause := recover(); cause != nil {
			f.server.panicked("feeder", cause, debug.Stack())
			f.server.Close(f.conn, ws.CloseInternal, "internal error")
			f.job.next, f.job.more = true, false
		}
		f.server.must(f.conn, nil, fed{f})
	}()
	if f.job.gone {
		f.feeder.Gone()
		return
	}
	for _, n := range f.job.news {
		f.feeder.Released(n.thread, n.ok)
	}
	if f.job.next {
		f.job.more = f.feeder.Next()
	}
}

// fed ends a run of a feed.
type fed struct{ feed *feed }

func (o fed) apply(l *loop, c router.Conn, _ *frame) {
	f := o.feed
	f.running = false
	if f.job.next {
		f.wants = f.job.more || f.again
	}
	f.again = false
	clear(f.job.news)
	if f.dead {
		if f.job.gone {
			l.bury(f)
		} else {
			f.start(false)
		}
		return
	}
	if s := l.find(c); s != nil {
		l.feed(int(c.Slot()), s)
	}
}

// bury forgets a feed whose feeder knows that the connection is gone.
func (l *loop) bury(f *feed) {
	for i, o := range l.orphans {
		if o == f {
			last := len(l.orphans) - 1
			l.orphans[i], l.orphans[last] = l.orphans[last], nil
			l.orphans = l.orphans[:last]
			return
		}
	}
}

// feed goes on with a connection's feeders, and gives the resume back when nothing is left of it.
func (l *loop) feed(fd int, s *slot) {
	if s.side == 0 {
		return
	}
	d := l.sides.all[s.side]
	if d.resume == nil {
		return
	}
	d.resume.feed(d.size)
	if len(d.resume.feeds) == 0 && len(d.resume.holds) == 0 {
		d.resume = nil
		l.rest(s, d)
	}
}

// gone ends a resume with its connection: the holds are dropped and the feeders told.
func (r *resume) gone(l *loop) {
	for _, h := range r.holds {
		r.empty(l, h)
	}
	for _, f := range r.feeds {
		l.orphan(f)
	}
}

// orphan has the workers call Gone.
func (l *loop) orphan(f *feed) {
	f.dead, f.wants, f.again = true, false, false
	f.news = f.news[:0]
	l.orphans = append(l.orphans, f)
	if !f.running {
		f.start(false)
	}
}

// feeder finds or makes the feed of a feeder. On a connection that is gone it sees to it that the feeder is
// told, once, and gives nil.
func (l *loop) feeder(c router.Conn, of router.Feeder) (*feed, *resume, *slot) {
	s := l.find(c)
	if s == nil || s.has(isClosing) {
		for _, f := range l.orphans {
			if f.feeder == of && f.conn == c {
				return nil, nil, nil
			}
		}
		l.orphan(&feed{server: l.server, conn: c, feeder: of})
		return nil, nil, nil
	}
	d := l.busy(s)
	if d.resume == nil {
		d.resume = &resume{}
	}
	for _, f := range d.resume.feeds {
		if f.feeder == of {
			return f, d.resume, s
		}
	}
	f := &feed{server: l.server, conn: c, feeder: of}
	d.resume.feeds = append(d.resume.feeds, f)
	return f, d.resume, s
}

// holdThreads is the operation of Hold.
type holdThreads struct{ threads []id.Thread }

func (o *holdThreads) apply(l *loop, c router.Conn, _ *frame) {
	s := l.find(c)
	if s == nil || s.has(isClosing) || len(o.threads) == 0 {
		return
	}
	d := l.busy(s)
	if d.resume == nil {
		d.resume = &resume{}
	}
	if d.resume.holds == nil {
		d.resume.holds = make(map[id.Thread]*hold, len(o.threads))
	}
	for _, t := range o.threads {
		h := d.resume.holds[t]
		if h == nil {
			if len(d.resume.holds) == maxHolds {
				l.stats.overflows.add(1)
				continue
			}
			h = &hold{}
			d.resume.holds[t] = h
		}
		if h.last != o { // a thread that is named twice is held once
			h.last = o
			h.claims++
		}
	}
}

// feedFrom is the operation of Feed.
type feedFrom struct{ feeder router.Feeder }

func (o feedFrom) apply(l *loop, c router.Conn, _ *frame) {
	if f, _, s := l.feeder(c, o.feeder); f != nil {
		f.wants, f.again = true, f.running
		l.feed(int(c.Slot()), s)
	}
}

// releaseThread is the operation of Release.
type releaseThread struct {
	thread id.Thread
	upTo   uint64
	feeder router.Feeder
}

func (o *releaseThread) apply(l *loop, c router.Conn, _ *frame) {
	f, r, s := l.feeder(c, o.feeder)
	if f == nil {
		return
	}
	var frames []*frame
	ok := true
	if h := r.holds[o.thread]; h != nil && h.over {
		h.over, ok = false, false
	} else if h != nil {
		frames = h.frames
		r.held -= h.bytes
		h.frames, h.bytes = nil, 0
		if h.claims--; h.claims == 0 {
			delete(r.holds, o.thread)
		}
	}
	f.news = append(f.news, released{o.thread, ok})
	fd, key := int(c.Slot()), s.key.Load()
	l.releaseHeld(fd, s, frames, o.upTo)
	if s.key.Load() == key {
		l.feed(fd, s)
	}
}

// releaseHeld sends held frames above upTo and drops the others.
func (l *loop) releaseHeld(fd int, s *slot, frames []*frame, upTo uint64) {
	key := s.key.Load()
	for _, f := range frames {
		if f.seq <= upTo || s.key.Load() != key || s.has(isClosing) {
			l.server.frames.release(f, 1)
			continue
		}
		l.enqueue(fd, s, f, true)
	}
}

// Hold implements router.Replayer.
func (s *Server) Hold(c router.Conn, threads []id.Thread) {
	s.must(c, nil, &holdThreads{threads: append([]id.Thread(nil), threads...)})
}

// Backfill implements router.Replayer.
func (s *Server) Backfill(c router.Conn, ev proto.Event) {
	f := s.frames.event(s.dialects[c.Dialect()], ev)
	f.bulk = true
	s.must(c, f, backfill{})
}

// backfill delivers a frame past the holds.
type backfill struct{}

func (backfill) apply(l *loop, c router.Conn, f *frame) {
	s := l.find(c)
	if s == nil || s.has(isClosing) {
		l.stats.dropped[dropGone].add(1)
		l.server.frames.release(f, 1)
		return
	}
	l.enqueue(int(c.Slot()), s, f, true)
}

// Feed implements router.Replayer.
func (s *Server) Feed(c router.Conn, f router.Feeder) { s.must(c, nil, feedFrom{f}) }

// Release implements router.Replayer.
func (s *Server) Release(c router.Conn, t id.Thread, upTo uint64, f router.Feeder) {
	s.must(c, nil, &releaseThread{thread: t, upTo: upTo, feeder: f})
}
