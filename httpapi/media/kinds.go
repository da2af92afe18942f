package media

import (
	"bytes"
	"path"
	"strings"
	"unicode/utf8"
)

// kind is what a file turned out to be.
type kind struct {
	mime   string
	ext    string // of its key and of a name that it has none of
	inline bool   // a browser may show it where it stands: it can run nothing
}

// served is the type that the content goes out with. What could run goes out as bytes.
func (k kind) served() string {
	if k.inline {
		return k.mime
	}
	return octets
}

const (
	octets    = "application/octet-stream"
	sniffed   = 3072 // bytes of a file that are looked at
	plainText = "text/plain"
)

// magic is a mark at a place of a file.
type magic struct {
	at   int
	mark string
	kind kind
}

// marks are the types that are known by a mark, the first that fits.
var marks = [...]magic{ //nolint:gochecknoglobals // a table
	{0, "\xff\xd8\xff", kind{"image/jpeg", "jpeg", true}},
	{0, "\x89PNG\r\n\x1a\n", kind{"image/png", "png", true}},
	{0, "GIF87a", kind{"image/gif", "gif", true}},
	{0, "GIF89a", kind{"image/gif", "gif", true}},
	{8, "WEBPVP8", kind{"image/webp", "webp", true}},
	{8, "WAVE", kind{"audio/wav", "wav", true}},
	{8, "AVI ", kind{"video/x-msvideo", "avi", false}},
	{0, "BM", kind{"image/bmp", "bmp", false}},
	{0, "II*\x00", kind{"image/tiff", "tiff", false}},
	{0, "MM\x00*", kind{"image/tiff", "tiff", false}},
	{0, "\x00\x00\x01\x00", kind{"image/x-icon", "ico", false}},
	{0, "ID3", kind{"audio/mpeg", "mp3", true}},
	{0, "fLaC", kind{"audio/flac", "flac", true}},
	{0, "#!AMR", kind{"audio/amr", "amr", false}},
	{0, "OggS", kind{"audio/ogg", "ogg", true}},
	{0, "\x1aE\xdf\xa3", kind{"video/webm", "webm", true}},
	{0, "%PDF-", kind{"application/pdf", "pdf", false}},
	{0, "PK\x03\x04", kind{"application/zip", "zip", false}},
	{0, "PK\x05\x06", kind{"application/zip", "zip", false}},
	{0, "\x1f\x8b\x08", kind{"application/gzip", "gz", false}},
	{0, "7z\xbc\xaf\x27\x1c", kind{"application/x-7z-compressed", "7z", false}},
	{0, "Rar!\x1a\x07", kind{"application/vnd.rar", "rar", false}},
	{0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", kind{"application/x-ole-storage", "bin", false}},
	{0, "{\\rtf", kind{"application/rtf", "rtf", false}},
	{0, "MZ", kind{"application/vnd.microsoft.portable-executable", "bin", false}},
	{0, "\x7fELF", kind{"application/x-executable", "bin", false}},
}

// brands are the kinds of ISO media files, by the brand in their first box.
var brands = map[string]kind{ //nolint:gochecknoglobals // a table
	"avif": {"image/avif", "avif", true},
	"avis": {"image/avif", "avif", true},
	"heic": {"image/heic", "heic", false},
	"heix": {"image/heic", "heic", false},
	"mif1": {"image/heif", "heif", false},
	"msf1": {"image/heif", "heif", false},
	"M4A ": {"audio/mp4", "m4a", true},
	"M4B ": {"audio/mp4", "m4a", true},
	"qt  ": {"video/quicktime", "mov", false},
	"3gp4": {"video/3gpp", "3gp", false},
	"3gp5": {"video/3gpp", "3gp", false},
	"3g2a": {"video/3gpp2", "3g2", false},
}

// kindOf sniffs a file by its first bytes: at most sniffed of them, all where it is smaller.
func kindOf(head []byte) kind {
	if len(head) >= 12 && string(head[4:8]) == "ftyp" {
		if k, ok := brands[string(head[8:12])]; ok {
			return k
		}
		return kind{"video/mp4", "mp4", true}
	}
	text := isText(head)
	for _, m := range marks {
		if text && len(m.mark) <= 3 { // words begin like these
			continue
		}
		if len(head) >= m.at && bytes.HasPrefix(head[m.at:], []byte(m.mark)) && (m.at == 0 || string(head[:4]) == "RIFF") {
			return m.kind
		}
	}
	if k, ok := frameKind(head); ok {
		return k
	}
	if text {
		return textKind(head)
	}
	return kind{octets, "bin", false}
}

// frameKind knows sounds without a header of their own by their first frame: MPEG layer III, and AAC in ADTS.
func frameKind(head []byte) (kind, bool) {
	switch {
	case len(head) < 4, head[0] != 0xff:
		return kind{}, false
	case head[1]&0xf6 == 0xf0:
		return kind{"audio/aac", "aac", true}, true
	case head[1]&0xe6 == 0xe2 && head[2]>>4 != 0 && head[2]>>4 != 15 && head[2]>>2&3 != 3:
		return kind{"audio/mpeg", "mp3", true}, true
	}
	return kind{}, false
}

// isText reports whether head is UTF-8 without control characters that no text has. Its last character may
// be cut.
func isText(head []byte) bool {
	if len(head) == 0 {
		return false
	}
	for len(head) > 0 {
		c, n := utf8.DecodeRune(head)
		if c == utf8.RuneError && n == 1 {
			return !utf8.FullRune(head)
		}
		if c < ' ' && !strings.ContainsRune("\t\n\f\r\x1b", c) || c == 0x7f {
			return false
		}
		head = head[n:]
	}
	return true
}

// textKind tells the texts that a browser would run from those that it would not. None is served inline.
func textKind(head []byte) kind {
	low := bytes.ToLower(head)
	has := func(marks ...string) bool {
		for _, m := range marks {
			if bytes.Contains(low, []byte(m)) {
				return true
			}
		}
		return false
	}
	switch start := bytes.TrimLeft(bytes.TrimPrefix(low, []byte("\xef\xbb\xbf")), " \t\r\n\f"); {
	case has("<svg"):
		return kind{"image/svg+xml", "svg", false}
	case has("<!doctype html", "<html", "<head", "<body", "<script", "<iframe", "<img", "<object", "<embed", "<style", "<meta"):
		return kind{"text/html", "html", false}
	case bytes.HasPrefix(start, []byte("<?xml")):
		return kind{"application/xml", "xml", false}
	case bytes.HasPrefix(start, []byte("begin:vcard")):
		return kind{"text/vcard", "vcf", false}
	case bytes.HasPrefix(start, []byte("begin:vcalendar")):
		return kind{"text/calendar", "ics", false}
	default:
		return kind{plainText, "txt", false}
	}
}

// wrapped are the documents that are zip files, by the extension of their name.
var wrapped = map[string]string{ //nolint:gochecknoglobals // a table
	"docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	"xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	"pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	"odt":  "application/vnd.oasis.opendocument.text",
	"ods":  "application/vnd.oasis.opendocument.spreadsheet",
	"odp":  "application/vnd.oasis.opendocument.presentation",
	"epub": "application/epub+zip",
	"apk":  "application/vnd.android.package-archive",
}

// refined lets the client's word choose between the names that one container has. It never makes a kind
// inline that was not.
func refined(k kind, declared, name string) kind {
	declared, _, _ = strings.Cut(strings.ToLower(declared), ";")
	declared = strings.TrimSpace(declared)
	ext := strings.TrimPrefix(strings.ToLower(path.Ext(name)), ".")
	switch k.mime {
	case "video/webm", "video/mp4": // a voice note is in the same container as a video
		if declared == "audio/"+k.mime[len("video/"):] {
			k.mime = declared
		}
	case "audio/ogg":
		if declared == "video/ogg" {
			k.mime = declared
		}
	case "application/zip":
		if mime, ok := wrapped[ext]; ok {
			k.mime, k.ext = mime, ext
		}
	case plainText:
		switch declared {
		case "text/csv":
			k.mime, k.ext = declared, "csv"
		case "text/markdown":
			k.mime, k.ext = declared, "md"
		case "application/json":
			k.mime, k.ext = declared, "json"
		}
	}
	return k
}

// allowed reports whether a list of types and patterns, such as image/*, has a type.
func allowed(list []string, mime string) bool {
	kind, _, _ := strings.Cut(mime, "/")
	for _, a := range list {
		if a == mime || a == "*/*" || a == kind+"/*" {
			return true
		}
	}
	return false
}

// inlineType reports whether a stored media type is one that may be shown where it stands. It knows the
// types that kindOf and refined give.
func inlineType(mime string) bool {
	switch mime {
	case "audio/webm", "audio/mp4", "video/webm", "video/mp4", "audio/ogg", "video/ogg", "audio/aac", "audio/mpeg":
		return true
	}
	for _, m := range marks {
		if m.kind.mime == mime {
			return m.kind.inline
		}
	}
	for _, k := range brands {
		if k.mime == mime {
			return k.inline
		}
	}
	return false
}
