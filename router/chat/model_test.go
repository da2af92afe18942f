package chat

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/router/internal/fake"
	"github.com/tolkflip/tolkflip/store"
)

// steppedLog is a store.Log that does one thing at a time, when it is told to.
type steppedLog struct {
	threads map[id.Thread][]store.Message
	queue   []func()
}

func (l *steppedLog) Append(e *store.Entry) {
	l.queue = append(l.queue, func() {
		e.Seq = uint64(len(l.threads[e.Thread]) + 1)
		m := e.Message
		m.Content = append([]byte(nil), e.Content...)
		l.threads[e.Thread] = append(l.threads[e.Thread], m)
		e.Done(e)
	})
}

func (l *steppedLog) Mark(t id.Thread, f func(uint64)) {
	l.queue = append(l.queue, func() { f(uint64(len(l.threads[t]))) })
}

func (l *steppedLog) After(_ context.Context, t id.Thread, after uint64, limit int) ([]store.Message, error) {
	list := l.threads[t][min(after, uint64(len(l.threads[t]))):]
	return list[:min(limit, len(list))], nil
}

func (l *steppedLog) Before(context.Context, id.Thread, uint64, int) ([]store.Message, error) {
	panic("not used")
}

func (l *steppedLog) Head(_ context.Context, t id.Thread) (uint64, error) {
	return uint64(len(l.threads[t])), nil
}

func (l *steppedLog) Find(context.Context, id.Message) (store.Message, error) { panic("not used") }

func (l *steppedLog) step() bool {
	if len(l.queue) == 0 {
		return false
	}
	op := l.queue[0]
	l.queue = l.queue[1:]
	op()
	return true
}

// modelThread is one thread of a returning client.
type modelThread struct {
	id     id.Thread
	peer   router.Caller
	last   uint64 // what the client has
	named  uint64 // what it said
	gaps   int
	filled bool // a backfilled message has come
}

// model is one randomised run: a client comes back while its peers write, and everything that can happen
// happens in an order that a seed chooses.
type model struct {
	t       *testing.T
	rnd     *rand.Rand
	log     *steppedLog
	loops   *fake.Loops
	service *Service
	client  router.Caller
	threads []*modelThread
	resumed *proto.Resumed
	open    bool // the client was attached before it resumed
	sends   int
}

func newModel(t *testing.T, seed uint64) *model {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 1))
	m := &model{t: t, rnd: rnd, log: &steppedLog{threads: make(map[id.Thread][]store.Message)}, loops: fake.New(1 + rnd.IntN(2))}
	m.loops.MaxHeld = 1 + rnd.IntN(8)
	cfg := Default()
	cfg.ResumePage = 1 + rnd.IntN(7)
	cfg.ResumeMessages = 5 + rnd.IntN(60)
	cfg.ResumeBytes = 2000 + rnd.IntN(20_000)
	cfg.ResumeRounds = 1 + rnd.IntN(3)
	r := router.New(m.loops, prometheus.NewRegistry())
	s, err := New(cfg, r, m.loops, Stores{Log: m.log}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	m.service = s
	me := id.NewUser()
	s.people.put(me, person{until: math.MaxInt64})
	m.client = m.loops.Caller(1, me)
	for i := range 1 + rnd.IntN(4) {
		u := id.NewUser()
		s.people.put(u, person{until: math.MaxInt64})
		th := &modelThread{id: id.Direct(me, u), peer: m.loops.Caller(uint32(2+i), u)}
		s.places.put(th.id, place{a: me, b: u})
		for range rnd.IntN(40) {
			m.send(th)
		}
		m.threads = append(m.threads, th)
	}
	m.settle()
	for _, th := range m.threads {
		if n := len(m.log.threads[th.id]); n > 0 {
			th.last = uint64(rnd.IntN(n + 1))
		}
	}
	m.sends = rnd.IntN(120)
	return m
}

func (m *model) send(th *modelThread) {
	m.service.Send(th.peer, &proto.Request{Receiver: m.client.User, Draft: text("x")})
}

// settle lets all that is under way end.
func (m *model) settle() {
	m.loops.Pause(m.client.Conn, false)
	for m.log.step() || m.loops.Step(m.rnd.IntN) {
	}
}

// step lets one thing happen.
func (m *model) step() {
	switch m.rnd.IntN(10) {
	case 0, 1:
		if m.sends > 0 {
			m.sends--
			m.send(m.threads[m.rnd.IntN(len(m.threads))])
		}
	case 2, 3, 4:
		m.log.step()
	case 5:
		m.loops.Pause(m.client.Conn, m.rnd.IntN(2) == 0)
	case 6:
		if m.rnd.IntN(20) == 0 {
			m.loops.Drop(m.client.Conn, m.threads[m.rnd.IntN(len(m.threads))].id)
		}
	default:
		m.loops.Step(m.rnd.IntN)
	}
}

// read lets the client look at what it was sent so far.
func (m *model) read() error {
	for _, f := range m.loops.Take(m.client.Conn) {
		switch e := f.Event.(type) {
		case *proto.Resumed:
			if m.resumed != nil {
				return fmt.Errorf("resumed twice")
			}
			m.resumed = e
		case *proto.NewMessage:
			if err := m.message(e.Message, f.Backfill); err != nil {
				return err
			}
		default:
			return fmt.Errorf("got %+v", e)
		}
	}
	return nil
}

func (m *model) message(got *proto.Message, backfill bool) error {
	for _, th := range m.threads {
		if th.id != got.Thread {
			continue
		}
		th.filled = th.filled || backfill
		switch {
		case got.Seq == th.last+1:
			th.last++
		case got.Seq > th.last+1:
			if backfill {
				return fmt.Errorf("a hole in the backlog: %d after %d", got.Seq, th.last)
			}
			if th.gaps == 0 {
				th.named = th.last // what Resumed must say was reached
			}
			th.gaps++
			th.last = got.Seq
		case m.open && backfill: // came live before the hold: the client drops it
		default:
			return fmt.Errorf("%d came twice (last %d, backfill %v)", got.Seq, th.last, backfill)
		}
		return nil
	}
	return fmt.Errorf("a message of a thread that is not the client's")
}

// check judges the end of a run.
func (m *model) check() error {
	if c := m.loops.Closed(m.client.Conn); c != nil {
		return fmt.Errorf("closed %+v", c)
	}
	if m.resumed == nil {
		return fmt.Errorf("never resumed")
	}
	if len(m.resumed.Threads) != len(m.threads) {
		return fmt.Errorf("%d threads resumed, want %d", len(m.resumed.Threads), len(m.threads))
	}
	if n := len(m.service.resumes.mu.active) + m.service.resumes.mu.threads; n != 0 {
		return fmt.Errorf("the resume was not ended")
	}
	for _, th := range m.threads {
		head := uint64(len(m.log.threads[th.id]))
		for _, st := range m.resumed.Threads {
			if st.Thread != th.id {
				continue
			}
			switch {
			case !st.Named || st.Head > head || st.Seq > st.Head:
				return fmt.Errorf("state %+v", st)
			case st.Complete && (th.gaps > 0 || st.Seq != st.Head):
				return fmt.Errorf("complete with %d gaps: %+v", th.gaps, st)
			case st.Complete && th.last != head:
				return fmt.Errorf("complete at %d of %d", th.last, head)
			case !st.Complete && th.gaps > 0 && th.named != st.Seq:
				return fmt.Errorf("a gap after %d, but %+v", th.named, st)
			case !st.Complete && th.gaps == 0 && th.last != st.Seq:
				return fmt.Errorf("the client has %d, but %+v", th.last, st)
			case th.last != head && (th.gaps > 0 || head > st.Head):
				return fmt.Errorf("live does not flow: at %d of %d, %+v", th.last, head, st)
			}
		}
	}
	return nil
}

// run is one seed, from the start to the check.
func (m *model) run() error {
	if m.open = m.rnd.IntN(3) == 0; m.open {
		for _, th := range m.threads { // it has all, and stays connected
			th.last = uint64(len(m.log.threads[th.id]))
		}
		m.service.router.Attach(m.client)
	}
	for range m.rnd.IntN(40) {
		m.step()
	}
	if err := m.read(); err != nil {
		return err
	}
	r := &proto.Request{Resume: proto.ResumeFrom{Asked: true}}
	for _, th := range m.threads {
		r.Resume.Threads = append(r.Resume.Threads, proto.ThreadSeq{Thread: th.id, Seq: th.last})
	}
	m.service.Resume(m.client, r)
	if !m.open {
		for range m.rnd.IntN(60) { // the worker that called Resume may be slow to attach
			m.step()
		}
		m.service.router.Attach(m.client)
	}
	for range m.rnd.IntN(800) {
		m.step()
	}
	m.settle()
	if m.rnd.IntN(2) == 0 { // live goes on
		m.send(m.threads[0])
		m.settle()
	}
	if err := m.read(); err != nil {
		return err
	}
	return m.check()
}

// TestResumeAgainstModel: whatever is interleaved with what, a client sees every seq once and in order, or
// is told that it does not.
func TestResumeAgainstModel(t *testing.T) {
	t.Parallel()
	complete, cut, gaps := 0, 0, 0
	for seed := range uint64(1000) {
		m := newModel(t, seed)
		if err := m.run(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, st := range m.resumed.Threads {
			if st.Complete {
				complete++
			} else {
				cut++
			}
		}
		for _, th := range m.threads {
			gaps += th.gaps
		}
	}
	t.Logf("%d threads complete, %d not, %d gaps", complete, cut, gaps)
	if complete < 500 || cut < 300 || gaps < 50 { // else the model tests too little
		t.Errorf("only %d threads complete, %d not, %d gaps", complete, cut, gaps)
	}
}
