package action

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
)

// stringOf encodes s and has encoding/json read it again.
func stringOf(t *testing.T, s string) string {
	t.Helper()
	b := appendString(nil, s)
	var got string
	if !utf8.Valid(b) {
		t.Fatalf("%q: % x is not UTF-8", s, b)
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatalf("%q: %s: %v", s, b, err)
	}
	return got
}

// Eight bytes are looked at at once: every byte must be seen in each of the eight places, and behind each
// kind of byte that a borrow could come from.
func TestAppendStringEveryByteInEveryPlace(t *testing.T) {
	for c := range 256 {
		for place := range 17 {
			for _, before := range []byte{'a', 0x1f, '!', '#', '[', ']', 0x7f} {
				b := bytes.Repeat([]byte{before}, 17)
				b[place] = byte(c)
				want := string(b)
				if c >= 0x80 {
					want = strings.ToValidUTF8(want, "\ufffd")
				}
				if got := stringOf(t, string(b)); got != want {
					t.Fatalf("byte %#x at %d among %#x: %q, want %q", c, place, before, got, want)
				}
			}
		}
	}
}

// Long texts are looked through 32 bytes at a time, and the end of them again eight at a time.
func TestAppendStringEveryPlaceInALongText(t *testing.T) {
	for _, n := range []int{63, 64, 71, 72, 73, 104, 105, 200} {
		for place := range n {
			for _, c := range []byte{0, 0x1f, ' ', '!', '"', '#', '[', '\\', ']', 0x7f, 0xff} {
				b := bytes.Repeat([]byte("a"), n)
				b[place] = c
				b[n-1-place] = '"'
				want := strings.ToValidUTF8(string(b), "\ufffd")
				if got := stringOf(t, string(b)); got != want {
					t.Fatalf("byte %#x at %d of %d: %q", c, place, n, got)
				}
			}
		}
	}
}

func TestAppendNoEvent(t *testing.T) {
	if got := Append([]byte("x"), nil); string(got) != "x" {
		t.Errorf("%q", got)
	}
}

func TestAppendString(t *testing.T) {
	for s, want := range map[string]string{
		"":                        `""`,
		"plain":                   `"plain"`,
		"\"\\/\b\f\n\r\t":         `"\"\\/\u0008\u000c\n\r\t"`,
		"\x00\x1f\x7f":            "\"\\u0000\\u001f\x7f\"",
		"<script>&":               `"<script>&"`,
		"\u00e9\u20ac\U0001f600":  "\"\u00e9\u20ac\U0001f600\"",
		"\u2028\u2029":            "\"\u2028\u2029\"",
		"a\xffb":                  "\"a\ufffdb\"",
		"\xed\xa0\x80":            "\"\ufffd\ufffd\ufffd\"",
		"cut \xf0\x9f\x98":        "\"cut \ufffd\ufffd\ufffd\"",
		"cut \xf0\x9f\x98\" here": "\"cut \ufffd\ufffd\ufffd\\\" here\"",
	} {
		if got := string(appendString(nil, s)); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
		if got := string(appendString([]byte("x"), []byte(s))); got != "x"+want {
			t.Errorf("bytes of %q: %s", s, got)
		}
	}
}

func TestAppendWhateverTheMessageHolds(t *testing.T) {
	bad := []byte("\x00\xff\"\\\n\xed\xa0\x80")
	m := &proto.Message{
		ID: id.Message{ID: uid("a")}, ClientID: bad, Content: bad, Language: bad, Encrypted: bad, MediaURLs: [][]byte{bad, nil, bad},
	}
	for _, ev := range []proto.Event{
		&proto.NewMessage{Message: m},
		&proto.HistoryPage{Messages: []proto.Message{*m, *m}},
		&proto.MessageSent{ClientID: bad},
		&proto.MessageError{ClientID: bad, Err: proto.Fail(proto.Invalid, string(bad))},
		&proto.Failure{Err: proto.Fail(proto.Invalid, string(bad))},
		&proto.AuthError{Reason: string(bad)},
	} {
		if b := Append(nil, ev); !json.Valid(b) || !utf8.Valid(b) {
			t.Errorf("%T: %q", ev, b)
		}
	}
}

func TestAppendRetryableIsTheCodes(t *testing.T) {
	for code := proto.Internal; code <= proto.Busy; code++ {
		var got struct {
			Code      string
			Retryable *bool
		}
		b := Append(nil, &proto.MessageError{Err: proto.Fail(code, "x")})
		if err := json.Unmarshal(b, &got); err != nil || got.Retryable == nil || *got.Retryable != code.Retryable() || got.Code != code.String() {
			t.Errorf("%v: %s, %v", code, b, err)
		}
	}
}

func TestAppendTellsNoCause(t *testing.T) {
	b := Append(nil, events()["error_cause"])
	if bytes.Contains(b, []byte("secret")) {
		t.Errorf("%s", b)
	}
}

// A frame has no key for the field at fault: the message must name it, whoever wrote it.
func TestAppendNamesTheField(t *testing.T) {
	for _, test := range []struct {
		err  *proto.Error
		want string
	}{
		{proto.BadField("receiverId", "is the sender"), "receiverId: is the sender"},
		{proto.BadField("receiverId", "receiverId is the sender"), "receiverId is the sender"},
		{proto.BadField("seq", ""), "seq: invalid"},
		{proto.Fail(proto.Busy, "try again"), "try again"},
		{nil, "internal"},
	} {
		for _, ev := range []proto.Event{&proto.Failure{Err: test.err}, &proto.MessageError{Err: test.err}} {
			var got struct{ Message string }
			if b := Append(nil, ev); json.Unmarshal(b, &got) != nil || got.Message != test.want {
				t.Errorf("%s, want the message %q", b, test.want)
			}
		}
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("plain text of more than eight bytes")
	f.Add("a\"b\\c\n\x00\xff")
	f.Add("\xf0\x9f\x98\"")
	f.Fuzz(func(t *testing.T, s string) {
		std, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var want string
		if err = json.Unmarshal(std, &want); err != nil {
			t.Fatal(err)
		}
		if got := stringOf(t, s); got != want {
			t.Fatalf("%q: reads as %q, encoding/json's as %q", s, got, want)
		}
	})
}
