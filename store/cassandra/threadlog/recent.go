package threadlog

import (
	"sync"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// lastMessage is what lists show of a thread's newest message. Its text's memory is used again and again.
type lastMessage struct {
	seq    uint64
	sent   int64
	sender id.User
	peer   id.User // absent in a group
	kind   proto.MessageType
	text   []byte // the first textKeep bytes; empty when the message is encrypted
}

// textKeep is more than a preview has.
const textKeep = 400

// teller tells Config.Recent of the threads that changed, one call at a time.
type teller struct {
	mu      sync.Mutex
	waiting fifo[*thread]
	running bool
	armed   bool // a timer will start it
}

// noteRecent keeps m as the thread's newest message for Config.Recent. mu is held.
func (l *Log) noteRecent(th *thread, m *store.Message) {
	if l.cfg.Recent == nil {
		return
	}
	text := m.Content[:min(len(m.Content), textKeep)]
	if len(m.Encrypted) > 0 {
		text = nil
	}
	th.last = lastMessage{
		seq: m.Seq, sent: m.Sent, sender: m.Sender, peer: m.Receiver, kind: m.Type,
		text: append(th.last.text[:0], text...),
	}
	if th.dirty {
		return
	}
	th.dirty = true
	l.alive(1)
	t := &l.teller
	t.mu.Lock()
	t.waiting.push(th)
	t.mu.Unlock()
	if l.closing.Load() {
		l.tellStart()
		return
	}
	l.tellLater()
}

// tellLater starts it after a while.
func (l *Log) tellLater() {
	t := &l.teller
	t.mu.Lock()
	arm := !t.armed && !t.running
	t.armed = t.armed || arm
	t.mu.Unlock()
	if arm {
		l.world.after(l.cfg.RecentEvery, func() {
			t.mu.Lock()
			t.armed = false
			t.mu.Unlock()
			l.tellStart()
		})
	}
}

func (l *Log) tellStart() {
	t := &l.teller
	t.mu.Lock()
	start := !t.running && t.waiting.len() > 0
	t.running = t.running || start
	t.mu.Unlock()
	if start {
		l.run.push(job{(*Log).tellRecent, nil})
	}
}

// tellRecent tells of all that wait, in as many calls as that takes.
func (l *Log) tellRecent(*thread) job {
	t := &l.teller
	t.mu.Lock()
	n := t.waiting.len()
	t.mu.Unlock()
	list := make([]Recent, 0, min(n, MaxRecent))
	threads := make([]*thread, 0, min(n, MaxRecent))
	var err error
	for n > 0 && err == nil {
		list, threads = list[:0], threads[:0]
		for ; n > 0 && len(list) < MaxRecent; n-- {
			t.mu.Lock()
			th := t.waiting.pop()
			t.mu.Unlock()
			if r, ok := l.recentOf(th); ok {
				list, threads = append(list, r), append(threads, th)
			}
		}
		if len(list) == 0 {
			break
		}
		if err = l.cfg.Recent(l.ctx, list); err != nil {
			l.failed("tell of the newest messages", err)
		}
		for i, th := range threads {
			l.recentTold(th, list[i].Last.Seq, err)
		}
	}
	t.mu.Lock()
	t.running = false
	more := t.waiting.len() > 0
	t.mu.Unlock()
	switch {
	case !more || l.ctx.Err() != nil:
	case l.closing.Load() && err == nil:
		l.tellStart()
	default:
		l.tellLater()
	}
	return job{}
}

// recentOf is what is told of a thread, and false of one that is gone.
func (l *Log) recentOf(th *thread) (r Recent, ok bool) {
	th.mu.Lock()
	defer th.mu.Unlock()
	if th.gone {
		th.dirty = false
		l.alive(-1)
		return r, false
	}
	v := &th.last
	m := store.Message{Seq: v.seq, Sent: v.sent, Sender: v.sender, Type: v.kind, Content: v.text}
	r = Recent{Thread: th.id, Last: store.PreviewOf(&m)}
	if !v.peer.IsZero() {
		r.A, r.B = inOrder(v.sender, v.peer)
	}
	return r, true
}

// recentTold ends a thread's wait when its newest message was told, else it waits on.
func (l *Log) recentTold(th *thread, seq uint64, err error) {
	th.mu.Lock()
	defer th.mu.Unlock()
	if err == nil && th.last.seq == seq || th.gone {
		th.dirty = false
		l.alive(-1)
		return
	}
	l.teller.mu.Lock()
	defer l.teller.mu.Unlock()
	l.teller.waiting.push(th)
}
