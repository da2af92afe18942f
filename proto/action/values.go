package action

import (
	"strconv"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
)

// maxSeq is the largest whole number that every JSON reader holds exactly: 2^53-1.
const maxSeq = 1<<53 - 1

// absent reports whether a key did not come, or came as null.
func absent(v raw) bool { return len(v) == 0 || v[0] == 'n' }

// text reads a string of at most longest bytes, decoded in place; absent, it is nil.
func text(field string, v raw, longest int) ([]byte, *proto.Error) {
	if absent(v) {
		return nil, nil
	}
	if v[0] != '"' {
		return nil, proto.BadField(field, field+" must be a string")
	}
	s := unescape(v[1 : len(v)-1])
	if len(s) > longest {
		return nil, tooLong(field, longest)
	}
	return s, nil
}

func tooLong(field string, longest int) *proto.Error {
	return proto.BadField(field, field+" is over "+strconv.Itoa(longest)+" bytes")
}

// ref reads what the reply repeats, as it came. null is neither a number nor a string.
func ref(v raw) ([]byte, *proto.Error) {
	switch {
	case len(v) == 0:
		return nil, nil
	case v[0] == '"':
		if len(v)-2 > proto.MaxRef {
			return nil, tooLong("ref", proto.MaxRef)
		}
	case isNumber(v):
		if len(v) > proto.MaxRef {
			return nil, tooLong("ref", proto.MaxRef)
		}
	default:
		return nil, proto.BadField("ref", "ref must be a number or a string")
	}
	return v, nil
}

func isNumber(v raw) bool { return v[0] == '-' || v[0] >= '0' && v[0] <= '9' }

// identifier reads a UUID; absent, it is zero.
func identifier(field string, v raw) (id.ID, *proto.Error) {
	s, err := text(field, v, len(v))
	if err != nil || s == nil {
		return id.ID{}, err
	}
	parsed, ok := uuid(s)
	if !ok {
		return id.ID{}, proto.BadField(field, field+" must be a UUID")
	}
	return parsed, nil
}

// uuid reads an id; the nil UUID would mean that there is none.
func uuid(s []byte) (v id.ID, ok bool) {
	v, err := id.Parse(s)
	return v, err == nil && !v.IsZero()
}

// whole reads a whole number from 0 to maxSeq, in digits only.
func whole(field string, v raw, byDefault uint64) (uint64, *proto.Error) {
	if absent(v) {
		return byDefault, nil
	}
	if n, ok := digits(v); ok {
		return n, nil
	}
	return 0, proto.BadField(field, field+" must be a whole number from 0 to 9007199254740991")
}

// digits reads a JSON number that is a whole number from 0 to maxSeq.
func digits(v []byte) (n uint64, ok bool) {
	if len(v) == 0 || len(v) > 16 {
		return 0, false
	}
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, n <= maxSeq
}

func boolean(field string, v raw, byDefault bool) (bool, *proto.Error) {
	switch {
	case absent(v):
		return byDefault, nil
	case v[0] == 't':
		return true, nil
	case v[0] == 'f':
		return false, nil
	default:
		return false, proto.BadField(field, field+" must be true or false")
	}
}

// isBase64 reports whether s is base64 of the standard alphabet with padding, line breaks allowed (Android
// puts one after every 76 characters). Nothing at all is base64.
func isBase64(s []byte) bool {
	count, padding := 0, 0
	for _, c := range s {
		switch {
		case c == '\r' || c == '\n':
			continue
		case c == '=':
			padding++
		case padding > 0 || !base64Char(c):
			return false
		}
		count++
	}
	return count%4 == 0 && padding <= 2
}

func base64Char(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/'
}
