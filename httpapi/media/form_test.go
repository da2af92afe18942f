package media

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
)

// read takes an upload apart.
func read(contentType string, body io.Reader) (file string, f fields, err error) {
	in, err := open(contentType, body)
	if err != nil {
		return "", f, err
	}
	r, err := in.file(&f)
	if err != nil {
		return "", f, err
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return "", f, err
	}
	return string(b), f, in.rest(&f)
}

func TestDocument(t *testing.T) {
	t.Parallel()
	thread := id.Thread{ID: id.NewUser().ID}
	all := fields{name: "a.txt", declared: "text/plain", thread: thread}
	for _, c := range []struct {
		body, file string
		f          fields
		err        error
	}{
		{`{"data":"aGVsbG8="}`, "hello", fields{}, nil},
		{" \n{ \"data\" : \"aGVsbG8=\" } \n", "hello", fields{}, nil},
		{`{"data":""}`, "", fields{}, nil},
		{`{"fileName":"a.txt","contentType":"text/plain","thread_id":"` + thread.String() + `","data":"aGVsbG8="}`, "hello", all, nil},
		{`{"data":"aGVsbG8=","filename":"a.txt","mimeType":"text/plain","threadId":"` + thread.String() + `"}`, "hello", all, nil},
		{`{"x":{"data":"eA==","y":[1,{"z":"}"}]},"data":"aGVsbG8=","n":-1.5e+3,"t":true,"u":null}`, "hello", fields{}, nil},
		{`{"fileName":null,"data":"aGVsbG8="}`, "hello", fields{}, nil},
		{`{"fileName":"\u00fc\n\"","data":"aGVsbG8="}`, "hello", fields{name: "\u00fc\n\""}, nil},
		{`{"message_id":"whatever","data":"aGVsbG8="}`, "hello", fields{}, nil},
		{`{"data":"data:text/plain;base64,aGVsbG8="}`, "hello", fields{}, nil},
		{`{"data":"aGVs\r\nbG8="}`, "hello", fields{}, nil},
		{`{"data":"aGVs bG8"}`, "hello", fields{}, nil},
		{`{"data":"\u0061GVsbG8"}`, "hello", fields{}, nil},
		{`{"data":"\/\/\/\/"}`, "\xff\xff\xff", fields{}, nil},
		{`{"data":"____"}`, "\xff\xff\xff", fields{}, nil},
		{`{"data":"----"}`, "\xfb\xef\xbe", fields{}, nil},
		{`{"data":"aGVsbG8= "}`, "hello", fields{}, nil},

		{``, "", fields{}, errNoData},
		{`{}`, "", fields{}, errNoData},
		{`{"Data":"aGVsbG8="}`, "", fields{}, errNoData},
		{`null`, "", fields{}, errObject},
		{`{"data":null}`, "", fields{}, errBase64},
		{`{"data":{"a":1}}`, "", fields{}, errBase64},
		{`{"data":"a"}`, "", fields{}, errBase64},
		{`{"data":"aGVsbG8=="}`, "", fields{}, errBase64},
		{`{"data":"aGVsbA="}`, "", fields{}, errBase64},
		{`{"data":"=aGVsbG8"}`, "", fields{}, errBase64},
		{`{"data":"aGVs=bG8"}`, "", fields{}, errBase64},
		{`{"data":"aGVs\\bG8"}`, "", fields{}, errBase64},
		{`{"data":"aGVs\u00fcbG8"}`, "", fields{}, errBase64},
		{`{"data":"aGVsé"}`, "", fields{}, errBase64},
		{`{"data":"data:text/plain"}`, "", fields{}, errBase64},
		{`{"data":"data:` + strings.Repeat("x", 300) + `,aGVs"}`, "", fields{}, errBase64},
		{`{"data":"aGVsbG8="`, "", fields{}, errJSON},
		{`{"data":"aGVsbG8=",}`, "", fields{}, errJSON},
		{`{"data":"aGVsbG8="}x`, "", fields{}, errJSON},
		{`{"data":"aGVsbG8="}{}`, "", fields{}, errJSON},
		{`{"data":"aGVsbG8="]`, "", fields{}, errJSON},
		{`{,"data":"aGVsbG8="}`, "", fields{}, errJSON},
		{`{"a" "b","data":"aGVsbG8="}`, "", fields{}, errJSON},
		{`{a:1}`, "", fields{}, errJSON},
		{`{"a":}`, "", fields{}, errJSON},
		{`{"a":[}`, "", fields{}, errJSON},
		{`{"a":[},"data":"aGVs"}`, "hel", fields{}, nil}, // in what is read over, brackets are counted, not matched
		{`{"a":"\x"}`, "", fields{}, errJSON},
		{"{\"a\":\"\xff\"}", "", fields{}, errJSON},
		{`{"a":` + strings.Repeat("[", 100), "", fields{}, errJSON},
		{`{"a":"` + strings.Repeat("x", 70_000) + `","data":"aGVs"}`, "", fields{}, errEnvelope},
		{`{"data":"aGVs","a":"` + strings.Repeat("x", 80_000) + `"}`, "", fields{}, errEnvelope},
	} {
		for way, r := range map[string]io.Reader{"at once": strings.NewReader(c.body), "by bytes": iotest.OneByteReader(strings.NewReader(c.body))} {
			file, f, err := read("application/json", r)
			if c.err != nil {
				if !errors.Is(err, c.err) {
					t.Errorf("%.80s %s: %v, want %v", c.body, way, err, c.err)
				}
			} else if err != nil || file != c.file || f != c.f {
				t.Errorf("%.80s %s: %q %+v %v, want %q %+v", c.body, way, file, f, err, c.file, c.f)
			}
		}
	}
	file, f, err := read("application/json", strings.NewReader(`{"data":"aGVs","fileName":"`+strings.Repeat("x", 5000)+`"}`))
	if err != nil || file != "hel" || f.name != "" {
		t.Errorf("a name that is too long: %q %d %v", file, len(f.name), err)
	}
}

func TestBase64Sizes(t *testing.T) {
	t.Parallel()
	for n := range 70 {
		want := bytes.Repeat([]byte("\xfa\x01\x7f"), 30)[:n]
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
			body := `{"data":"` + enc.EncodeToString(want) + `"}`
			for _, r := range []io.Reader{strings.NewReader(body), iotest.HalfReader(strings.NewReader(body)), iotest.DataErrReader(strings.NewReader(body))} {
				got, _, err := read("application/json", r)
				if err != nil || got != string(want) {
					t.Errorf("%d bytes: %x %v", n, got, err)
				}
			}
		}
	}
}

// FuzzDocument compares with a decoder of whole documents: what that takes, with data once and no bound in
// the way, is taken with the same bytes.
func FuzzDocument(f *testing.F) {
	for _, s := range []string{`{"data":"aGVsbG8="}`, `{"a":[{"b":null}],"data":"\/w","fileName":"x"}`, `{"data":"data:;base64,aGVs"}`, `{"data":7}`, `{`} {
		f.Add([]byte(s), uint8(1))
	}
	f.Fuzz(func(t *testing.T, body []byte, step uint8) {
		got, fs, err := read("application/json", &stepReader{body, int(step%16) + 1})
		if err != nil {
			var ours *proto.Error
			var own httpapi.Replier
			if !errors.As(err, &ours) && !errors.As(err, &own) {
				t.Errorf("%q: %v is no error for a client", body, err)
			}
		}
		var want struct {
			Data     *string `json:"data"`
			FileName string  `json:"fileName"`
		}
		if json.Unmarshal(body, &want) != nil || want.Data == nil || bytes.Count(body, []byte("data")) != 1 && err != nil {
			return
		}
		plain, bad := base64.StdEncoding.DecodeString(*want.Data)
		if bad != nil || len(body) > 10_000 {
			return
		}
		if err == nil && got != string(plain) && !strings.Contains(string(body), `"data"`) {
			t.Errorf("%q: %q, want %q", body, got, plain)
		}
		if err == nil && fs.name != "" && !json.Valid(body) {
			t.Errorf("%q is no JSON", body)
		}
	})
}

// stepReader gives a few bytes at a time.
type stepReader struct {
	b []byte
	n int
}

func (s *stepReader) Read(p []byte) (int, error) {
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.n)], s.b)
	s.b = s.b[n:]
	return n, nil
}

// FuzzBase64 compares with the standard library: what that takes gives the same bytes.
func FuzzBase64(f *testing.F) {
	f.Add("aGVsbG8=", uint8(1))
	f.Add("aGVs\nbG8", uint8(3))
	f.Fuzz(func(t *testing.T, text string, step uint8) {
		quoted, err := json.Marshal(text)
		if err != nil {
			return
		}
		got, _, err := read("application/json", &stepReader{[]byte(`{"data":` + string(quoted) + `}`), int(step%16) + 1})
		plain, bad := base64.StdEncoding.DecodeString(text)
		if bad == nil && (err != nil || got != string(plain)) {
			t.Errorf("%q: %q %v, want %q", text, got, err, plain)
		}
		if err == nil && bad != nil && !strings.HasPrefix(text, "data:") { // more is taken, never other bytes
			tidy := strings.NewReplacer("-", "+", "_", "/", " ", "", "\t", "", "\r", "", "\n", "", "=", "").Replace(text)
			if loose, e := base64.RawStdEncoding.DecodeString(tidy); e != nil || string(loose) != got {
				t.Errorf("%q: %q, want %q %v", text, got, loose, e)
			}
		}
	})
}

// FuzzForm reads whatever it is given, and what it takes is within the bounds.
func FuzzForm(f *testing.F) {
	f.Add([]byte("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nhello\r\n--b--\r\n"), uint8(3))
	f.Add([]byte("--b\r\nContent-Disposition: form-data; name=\"thread_id\"\r\n\r\nx\r\n--b\r\nContent-Disposition: form-data; name=file\r\n\r\n\r\n--b--"), uint8(1))
	f.Fuzz(func(t *testing.T, body []byte, step uint8) {
		file, _, err := read("multipart/form-data; boundary=b", &stepReader{body, int(step) + 1})
		if err != nil {
			var ours *proto.Error
			if !errors.As(err, &ours) {
				t.Errorf("%q: %v is no error for a client", body, err)
			}
			return
		}
		if len(file) > 0 && !bytes.Contains(body, []byte(file)) {
			t.Errorf("%q: %q was never sent", body, file)
		}
	})
}
