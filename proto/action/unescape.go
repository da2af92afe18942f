package action

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// escapesExist reports whether each backslash begins an escape that JSON has. In JSON that is right otherwise
// there are none outside of strings, so that all strings are checked by looking at nothing else.
func escapesExist(b []byte) bool {
	for {
		i := bytes.IndexByte(b, '\\')
		if i < 0 {
			return true
		}
		b = b[i+1:]
		if len(b) == 0 {
			return false
		}
		switch b[0] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			b = b[1:]
		case 'u':
			if len(b) < 5 || !isHex(b[1]) || !isHex(b[2]) || !isHex(b[3]) || !isHex(b[4]) {
				return false
			}
			b = b[5:]
		default:
			return false
		}
	}
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// unescape decodes, in place, what stands between the quotes of a valid JSON string. The longest character,
// of four bytes, takes twelve to escape, so the writing never catches up with the reading.
func unescape(s []byte) []byte {
	next := bytes.IndexByte(s, '\\')
	if next < 0 {
		return s
	}
	out, rest := s[:next], s[next:]
	for next >= 0 {
		var c rune
		c, rest = escaped(rest)
		out = utf8.AppendRune(out, c)
		next = bytes.IndexByte(rest, '\\')
		if next < 0 {
			break
		}
		out, rest = append(out, rest[:next]...), rest[next:]
	}
	return append(out, rest...)
}

// escaped reads the escape at the start of s and gives what follows it. Half of a surrogate pair without
// its other half is U+FFFD.
func escaped(s []byte) (c rune, rest []byte) {
	switch s[1] {
	case 'b':
		return '\b', s[2:]
	case 'f':
		return '\f', s[2:]
	case 'n':
		return '\n', s[2:]
	case 'r':
		return '\r', s[2:]
	case 't':
		return '\t', s[2:]
	case 'u':
		c, rest = hex4(s[2:]), s[6:]
		if !utf16.IsSurrogate(c) {
			return c, rest
		}
		if len(rest) >= 6 && rest[0] == '\\' && rest[1] == 'u' {
			if pair := utf16.DecodeRune(c, hex4(rest[2:])); pair != utf8.RuneError {
				return pair, rest[6:]
			}
		}
		return utf8.RuneError, rest
	default: // a quote, a slash or a backslash
		return rune(s[1]), s[2:]
	}
}

func hex4(s []byte) (c rune) {
	for _, d := range s[:4] {
		switch {
		case d <= '9':
			d -= '0'
		case d <= 'F':
			d -= 'A' - 10
		default:
			d -= 'a' - 10
		}
		c = c<<4 | rune(d)
	}
	return c
}
