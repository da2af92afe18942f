package action

import (
	"strconv"
	"strings"

	"github.com/tolkflip/tolkflip/proto"
)

// Append adds ev as one JSON object to dst: valid UTF-8 whatever the event holds, keys always in the same
// order, optional ones left out when empty. What ev's slices hold is copied. It allocates only when dst is
// too short.
func Append(dst []byte, ev proto.Event) []byte {
	switch e := ev.(type) {
	case *proto.NewMessage:
		return append(appendMessage(append(dst, `{"type":"new_message",`...), e.Message), '}')
	case *proto.MessageSent:
		return appendMessageSent(dst, e)
	case *proto.MessageError:
		dst = append(dst, `{"type":"message_error"`...)
		dst = appendOptional(dst, `,"clientMessageId":`, e.ClientID)
		dst = appendError(dst, e.Err)
		dst = append(dst, `,"retryable":`...)
		dst = strconv.AppendBool(dst, retryable(e.Err))
		return end(dst, e.Ref)
	case *proto.DeliveredTo:
		dst = e.Thread.Append(append(dst, `{"type":"delivered","threadId":"`...))
		dst = strconv.AppendUint(append(dst, `","seq":`...), e.Seq, 10)
		dst = e.User.Append(append(dst, `,"userId":"`...))
		return append(dst, `"}`...)
	case *proto.ReadTo:
		return appendReadTo(dst, e)
	case *proto.TypingIn:
		dst = e.Thread.Append(append(dst, `{"type":"typing","threadId":"`...))
		dst = e.User.Append(append(dst, `","senderId":"`...))
		dst = e.User.Append(append(dst, `","userId":"`...))
		dst = strconv.AppendBool(append(dst, `","isTyping":`...), e.IsTyping)
		return append(dst, '}')
	case *proto.PresenceOf:
		return appendPresence(dst, e)
	case *proto.Pong:
		return end(append(dst, `{"type":"pong"`...), e.Ref)
	case *proto.Authenticated:
		dst = e.User.Append(append(dst, `{"type":"authenticated","success":true,"userId":"`...))
		dst = e.Session.Append(append(dst, `","sessionId":"`...))
		return end(append(dst, '"'), e.Ref)
	case *proto.AuthError:
		dst = appendString(append(dst, `{"type":"auth_error","error":`...), e.Reason)
		return end(dst, e.Ref)
	case *proto.Resumed:
		return appendResumed(dst, e)
	case *proto.HistoryPage:
		return appendHistory(dst, e)
	case *proto.Failure:
		return end(appendError(append(dst, `{"type":"error"`...), e.Err), e.Ref)
	default:
		return dst
	}
}

// end closes an event's object, after the ref of the request that it answers.
func end(dst, ref []byte) []byte {
	if len(ref) > 0 {
		dst = append(append(dst, `,"ref":`...), ref...)
	}
	return append(dst, '}')
}

// appendMessage adds the members of a message, without braces.
func appendMessage(dst []byte, m *proto.Message) []byte {
	dst = m.ID.Append(append(dst, `"messageId":"`...))
	dst = m.Thread.Append(append(dst, `","threadId":"`...))
	dst = strconv.AppendUint(append(dst, `","seq":`...), m.Seq, 10)
	dst = m.Sender.Append(append(dst, `,"senderId":"`...))
	if !m.Receiver.IsZero() {
		dst = m.Receiver.Append(append(dst, `","receiverId":"`...))
	}
	dst = appendString(append(dst, `","content":`...), m.Content)
	dst = append(append(dst, `,"messageType":"`...), m.Type.String()...)
	dst = append(dst, `","originalLanguage":`...)
	if len(m.Language) > 0 {
		dst = appendString(dst, m.Language)
	} else {
		dst = appendString(dst, proto.DefaultLanguage)
	}
	dst = strconv.AppendInt(append(dst, `,"timestamp":`...), m.Sent, 10)
	dst = appendOptional(dst, `,"clientMessageId":`, m.ClientID)
	for i, url := range m.MediaURLs {
		if i == 0 {
			dst = append(dst, `,"mediaUrls":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = appendString(dst, url)
	}
	if len(m.MediaURLs) > 0 {
		dst = append(dst, ']')
	}
	dst = appendOptional(dst, `,"encryptedContent":`, m.Encrypted)
	if !m.ReplyTo.IsZero() {
		dst = append(m.ReplyTo.Append(append(dst, `,"replyTo":"`...)), '"')
	}
	return dst
}

// appendOptional adds a string member, key being its JSON with comma and colon, unless it is empty.
func appendOptional(dst []byte, key string, value []byte) []byte {
	if len(value) == 0 {
		return dst
	}
	return appendString(append(dst, key...), value)
}

func appendMessageSent(dst []byte, e *proto.MessageSent) []byte {
	dst = e.Message.Append(append(dst, `{"type":"message_sent","messageId":"`...))
	dst = e.Thread.Append(append(dst, `","threadId":"`...))
	dst = strconv.AppendUint(append(dst, `","seq":`...), e.Seq, 10)
	dst = appendOptional(dst, `,"clientMessageId":`, e.ClientID)
	dst = strconv.AppendInt(append(dst, `,"status":"sent","timestamp":`...), e.Sent, 10)
	if e.Duplicate {
		dst = append(dst, `,"duplicate":true`...)
	}
	return end(dst, e.Ref)
}

// appendError adds code and message. An error without words of its own is called by its code. The frame has
// no key for the field at fault, so a message that does not name it is given its name.
func appendError(dst []byte, err *proto.Error) []byte {
	var code proto.Code
	var message string
	if err != nil {
		code, message = err.Code, err.Message
	}
	if message == "" {
		message = code.String()
	}
	if err != nil && !strings.Contains(message, err.Field) {
		message = err.Field + ": " + message
	}
	dst = append(append(dst, `,"code":"`...), code.String()...)
	return appendString(append(dst, `","message":`...), message)
}

func retryable(err *proto.Error) bool { return err == nil || err.Code.Retryable() }

func appendReadTo(dst []byte, e *proto.ReadTo) []byte {
	dst = e.Thread.Append(append(dst, `{"type":"read_receipt","threadId":"`...))
	dst = strconv.AppendUint(append(dst, `","seq":`...), e.Seq, 10)
	if !e.Message.IsZero() {
		dst = append(e.Message.Append(append(dst, `,"messageId":"`...)), '"')
	}
	dst = e.User.Append(append(dst, `,"readBy":"`...))
	return append(dst, `"}`...)
}

func appendPresence(dst []byte, e *proto.PresenceOf) []byte {
	dst = e.User.Append(append(dst, `{"type":"presence","userId":"`...))
	dst = append(append(dst, `","status":"`...), e.Status.String()...)
	dst = append(dst, '"')
	if e.LastSeen != 0 {
		dst = strconv.AppendInt(append(dst, `,"lastSeen":`...), e.LastSeen, 10)
	}
	return end(dst, e.Ref)
}

func appendResumed(dst []byte, e *proto.Resumed) []byte {
	dst = append(dst, `{"type":"resumed","threads":{`...)
	for i := range e.Threads {
		t := &e.Threads[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = t.Thread.Append(append(dst, '"'))
		dst = strconv.AppendUint(append(dst, `":{"head":`...), t.Head, 10)
		if t.Named {
			dst = strconv.AppendUint(append(dst, `,"seq":`...), t.Seq, 10)
		}
		dst = strconv.AppendBool(append(dst, `,"complete":`...), t.Complete)
		dst = append(dst, '}')
	}
	return end(append(dst, '}'), e.Ref)
}

func appendHistory(dst []byte, e *proto.HistoryPage) []byte {
	dst = e.Thread.Append(append(dst, `{"type":"history","threadId":"`...))
	dst = append(dst, `","messages":[`...)
	for i := range e.Messages {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendMessage(append(dst, '{'), &e.Messages[i]), '}')
	}
	dst = strconv.AppendBool(append(dst, `],"complete":`...), e.Complete)
	return end(dst, e.Ref)
}
