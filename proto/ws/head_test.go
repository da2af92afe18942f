package ws

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

const upgradeHead = "GET /ws?token=abc HTTP/1.1\r\n" +
	"Host: chat.example:3000\r\n" +
	"Connection: keep-alive, Upgrade\r\n" +
	"Upgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"Sec-WebSocket-Protocol: other, tolkflip.v1.json\r\n" +
	"Origin: https://chat.example\r\n" +
	"Authorization: Bearer abc\r\n" +
	"X-Forwarded-For: 203.0.113.7\r\n" +
	"User-Agent: test/1\r\n\r\n"

// request makes a GET head out of header lines.
func request(lines ...string) string {
	return strings.Join(append([]string{"GET / HTTP/1.1", "Host: h"}, lines...), "\r\n") + "\r\n\r\n"
}

func parse(t *testing.T, s string) *Head {
	t.Helper()
	var h Head
	if got := ParseHead([]byte(s), &h); got != Ready {
		t.Fatalf("status %v for %q", got, s)
	}
	return &h
}

func TestParseHeadUpgrade(t *testing.T) {
	h := parse(t, upgradeHead+"\x81\x80next bytes")
	for _, test := range []struct{ name, got, want string }{
		{"method", string(h.Method), "GET"},
		{"target", string(h.Target), "/ws?token=abc"},
		{"path", string(h.Path), "/ws"},
		{"query", string(h.Query), "token=abc"},
		{"host", string(h.Host), "chat.example:3000"},
		{"origin", string(h.Origin), "https://chat.example"},
		{"authorization", string(h.Authorization), "Bearer abc"},
		{"forwarded", string(h.Forwarded), "203.0.113.7"},
		{"agent", string(h.UserAgent), "test/1"},
		{"version", string(h.Version), "13"},
		{"protocols", string(h.Protocols), "other, tolkflip.v1.json"},
		{"protocol", h.Protocol(), ProtocolJSON},
	} {
		if test.got != test.want {
			t.Errorf("%s is %q, want %q", test.name, test.got, test.want)
		}
	}
	if h.Size != len(upgradeHead) || !h.WebSocket() || h.Refuse() != 0 || h.Close || h.Minor != 1 || h.ContentLength != -1 {
		t.Errorf("%+v, refused with %d", h, h.Refuse())
	}
}

func TestParseHeadNeedsMoreUntilTheBlankLine(t *testing.T) {
	for cut := range len(upgradeHead) {
		var h Head
		if got := ParseHead([]byte(upgradeHead[:cut]), &h); got != NeedMore {
			t.Fatalf("%d of %d bytes: %v", cut, len(upgradeHead), got)
		}
	}
}

func TestParseHeadSize(t *testing.T) {
	sized := func(n int) []byte {
		pad := n - len(request("X: "))
		return []byte(request("X: " + strings.Repeat("x", pad)))
	}
	var h Head
	if b := sized(MaxHead); ParseHead(b, &h) != Ready || h.Size != MaxHead {
		t.Errorf("a head of %d bytes: size %d", len(b), h.Size)
	}
	if b := sized(MaxHead + 1); ParseHead(b, &h) != TooLarge {
		t.Errorf("a head of %d bytes in one read was taken", len(b))
	}
	if b := sized(1 << 20); ParseHead(b, &h) != TooLarge || ParseHead(b[:MaxHead], &h) != TooLarge || ParseHead(b[:MaxHead-1], &h) != NeedMore {
		t.Error("a head of 1 MiB was not refused at the limit")
	}
}

func TestParseHeadRefuses(t *testing.T) {
	tests := map[string]string{
		"nothing but a blank line":       "\r\n\r\n",
		"leading line":                   "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"TLS hello":                      "\x16\x03\x01\x02\x00\x01\x00",
		"bare LF in an unfinished head":  "GET / HTTP/1.1\nHost: h",
		"bare LF after the request line": "GET / HTTP/1.1\nHost: h\r\n\r\n",
		"bare LF between headers":        request("A: b\nC: d"),
		"bare CR in a value":             request("A: b\rC: d"),
		"bare CR in the target":          "GET /\r HTTP/1.1\r\nHost: h\r\n\r\n",
		"no version":                     "GET /\r\nHost: h\r\n\r\n",
		"HTTP/0.9":                       "GET / HTTP/0.9\r\nHost: h\r\n\r\n",
		"HTTP/2.0":                       "GET / HTTP/2.0\r\nHost: h\r\n\r\n",
		"HTTP/1.2":                       "GET / HTTP/1.2\r\nHost: h\r\n\r\n",
		"lower-case version":             "GET / http/1.1\r\nHost: h\r\n\r\n",
		"two spaces before the target":   "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
		"two spaces before the version":  "GET /  HTTP/1.1\r\nHost: h\r\n\r\n",
		"space in the target":            "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
		"tab as separator":               "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n",
		"no target":                      "GET  HTTP/1.1\r\nHost: h\r\n\r\n",
		"NUL in the target":              "GET /\x00 HTTP/1.1\r\nHost: h\r\n\r\n",
		"method is no token":             "G(T / HTTP/1.1\r\nHost: h\r\n\r\n",
		"space after the version":        "GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
		"no host":                        "GET / HTTP/1.1\r\nA: b\r\n\r\n",
		"no header at all":               "GET / HTTP/1.1\r\n\r\n",
		"two hosts":                      request("Host: other"),
		"continued line":                 request("A: b", " c"),
		"continued line by tab":          request("A: b", "\tc"),
		"continued first line":           "GET / HTTP/1.1\r\n Host: h\r\n\r\n",
		"space before the colon":         request("Content-Length : 3"),
		"tab before the colon":           request("A\t: 3"),
		"space in a name":                request("A B: c"),
		"no colon":                       request("A"),
		"empty name":                     request(": b"),
		"NUL in a name":                  request("A\x00: b"),
		"NUL in a value":                 request("A: b\x00c"),
		"escape in a value":              request("A: \x1b[2J"),
		"DEL in a value":                 request("A: \x7f"),
		"name beyond ASCII":              request("\u00c4: b"),
		"two lengths":                    request("Content-Length: 3", "Content-Length: 3"),
		"list of lengths":                request("Content-Length: 3, 3"),
		"signed length":                  request("Content-Length: +3"),
		"negative length":                request("Content-Length: -3"),
		"hexadecimal length":             request("Content-Length: 0x3"),
		"empty length":                   request("Content-Length:"),
		"length of 20 digits":            request("Content-Length: 18446744073709551616"),
		"length and chunked":             request("Content-Length: 3", "Transfer-Encoding: chunked"),
		"chunked and length":             request("Transfer-Encoding: chunked", "Content-Length: 0"),
		"two transfer encodings":         request("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
		"list of transfer encodings":     request("Transfer-Encoding: gzip, chunked"),
		"transfer encoding identity":     request("Transfer-Encoding: identity"),
		"transfer encoding xchunked":     request("Transfer-Encoding: xchunked"),
		"chunked in HTTP/1.0":            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
		"upgrade with a body":            strings.Replace(upgradeHead, "Origin:", "Content-Length: 5\r\nOrigin:", 1),
		"upgrade with a chunked body":    strings.Replace(upgradeHead, "Origin:", "Transfer-Encoding: chunked\r\nOrigin:", 1),
	}
	for name, in := range tests {
		t.Run(name, func(t *testing.T) {
			var h Head
			if got := ParseHead([]byte(in), &h); got != Malformed {
				t.Errorf("status %v for %q", got, in)
			}
		})
	}
}

func TestParseHeadAccepts(t *testing.T) {
	tests := []struct {
		name, in string
		check    func(h *Head) bool
	}{
		{"spaces around values", request("Origin: \t x y\t "), func(h *Head) bool { return string(h.Origin) == "x y" }},
		{"no space after the colon", request("Origin:x"), func(h *Head) bool { return string(h.Origin) == "x" }},
		{"empty value", request("Origin:"), func(h *Head) bool { return len(h.Origin) == 0 }},
		{"value beyond ASCII", request("Origin: \u00e9"), func(h *Head) bool { return string(h.Origin) == "\u00e9" }},
		{"names in any case", request("cOOKIE: a=b", "CONTENT-TYPE: t"), func(h *Head) bool {
			return string(h.Cookie) == "a=b" && string(h.ContentType) == "t"
		}},
		{"length", request("Content-Length: 42"), func(h *Head) bool { return h.ContentLength == 42 && !h.Chunked }},
		{"chunked", request("Transfer-Encoding: Chunked"), func(h *Head) bool { return h.Chunked && h.ContentLength == -1 }},
		{"HTTP/1.0 without a host closes", "GET / HTTP/1.0\r\n\r\n", func(h *Head) bool { return h.Close && h.Minor == 0 }},
		{"HTTP/1.0 kept alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", func(h *Head) bool { return !h.Close }},
		{"HTTP/1.1 stays", request(), func(h *Head) bool { return !h.Close }},
		{"close wins", request("Connection: close", "Connection: keep-alive"), func(h *Head) bool { return h.Close }},
		{"close in a list", request("Connection: foo ,Close"), func(h *Head) bool { return h.Close }},
		{"empty query", "GET /a? HTTP/1.1\r\nHost: h\r\n\r\n", func(h *Head) bool {
			return string(h.Path) == "/a" && len(h.Query) == 0
		}},
		{"two question marks", "GET /a?b?c HTTP/1.1\r\nHost: h\r\n\r\n", func(h *Head) bool { return string(h.Query) == "b?c" }},
		{"absolute form", "GET http://real:80/a?b HTTP/1.1\r\nHost: h\r\n\r\n", func(h *Head) bool {
			return string(h.Host) == "real:80" && string(h.Path) == "/a" && string(h.Query) == "b"
		}},
		{"absolute form without a path", "GET http://real?b HTTP/1.1\r\nHost: h\r\n\r\n", func(h *Head) bool {
			return string(h.Host) == "real" && len(h.Path) == 0 && string(h.Query) == "b"
		}},
		{"a URL in the query", "GET /a?u=http://x/y HTTP/1.1\r\nHost: h\r\n\r\n", func(h *Head) bool {
			return string(h.Host) == "h" && string(h.Path) == "/a"
		}},
		{"asterisk form", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", func(h *Head) bool { return string(h.Path) == "*" }},
		{"upgrade with an empty body", strings.Replace(upgradeHead, "Origin:", "Content-Length: 0\r\nOrigin:", 1), func(h *Head) bool {
			return h.WebSocket() && h.Refuse() == 0
		}},
		{"the nearest proxy's word", request("X-Forwarded-For: a", "X-Forwarded-For: b"), func(h *Head) bool { return string(h.Forwarded) == "b" }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if h := parse(t, test.in); !test.check(h) || h.Size != len(test.in) {
				t.Errorf("%+v for %q", h, test.in)
			}
		})
	}
}

func TestParseHeadForgetsTheLastOne(t *testing.T) {
	var h Head
	ParseHead([]byte(upgradeHead), &h)
	if ParseHead([]byte(request()), &h) != Ready || h.WebSocket() || h.Origin != nil || h.Key != nil || h.Protocol() != "" {
		t.Errorf("left over: %+v", h)
	}
}

func TestRefuse(t *testing.T) {
	edit := func(old, now string) string { return strings.Replace(upgradeHead, old, now, 1) }
	tests := []struct {
		name, in string
		want     int
	}{
		{"as it should be", upgradeHead, 0},
		{"tokens in any case", edit("keep-alive, Upgrade\r\nUpgrade: websocket", "UPGRADE\r\nupgrade: WebSocket"), 0},
		{"two connection lines", edit("keep-alive, Upgrade", "keep-alive\r\nConnection: upgrade"), 0},
		{"offers another protocol first", edit("Upgrade: websocket", "Upgrade: h2c, websocket"), 0},
		{"POST", edit("GET", "POST"), 405},
		{"HTTP/1.0", edit("HTTP/1.1", "HTTP/1.0"), 400},
		{"no Connection: upgrade", edit("keep-alive, Upgrade", "keep-alive"), 400},
		{"no key", edit("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400},
		{"empty key", edit("dGhlIHNhbXBsZSBub25jZQ==", ""), 400},
		{"key of 15 bytes", edit("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j"), 400},
		{"key of 17 bytes", edit("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZWU="), 400},
		{"key is not base64", edit("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25!ZQ=="), 400},
		{"two keys", edit("Origin:", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin:"), 400},
		{"two versions", edit("Origin:", "Sec-WebSocket-Version: 13\r\nOrigin:"), 400},
		{"version 8", edit("Version: 13", "Version: 8"), 426},
		{"version list", edit("Version: 13", "Version: 13, 8"), 426},
		{"no version", edit("Sec-WebSocket-Version: 13\r\n", ""), 426},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := parse(t, test.in)
			if got := h.Refuse(); !h.WebSocket() || got != test.want {
				t.Errorf("%d, want %d; asks for a WebSocket: %v", got, test.want, h.WebSocket())
			}
		})
	}
	if parse(t, request("Connection: Upgrade", "Upgrade: h2c")).WebSocket() {
		t.Error("h2c taken for a WebSocket")
	}
}

func TestProtocol(t *testing.T) {
	for lines, want := range map[string]string{
		"":                       "",
		"tolkflip.v1.json":       ProtocolJSON,
		"a, tolkflip.v1.json ,b": ProtocolJSON,
		"tolkflip.v1.proto":      "",
		"TOLKFLIP.V1.JSON":       "",
		"xtolkflip.v1.json":      "",
		"a\r\nSec-WebSocket-Protocol: tolkflip.v1.json": ProtocolJSON,
	} {
		if got := parse(t, request("Sec-WebSocket-Protocol: "+lines)).Protocol(); got != want {
			t.Errorf("%q: %q, want %q", lines, got, want)
		}
	}
}

func TestHeadAliasesItsBytes(t *testing.T) {
	b := []byte(upgradeHead)
	var h Head
	ParseHead(b, &h)
	for i := range b {
		b[i] = 'x'
	}
	if got := fmt.Sprintf("%s%s", h.Key, h.Path); got != strings.Repeat("x", 24+3) {
		t.Errorf("a copy was made: %s", got)
	}
	if bytes.IndexByte(h.Host, 'x') < 0 {
		t.Error("host is a copy")
	}
}
