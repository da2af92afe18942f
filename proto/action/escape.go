package action

import (
	"encoding/binary"
	stdutf8 "unicode/utf8"
	"unsafe"

	"github.com/bytedance/sonic/utf8"
)

// appendString adds s as a JSON string. What is not UTF-8 in it becomes U+FFFD. Text that needs no escape is
// looked through eight bytes at a time and copied in one piece.
func appendString[S ~string | ~[]byte](dst []byte, s S) []byte {
	b := bytesOf(s)
	dst = append(dst, '"')
	valid := utf8.Validate(b)
	for {
		n := plain(b)
		if !valid {
			dst = appendValid(dst, b[:n])
		} else {
			dst = append(dst, b[:n]...)
		}
		if n == len(b) {
			return append(dst, '"')
		}
		dst = appendEscape(dst, b[n])
		b = b[n+1:]
	}
}

// bytesOf gives the bytes of s, which must not be written to.
func bytesOf[S ~string | ~[]byte](s S) []byte {
	return unsafe.Slice(unsafe.StringData(*(*string)(unsafe.Pointer(&s))), len(s))
}

// plain is the number of bytes at the start of b that stand in a JSON string as they are.
func plain(b []byte) int {
	const (
		ones = 0x0101010101010101
		tops = 0x80 * ones
	)
	n := 0
	for ; n+8 <= len(b); n += 8 {
		w := binary.LittleEndian.Uint64(b[n:])
		quote, slash := w^'"'*ones, w^'\\'*ones
		// A byte's top bit is set where the byte is below 0x20, a quote or a backslash; a borrow can set it
		// in a byte above such a one as well, which is why the bytes are then looked at one by one.
		if ((w-0x20*ones)&^w|(quote-ones)&^quote|(slash-ones)&^slash)&tops != 0 {
			break
		}
	}
	for ; n < len(b); n++ {
		if c := b[n]; c < 0x20 || c == '"' || c == '\\' {
			break
		}
	}
	return n
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	default:
		const digits = "0123456789abcdef"
		return append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
	}
}

// appendValid adds b with U+FFFD in the place of each byte that is not UTF-8.
func appendValid(dst, b []byte) []byte {
	for len(b) > 0 {
		c, n := stdutf8.DecodeRune(b)
		dst = stdutf8.AppendRune(dst, c)
		b = b[n:]
	}
	return dst
}
