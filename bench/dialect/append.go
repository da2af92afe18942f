package dialect

import "github.com/tolkflip/tolkflip/proto/id"

// AppendAuthenticate adds the first action of a connection.
func AppendAuthenticate(dst, token []byte) []byte {
	dst = append(dst, `{"action":"authenticate","token":"`...)
	dst = append(dst, token...)
	return append(dst, `"}`...)
}

// AppendDirect adds a send_message to a person. size is the length of the content in bytes; it begins with
// the stamp and is never shorter.
func AppendDirect(dst []byte, to id.User, s Stamp, size int) []byte {
	dst = append(dst, `{"action":"send_message","receiverId":"`...)
	return appendBody(to.Append(dst), s, size)
}

// AppendGroup adds a send_message to a group.
func AppendGroup(dst []byte, to id.Thread, s Stamp, size int) []byte {
	dst = append(dst, `{"action":"send_message","threadId":"`...)
	return appendBody(to.Append(dst), s, size)
}

func appendBody(dst []byte, s Stamp, size int) []byte {
	dst = append(dst, `","clientMessageId":"`...)
	dst = s.Append(dst)
	dst = append(dst, `","content":"`...)
	dst = s.Append(dst)
	for n := size - StampSize; n > 0; n -= len(filler) {
		dst = append(dst, filler[:min(n, len(filler))]...)
	}
	return append(dst, `"}`...)
}

// filler is text with the letter frequencies of a chat, ASCII, nothing to escape.
const filler = " are we still on for tomorrow at six, or shall we make it later so that everybody can come? the train is late again, bring the blue folder please, and tell her that the keys are with the neighbour."

// AppendWatch adds a presence_watch of several people.
func AppendWatch(dst []byte, users []id.User) []byte {
	dst = append(dst, `{"action":"presence_watch","userIds":[`...)
	for i, u := range users {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(u.Append(dst), '"')
	}
	return append(dst, `]}`...)
}

// AppendPing adds a ping whose ref is the time at which it was due: the pong repeats it.
func AppendPing(dst []byte, due int64) []byte {
	dst = append(dst, `{"action":"ping","ref":"`...)
	dst = appendHex(dst, uint64(due), 14)
	return append(dst, `"}`...)
}
