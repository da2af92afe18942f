package chat

import (
	"bytes"
	"errors"
	"slices"
	"sync"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/store"
)

const (
	closeSlow   = 4413
	checkAtOnce = 64  // threads whose membership one Next checks
	othersPage  = 200 // threads read at once for all:true
	maxOthers   = 1000
	// maxLifts bounds the tries to lift a hold that overflows each time, after its thread was given up.
	maxLifts = 8
)

// resumption answers one resume. The loops drive it, as a router.Feeder; the log tells it the heads.
//
// For every named thread, after the hold that Resume has set:
//
//	R1  Mark: h is the durable head. What is delivered from then on is above h, and is held.
//	R2  (seq, h] is read from the log in pages and sent past the hold.
//	R3  Release(h): the held messages above h follow, the others were sent already; live flows.
//	R4  When the hold overflowed, R1 again, from what was sent. After ResumeRounds of them, or
//	    ResumeMessages or ResumeBytes, the thread is given up: complete is false, and live flows.
//
// No goroutine waits for any of it.
type resumption struct {
	service *Service
	caller  router.Caller
	ref     []byte
	all     bool

	// Owned by the feeder's methods, which are called one at a time.
	threads []resuming // in the order of their ids
	checked int        // threads whose membership is known
	left    int        // threads that are still held
	ended   bool

	mu struct {
		sync.Mutex
		feeding bool // Next will be called, or runs
		ready   []measured
	}
}

// measured is a thread whose head the log has told.
type measured struct {
	at   int // in threads
	head uint64
}

// resuming is one thread of a resumption.
type resuming struct {
	thread  id.Thread
	seq     uint64 // sent so far
	head    uint64
	sent    int // messages
	bytes   int
	round   int
	lifts   int
	barred  bool // not the user's
	givenUp bool // nothing more is sent up to the head
	failed  bool // the head is not known
}

func (t *resuming) compare(to id.Thread) int { return bytes.Compare(t.thread.ID[:], to.ID[:]) }

// wake makes Next be called if it is not going to be. It never blocks. What it is called for (a thread in
// ready, or that none is left) stands before the call, so that a Next that still runs sees it in rest.
func (f *resumption) wake() {
	f.mu.Lock()
	start := !f.mu.feeding
	f.mu.feeding = true
	f.mu.Unlock()
	if start {
		f.service.replay.Feed(f.caller.Conn, f)
	}
}

// rest reports whether there is something to do at once; if not, the next wake starts a new feed.
func (f *resumption) rest() (more bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	more = len(f.mu.ready) > 0
	f.mu.feeding = more
	return more
}

// Next does one step: some checks, or one page of one thread.
func (f *resumption) Next() (more bool) {
	switch {
	case f.ended:
		return false
	case f.checked == 0 && len(f.threads) > 0 && !f.service.router.Attached(f.caller):
		// Resume comes before Attach, on another worker, which is about to make it. What became durable
		// between a head and Attach would be neither in the backlog nor held.
		return true
	case f.checked < len(f.threads):
		f.check()
		if f.checked < len(f.threads) {
			return true
		}
	default:
		f.step()
	}
	if f.left == 0 {
		f.finish()
		return false
	}
	return f.rest()
}

// step sends a page of the first thread that is ready, and releases it after the last.
func (f *resumption) step() {
	f.mu.Lock()
	if len(f.mu.ready) == 0 {
		f.mu.Unlock()
		return
	}
	first := f.mu.ready[0]
	f.mu.Unlock()
	t := &f.threads[first.at]
	t.head = first.head
	if !f.page(t) {
		return
	}
	f.mu.Lock()
	f.mu.ready = f.mu.ready[1:]
	f.mu.Unlock()
	f.service.replay.Release(f.caller.Conn, t.thread, t.head, f)
}

// check finds out which of the next threads are the user's, and asks the log for their heads.
func (f *resumption) check() {
	s := f.service
	for end := min(f.checked+checkAtOnce, len(f.threads)); f.checked < end; f.checked++ {
		t := &f.threads[f.checked]
		err := s.Member(s.base, t.thread, f.caller.User)
		if err == nil {
			f.measure(f.checked)
			continue
		}
		if e := s.coded(err); e.Code == proto.Internal { // our fault: nothing is sent, and the client asks again
			t.givenUp, t.failed = true, true
		} else {
			t.barred = true
		}
		s.replay.Release(f.caller.Conn, t.thread, 0, f)
	}
}

// measure starts a round for a thread: the log tells its head.
func (f *resumption) measure(at int) {
	f.threads[at].round++
	f.service.store.Log.Mark(f.threads[at].thread, func(head uint64) {
		f.mu.Lock()
		f.mu.ready = append(f.mu.ready, measured{at, head})
		f.mu.Unlock()
		f.wake()
	})
}

// page sends some of what a thread lacks, and reports whether that was the last of it.
func (f *resumption) page(t *resuming) (done bool) {
	s := f.service
	switch {
	case t.seq <= t.head:
	case t.head == 0: // the log was closed, or the client made it up: it keeps what it has
		t.givenUp = true
	default: // the client has seen what is not there any more
		t.seq = t.head
	}
	if t.givenUp || t.seq == t.head {
		return true
	}
	list, err := s.store.Log.After(s.base, t.thread, t.seq, min(s.cfg.ResumePage, s.cfg.ResumeMessages-t.sent))
	if err == nil && (len(list) == 0 || list[0].Seq != t.seq+1) {
		err = errors.New("the log has a hole")
	}
	if err != nil {
		s.log.Error("resume", "thread", t.thread, "after", t.seq, "err", err)
		t.givenUp = true
		return true
	}
	for i := range list {
		m := &list[i]
		if m.Seq > t.head {
			break
		}
		s.replay.Backfill(f.caller.Conn, &proto.NewMessage{Message: m})
		s.metrics.backfilled.Inc()
		t.seq = m.Seq
		t.sent++
		t.bytes += size(m)
		if t.bytes >= s.cfg.ResumeBytes {
			break
		}
	}
	if t.seq < t.head && (t.bytes >= s.cfg.ResumeBytes || t.sent >= s.cfg.ResumeMessages) {
		t.givenUp = true
	}
	return t.givenUp || t.seq == t.head
}

// Released ends a thread, or starts its next round when the hold overflowed.
func (f *resumption) Released(thread id.Thread, ok bool) {
	at, found := slices.BinarySearchFunc(f.threads, thread, func(t resuming, to id.Thread) int { return t.compare(to) })
	if !found || f.ended {
		return
	}
	s, t := f.service, &f.threads[at]
	if ok {
		if f.left--; f.left == 0 {
			f.wake() // for Resumed
		}
		return
	}
	s.metrics.overflows.Inc()
	switch {
	case t.barred:
		s.replay.Release(f.caller.Conn, thread, 0, f)
	case !t.givenUp && t.round < s.cfg.ResumeRounds:
		f.measure(at)
	case t.lifts == maxLifts:
		s.sink.Close(f.caller.Conn, closeSlow, "cannot keep up with a thread")
		f.Gone()
	default: // the head is read once more, to tell how much is missing; nothing is sent up to it
		t.givenUp = true
		t.lifts++
		f.measure(at)
	}
}

// Gone ends the resumption of a connection that was closed.
func (f *resumption) Gone() {
	if f.ended {
		return
	}
	f.ended = true
	f.service.leave(f.caller.Conn, len(f.threads))
	f.service.metrics.resumes[resumeGone].Inc()
}

// finish tells the client where every thread stands.
func (f *resumption) finish() {
	f.ended = true
	s := f.service
	result := resumeComplete
	states := make([]proto.ThreadState, 0, len(f.threads))
	for i := range f.threads {
		t := &f.threads[i]
		if t.barred {
			continue
		}
		state := proto.ThreadState{Thread: t.thread, Head: t.head, Seq: t.seq, Named: true}
		if state.Complete = t.seq == t.head && !t.failed; !state.Complete {
			result = resumeCut
		}
		states = append(states, state)
	}
	if f.all {
		states = f.others(states)
	}
	s.leave(f.caller.Conn, len(f.threads))
	s.metrics.resumes[result].Inc()
	s.sink.Deliver([]router.Conn{f.caller.Conn}, 0, &proto.Resumed{Ref: f.ref, Threads: states})
}

// others adds the user's most recent threads that were not named.
func (f *resumption) others(states []proto.ThreadState) []proto.ThreadState {
	s := f.service
	var after []byte
	for found := 0; found < maxOthers; {
		var list []store.ThreadOf
		var err error
		list, after, err = s.store.Threads.ByUser(s.base, f.caller.User, after, othersPage)
		if err != nil {
			s.log.Error("resume: list threads", "err", err)
			return states
		}
		for i := range list {
			_, named := slices.BinarySearchFunc(f.threads, list[i].ID, func(t resuming, to id.Thread) int { return t.compare(to) })
			if !named && found < maxOthers {
				states = append(states, proto.ThreadState{Thread: list[i].ID, Head: list[i].Head})
				found++
			}
		}
		if after == nil {
			break
		}
	}
	return states
}
