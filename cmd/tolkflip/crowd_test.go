package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/storetest"
)

// crowd is people who write to each other without end, each over a socket, as the clients of this server
// do: a refused message is sent again with its id, a gap is filled by resume, a lost connection is made
// again. Everything that the server says goes into a history, which is compared with the stores at the end.
type crowd struct {
	t       *testing.T
	base    atomic.Pointer[string] // the server's URL
	history *storetest.History
	people  []*chatter
	numbers phones
	pace    time.Duration // a person's longest pause between two messages

	unawaited int // messages that were sent and may never have an ack

	acks, refusals, drops, gaps atomic.Int64

	ending  chan struct{} // closed when nobody begins another message
	stop    context.CancelFunc
	writing sync.WaitGroup
	reading sync.WaitGroup
}

// corner is a thread to write to.
type corner struct {
	thread   id.Thread
	receiver id.User // absent in a group
}

// chatter is one of a crowd.
type chatter struct {
	person
	crowd   *crowd
	user    id.User
	random  *rand.Rand // of its writing
	corners []corner
	acked   atomic.Int64
	answers chan frame
	fresh   chan struct{} // a connection was made: what has no answer yet is sent on it

	mu     sync.Mutex
	sock   *socket
	seqs   map[string]uint64          // the last that it holds, by thread
	ahead  map[string]map[uint64]bool // its own, acked above a gap
	asked  map[string]bool            // threads of the resume that is under way
	wanted map[string]bool            // threads with gaps, for the next one
}

// newCrowd registers n people: half of them in pairs, all of them in groups of ten.
func newCrowd(t *testing.T, base string, n int, pace time.Duration) *crowd {
	t.Helper()
	c := &crowd{t: t, history: storetest.NewHistory(true), pace: pace, ending: make(chan struct{})}
	c.base.Store(&base)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for i := range n {
		p := &chatter{
			person: must[person](t, "register")(register(t.Context(), base, c.numbers.number(), fmt.Sprint("person ", i))),
			crowd:  c, random: rand.New(rand.NewPCG(seed, uint64(i))), answers: make(chan frame, 64), fresh: make(chan struct{}, 1),
			seqs: map[string]uint64{}, ahead: map[string]map[uint64]bool{}, wanted: map[string]bool{},
		}
		p.user = id.User{ID: must[id.ID](t, "read an id")(id.Parse(p.ID))}
		c.people = append(c.people, p)
	}
	for i := 0; i+1 < n/2; i += 2 {
		a, b := c.people[i], c.people[i+1]
		a.joins(corner{thread: id.Direct(a.user, b.user), receiver: b.user})
		b.joins(corner{thread: id.Direct(a.user, b.user), receiver: a.user})
	}
	for i := 0; i < n; i += 10 {
		members := c.people[i:min(i+10, n)]
		thread := c.group(members[0].Token, members)
		for _, p := range members {
			p.joins(corner{thread: thread})
		}
	}
	return c
}

// group makes one of people, by the person whose token it is.
func (c *crowd) group(token string, people []*chatter) id.Thread {
	c.t.Helper()
	ids := make([]string, len(people))
	for i, p := range people {
		ids[i] = p.ID
	}
	status, out, err := call(c.t.Context(), "POST", *c.base.Load()+"/api/groups", token, map[string]any{"name": "crowd", "memberIds": ids})
	if err != nil || status != 201 {
		c.t.Fatalf("make a group: %d %v %v", status, out, err)
	}
	return id.Thread{ID: must[id.ID](c.t, "read a group's id")(id.Parse(fmt.Sprint(out["groupId"])))}
}

func (p *chatter) joins(at corner) {
	p.corners = append(p.corners, at)
	p.seqs[at.thread.String()] = 0
}

// start connects everybody and lets them write until end.
func (c *crowd) start() {
	ctx, cancel := context.WithCancel(c.t.Context())
	c.stop = cancel
	for _, p := range c.people {
		c.reading.Go(func() { p.listen(ctx) })
		c.writing.Go(func() { p.write(ctx) })
	}
}

// end lets everybody finish the message that it is at.
func (c *crowd) end() {
	close(c.ending)
	c.writing.Wait()
}

// catchUp waits until everybody holds what there is: gaps that nothing live shows are filled by a resume.
func (c *crowd) catchUp() {
	c.t.Helper()
	for _, p := range c.people {
		p.mu.Lock()
		for thread := range p.seqs {
			if p.sock != nil {
				p.heal(p.sock, thread)
			}
		}
		p.mu.Unlock()
	}
	for _, p := range c.people {
		within(c.t, "everybody has caught up", func() (bool, string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			return len(p.asked)+len(p.wanted) == 0, fmt.Sprintf("%s has gaps in %d threads", p.ID, len(p.asked)+len(p.wanted))
		})
	}
}

// move sends everybody to another server.
func (c *crowd) move(base string) {
	c.base.Store(&base)
	for _, p := range c.people {
		p.mu.Lock()
		if p.sock != nil {
			p.sock.close()
		}
		p.mu.Unlock()
	}
}

// close disconnects everybody.
func (c *crowd) close() {
	c.stop()
	c.writing.Wait()
	c.reading.Wait()
}

// write sends one message after another, each until it is acked.
func (p *chatter) write(ctx context.Context) {
	for n := 0; ; n++ {
		select {
		case <-p.crowd.ending:
			return
		default:
		}
		if !pause(ctx, time.Duration(p.random.Int64N(int64(p.crowd.pace)))) || !p.deliver(ctx, n) {
			return
		}
	}
}

// deliver sends message n until it is acked, and reports false when ctx has ended.
func (p *chatter) deliver(ctx context.Context, n int) bool {
	clientID := strconv.Itoa(n)
	action := p.compose(clientID, p.corners[p.random.IntN(len(p.corners))])
	for {
		p.say(action)
		f, ok := p.answer(ctx, clientID)
		switch {
		case ctx.Err() != nil:
			return false
		case !ok: // on a new connection
		case f.Type == "message_sent":
			p.acked.Add(1)
			p.crowd.acks.Add(1)
			return true
		case !f.Retryable:
			p.crowd.t.Errorf("message %s of %s was refused for good: %s %s", clientID, p.ID, f.Code, f.Message)
			return false
		default:
			p.crowd.refusals.Add(1)
			if !pause(ctx, 200*time.Millisecond+time.Duration(p.random.Int64N(int64(500*time.Millisecond)))) {
				return false
			}
		}
	}
}

// compose makes a message, which the history is told of.
func (p *chatter) compose(clientID string, to corner) (action map[string]any) {
	m := store.Message{
		ID: id.ClientMessage(p.user, []byte(clientID)), Thread: to.thread, Sender: p.user, Receiver: to.receiver,
		ClientID: []byte(clientID), Content: []byte("message " + clientID + " of " + p.ID),
	}
	p.crowd.history.Sent(m)
	action = map[string]any{"action": "send_message", "content": string(m.Content), "clientMessageId": clientID}
	if to.receiver.IsZero() {
		action["threadId"] = to.thread
	} else {
		action["receiverId"] = to.receiver
	}
	return action
}

// answer waits for what the server says to a message, and reports false when the connection is another.
func (p *chatter) answer(ctx context.Context, clientID string) (frame, bool) {
	for {
		select {
		case f := <-p.answers:
			if f.ClientMessageID == clientID {
				return f, true
			}
		case <-p.fresh:
			return frame{}, false
		case <-ctx.Done():
			return frame{}, false
		}
	}
}

// say writes on the connection that there is; without one, the next is told everything again.
func (p *chatter) say(action map[string]any) {
	p.mu.Lock()
	sock := p.sock
	p.mu.Unlock()
	if sock != nil {
		_ = sock.send(action) // whoever listens on it sees that it is gone
	}
}

// listen holds a connection, and makes it again when it is lost.
func (p *chatter) listen(ctx context.Context) {
	for ctx.Err() == nil {
		err := p.once(ctx)
		if ctx.Err() != nil {
			return
		}
		p.crowd.drops.Add(1)
		var c closed
		if errors.As(err, &c) && c.code == 4401 {
			p.crowd.t.Errorf("%s was logged out: %v", p.ID, err)
			return
		}
		pause(ctx, 100*time.Millisecond+time.Duration(rand.Int64N(int64(400*time.Millisecond))))
	}
}

func (p *chatter) once(ctx context.Context) error {
	p.mu.Lock()
	p.asked = map[string]bool{}
	clear(p.wanted)
	for thread := range p.seqs {
		p.asked[thread] = true
	}
	resume := map[string]any{"resume": map[string]any{"threads": maps.Clone(p.seqs)}}
	p.mu.Unlock()
	sock, err := connect(ctx, *p.crowd.base.Load(), p.Token, resume)
	if err != nil {
		return err
	}
	defer sock.close()
	defer context.AfterFunc(ctx, sock.close)()
	p.mu.Lock()
	p.sock = sock
	p.mu.Unlock()
	select {
	case p.fresh <- struct{}{}:
	default: // it has not seen the last one yet
	}
	for {
		f, err := sock.receive()
		if err != nil {
			return err
		}
		p.hear(sock, &f)
	}
}

// hear takes one frame.
func (p *chatter) hear(sock *socket, f *frame) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch f.Type {
	case "message_sent":
		m := p.parse(f)
		p.crowd.history.Acked(m, f.Duplicate, false)
		if f.Seq > p.seqs[f.ThreadID] {
			if p.ahead[f.ThreadID] == nil {
				p.ahead[f.ThreadID] = map[uint64]bool{}
			}
			p.ahead[f.ThreadID][f.Seq] = true
			p.advance(f.ThreadID)
			if f.Seq > p.seqs[f.ThreadID] {
				p.crowd.gaps.Add(1)
				p.heal(sock, f.ThreadID)
			}
		}
		p.answers <- *f
	case "message_error":
		p.answers <- *f
	case "new_message":
		p.read(sock, f)
	case "resumed":
		p.resumed(sock, f)
	case "error", "auth_error":
		if f.Code == "busy" && string(f.Ref) == strconv.Quote(resumeRef) {
			p.refusedResume(sock)
			return
		}
		p.crowd.t.Errorf("%s was told %s %s %s", p.ID, f.Type, f.Code, f.Message)
	default:
	}
}

// read takes a message of another, or one of its own that a resume brings.
func (p *chatter) read(sock *socket, f *frame) {
	last, member := p.seqs[f.ThreadID]
	switch {
	case !member:
		p.crowd.t.Errorf("%s was given a message of thread %s, where it is not", p.ID, f.ThreadID)
	case f.Seq == last+1:
		p.crowd.history.Shown(p.parse(f))
		p.seqs[f.ThreadID]++
		p.advance(f.ThreadID)
	case f.Seq > last+1:
		p.crowd.gaps.Add(1)
		p.heal(sock, f.ThreadID) // and this one comes again
	case !p.asked[f.ThreadID]:
		p.crowd.t.Errorf("seq %d of thread %s was shown twice to %s, which holds %d", f.Seq, f.ThreadID, p.ID, last)
	default: // its own, acked since it asked
	}
}

// advance counts its own messages that follow what it holds.
func (p *chatter) advance(thread string) {
	for p.ahead[thread][p.seqs[thread]+1] {
		p.seqs[thread]++
		delete(p.ahead[thread], p.seqs[thread])
	}
}

// heal fills the gap of a thread. One resume is under way at a time; what else has a gap then, follows it.
func (p *chatter) heal(sock *socket, thread string) {
	if p.asked[thread] {
		return
	}
	p.wanted[thread] = true
	if len(p.asked) == 0 {
		p.resume(sock)
	}
}

// resumeRef marks the answers to resume.
const resumeRef = "resume"

func (p *chatter) resume(sock *socket) {
	p.asked, p.wanted = p.wanted, map[string]bool{}
	from := map[string]uint64{}
	for thread := range p.asked {
		from[thread] = p.seqs[thread]
	}
	_ = sock.send(map[string]any{"action": "resume", "ref": resumeRef, "threads": from}) // as say
}

// resumed is the end of a resume. A thread without a message is not in the answer.
func (p *chatter) resumed(sock *socket, f *frame) {
	p.asked = nil
	for thread, state := range f.Threads {
		if !state.Complete {
			p.wanted[thread] = true
		}
	}
	if len(p.wanted) > 0 {
		p.resume(sock)
	}
}

// refusedResume asks again a little later.
func (p *chatter) refusedResume(sock *socket) {
	time.AfterFunc(300*time.Millisecond, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.sock == sock {
			for thread := range p.asked {
				p.wanted[thread] = true
			}
			p.resume(sock)
		}
	})
}

// parse reads a message as the history knows it.
func (p *chatter) parse(f *frame) store.Message {
	m := store.Message{Seq: f.Seq, Sent: f.Timestamp, ClientID: []byte(f.ClientMessageID), Content: []byte(f.Content)}
	for _, field := range []struct {
		to   *id.ID
		from string
	}{{&m.ID.ID, f.MessageID}, {&m.Thread.ID, f.ThreadID}, {&m.Sender.ID, f.SenderID}, {&m.Receiver.ID, f.ReceiverID}} {
		if field.from == "" {
			continue
		}
		v, err := id.Parse(field.from)
		if err != nil {
			p.crowd.t.Errorf("%s was given the id %q: %v", p.ID, field.from, err)
		}
		*field.to = v
	}
	return m
}

// verify compares what is in the stores with everything that was said, and sends some messages of each
// person once more: the answer is the first one.
func (c *crowd) verify() {
	c.t.Helper()
	threads := map[id.Thread][]store.Message{}
	for _, p := range c.people {
		sock := must[*socket](c.t, "connect")(connect(c.t.Context(), *c.base.Load(), p.Token, nil))
		for _, at := range p.corners {
			if _, done := threads[at.thread]; !done {
				threads[at.thread] = p.all(sock, at.thread)
			}
			p.retry(sock, threads[at.thread])
		}
		sock.close()
	}
	violations, err := c.history.Check(func(t id.Thread, after uint64) ([]store.Message, error) {
		for i, m := range threads[t] {
			if m.Seq > after {
				return threads[t][i:], nil
			}
		}
		return nil, nil
	})
	if err != nil {
		c.t.Error(err)
	}
	for i, v := range violations {
		if i == 20 {
			c.t.Errorf("and %d more", len(violations)-i)
			break
		}
		c.t.Error(v)
	}
	for _, p := range c.people {
		p.mu.Lock()
		for thread, seq := range p.seqs {
			if head := uint64(len(threads[id.Thread{ID: must[id.ID](c.t, "read an id")(id.Parse(thread))}])); seq != head {
				c.t.Errorf("%s holds thread %s up to %d; it has %d", p.ID, thread, seq, head)
			}
		}
		p.mu.Unlock()
	}
	sent, acked := c.history.Size()
	c.t.Logf("%d messages sent and %d acked in %d threads; %d refusals, %d messages above a gap, %d connections lost",
		sent, acked, len(threads), c.refusals.Load(), c.gaps.Load(), c.drops.Load())
	if acked == 0 || acked != sent-c.unawaited {
		c.t.Errorf("%d messages were sent, %d of them without waiting, and %d acked", sent, c.unawaited, acked)
	}
}

// all reads a thread from its newest message to its first.
func (p *chatter) all(sock *socket, thread id.Thread) []store.Message {
	t := p.crowd.t
	var pages [][]store.Message
	for before, complete := uint64(0), false; !complete; {
		ask := map[string]any{"action": "history", "threadId": thread, "limit": 100}
		if before > 0 {
			ask["before"] = before
		}
		if err := sock.send(ask); err != nil {
			t.Fatal(err)
		}
		f, _, err := sock.until("history")
		if err != nil {
			t.Fatal(err)
		}
		var page []store.Message
		for i := range f.Messages {
			m := p.parse(&f.Messages[i])
			m.Thread = thread
			page = append(page, m)
		}
		pages = append(pages, page)
		complete = f.Complete || len(page) == 0
		if !complete {
			before = page[0].Seq
		}
	}
	var list []store.Message
	for i := len(pages) - 1; i >= 0; i-- {
		list = append(list, pages[i]...)
	}
	return list
}

// retry sends its first and its last message in a thread again.
func (p *chatter) retry(sock *socket, list []store.Message) {
	t := p.crowd.t
	var own []store.Message
	for _, m := range list {
		if m.Sender == p.user {
			own = append(own, m)
		}
	}
	if len(own) == 0 {
		return
	}
	for _, m := range []store.Message{own[0], own[len(own)-1]} {
		action := map[string]any{"action": "send_message", "threadId": m.Thread, "content": string(m.Content), "clientMessageId": string(m.ClientID)}
		if err := sock.send(action); err != nil {
			t.Fatal(err)
		}
		f, _, err := sock.until("message_sent")
		if err != nil {
			t.Fatal(err)
		}
		got := p.parse(&f)
		for _, v := range p.crowd.history.CheckRetry(&store.Entry{Message: got, Duplicate: f.Duplicate}, m) {
			t.Error(v)
		}
	}
}

// pause waits, and reports false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// TestCrowd is the load of the fault tests without a fault, on the embedded store.
func TestCrowd(t *testing.T) {
	t.Parallel()
	s := start(t, onDisk)
	c := newCrowd(t, s.URL, 40, 10*time.Millisecond)
	c.start()
	for _, p := range c.people {
		for p.acked.Load() < 50 && pause(t.Context(), time.Millisecond) {
		}
	}
	c.end()
	c.catchUp()
	c.close()
	if n := c.drops.Load() + c.refusals.Load(); n != 0 {
		t.Errorf("%d refusals and lost connections", n)
	}
	c.verify()
}
