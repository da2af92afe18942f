package fake

import (
	"bytes"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
)

// Loops implements router.Sink.
func (l *Loops) Loops() int { return l.loops }

// Deliver implements router.Sink.
func (l *Loops) Deliver(to []router.Conn, except router.Conn, ev proto.Event) {
	ev = Copy(ev)
	for _, c := range to {
		if c != except {
			l.send(c, Frame{Event: ev})
		}
	}
}

// Multicast implements router.Sink.
func (l *Loops) Multicast(byLoop [][]router.Conn, except router.Conn, ev proto.Event) {
	for i, list := range byLoop {
		for _, c := range list {
			if c.Loop() != i {
				panic("multicast: a connection of another loop")
			}
		}
		l.Deliver(list, except, ev)
	}
}

// Finish implements router.Sink.
func (l *Loops) Finish(to router.Conn, ev proto.Event) {
	l.send(to, Frame{Event: Copy(ev), Finish: true})
}

// Close implements router.Sink.
func (l *Loops) Close(c router.Conn, code uint16, reason string) {
	l.enter(c, func(p *peer) { l.close(p, code, reason) })
}

// CloseSession implements router.Sink.
func (l *Loops) CloseSession(c router.Conn, s id.Session, code uint16, reason string) {
	l.enter(c, func(p *peer) {
		if p.session == s {
			l.close(p, code, reason)
		}
	})
}

func (l *Loops) close(p *peer, code uint16, reason string) {
	if p.closed != nil {
		return
	}
	p.closed = &Closing{code, reason}
	for _, f := range append(p.next, p.feeder) {
		if f != nil {
			l.job(p, f.Gone)
		}
	}
	p.feeder, p.next = nil, nil
}

// send queues a frame, which a hold may keep back when its turn comes.
func (l *Loops) send(c router.Conn, f Frame) {
	l.enter(c, func(p *peer) {
		if p.closed != nil {
			return
		}
		m, isMessage := f.Event.(*proto.NewMessage)
		if isMessage && !f.Backfill {
			if h := p.holds[m.Message.Thread]; h != nil {
				l.keep(h, m)
				return
			}
		}
		p.frames = append(p.frames, f)
	})
}

func (l *Loops) keep(h *hold, m *proto.NewMessage) {
	if h.overflowed {
		return
	}
	h.events = append(h.events, m)
	if len(h.events) > l.MaxHeld {
		h.events, h.overflowed = nil, true
	}
}

// Hold implements router.Replayer.
func (l *Loops) Hold(c router.Conn, threads []id.Thread) {
	l.enter(c, func(p *peer) {
		for _, t := range threads {
			if p.holds[t] == nil {
				p.holds[t] = &hold{}
			}
		}
	})
}

// Backfill implements router.Replayer.
func (l *Loops) Backfill(c router.Conn, ev proto.Event) {
	l.send(c, Frame{Event: Copy(ev), Backfill: true})
}

// Feed implements router.Replayer.
func (l *Loops) Feed(c router.Conn, f router.Feeder) {
	l.enter(c, func(p *peer) {
		switch {
		case p.closed != nil:
			l.job(p, f.Gone)
		case p.feeder != nil:
			p.next = append(p.next, f)
		default:
			p.feeder = f
			l.feed(p)
		}
	})
}

// runFeeder is the job of a feeder's turn.
func (l *Loops) runFeeder(p *peer) {
	l.mu.Lock()
	f := p.feeder
	l.mu.Unlock()
	if f == nil { // closed meanwhile
		return
	}
	more := f.Next()
	l.enter(p.conn, func(p *peer) {
		p.feeding = false
		if p.feeder != nil && !more {
			p.feeder = nil
			if len(p.next) > 0 {
				p.feeder, p.next = p.next[0], p.next[1:]
			}
		}
		l.feed(p)
	})
}

// Release implements router.Replayer.
func (l *Loops) Release(c router.Conn, t id.Thread, upTo uint64, f router.Feeder) {
	l.enter(c, func(p *peer) {
		h := p.holds[t]
		switch {
		case p.closed != nil:
			l.job(p, f.Gone)
			return
		case h != nil && h.overflowed:
			*h = hold{}
			l.job(p, func() { f.Released(t, false) })
			return
		case h != nil:
			for _, m := range h.events {
				if m.Message.Seq > upTo {
					p.frames = append(p.frames, Frame{Event: m})
				}
			}
			delete(p.holds, t)
		}
		l.job(p, func() { f.Released(t, true) })
	})
}

// Copy copies what an event points to: it is only lent until the call that delivers it returns.
func Copy(ev proto.Event) proto.Event {
	switch e := ev.(type) {
	case *proto.MessageSent:
		c := *e
		c.Ref, c.ClientID = bytes.Clone(e.Ref), bytes.Clone(e.ClientID)
		return &c
	case *proto.MessageError:
		c := *e
		c.Ref, c.ClientID = bytes.Clone(e.Ref), bytes.Clone(e.ClientID)
		return &c
	case *proto.NewMessage:
		m := copyMessage(e.Message)
		return &proto.NewMessage{Message: &m}
	case *proto.HistoryPage:
		c := *e
		c.Ref, c.Messages = bytes.Clone(e.Ref), nil
		for i := range e.Messages {
			c.Messages = append(c.Messages, copyMessage(&e.Messages[i]))
		}
		return &c
	case *proto.Resumed:
		c := *e
		c.Ref, c.Threads = bytes.Clone(e.Ref), append([]proto.ThreadState(nil), e.Threads...)
		return &c
	case *proto.PresenceOf:
		c := *e
		c.Ref = bytes.Clone(e.Ref)
		return &c
	case *proto.Failure:
		c := *e
		c.Ref = bytes.Clone(e.Ref)
		return &c
	case *proto.TypingIn:
		c := *e
		return &c
	case *proto.DeliveredTo:
		c := *e
		return &c
	case *proto.ReadTo:
		c := *e
		return &c
	default:
		return ev
	}
}

func copyMessage(m *proto.Message) proto.Message {
	c := *m
	c.ClientID, c.Content = bytes.Clone(m.ClientID), bytes.Clone(m.Content)
	c.Language, c.Encrypted = bytes.Clone(m.Language), bytes.Clone(m.Encrypted)
	c.MediaURLs = nil
	for _, u := range m.MediaURLs {
		c.MediaURLs = append(c.MediaURLs, bytes.Clone(u))
	}
	return c
}
