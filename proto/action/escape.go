package action

import (
	"encoding/binary"
	"math/bits"
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
	n := 0
	for ; len(b)-n >= 8; n += 8 {
		if found := special(b[n : n+8]); found != 0 {
			return n + bits.TrailingZeros64(found)/8
		}
		if len(b)-n < 64 {
			continue
		}
		// Far from the end, four more at a time.
		for p := b[n+8:]; len(p) >= 32; p = p[32:] {
			if special(p[:8])|special(p[8:16])|special(p[16:24])|special(p[24:32]) != 0 {
				break
			}
			n += 32
		}
	}
	for ; n < len(b); n++ {
		if c := b[n]; c < 0x20 || c == '"' || c == '\\' {
			break
		}
	}
	return n
}

// special looks for bytes below 0x20, quotes and backslashes in eight bytes. The lowest bit that is set is the
// top bit of the first one; a borrow may set more above it. Flipping the second bit puts the quote (0x22)
// below the space (0x20) and nothing else, so that one comparison finds it with the control characters.
func special(b []byte) uint64 {
	const ones = 0x0101010101010101
	w := binary.LittleEndian.Uint64(b)
	low, slash := (w^0x02*ones)-0x21*ones, (w^'\\'*ones)-ones
	return (low | slash) &^ w & (0x80 * ones)
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
