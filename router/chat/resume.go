package chat

import (
	"bytes"
	"cmp"
	"slices"
	"sync"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
)

// resumes are those under way: one a connection, and so many threads in all.
type resumes struct {
	mu struct {
		sync.Mutex
		active  map[router.Conn]struct{}
		threads int
	}
}

// enter takes a place for a resume of n threads, and reports whether there was one.
func (s *Service) enter(c router.Conn, n int) bool {
	s.resumes.mu.Lock()
	defer s.resumes.mu.Unlock()
	if _, under := s.resumes.mu.active[c]; under || s.resumes.mu.threads+n > s.cfg.ResumeThreads {
		return false
	}
	s.resumes.mu.active[c] = struct{}{}
	s.resumes.mu.threads += n
	return true
}

// leave gives the place back.
func (s *Service) leave(c router.Conn, n int) {
	s.resumes.mu.Lock()
	defer s.resumes.mu.Unlock()
	delete(s.resumes.mu.active, c)
	s.resumes.mu.threads -= n
}

// Resume sends a client that comes back what it lacks, and then Resumed. When it returns the named
// threads are held: what is delivered live from now on reaches the client after what it lacks. A connection
// that authenticates attaches right after; the heads are read only then. Resume reads no store itself. While
// one resume of a connection is under way another is refused as busy.
func (s *Service) Resume(c router.Caller, r *proto.Request) {
	threads := named(r.Resume.Threads)
	if len(threads) > proto.MaxResume {
		s.metrics.resumes[resumeRefused].Inc()
		s.fail(c, r.Ref, proto.BadField("threads", "threads has too many entries"))
		return
	}
	if !s.enter(c.Conn, len(threads)) {
		s.metrics.resumes[resumeRefused].Inc()
		s.fail(c, r.Ref, errResuming)
		return
	}
	ids := make([]id.Thread, len(threads))
	for i := range threads {
		ids[i] = threads[i].thread
	}
	f := &resumption{service: s, caller: c, ref: bytes.Clone(r.Ref), all: r.Resume.All, threads: threads, left: len(threads)}
	if len(ids) > 0 {
		s.replay.Hold(c.Conn, ids)
	}
	f.wake()
}

// named gives the threads in the order of their ids, each once, with the lowest of the seqs it came with.
func named(from []proto.ThreadSeq) []resuming {
	list := make([]resuming, 0, len(from))
	for _, t := range from {
		if !t.Thread.IsZero() {
			list = append(list, resuming{thread: t.Thread, seq: t.Seq})
		}
	}
	slices.SortFunc(list, func(a, b resuming) int {
		return cmp.Or(a.compare(b.thread), cmp.Compare(a.seq, b.seq))
	})
	return slices.CompactFunc(list, func(a, b resuming) bool { return a.thread == b.thread })
}
