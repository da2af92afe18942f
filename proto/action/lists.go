package action

import (
	"bytes"
	"hash/maphash"
	"strconv"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
)

// cursor walks the members of a JSON array or object that is known to be valid. It reads strings and
// numbers; whatever else it meets it gives out as it starts, and the caller must then stop.
type cursor []byte

// list begins the walk through an array ('[') or object ('{').
func list(v raw, opening byte) (c cursor, ok bool) {
	if v[0] != opening {
		return nil, false
	}
	return cursor(v[1:]), true
}

// next gives the next string (with its quotes) or number; nil at the end. Commas and colons are passed over.
func (c *cursor) next() raw {
	s := []byte(*c)
	for s[0] == ' ' || s[0] == '\t' || s[0] == '\r' || s[0] == '\n' || s[0] == ',' || s[0] == ':' {
		s = s[1:]
	}
	if s[0] == ']' || s[0] == '}' {
		return nil
	}
	n := 1
	if s[0] == '"' {
		n = stringSize(s)
	} else {
		for isNumeric(s[n]) {
			n++
		}
	}
	*c = cursor(s[n:])
	return raw(s[:n])
}

// stringSize is the length of the JSON string at the start of s, quotes included.
func stringSize(s []byte) int {
	for n := 1; ; {
		n += bytes.IndexByte(s[n:], '"')
		slashes := 0
		for s[n-1-slashes] == '\\' {
			slashes++
		}
		n++
		if slashes%2 == 0 {
			return n
		}
	}
}

func isNumeric(c byte) bool {
	return c >= '0' && c <= '9' || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E'
}

// users reads the ids of a presence list.
func users(to *[]id.User, v raw) *proto.Error {
	const field = "userIds"
	if absent(v) {
		return proto.BadField(field, "userIds is required")
	}
	c, ok := list(v, '[')
	if !ok {
		return proto.BadField(field, "userIds must be an array")
	}
	for item := c.next(); item != nil; item = c.next() {
		if len(*to) == proto.MaxWatch {
			return tooMany(field, proto.MaxWatch)
		}
		if item[0] != '"' {
			return proto.BadField(field, "userIds must hold strings")
		}
		u, ok := uuid(unescape(item[1 : len(item)-1]))
		if !ok {
			return proto.BadField(field, "userIds must hold UUIDs")
		}
		*to = append(*to, id.User{ID: u})
	}
	if len(*to) == 0 {
		return proto.BadField(field, "userIds is empty")
	}
	return nil
}

// mediaURLs reads what a message carries beside its text; nothing, when absent.
func mediaURLs(to *[][]byte, v raw) *proto.Error {
	const field = "mediaUrls"
	if absent(v) {
		return nil
	}
	c, ok := list(v, '[')
	if !ok {
		return proto.BadField(field, "mediaUrls must be an array")
	}
	for item := c.next(); item != nil; item = c.next() {
		if len(*to) == proto.MaxMediaURLs {
			return tooMany(field, proto.MaxMediaURLs)
		}
		if item[0] != '"' {
			return proto.BadField(field, "mediaUrls must hold strings")
		}
		url := unescape(item[1 : len(item)-1])
		switch {
		case len(url) == 0:
			return proto.BadField(field, "mediaUrls must not hold an empty string")
		case len(url) > proto.MaxMediaURL:
			return tooLong(field, proto.MaxMediaURL)
		}
		*to = append(*to, url)
	}
	return nil
}

func tooMany(field string, most int) *proto.Error {
	return proto.BadField(field, field+" has more than "+strconv.Itoa(most)+" entries")
}

// threads reads {"<thread>":<seq>, …}. A thread that is named twice keeps its place and the later seq: a hash
// table over to, of indexes plus one, finds it.
func (s *scratch) threads(to *[]proto.ThreadSeq, v raw) *proto.Error {
	const field = "threads"
	c, ok := list(v, '{')
	if !ok {
		return proto.BadField(field, "threads must be an object")
	}
	clear(s.seen[:])
	for key := c.next(); key != nil; key = c.next() {
		t, ok := uuid(unescape(key[1 : len(key)-1]))
		if !ok {
			return proto.BadField(field, "threads must have UUIDs as keys")
		}
		seq, ok := digits(c.next())
		if !ok {
			return proto.BadField(field, "threads must hold whole numbers from 0 to 9007199254740991")
		}
		slot := maphash.Bytes(s.seed, t[:]) % uint64(len(s.seen))
		for s.seen[slot] != 0 && (*to)[s.seen[slot]-1].Thread.ID != t {
			slot = (slot + 1) % uint64(len(s.seen))
		}
		if at := s.seen[slot]; at != 0 {
			(*to)[at-1].Seq = seq
			continue
		}
		if len(*to) == proto.MaxResume {
			return tooMany(field, proto.MaxResume)
		}
		*to = append(*to, proto.ThreadSeq{Thread: id.Thread{ID: t}, Seq: seq})
		s.seen[slot] = uint16(len(*to))
	}
	return nil
}
