package httpapi

import (
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// Phone normalises a phone number to E.164: a plus and 7 to 15 digits. It reads the international form
// with + or 00 and the usual spaces, dots, dashes and brackets. A number without either is read as one of
// the region (an ISO 3166 code; empty: none) where it is possible there, and else as an international one
// that lacks its plus. Whether a number is in use is nobody's to say here: numbers of the fictional
// ranges pass.
func Phone(text, region string) (e164 string, ok bool) {
	digits, international, ok := phoneDigits(text)
	if !ok {
		return "", false
	}
	if !international && region != "" {
		if n, err := phonenumbers.Parse(digits, region); err == nil && phonenumbers.IsPossibleNumber(n) {
			if f := phonenumbers.Format(n, phonenumbers.E164); isE164(f) {
				return canonical(f), true
			}
		}
	}
	if !isE164("+" + digits) {
		return "", false
	}
	return canonical("+" + digits), true
}

// isE164 judges the length and the first digit of a plus and digits.
func isE164(text string) bool { return len(text) >= 8 && len(text) <= 16 && text[1] != '0' }

// canonical drops what is not dialled after a country code: +44 (0)20 … is +44 20 …. It goes on until
// nothing more is dropped, so that a number has one form however often it is normalised.
func canonical(e164 string) string {
	for {
		n, err := phonenumbers.Parse(e164, "")
		if err != nil {
			return e164
		}
		f := phonenumbers.Format(n, phonenumbers.E164)
		if f == e164 || !isE164(f) {
			return e164
		}
		e164 = f
	}
}

// phoneDigits strips the punctuation. International is set when a plus or 00 came first.
func phoneDigits(text string) (digits string, international, ok bool) {
	text = strings.TrimSpace(text)
	if len(text) > 40 {
		return "", false, false
	}
	if rest, plus := strings.CutPrefix(text, "+"); plus {
		text, international = rest, true
	}
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; c {
		case '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			b.WriteByte(c)
		case ' ', '-', '.', '(', ')', '/':
		default:
			return "", false, false
		}
	}
	digits = b.String()
	if rest, dialled := strings.CutPrefix(digits, "00"); dialled && !international {
		digits, international = rest, true
	}
	return digits, international, digits != ""
}
