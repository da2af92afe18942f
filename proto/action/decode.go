package action

import (
	"hash/maphash"
	"slices"
	"sync"
	"unsafe"

	"github.com/bytedance/sonic"
	"github.com/bytedance/sonic/decoder"
	"github.com/bytedance/sonic/utf8"

	"github.com/tolkflip/tolkflip/proto"
)

// raw is the JSON of one value, as it came and known to be valid; nil when its key did not come.
type raw = sonic.NoCopyRawMessage

// frame is a client's frame, split into the values of the keys that any action has.
type frame struct {
	Action    raw `json:"action"`
	Ref       raw `json:"ref"`
	ClientID  raw `json:"clientMessageId"`
	Token     raw `json:"token"`
	Resume    raw `json:"resume"`
	Threads   raw `json:"threads"`
	All       raw `json:"all"`
	Thread    raw `json:"threadId"`
	Receiver  raw `json:"receiverId"`
	Message   raw `json:"messageId"`
	Seq       raw `json:"seq"`
	Before    raw `json:"before"`
	Limit     raw `json:"limit"`
	IsTyping  raw `json:"isTyping"`
	Users     raw `json:"userIds"`
	Content   raw `json:"content"`
	Type      raw `json:"messageType"`
	Language  raw `json:"originalLanguage"`
	Media     raw `json:"mediaUrls"`
	Encrypted raw `json:"encryptedContent"`
	ReplyTo   raw `json:"replyTo"`
}

// resumeFrom is the object in authenticate's "resume", which has the keys of the resume action.
type resumeFrom struct {
	Threads raw `json:"threads"`
	All     raw `json:"all"`
}

// scratch is what one Decode needs beside its input. It is empty whenever it is in the pool.
type scratch struct {
	json   *decoder.Decoder
	frame  frame
	resume resumeFrom
	seed   maphash.Seed
	seen   [2 * 1024]uint16 // see threads
}

//nolint:gochecknoglobals // memory to reuse; no call can see what another left
var scratches = sync.Pool{New: func() any {
	d := decoder.NewDecoder("")
	d.SetOptions(decoder.OptionValidateString | decoder.OptionCaseSensitive)
	return &scratch{json: d, seed: maphash.MakeSeed()}
}}

// Decode reads a client's frame into r, which it resets first. It checks all that can be checked without
// knowing the user: types, ids, limits, and that what the action needs is there.
//
// The bytes of b become r's: r's byte slices alias them, and strings with escapes are decoded in place. So b
// must stay as it is for as long as r is used, and cannot be decoded twice.
//
// Every error is a *proto.Error with the code Invalid, and Field names the key that is at fault, if one is.
// After an error r has Action, Ref and Draft.ClientID where they could be read, so that the refusal can
// repeat them, and nothing else in it may be used.
func Decode(b []byte, r *proto.Request) error {
	r.Reset()
	if err := check(b); err != nil {
		return err
	}
	s := scratches.Get().(*scratch)
	err := s.decode(b, r)
	s.frame, s.resume = frame{}, resumeFrom{}
	s.json.Reset("")
	scratches.Put(s)
	if err != nil {
		return err
	}
	return nil
}

// check refuses what sonic would take: bytes that are not UTF-8 (it would copy and replace them), a null, and
// escapes that do not exist (it does not look at those in the middle of long strings that it splits off).
func check(b []byte) error {
	if !utf8.Validate(b) {
		return proto.Fail(proto.Invalid, "the frame is not UTF-8")
	}
	start := 0
	for start < len(b) && (b[start] == ' ' || b[start] == '\t' || b[start] == '\r' || b[start] == '\n') {
		start++
	}
	if start == len(b) || b[start] != '{' {
		return proto.Fail(proto.Invalid, "the frame is not a JSON object")
	}
	if !escapesExist(b) {
		return proto.Fail(proto.Invalid, "invalid JSON")
	}
	return nil
}

func (s *scratch) decode(b []byte, r *proto.Request) *proto.Error {
	f := &s.frame
	split := s.split(b, f)
	err := s.envelope(r)
	switch {
	case split != nil:
		return split
	case err != nil:
		return err
	}
	switch r.Action {
	case proto.Authenticate:
		return s.authenticate(r)
	case proto.SendMessage:
		return s.sendMessage(r)
	case proto.Resume:
		return s.readResume(r, f.Threads, f.All)
	case proto.History:
		return s.history(r)
	case proto.Delivered:
		return s.delivered(r)
	case proto.ReadReceipt:
		return s.readReceipt(r)
	case proto.Typing:
		return s.typing(r)
	case proto.PresenceWatch, proto.PresenceUnwatch:
		return users(&r.Users, f.Users)
	default: // a ping has nothing to read, NoAction was refused
		return nil
	}
}

// split has sonic validate b, which is not empty, and put its values into v.
func (s *scratch) split(b []byte, v any) *proto.Error {
	s.json.Reset(unsafe.String(&b[0], len(b)))
	if s.json.Decode(v) != nil || s.json.CheckTrailings() != nil {
		return proto.Fail(proto.Invalid, "invalid JSON")
	}
	return nil
}

// envelope reads what a refusal repeats: all of it that can be read, and reports the first that cannot.
func (s *scratch) envelope(r *proto.Request) *proto.Error {
	f := &s.frame
	var err *proto.Error
	if r.Ref, err = ref(f.Ref); err != nil {
		r.Ref = nil
	}
	id, clientErr := text("clientMessageId", f.ClientID, proto.MaxClientID)
	if clientErr == nil {
		r.Draft.ClientID = id
	}
	name, nameErr := text("action", f.Action, len(f.Action))
	if nameErr == nil {
		r.Action = actionOf(name)
		if r.Action == proto.NoAction {
			nameErr = unknown(name)
		}
	}
	switch {
	case nameErr != nil:
		return nameErr
	case err != nil:
		return err
	default:
		return clientErr
	}
}

// names are the actions as the wire calls them, each at its own number.
//
//nolint:gochecknoglobals // a table that never changes
var names = [...]string{
	proto.Authenticate:    "authenticate",
	proto.SendMessage:     "send_message",
	proto.Resume:          "resume",
	proto.History:         "history",
	proto.Delivered:       "delivered",
	proto.ReadReceipt:     "read_receipt",
	proto.Typing:          "typing",
	proto.PresenceWatch:   "presence_watch",
	proto.PresenceUnwatch: "presence_unwatch",
	proto.Ping:            "ping",
}

// Names gives the actions that Decode knows, as the wire calls them.
func Names() []string { return slices.Clone(names[proto.NoAction+1:]) }

func actionOf(name []byte) proto.Action {
	for a := proto.NoAction + 1; int(a) < len(names); a++ {
		if names[a] == string(name) {
			return a
		}
	}
	return proto.NoAction
}

// unknown names an action that does not exist, but does not repeat a page of it.
func unknown(name []byte) *proto.Error {
	const longest = 64
	if len(name) == 0 {
		return proto.BadField("action", "action is required")
	}
	if len(name) > longest {
		return proto.BadField("action", "unknown action")
	}
	return proto.BadField("action", "unknown action: "+string(name))
}
