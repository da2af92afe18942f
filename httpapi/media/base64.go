package media

import (
	"bufio"
	"io"
	"strconv"
)

// base64Reader decodes the rest of a JSON string, up to its closing quote, which it takes. Both alphabets
// count (RFC 4648 sections 4 and 5), padding may be left out, and white space is passed over, since MIME
// wraps lines. A group of one character, or anything behind padding, is an error.
type base64Reader struct {
	r    *bufio.Reader
	bits uint32 // what was read of a group of four characters
	n    int    // characters of it
	pad  int    // of the last group
	err  error
}

const none = 0xff

// sextets are what the characters of both alphabets stand for, or none.
var sextets = func() (t [256]byte) { //nolint:gochecknoglobals // a table
	for i := range t {
		t[i] = none
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range len(alphabet) {
		t[alphabet[i]] = byte(i)
	}
	t['-'], t['_'] = 62, 63
	return t
}()

// Read decodes what has come, and waits only where nothing has.
func (b *base64Reader) Read(p []byte) (n int, err error) {
	for n == 0 && len(p) > 0 && b.err == nil {
		if _, err := b.r.Peek(1); err != nil {
			b.err = unended(err)
			break
		}
		for n < len(p) && b.err == nil && b.r.Buffered() > 0 {
			n += b.some(p[n:])
		}
	}
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	return 0, b.err
}

// some decodes of what is buffered, until p is full or a character needs a closer look.
func (b *base64Reader) some(p []byte) int {
	in, err := b.r.Peek(b.r.Buffered())
	if err != nil {
		b.err = err
		return 0
	}
	n, used := 0, 0
	for used < len(in) && n < len(p) {
		v := sextets[in[used]]
		if v == none || b.pad > 0 {
			break
		}
		used++
		n += b.take(v, p[n:])
	}
	if _, err := b.r.Discard(used); err != nil {
		b.err = err
		return n
	}
	if used < len(in) && n < len(p) {
		n += b.other(p[n:])
	}
	return n
}

// take adds a sextet, which makes at most one byte.
func (b *base64Reader) take(v byte, p []byte) int {
	b.bits = b.bits<<6 | uint32(v)
	b.n++
	switch b.n {
	case 2:
		p[0] = byte(b.bits >> 4)
	case 3:
		p[0] = byte(b.bits >> 2)
	case 4:
		p[0] = byte(b.bits)
		b.bits, b.n = 0, 0
	default:
		return 0
	}
	return 1
}

// other reads one character that is not of the alphabet, or any behind padding.
func (b *base64Reader) other(p []byte) int {
	c, err := b.r.ReadByte()
	if err != nil {
		b.err = unended(err)
		return 0
	}
	if c == '"' {
		b.err = io.EOF
		if b.n == 1 || b.pad > 0 && b.n+b.pad != 4 {
			b.err = errBase64
		}
		return 0
	}
	if c == '\\' {
		if c, err = b.escape(); err != nil {
			b.err = err
			return 0
		}
	}
	switch v := sextets[c]; {
	case v != none && b.pad == 0:
		return b.take(v, p)
	case c == '=' && b.n >= 2 && b.n+b.pad < 4:
		b.pad++
	case c == ' ', c == '\r', c == '\n', c == '\t':
	default:
		b.err = errBase64
	}
	return 0
}

// escape is the character that stands behind a backslash. Raw control characters never come here as white
// space by themselves in valid JSON, so that only their escapes are known.
func (b *base64Reader) escape() (byte, error) {
	c, err := b.r.ReadByte()
	if err != nil {
		return 0, unended(err)
	}
	switch c {
	case '/':
		return '/', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		var hex [4]byte
		if _, err := io.ReadFull(b.r, hex[:]); err != nil {
			return 0, errJSON
		}
		v, err := strconv.ParseUint(string(hex[:]), 16, 16)
		if err != nil || v > 0x7f || v == '"' || v == '\\' {
			return 0, errBase64
		}
		return byte(v), nil
	default:
		return 0, errBase64
	}
}
