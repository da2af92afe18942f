package ws

import "bytes"

// QueryValue finds the first value of name in a query (Head.Query), as it came. ok is false when the name
// is not there; names with escapes in them are not found.
func QueryValue(query []byte, name string) (value []byte, ok bool) {
	for len(query) > 0 {
		pair := query
		if i := bytes.IndexByte(query, '&'); i >= 0 {
			pair, query = query[:i], query[i+1:]
		} else {
			query = nil
		}
		key := pair
		value = nil
		if i := bytes.IndexByte(pair, '='); i >= 0 {
			key, value = pair[:i], pair[i+1:]
		}
		if string(key) == name {
			return value, true
		}
	}
	return nil, false
}

// AppendUnescaped adds a query's value decoded: %XX is a byte, + is a space. ok is false when a % is not
// followed by two hexadecimal digits; dst is then given back as it was.
func AppendUnescaped(dst, value []byte) (out []byte, ok bool) {
	out = dst
	for {
		i := bytes.IndexAny(value, "%+")
		if i < 0 {
			return append(out, value...), true
		}
		out = append(out, value[:i]...)
		if value[i] == '+' {
			out, value = append(out, ' '), value[i+1:]
			continue
		}
		if len(value) < i+3 {
			return dst, false
		}
		hi, lo := hexDigit(value[i+1]), hexDigit(value[i+2])
		if hi > 15 || lo > 15 {
			return dst, false
		}
		out, value = append(out, hi<<4|lo), value[i+3:]
	}
}

func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	default:
		return 255
	}
}

// Bearer is the token in an Authorization header's value, or nil when its scheme is another one.
func Bearer(authorization []byte) []byte {
	const scheme = "bearer "
	if len(authorization) <= len(scheme) || !equalFold(authorization[:len(scheme)], scheme) {
		return nil
	}
	return trim(authorization[len(scheme):])
}
