package conn

import (
	"sync"
	"sync/atomic"

	"github.com/tolkflip/tolkflip/router"
)

// mailbox is the messages of one connection on their way from its loop to a worker. At most one worker
// drains it at a time, so a client's actions start in the order in which they came; it exists only while
// there is work.
//
// The loop copies each message once, behind those that wait, and the worker takes all that wait by
// swapping two buffers: one lock a batch, no allocation a message.
type mailbox struct {
	server *Server
	conn   router.Conn

	inFlight atomic.Int32 // sends that the rules were given and that are not finished
	stalled  atomic.Bool  // no worker goes on until sends in flight are few again
	closed   atomic.Bool  // set under mu; the connection is gone for the rules

	mu struct {
		sync.Mutex
		letters  []letter
		bytes    []byte
		messages int  // that wait or are with a worker
		size     int  // bytes of those
		queued   bool // in the run queue, with a worker or stalled
		paused   bool // the loop stopped reading and waits to be told
		attached bool // the router knows the connection
		noted    bool // the loop will look whether the mailbox is idle
	}

	// Owned by the worker that drains it.
	caller  router.Caller
	authed  bool
	broken  bool // a rule panicked: nothing more is started
	taken   []letter
	content []byte // of taken
	at      int    // next of taken
	start   int    // its first byte in content
}

// letter is one message in a mailbox.
type letter struct {
	end  uint32 // one behind its last byte
	kind letterKind
}

// letterKind is what a worker has to do with a letter.
type letterKind uint8

const (
	aMessage letterKind = iota // a WebSocket message in the connection's dialect
	aToken                     // a bare token, from the handshake
)

// put copies a message in. schedule: the mailbox must be queued for a worker. full: the loop must stop
// reading, and will be told when to go on.
func (m *mailbox) put(kind letterKind, b []byte) (schedule, full bool) {
	c := &m.server.config
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.bytes = m.server.buffers.add(m.mu.bytes, b)
	m.mu.letters = append(m.mu.letters, letter{end: uint32(len(m.mu.bytes)), kind: kind})
	m.mu.messages++
	m.mu.size += len(b)
	m.server.input.Add(int64(len(b)))
	if !m.mu.queued {
		m.mu.queued, schedule = true, true
	}
	full = m.mu.messages >= c.MailboxMessages || m.mu.size >= c.MailboxBytes || m.stalled.Load()
	if full {
		m.mu.paused = true
	}
	return schedule, full
}

// run drains the mailbox on a worker: one batch, then others have their turn. After the mailbox was found
// closed, stalled or empty the worker does not touch it any more: it may be in other hands.
func (m *mailbox) run(w *worker) {
	ok, gone := true, false
	if m.at == len(m.taken) {
		ok, gone = m.take()
	}
	if ok {
		for m.at < len(m.taken) && !m.closed.Load() && !m.broken {
			if m.inFlight.Load() >= int32(m.server.config.SendsInFlight) && m.stall() {
				return
			}
			l := m.taken[m.at]
			b := m.content[m.start:l.end:l.end]
			m.at, m.start = m.at+1, int(l.end)
			w.letter(m, l.kind, b)
		}
		gone = m.done()
	}
	if gone {
		w.detach(m.caller)
	}
}

// take swaps the buffers. When there is nothing to take, the mailbox is at rest, or it is over; then gone
// says that the router has to be told.
func (m *mailbox) take() (ok, gone bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed.Load() {
		return false, m.over()
	}
	if len(m.mu.letters) == 0 {
		m.rest()
		return false, false
	}
	m.taken, m.mu.letters = m.mu.letters, m.taken[:0]
	m.content, m.mu.bytes = m.mu.bytes, m.content[:0]
	m.at, m.start = 0, 0
	return true, false
}

// done ends a batch: its room is free again, and the mailbox goes to the end of the run queue when more
// waits.
func (m *mailbox) done() (gone bool) {
	c := &m.server.config
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed.Load() {
		return m.over()
	}
	m.mu.messages -= len(m.taken)
	m.mu.size -= len(m.content)
	m.server.input.Add(-int64(len(m.content)))
	m.taken, m.at = m.taken[:0], 0
	if cap(m.content) > keepLetters {
		m.server.buffers.put(m.content)
		m.content = nil
	}
	m.content = m.content[:0]
	if m.broken {
		m.discard()
	}
	if m.mu.paused && m.mu.messages <= c.MailboxMessages/2 && m.mu.size <= c.MailboxBytes/2 {
		m.mu.paused = false
		m.server.must(m.conn, nil, resumeReading{})
	}
	if len(m.mu.letters) > 0 {
		m.server.queue.push(m)
	} else {
		m.rest()
	}
	return false
}

// rest, with mu held, leaves an empty mailbox and has the loop look at it with its next pass.
func (m *mailbox) rest() {
	m.mu.queued = false
	if !m.mu.noted {
		m.mu.noted = true
		m.server.note(m.conn, mailAtRest{})
	}
}

// stall stops draining until sends in flight are few, and reports whether it did.
func (m *mailbox) stall() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stalled.Store(true)
	// A send may have ended before finished could see the flag: then nobody else would go on.
	if m.inFlight.Load() <= m.fewSends() {
		m.stalled.Store(false)
		return false
	}
	m.server.stats.stalls.Add(1)
	return true
}

// fewSends is how many sends in flight let a stalled mailbox go on.
func (m *mailbox) fewSends() int32 { return int32(m.server.config.SendsInFlight / 2) }

// finished, on the loop, ends one send in flight.
func (m *mailbox) finished() {
	if m.inFlight.Add(-1) > m.fewSends() || !m.stalled.Load() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stalled.CompareAndSwap(true, false) {
		m.server.queue.push(m)
	}
}

// vacant, on the loop, reports whether the mailbox can be given back.
func (m *mailbox) vacant() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.noted = false
	return !m.mu.queued && m.inFlight.Load() == 0
}

// shut, on the loop, ends the mailbox with its connection: what waits is dropped. It reports whether the
// loop has to tell the router that the caller is gone; else the worker that has the mailbox does.
func (m *mailbox) shut() (c router.Caller, gone bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed.Store(true)
	if m.mu.queued && !m.stalled.CompareAndSwap(true, false) {
		return c, false
	}
	return m.caller, m.over()
}

// over, with mu held, gives back the memory of a mailbox that nobody will look at again.
func (m *mailbox) over() (gone bool) {
	m.discard()
	m.server.input.Add(-int64(len(m.content)))
	m.server.buffers.put(m.content)
	m.content, m.taken, m.at = nil, nil, 0
	gone = m.mu.attached
	m.mu.queued, m.mu.attached = false, false
	return gone
}

// discard, with mu held, drops what no worker has taken.
func (m *mailbox) discard() {
	m.server.input.Add(-int64(len(m.mu.bytes)))
	m.mu.messages -= len(m.mu.letters)
	m.mu.size -= len(m.mu.bytes)
	m.server.buffers.put(m.mu.bytes)
	m.mu.bytes, m.mu.letters = nil, m.mu.letters[:0]
}

// attach, on the worker, notes that the router is about to know the connection. It reports false when the
// connection is gone already: then the router must not be told.
func (m *mailbox) attach() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.attached = !m.closed.Load()
	return m.mu.attached
}

// keepLetters is how many bytes of a buffer a mailbox keeps between two batches.
const keepLetters = 2 << 10

// newMail lends a mailbox to a connection.
func (l *loop) newMail(fd int, s *slot) *mailbox {
	m, ok := l.server.mails.Get().(*mailbox)
	if !ok {
		m = &mailbox{}
	}
	m.server, m.conn = l.server, l.name(fd, s)
	m.authed = s.has(isAuthed)
	m.mu.attached = m.authed
	m.caller = router.Caller{Conn: m.conn, User: s.user, Session: s.session}
	return m
}

// keepMail takes back a mailbox that is vacant. One whose connection ended is left to the collector: a
// worker may still hold it.
func (s *Server) keepMail(m *mailbox) {
	m.conn, m.caller = 0, router.Caller{}
	m.authed, m.mu.attached = false, false
	if cap(m.mu.bytes) > keepLetters {
		s.buffers.put(m.mu.bytes)
		m.mu.bytes = nil
	}
	s.mails.Put(m)
}
