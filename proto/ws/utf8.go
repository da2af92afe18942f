package ws

import (
	"unicode/utf8"

	simd "github.com/bytedance/sonic/utf8"
)

// runes is where in a UTF-8 sequence a text that comes in pieces stands: what the next byte may be. The
// zero value is "between characters". The names follow the rows of table 3-7 of the Unicode standard.
type runes uint8

const (
	between   runes = iota
	oneMore         // 80..BF, then between
	twoMore         // 80..BF, then oneMore
	threeMore       // 80..BF, then twoMore
	afterE0         // A0..BF, then oneMore
	afterED         // 80..9F, then oneMore
	afterF0         // 90..BF, then twoMore
	afterF4         // 80..8F, then twoMore
	notUTF8         // stays so
)

// step is the state after one more byte.
func (r runes) step(c byte) runes {
	switch r {
	case between:
		return lead(c)
	case oneMore:
		return within(c, 0x80, 0xBF, between)
	case twoMore:
		return within(c, 0x80, 0xBF, oneMore)
	case threeMore:
		return within(c, 0x80, 0xBF, twoMore)
	case afterE0:
		return within(c, 0xA0, 0xBF, oneMore)
	case afterED:
		return within(c, 0x80, 0x9F, oneMore)
	case afterF0:
		return within(c, 0x90, 0xBF, twoMore)
	case afterF4:
		return within(c, 0x80, 0x8F, twoMore)
	default:
		return notUTF8
	}
}

func within(c, lo, hi byte, next runes) runes {
	if c < lo || c > hi {
		return notUTF8
	}
	return next
}

// lead is the state after the first byte of a character.
func lead(c byte) runes {
	switch {
	case c < 0x80:
		return between
	case c < 0xC2:
		return notUTF8
	case c < 0xE0:
		return oneMore
	case c == 0xE0:
		return afterE0
	case c == 0xED:
		return afterED
	case c < 0xF0:
		return twoMore
	case c == 0xF0:
		return afterF0
	case c < 0xF4:
		return threeMore
	case c == 0xF4:
		return afterF4
	default:
		return notUTF8
	}
}

// through is the state after p. Only the bytes of characters that p cuts are stepped over one by one; the
// middle is validated 32 bytes at a time.
func (r runes) through(p []byte) runes {
	for r != between {
		if len(p) == 0 || r == notUTF8 {
			return r
		}
		r, p = r.step(p[0]), p[1:]
	}
	cut := len(p)
	for i := len(p) - 1; i >= 0 && i >= len(p)-3; i-- {
		if utf8.RuneStart(p[i]) {
			if !utf8.FullRune(p[i:]) {
				cut = i
			}
			break
		}
	}
	if !simd.Validate(p[:cut]) {
		return notUTF8
	}
	for _, c := range p[cut:] {
		r = r.step(c)
	}
	return r
}
