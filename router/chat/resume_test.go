package chat

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/memory"
)

// resume resumes and gives the messages' seqs and the states by thread, as text.
func (w *world) resume(c router.Caller, from proto.ResumeFrom) (seqs, states string) {
	w.t.Helper()
	w.Resume(c, &proto.Request{Ref: []byte("9"), Resume: from})
	var got, st []string
	for {
		for _, f := range w.loops.Wait(c.Conn, 1) {
			switch e := f.Event.(type) {
			case *proto.NewMessage:
				got = append(got, fmt.Sprint(e.Message.Seq))
			case *proto.Resumed:
				if string(e.Ref) != "9" {
					w.t.Errorf("ref %q", e.Ref)
				}
				for _, s := range e.Threads {
					text := fmt.Sprintf("head %d", s.Head)
					if s.Named {
						text += fmt.Sprintf(" seq %d", s.Seq)
					}
					st = append(st, fmt.Sprintf("%s %v", text, s.Complete))
				}
				return strings.Join(got, " "), strings.Join(st, ", ")
			default:
				w.t.Fatalf("got %+v", e)
			}
		}
	}
}

func TestResumeAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ann, bob, eve := w.user(), w.user(), w.user()
	group := w.group(ann, eve)
	empty := w.group(ann)
	for range 5 {
		w.post(bob, id.Thread{}, ann, "x")
	}
	w.post(eve, group, id.User{}, "x")
	w.post(bob, id.Thread{}, eve, "x") // not ann's
	mine, theirs := id.Direct(ann, bob), id.Direct(bob, eve)
	from := func(all bool, list ...any) proto.ResumeFrom {
		r := proto.ResumeFrom{Asked: true, All: all}
		for i := 0; i < len(list); i += 2 {
			r.Threads = append(r.Threads, proto.ThreadSeq{Thread: list[i].(id.Thread), Seq: uint64(list[i+1].(int))})
		}
		return r
	}
	for _, c := range []struct {
		name         string
		from         proto.ResumeFrom
		seqs, states string
	}{
		{"nothing", from(false), "", ""},
		{"some", from(false, mine, 3), "4 5", "head 5 seq 5 true"},
		{"up to date", from(false, mine, 5), "", "head 5 seq 5 true"},
		{"beyond the head", from(false, mine, 9), "", "head 5 seq 5 true"},
		{"named twice", from(false, mine, 4, mine, 2, mine, 3), "3 4 5", "head 5 seq 5 true"},
		{"without a message", from(false, empty, 0), "", "head 0 seq 0 true"},
		{"not one's own", from(false, theirs, 0), "", ""},
		{"unknown", from(false, id.NewGroup(), 0), "", ""},
		{"not one's own among others", from(false, theirs, 0, mine, 4), "5", "head 5 seq 5 true"},
		{"all", from(true, mine, 5, empty, 0, group, 0), "1", "head 5 seq 5 true, head 1 seq 1 true, head 0 seq 0 true"},
		{"the others", from(true), "", "head 1 false, head 5 false, head 0 false"},
	} {
		seqs, states := w.resume(w.connect(ann), c.from)
		if c.name == "all" || c.name == "the others" { // in the order of ids, or of the store
			if len(states) != len(c.states) {
				t.Errorf("%s: %q, want %q", c.name, states, c.states)
			}
			continue
		}
		if seqs != c.seqs || states != c.states {
			t.Errorf("%s: %q %q, want %q %q", c.name, seqs, states, c.seqs, c.states)
		}
	}
}

// TestResumeLimits: a thread ends after so many messages, or bytes, with complete false and the seq reached.
func TestResumeLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ann, bob, eve := w.user(), w.user(), w.user()
	for range 1203 {
		w.post(bob, id.Thread{}, ann, "x")
	}
	big := strings.Repeat("x", 60<<10)
	for range 25 {
		w.post(eve, id.Thread{}, ann, big)
	}
	seqs, states := w.resume(w.connect(ann), proto.ResumeFrom{Threads: []proto.ThreadSeq{{Thread: id.Direct(ann, bob), Seq: 100}}})
	if states != "head 1203 seq 1100 false" || strings.Count(seqs, " ") != 999 || !strings.HasPrefix(seqs, "101 ") {
		t.Errorf("%d messages, %q", strings.Count(seqs, " ")+1, states)
	}
	seqs, states = w.resume(w.connect(ann), proto.ResumeFrom{Threads: []proto.ThreadSeq{{Thread: id.Direct(ann, eve)}}})
	if states != "head 25 seq 17 false" || strings.Count(seqs, " ") != 16 {
		t.Errorf("%d messages, %q", strings.Count(seqs, " ")+1, states)
	}
}

// TestResumeRounds: the hold overflows in each of three rounds; then the thread is given up, and live flows.
func TestResumeRounds(t *testing.T) {
	t.Parallel()
	m := newModel(t, 4)
	m.service.cfg.ResumeRounds = 3
	m.service.cfg.ResumeMessages = 1000
	m.service.cfg.ResumeBytes = 1 << 20
	m.loops.MaxHeld = 1
	th := m.threads[0]
	th.last = uint64(len(m.log.threads[th.id]))
	m.service.Resume(m.client, &proto.Request{Resume: proto.ResumeFrom{Threads: []proto.ThreadSeq{{Thread: th.id, Seq: th.last}}}})
	m.service.router.Attach(m.client)
	for m.resumed == nil {
		// Whenever the log is about to tell the head, three more come behind it: the hold takes one.
		if len(m.log.queue) > 0 {
			for range 3 {
				m.send(th)
			}
			for m.log.step() {
			}
		}
		m.loops.Step(func(int) int { return 0 })
		for _, f := range m.loops.Take(m.client.Conn) {
			if e, ok := f.Event.(*proto.Resumed); ok {
				m.resumed = e
			} else if n := f.Event.(*proto.NewMessage).Message; n.Seq == th.last+1 {
				th.last++
			}
		}
		if m.loops.Closed(m.client.Conn) != nil {
			break
		}
	}
	// Three rounds with sends behind every mark: what is given up is closed when it never gets through.
	if c := m.loops.Closed(m.client.Conn); c == nil || c.Code != closeSlow {
		t.Errorf("closed %+v, want %d: the hold never stopped to overflow", c, closeSlow)
	}
	if n := len(m.service.resumes.mu.active) + m.service.resumes.mu.threads; n != 0 {
		t.Error("the resume was not ended")
	}
}

// TestResumeOnce: a second resume of a connection, and one beyond the server's budget, are refused as busy.
func TestResumeOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *memory.Config, c *Config) { c.ResumeThreads = 2 })
	ann, bob := w.user(), w.user()
	w.post(bob, id.Thread{}, ann, "x")
	a, b := w.connect(ann), w.connect(ann)
	w.loops.Pause(a.Conn, true)
	one := proto.ResumeFrom{Threads: []proto.ThreadSeq{{Thread: id.Direct(ann, bob)}}}
	w.Resume(a, &proto.Request{Resume: one})
	w.Resume(a, &proto.Request{Ref: []byte("5"), Resume: one})
	f := w.loops.Wait(a.Conn, 1)
	if e, ok := f[0].Event.(*proto.Failure); !ok || e.Err.Code != proto.Busy || string(e.Ref) != "5" {
		t.Errorf("got %+v", f[0].Event)
	}
	two := proto.ResumeFrom{Threads: append([]proto.ThreadSeq{{Thread: id.NewGroup()}}, one.Threads...)}
	w.Resume(b, &proto.Request{Resume: two})
	f = w.loops.Wait(b.Conn, 1)
	if e, ok := f[0].Event.(*proto.Failure); !ok || e.Err.Code != proto.Busy {
		t.Errorf("got %+v", f[0].Event)
	}
	w.loops.Pause(a.Conn, false)
	for done := false; !done; {
		for _, f := range w.loops.Wait(a.Conn, 1) {
			_, is := f.Event.(*proto.Resumed)
			done = done || is
		}
	}
	if seqs, states := w.resume(b, two); seqs != "1" || states != "head 1 seq 1 true" {
		t.Errorf("after the first ended: %q %q", seqs, states)
	}
}

// TestResumeGone: the connection closes while a page waits; the place is free again.
func TestResumeGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *memory.Config, c *Config) { c.ResumePage = 1 })
	ann, bob := w.user(), w.user()
	for range 50 {
		w.post(bob, id.Thread{}, ann, "x")
	}
	a := w.connect(ann)
	w.loops.Pause(a.Conn, true)
	w.Resume(a, &proto.Request{Resume: proto.ResumeFrom{Threads: []proto.ThreadSeq{{Thread: id.Direct(ann, bob)}}}})
	w.loops.Close(a.Conn, 1001, "")
	w.loops.Idle()
	w.resumes.mu.Lock()
	defer w.resumes.mu.Unlock()
	if len(w.resumes.mu.active) != 0 || w.resumes.mu.threads != 0 {
		t.Error("the resume was not ended")
	}
}

// TestResumeTooMany: more threads than a resume may name are invalid.
func TestResumeTooMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	a := w.connect(w.user())
	r := &proto.Request{}
	for range proto.MaxResume + 1 {
		r.Resume.Threads = append(r.Resume.Threads, proto.ThreadSeq{Thread: id.NewGroup()})
	}
	w.Resume(a, r)
	if e := one[*proto.Failure](w, a); e.Err.Code != proto.Invalid {
		t.Errorf("got %+v", e.Err)
	}
	r.Resume.Threads = r.Resume.Threads[1:]
	if seqs, states := w.resume(a, r.Resume); seqs+states != "" {
		t.Errorf("strangers' threads: %q %q", seqs, states)
	}
}

// TestResumeConcurrently has many connections resume while their peers write, with real concurrency.
func TestResumeConcurrently(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *memory.Config, c *Config) { c.ResumePage = 3 })
	ann := w.user()
	var peers []id.User
	from := proto.ResumeFrom{Asked: true}
	for range 5 {
		p := w.user()
		peers = append(peers, p)
		w.post(p, id.Thread{}, ann, "x")
		from.Threads = append(from.Threads, proto.ThreadSeq{Thread: id.Direct(ann, p)})
	}
	var wg sync.WaitGroup
	for _, p := range peers {
		wg.Go(func() {
			for range 60 {
				w.post(p, id.Thread{}, ann, "x")
			}
		})
	}
	for i := range 10 {
		c := w.loops.Caller(uint32(1000+i), ann)
		wg.Go(func() {
			w.Resume(c, &proto.Request{Resume: from})
			w.router.Attach(c)
			last := make(map[id.Thread]uint64)
			for n := 0; n < 5*61; {
				for _, f := range w.loops.Wait(c.Conn, 1) {
					e, ok := f.Event.(*proto.NewMessage)
					if !ok {
						continue
					}
					if n++; e.Message.Seq != last[e.Message.Thread]+1 {
						t.Errorf("%d after %d", e.Message.Seq, last[e.Message.Thread])
					}
					last[e.Message.Thread] = e.Message.Seq
				}
			}
		})
	}
	wg.Wait()
}

var _ store.Log = (*steppedLog)(nil)
