package router

import (
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
)

// Conn names one open socket: its slot in the connection table with the slot's generation, and the two
// facts that a sender needs without looking the slot up, the loop that owns it and the dialect it
// speaks. It is a value and never dangles: a Conn that was closed matches no slot any more, and what is
// sent to it is dropped and counted. The zero value names nobody.
//
//	bits 63–56 loop   55–52 dialect   51–28 generation (24 bits, never 0)   27–0 slot
type Conn uint64

// MakeConn packs a Conn.
func MakeConn(loop, dialect uint8, generation, slot uint32) Conn {
	return Conn(uint64(loop)<<56 | uint64(dialect&15)<<52 | uint64(generation&(1<<24-1))<<28 | uint64(slot&(1<<28-1)))
}

// Loop is the index of the event loop that owns the connection.
func (c Conn) Loop() int { return int(c >> 56) }

// Dialect is the index of the codec that the connection speaks.
func (c Conn) Dialect() int { return int(c>>52) & 15 }

// Generation tells this use of the slot from earlier and later ones.
func (c Conn) Generation() uint32 { return uint32(c>>28) & (1<<24 - 1) }

// Slot is the index in the connection table (the file descriptor).
func (c Conn) Slot() uint32 { return uint32(c) & (1<<28 - 1) }

// Caller is who asks: an authenticated connection.
type Caller struct {
	Conn    Conn
	User    id.User
	Session id.Session
}

// Sink is the event loops as the rules see them; conn.Server is one. No method blocks on a socket, on
// a store or on another connection: each encodes what it must, once per dialect among the targets, puts
// shared bytes into the inboxes of the loops, and returns. What one goroutine puts in for a connection
// arrives in that order.
type Sink interface {
	// Deliver sends ev to each of to, save except (which may be absent). The slice is not kept.
	Deliver(to []Conn, except Conn, ev proto.Event)
	// Multicast is Deliver to a list that is already split by loop (byLoop[i] has only connections of
	// loop i) and that nobody changes any more: it is kept and shared, so that a group of thousands costs
	// one inbox item a loop.
	Multicast(byLoop [][]Conn, except Conn, ev proto.Event)
	// Finish is Deliver to the one connection whose SendMessage request ev answers: it ends one send in
	// flight. Every SendMessage that a rule accepted or refused ends in exactly one Finish.
	Finish(to Conn, ev proto.Event)
	// Close ends a connection: what was sent before still goes out, then a close frame with the code.
	Close(c Conn, code uint16, reason string)
	// CloseSession is Close if the connection is one of that session's.
	CloseSession(c Conn, s id.Session, code uint16, reason string)
	// Loops is the number of event loops.
	Loops() int
}

// Replayer is the part of a Sink that a resume needs; conn.Server is one.
type Replayer interface {
	// Hold keeps live NewMessage events of the threads back on c, up to 256 events or 256 KiB a thread,
	// until Release. Everything else passes.
	Hold(c Conn, threads []id.Thread)
	// Backfill is Deliver to one connection past its holds.
	Backfill(c Conn, ev proto.Event)
	// Feed calls f.Next on a worker whenever less than 256 KiB wait to be sent on c, until Next reports
	// false. f's methods are called one at a time. A connection has one feeder at a time; a second one
	// waits for the first to end.
	Feed(c Conn, f Feeder)
	// Release sends the held events of t above upTo in order, drops the others, lifts the hold, and then
	// calls f.Released(t, true). If the hold overflowed it is emptied and kept, and f.Released(t, false)
	// is called. Either way from a worker, one at a time with f's other methods.
	Release(c Conn, t id.Thread, upTo uint64, f Feeder)
}

// Feeder pushes a backlog to one connection at the speed at which that connection takes it.
type Feeder interface {
	// Next pushes some more (a page) with Backfill, and reports whether there may be more to push now.
	// After false, Feed must be called again to go on. It may wait for a store.
	Next() (more bool)
	// Released is told what came of a Release.
	Released(t id.Thread, ok bool)
	// Gone is called instead of all further calls when the connection was closed.
	Gone()
}
