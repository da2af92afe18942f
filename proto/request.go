package proto

import "github.com/tolkflip/tolkflip/proto/id"

// Action is what a client asks over a socket, whatever the dialect.
type Action uint8

// The actions. Their fields in Request are named beside each.
const (
	NoAction        Action = iota
	Authenticate           // Token, Resume
	SendMessage            // Thread or Receiver, Draft
	Resume                 // Resume
	History                // Thread, Before, Limit
	Delivered              // Thread, Seq
	ReadReceipt            // Message, or Thread and Seq
	Typing                 // Thread or Receiver, IsTyping
	PresenceWatch          // Users
	PresenceUnwatch        // Users
	Ping
)

// Request is one decoded and validated client action. It is reused: byte slices alias the input and
// slices are the decoder's own, so all of it is valid only until the rule that got it returns.
type Request struct {
	Action   Action
	Ref      []byte // the raw JSON number or string that the reply repeats; nil when none came
	Token    []byte
	Thread   id.Thread
	Receiver id.User
	Message  id.Message
	Seq      uint64
	Before   uint64 // history: only messages below this seq; 0 = from the newest
	Limit    int    // history: 1 to MaxHistory
	IsTyping bool
	Users    []id.User
	Draft    Draft
	Resume   ResumeFrom
}

// Draft is what one send_message says.
type Draft struct {
	ClientID  []byte
	Type      MessageType
	Content   []byte
	Language  []byte
	Encrypted []byte
	MediaURLs [][]byte
	ReplyTo   id.Message
}

// ResumeFrom names what a returning client has: per thread the last seq that it holds.
type ResumeFrom struct {
	Asked   bool
	All     bool // also report the heads of the user's other threads
	Threads []ThreadSeq
}

// ThreadSeq is a position in a thread.
type ThreadSeq struct {
	Thread id.Thread
	Seq    uint64
}

// Reset empties r for the next decoding and keeps its slices' memory, but nothing that they referred to.
func (r *Request) Reset() {
	clear(r.Draft.MediaURLs)
	*r = Request{
		Users:  r.Users[:0],
		Draft:  Draft{MediaURLs: r.Draft.MediaURLs[:0]},
		Resume: ResumeFrom{Threads: r.Resume.Threads[:0]},
	}
}
