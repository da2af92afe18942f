package ws

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	gobwas "github.com/gobwas/ws"
)

func TestAppendAccept(t *testing.T) {
	h := parse(t, upgradeHead)
	const want = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" // RFC 6455, section 1.3
	if got := string(AppendAccept(nil, h.Key, "")); got != want+"\r\n\r\n" {
		t.Errorf("%q", got)
	}
	if got := string(AppendAccept([]byte("x"), h.Key, h.Protocol())); got != "x"+want+"\r\nSec-WebSocket-Protocol: tolkflip.v1.json\r\n\r\n" {
		t.Errorf("%q", got)
	}
}

// answering is a connection to a server that answers the one request it gets.
type answering struct {
	request bytes.Buffer
	reply   *bytes.Reader
	answer  func(request []byte) []byte
}

func (a *answering) Write(p []byte) (int, error) { return a.request.Write(p) }

func (a *answering) Read(p []byte) (int, error) {
	if a.reply == nil {
		a.reply = bytes.NewReader(a.answer(a.request.Bytes()))
	}
	return a.reply.Read(p)
}

func TestHandshakeWithADialer(t *testing.T) {
	for _, offered := range [][]string{nil, {"other", ProtocolJSON}} {
		conn := &answering{answer: func(request []byte) []byte {
			var h Head
			if ParseHead(request, &h) != Ready || !h.WebSocket() || h.Refuse() != 0 || h.Size != len(request) {
				t.Fatalf("refused %q", request)
			}
			return AppendAccept(nil, h.Key, h.Protocol())
		}}
		d := gobwas.Dialer{Protocols: offered}
		_, hs, err := d.Upgrade(conn, &url.URL{Scheme: "ws", Host: "h", Path: "/ws", RawQuery: "token=x"})
		if err != nil {
			t.Fatal(err)
		}
		if want := len(offered) > 0; (hs.Protocol == ProtocolJSON) != want {
			t.Errorf("offered %q, got %q", offered, hs.Protocol)
		}
	}
}

func TestAppendRefusal(t *testing.T) {
	for status, header := range map[int]string{
		400: "", 405: "Allow", 426: "Sec-Websocket-Version", 429: "Retry-After", 431: "", 503: "Retry-After",
	} {
		b := AppendRefusal(nil, status, "no")
		r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), nil)
		if err != nil {
			t.Fatalf("%d: %v in %q", status, err, b)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		var v struct{ Error string }
		if err != nil || json.Unmarshal(body, &v) != nil || v.Error != "no" {
			t.Errorf("%d: body %q, %v", status, body, err)
		}
		if r.StatusCode != status || !r.Close || header != "" && r.Header.Get(header) == "" {
			t.Errorf("%d: %q", status, b)
		}
		if !strings.HasSuffix(string(b), string(body)) {
			t.Errorf("%d: bytes after the body in %q", status, b)
		}
	}
}

func TestQueryValue(t *testing.T) {
	tests := []struct {
		query, want string
		ok          bool
	}{
		{"", "", false},
		{"token=a", "a", true},
		{"token=", "", true},
		{"token", "", true},
		{"x=1&token=a&token=b", "a", true},
		{"xtoken=1&token=a=b", "a=b", true},
		{"Token=a", "", false},
		{"&&token=a&", "a", true},
		{"=token", "", false},
	}
	for _, test := range tests {
		if got, ok := QueryValue([]byte(test.query), "token"); string(got) != test.want || ok != test.ok {
			t.Errorf("%q: %q, %v", test.query, got, ok)
		}
	}
}

func TestAppendUnescaped(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "abc": "abc", "a.b-c_d": "a.b-c_d", "a%2Eb%2e": "a.b.", "a+b": "a b", "%00%ff": "\x00\xff", "%25%32": "%2",
	} {
		if got, ok := AppendUnescaped([]byte("<"), []byte(in)); !ok || string(got) != "<"+want {
			t.Errorf("%q: %q, %v", in, got, ok)
		}
	}
	for _, in := range []string{"%", "%2", "a%zz", "%%41", "%4", "x%g0"} {
		if got, ok := AppendUnescaped([]byte("<"), []byte(in)); ok || string(got) != "<" {
			t.Errorf("%q: %q, %v", in, got, ok)
		}
	}
}

func FuzzAppendUnescaped(f *testing.F) {
	f.Add("a%2Eb+c")
	f.Add("%")
	f.Fuzz(func(t *testing.T, in string) {
		want, err := url.QueryUnescape(in)
		got, ok := AppendUnescaped(nil, []byte(in))
		if ok != (err == nil) || ok && string(got) != want {
			t.Fatalf("%q: %q, %v; net/url says %q, %v", in, got, ok, want, err)
		}
	})
}

func TestBearer(t *testing.T) {
	for in, want := range map[string]string{
		"Bearer abc": "abc", "bearer abc": "abc", "BEARER  abc": "abc", "Bearer": "", "Bearer ": "", "Basic abc": "", "": "", "Bearerabc": "",
	} {
		if got := Bearer([]byte(in)); string(got) != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
