package ws

import "bytes"

// tokenChar marks the bytes of a token (RFC 9110, section 5.6.2).
//
//nolint:gochecknoglobals // a table that never changes
var tokenChar = func() (t [256]bool) {
	for c := byte('0'); c <= '9'; c++ {
		t[c] = true
	}
	for c := byte('a'); c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] = true
	}
	return t
}()

func isToken(b []byte) bool {
	for _, c := range b {
		if !tokenChar[c] {
			return false
		}
	}
	return true
}

// equalFold compares b with an ASCII name that is written in lower case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// trim takes spaces and tabs off both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// hasToken reports whether a comma-separated list has the lower-case name in any case.
func hasToken(list []byte, lower string) bool {
	for item := range items(list) {
		if equalFold(item, lower) {
			return true
		}
	}
	return false
}

// hasExactToken is hasToken for names whose case matters.
func hasExactToken(list []byte, name string) bool {
	for item := range items(list) {
		if string(item) == name {
			return true
		}
	}
	return false
}

// items yields what stands between the commas of list.
func items(list []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(list) > 0 {
			item := list
			if i := bytes.IndexByte(list, ','); i >= 0 {
				item, list = list[:i], list[i+1:]
			} else {
				list = nil
			}
			if !yield(trim(item)) {
				return
			}
		}
	}
}
