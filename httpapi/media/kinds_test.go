package media

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestKinds(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("words and words ", 200)
	for _, c := range []struct {
		name, head, mime string
		inline           bool
	}{
		{"jpeg", "\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg", true},
		{"png", "\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR", "image/png", true},
		{"png, cut", "\x89PNG\r\n\x1a", octets, false},
		{"gif", "GIF89a\x01\x00\x01\x00", "image/gif", true},
		{"gif with a script behind", "GIF89a=1;alert(1)", "image/gif", true}, // a picture to all who do not sniff
		{"webp", "RIFF\x24\x00\x00\x00WEBPVP8 ", "image/webp", true},
		{"wav", "RIFF\x24\x00\x00\x00WAVEfmt ", "audio/wav", true},
		{"avi", "RIFF\x24\x00\x00\x00AVI LIST", "video/x-msvideo", false},
		{"no riff", "XXXX\x24\x00\x00\x00WEBPVP8 ", octets, false},
		{"mp4", "\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00", "video/mp4", true},
		{"mp4 of another brand", "\x00\x00\x00\x18ftypisom\x00\x00\x00\x00", "video/mp4", true},
		{"m4a", "\x00\x00\x00\x18ftypM4A \x00\x00\x00\x00", "audio/mp4", true},
		{"quicktime", "\x00\x00\x00\x14ftypqt  \x00\x00\x00\x00", "video/quicktime", false},
		{"heic", "\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "image/heic", false},
		{"avif", "\x00\x00\x00\x18ftypavif\x00\x00\x00\x00", "image/avif", true},
		{"webm", "\x1aE\xdf\xa3\x01\x00\x00\x00", "video/webm", true},
		{"ogg", "OggS\x00\x02", "audio/ogg", true},
		{"mp3 with tags", "ID3\x04\x00\x00", "audio/mpeg", true},
		{"mp3", "\xff\xfb\x90\x64\x00", "audio/mpeg", true},
		{"aac", "\xff\xf1\x50\x80\x00", "audio/aac", true},
		{"flac", "fLaC\x00\x00\x00\x22", "audio/flac", true},
		{"pdf", "%PDF-1.7\n%\xe2\xe3", "application/pdf", false},
		{"pdf as text", "%PDF-1.7\n", "application/pdf", false},
		{"zip", "PK\x03\x04\x14\x00", "application/zip", false},
		{"exe", "MZ\x90\x00\x03\x00", "application/vnd.microsoft.portable-executable", false},
		{"elf", "\x7fELF\x02\x01\x01", "application/x-executable", false},
		{"svg", `<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`, "image/svg+xml", false},
		{"svg behind a comment", "<?xml version=\"1.0\"?><!-- " + long[:500] + " --><SVG onload=alert(1)>", "image/svg+xml", false},
		{"html", "  \n<!DOCTYPE HTML><p>hi", "text/html", false},
		{"html by a tag", "hello <ScRipt>alert(1)</script>", "text/html", false},
		{"html behind a mark of UTF-8", "\xef\xbb\xbf<html>", "text/html", false},
		{"xml", "<?xml version=\"1.0\"?><feed/>", "application/xml", false},
		{"text", "Hello, \u00fcml\u00e4ut\n", plainText, false},
		{"a word that begins like a bitmap", "BMW is a car", plainText, false},
		{"a word that begins like a tag", "ID3 is a tag", plainText, false},
		{"bitmap", "BM\x36\x00\x0c\x00\x00\x00", "image/bmp", false},
		{"text, cut in a character", long + "\xe2\x82", plainText, false},
		{"a card", "BEGIN:VCARD\nVERSION:3.0", "text/vcard", false},
		{"not UTF-8", "caf\xe9 cr\xe8me", octets, false},
		{"UTF-16", "\xff\xfeh\x00i\x00", octets, false},
		{"control characters", "a\x00b", octets, false},
		{"encrypted", "\x8a\x1f\x93\x00\x55\xaa", octets, false},
		{"nothing", "", octets, false},
	} {
		k := kindOf([]byte(c.head))
		if k.mime != c.mime || k.inline != c.inline {
			t.Errorf("%s: %s inline %t, want %s inline %t", c.name, k.mime, k.inline, c.mime, c.inline)
		}
		if k.inline != inlineType(k.mime) {
			t.Errorf("%s: inlineType(%s) is %t", c.name, k.mime, !k.inline)
		}
		if !k.inline && k.served() != octets || k.inline && k.served() != k.mime {
			t.Errorf("%s: served as %s", c.name, k.served())
		}
		if k.ext == "" || strings.Trim(k.ext, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			t.Errorf("%s: extension %q cannot stand in a key", c.name, k.ext)
		}
	}
}

func TestRefined(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ sniffed, declared, name, want, ext string }{
		{"video/webm", "audio/webm;codecs=opus", "voice.webm", "audio/webm", "webm"},
		{"video/mp4", "Audio/MP4", "a", "audio/mp4", "mp4"},
		{"video/mp4", "text/html", "a.html", "video/mp4", "mp4"},
		{"video/mp4", "audio/webm", "a", "video/mp4", "mp4"},
		{"application/zip", "", "Report.DOCX", wrapped["docx"], "docx"},
		{"application/zip", "text/html", "a.html", "application/zip", "zip"},
		{plainText, "text/csv", "a", "text/csv", "csv"},
		{plainText, "text/html", "a.html", plainText, "txt"},
		{plainText, "image/svg+xml", "a.svg", plainText, "txt"},
		{"text/html", "text/plain", "a.txt", "text/html", "html"},
		{"image/svg+xml", "image/png", "a.png", "image/svg+xml", "svg"},
		{octets, "image/png", "a.png", octets, "bin"},
		{octets, "video/mp4", "a.mp4", octets, "bin"},
	} {
		k := kind{mime: c.sniffed, ext: "bin"}
		for _, m := range append(marks[:], magic{kind: kind{"video/mp4", "mp4", true}}, magic{kind: kind{plainText, "txt", false}},
			magic{kind: kind{"text/html", "html", false}}, magic{kind: kind{"image/svg+xml", "svg", false}}) {
			if m.kind.mime == c.sniffed {
				k = m.kind
			}
		}
		got := refined(k, c.declared, c.name)
		if got.mime != c.want || got.ext != c.ext || got.inline != k.inline || got.inline != inlineType(got.mime) {
			t.Errorf("%s declared as %q, called %q: %+v, want %s %s", c.sniffed, c.declared, c.name, got, c.want, c.ext)
		}
	}
}

func TestAllowed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		list, mime string
		want       bool
	}{
		{"*/*", "application/x-executable", true},
		{"image/*", "image/png", true},
		{"image/*", "imagex/png", false},
		{"image/png", "image/png", true},
		{"image/png", "image/pngx", false},
		{"text/plain,image/*", "image/gif", true},
	} {
		if got := allowed(strings.Split(c.list, ","), c.mime); got != c.want {
			t.Errorf("%s of %s: %t", c.mime, c.list, got)
		}
	}
}

func TestCleanName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"photo.jpg":               "photo.jpg",
		"../../etc/passwd":        "passwd",
		`C:\Users\me\secret.txt`:  "secret.txt",
		"/":                       "file.bin",
		"..":                      "file.bin",
		"...":                     "file.bin",
		".bashrc":                 "bashrc",
		"a.":                      "a",
		"":                        "file.bin",
		"  spaced   name .txt ":   "spaced   name .txt",
		"line\r\nSet-Cookie: x":   "lineSet-Cookie_ x",
		"nul\x00l.txt":            "null.txt",
		"esc\x1b[31m.txt":         "esc[31m.txt",
		"evil\u202egpj.exe":       "evilgpj.exe", // turned around it would read as a picture
		"zero\u200bwidth":         "zerowidth",
		"not\xffutf8":             "notutf8",
		`a"b<c>d|e?f*g:h.txt`:     "a_b_c_d_e_f_g_h.txt",
		"Grüße aus Köln.pdf":      "Grüße aus Köln.pdf",
		"写真.png":                  "写真.png",
		"emoji \U0001f600.png":    "emoji \U0001f600.png",
		"tab\tseparated\u2028.tx": "tabseparated.tx",
	} {
		if got := cleanName(in, "bin"); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
	for _, in := range []string{strings.Repeat("a", 300) + ".jpg", strings.Repeat("写", 300) + ".jpg", strings.Repeat("a", 200) + "." + strings.Repeat("b", 200), strings.Repeat(".a", 300)} {
		got := cleanName(in, "bin")
		if len(got) > maxName || !utf8.ValidString(got) || strings.HasSuffix(in, ".jpg") && !strings.HasSuffix(got, ".jpg") {
			t.Errorf("%q becomes %q of %d bytes", in, got, len(got))
		}
	}
}

func TestDisposition(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		inline     bool
		name, want string
	}{
		{true, "a.png", `inline; filename="a.png"; filename*=UTF-8''a.png`},
		{false, "a b.txt", `attachment; filename="a b.txt"; filename*=UTF-8''a%20b.txt`},
		{false, "Grüße.pdf", `attachment; filename="Gr__e.pdf"; filename*=UTF-8''Gr%C3%BC%C3%9Fe.pdf`},
		{false, `a"; evil=1\.txt`, `attachment; filename="a_; evil=1_.txt"; filename*=UTF-8''a%22%3B%20evil%3D1%5C.txt`},
		{false, "100%.txt", `attachment; filename="100_.txt"; filename*=UTF-8''100%25.txt`},
	} {
		if got := disposition(c.inline, c.name); got != c.want {
			t.Errorf("%q: %s, want %s", c.name, got, c.want)
		}
	}
}

func FuzzCleanName(f *testing.F) {
	for _, s := range []string{"a.jpg", "../x", "\u202e", strings.Repeat("é", 400)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := cleanName(in, "bin")
		if got == "" || len(got) > maxName || !utf8.ValidString(got) || strings.ContainsAny(got, "/\\\"\r\n\x00") || got[0] == '.' {
			t.Errorf("%q becomes %q", in, got)
		}
		if again := cleanName(got, "bin"); again != got && len(got) < maxName {
			t.Errorf("%q becomes %q and then %q", in, got, again)
		}
		if d := disposition(false, got); strings.ContainsAny(d, "\r\n\x00") {
			t.Errorf("%q: %q", got, d)
		}
	})
}

func FuzzKind(f *testing.F) {
	for _, m := range marks {
		f.Add([]byte(strings.Repeat("RIFF", 2)[:m.at%8]+m.mark), "text/html", "a.html")
	}
	f.Fuzz(func(t *testing.T, head []byte, declared, name string) {
		k := kindOf(head)
		r := refined(k, declared, name)
		if r.inline != k.inline || inlineType(r.mime) != r.inline {
			t.Errorf("%+v became %+v", k, r)
		}
		if r.inline && slices.Contains([]string{"image/svg+xml", "text/html", "application/xml"}, r.mime) {
			t.Errorf("%s is inline", r.mime)
		}
	})
}
