package media

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is the longest name that is kept, in bytes: what file systems take.
const maxName = 255

// cleanName makes a name to show of what a client called its file: the last part of a path, without what
// does not print, what turns the direction of text, and what file systems refuse. A name of which nothing
// is left is "file" with the extension of its kind.
func cleanName(name, ext string) string {
	if at := strings.LastIndexAny(name, `/\`); at >= 0 {
		name = name[at+1:]
	}
	var b strings.Builder
	for _, c := range name {
		switch {
		case c == utf8.RuneError, unicode.In(c, unicode.Cc, unicode.Cf, unicode.Cs, unicode.Co, unicode.Zl, unicode.Zp):
		case unicode.IsSpace(c):
			b.WriteByte(' ')
		case strings.ContainsRune(`<>:"|?*`, c):
			b.WriteByte('_')
		default:
			b.WriteRune(c)
		}
	}
	name = strings.TrimRight(strings.TrimLeft(strings.TrimSpace(b.String()), ". "), ". ")
	if name == "" {
		return "file." + ext
	}
	return shorten(name)
}

// shorten cuts the middle out of a name that is too long: its end says what it is.
func shorten(name string) string {
	if len(name) <= maxName {
		return name
	}
	end := ""
	if at := strings.LastIndexByte(name, '.'); at > 0 && len(name)-at <= 16 {
		name, end = name[:at], name[at:]
	}
	cut := maxName - len(end)
	for cut > 0 && !utf8.RuneStart(name[cut]) {
		cut--
	}
	return strings.TrimRight(name[:cut], ". ") + end
}

// disposition is the Content-Disposition of a name (RFC 6266): as it is, for all who know filename*, and
// in ASCII for the others.
func disposition(inline bool, name string) string {
	var plain, exact strings.Builder
	for _, c := range name {
		if c < ' ' || c > '~' || c == '"' || c == '\\' || c == '%' {
			c = '_'
		}
		plain.WriteRune(c)
	}
	for i := range len(name) {
		if c := name[i]; attrChar(c) {
			exact.WriteByte(c)
		} else {
			const hex = "0123456789ABCDEF"
			exact.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	how := "attachment"
	if inline {
		how = "inline"
	}
	return how + `; filename="` + plain.String() + `"; filename*=UTF-8''` + exact.String()
}

// attrChar reports whether c stands for itself in an ext-value (RFC 8187 section 3.2.1).
func attrChar(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$&+-.^_`|~", c) >= 0
}
