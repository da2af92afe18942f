package proto

import "github.com/tolkflip/tolkflip/proto/id"

// Event is something that a client is told. Events are pointers to the structs below; a dialect encodes
// each into one frame. An event is encoded before the call that delivers it returns, so it may be pooled.
type Event interface{ event() }

type (
	// Authenticated answers an accepted token.
	Authenticated struct {
		Ref     []byte
		User    id.User
		Session id.Session
	}
	// AuthError answers a refused token; close code 4401 follows. Reason is token_expired or invalid_token.
	AuthError struct {
		Ref    []byte
		Reason string
	}
	// MessageSent tells a sender that its message is durable.
	MessageSent struct {
		Ref       []byte
		Message   id.Message
		Thread    id.Thread
		Seq       uint64
		ClientID  []byte
		Sent      int64 // Unix milliseconds
		Duplicate bool
	}
	// MessageError tells a sender that its message was refused.
	MessageError struct {
		Ref      []byte
		ClientID []byte
		Err      *Error
	}
	// NewMessage carries a message of a thread, live or in answer to a resume.
	NewMessage struct{ Message *Message }
	// Resumed ends a resume.
	Resumed struct {
		Ref     []byte
		Threads []ThreadState
	}
	// HistoryPage is a page of a thread, rising in seq.
	HistoryPage struct {
		Ref      []byte
		Thread   id.Thread
		Messages []Message
		Complete bool // nothing older exists
	}
	// DeliveredTo says that a member's devices hold all up to Seq.
	DeliveredTo struct {
		Thread id.Thread
		Seq    uint64
		User   id.User
	}
	// ReadTo says that a member has read all up to Seq. Message is the one that stands there, if known.
	ReadTo struct {
		Thread  id.Thread
		Seq     uint64
		Message id.Message
		User    id.User
	}
	// TypingIn says that a member writes, or stopped.
	TypingIn struct {
		Thread   id.Thread
		User     id.User
		IsTyping bool
	}
	// PresenceOf is a person's state. Ref is set in the answer to a presence_watch, not in later changes.
	PresenceOf struct {
		Ref      []byte
		User     id.User
		Status   Status
		LastSeen int64 // Unix milliseconds; 0 = not known
	}
	// Pong answers a ping action.
	Pong struct{ Ref []byte }
	// Failure answers any other action that was refused.
	Failure struct {
		Ref []byte
		Err *Error
	}
)

// ThreadState is how far a resume got in one thread.
type ThreadState struct {
	Thread   id.Thread
	Head     uint64 // the newest durable seq
	Seq      uint64 // the last seq that was sent; meaningless when Named is false
	Named    bool   // the client named the thread in its resume
	Complete bool   // everything up to Head was sent
}

// Status is a person's presence.
type Status uint8

// The states; away is only ever set by the person.
const (
	Offline Status = iota
	Online
	Away
)

// String is the status's name on the wire.
func (s Status) String() string {
	switch s {
	case Online:
		return "online"
	case Away:
		return "away"
	default:
		return "offline"
	}
}

func (*Authenticated) event() {}
func (*AuthError) event()     {}
func (*MessageSent) event()   {}
func (*MessageError) event()  {}
func (*NewMessage) event()    {}
func (*Resumed) event()       {}
func (*HistoryPage) event()   {}
func (*DeliveredTo) event()   {}
func (*ReadTo) event()        {}
func (*TypingIn) event()      {}
func (*PresenceOf) event()    {}
func (*Pong) event()          {}
func (*Failure) event()       {}
