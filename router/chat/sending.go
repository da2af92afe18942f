package chat

import (
	"sync/atomic"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/store"
)

// maxKept is the most memory that a sending takes back into the pool.
const maxKept = 16 << 10

// sending is one message between its sender and its delivery. It is pooled, with everything that its way
// needs: sending allocates nothing once the pool is warm. From Append to settle it is the log's, then
// whoever drops the last of refs puts it back.
type sending struct {
	store.Entry
	service *Service // for life
	buf     []byte   // what the entry's slices and ref point into
	urls    [][]byte
	pair    [2]id.User

	conn   router.Conn // the socket that sent it; 0 for REST
	ref    []byte
	room   router.Room // pinned while inRoom
	inRoom bool

	// For REST: settle sends on done. The poster and settle each hold one of refs.
	waiting bool
	done    chan struct{} // capacity 1
	refs    atomic.Int32

	sent   proto.MessageSent
	failed proto.MessageError
	news   proto.NewMessage
}

func newSending(s *Service) *sending {
	x := &sending{service: s, done: make(chan struct{}, 1)}
	x.Done = func(*store.Entry) { x.settle() }
	x.refs.Store(1)
	return x
}

// copy takes the draft over: the caller's bytes are only lent. A text that names no language is in the
// sender's own.
func (x *sending) copy(d *proto.Draft, own *language) {
	n := len(d.ClientID) + len(d.Content) + max(len(d.Language), len(own)) + len(d.Encrypted) + proto.MaxRef
	for _, u := range d.MediaURLs {
		n += len(u)
	}
	if cap(x.buf) < n {
		x.buf = make([]byte, 0, n+n/4)
	}
	x.buf = x.buf[:0]
	x.Type = d.Type
	x.ClientID = x.keep(d.ClientID)
	x.Content = x.keep(d.Content)
	if len(d.Language) > 0 {
		x.Language = x.keep(d.Language)
	} else if at := len(x.buf); own[0] != 0 {
		x.buf = own.append(x.buf)
		x.Language = x.buf[at:len(x.buf):len(x.buf)]
	}
	x.Encrypted = x.keep(d.Encrypted)
	x.ReplyTo = d.ReplyTo
	x.urls = x.urls[:0]
	for _, u := range d.MediaURLs {
		x.urls = append(x.urls, x.keep(u))
	}
	x.MediaURLs = x.urls
}

// keep copies b behind what is kept already. An absent b stays absent.
func (x *sending) keep(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	at := len(x.buf)
	x.buf = append(x.buf, b...)
	return x.buf[at:len(x.buf):len(x.buf)]
}

// await readies x for a poster that waits.
func (x *sending) await() {
	x.waiting = true
	x.refs.Store(2)
}

// settle is what the log calls when the message is durable or refused, in seq order within a thread. The
// ack leaves before the message does, so that a sender knows its message when its other devices do. It
// reads no store and never blocks.
func (x *sending) settle() {
	s := x.service
	switch {
	case x.Err != nil:
		s.metrics.sends[sendFailed].Inc()
		x.fail()
	case x.Duplicate:
		s.metrics.sends[sendDuplicate].Inc()
		x.ack()
	default:
		s.metrics.sends[sendNew].Inc()
		x.ack()
		x.deliver()
	}
	if x.inRoom {
		x.room.Release()
		x.inRoom = false
	}
	if x.waiting {
		x.done <- struct{}{}
	}
	x.release()
}

func (x *sending) fail() {
	if x.waiting {
		return
	}
	e := x.service.coded(outcome(x.Err))
	x.failed = proto.MessageError{Ref: x.ref, ClientID: x.ClientID, Err: e}
	x.service.sink.Finish(x.conn, &x.failed)
}

func (x *sending) ack() {
	if x.waiting {
		return
	}
	x.sent = proto.MessageSent{
		Ref: x.ref, Message: x.ID, Thread: x.Thread, Seq: x.Seq,
		ClientID: x.ClientID, Sent: x.Sent, Duplicate: x.Duplicate,
	}
	x.service.sink.Finish(x.conn, &x.sent)
}

func (x *sending) deliver() {
	x.news.Message = &x.Message
	if x.inRoom {
		x.room.Multicast(x.conn, &x.news)
		return
	}
	x.pair = [2]id.User{x.Receiver, x.Sender}
	x.service.router.Deliver(x.pair[:], x.conn, &x.news)
}

// release gives up one hold on x; the last puts it back.
func (x *sending) release() {
	if x.refs.Add(-1) == 0 {
		x.recycle()
	}
}

// recycle empties x and puts it back. Nobody else refers to it.
func (x *sending) recycle() {
	if x.inRoom {
		x.room.Release()
	}
	select { // a poster that gave up left its token here
	case <-x.done:
	default:
	}
	done := x.Done
	x.Entry = store.Entry{Done: done}
	x.conn, x.ref, x.room, x.inRoom, x.waiting = 0, nil, router.Room{}, false, false
	x.sent, x.failed, x.news = proto.MessageSent{}, proto.MessageError{}, proto.NewMessage{}
	x.refs.Store(1)
	clear(x.urls)
	if cap(x.buf) > maxKept {
		x.buf = nil
	}
	x.service.sendings.Put(x)
}
