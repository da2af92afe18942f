package action

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
)

// depth is how deep b's brackets go, strings aside.
func depth(b []byte) (most int) {
	now, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			now++
			most = max(most, now)
		case c == ']' || c == '}':
			now--
		}
	}
	return most
}

// isFrame reports what encoding/json thinks of b as a frame: a JSON object. UTF-8 is asked for beside it,
// since encoding/json repairs what is not.
func isFrame(b []byte) (map[string]json.RawMessage, bool) {
	var v map[string]json.RawMessage
	err := json.Unmarshal(b, &v)
	return v, err == nil && v != nil && utf8.Valid(b)
}

// FuzzDecode: Decode never panics, its errors are typed, it agrees with encoding/json about what is JSON and
// about what the strings say, and what it accepts keeps to the limits.
func FuzzDecode(f *testing.F) {
	for _, in := range inputs(f) {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		decodeAgrees(t, b)
		// Where 32 bytes and more follow, sonic goes through strings another way.
		decodeAgrees(t, append(bytes.Clone(b), bytes.Repeat([]byte(" "), 64)...))
	})
}

func decodeAgrees(t *testing.T, b []byte) {
	t.Helper()
	var r proto.Request
	err := Decode(bytes.Clone(b), &r)
	std, ok := isFrame(b)
	if err != nil {
		var e *proto.Error
		if !errors.As(err, &e) || e.Code != proto.Invalid || e.Message == "" || !utf8.ValidString(e.Message) {
			t.Fatalf("%q: %T %v", b, err, err)
		}
		if ok && e.Field == "" && depth(b) < 4000 {
			t.Fatalf("%q: %v, but encoding/json takes it", b, err)
		}
		return
	}
	if !ok {
		t.Fatalf("%q: accepted, but it is no JSON object", b)
	}
	within(t, &r)
	for key, got := range map[string][]byte{
		"content": r.Draft.Content, "clientMessageId": r.Draft.ClientID, "token": r.Token, "originalLanguage": r.Draft.Language,
		"encryptedContent": r.Draft.Encrypted,
	} {
		var want string
		if got == nil {
			continue
		}
		if err := json.Unmarshal(std[key], &want); err != nil || want != string(got) {
			t.Fatalf("%q: %s is %q, encoding/json reads %q, %v", b, key, got, want, err)
		}
	}
	if r.Ref != nil && !bytes.Equal(r.Ref, std["ref"]) {
		t.Fatalf("%q: ref %q, encoding/json reads %q", b, r.Ref, std["ref"])
	}
}

// within checks the promises that the rules rely on.
func within(t *testing.T, r *proto.Request) {
	t.Helper()
	d := &r.Draft
	switch {
	case r.Action == proto.NoAction || r.Action > proto.Ping,
		len(d.Content) > proto.MaxContent, len(d.Encrypted) > proto.MaxContent, len(d.MediaURLs) > proto.MaxMediaURLs,
		len(d.ClientID) > proto.MaxClientID, len(r.Ref) > proto.MaxRef+2, len(d.Language) > proto.MaxLanguage,
		len(r.Users) > proto.MaxWatch, len(r.Resume.Threads) > proto.MaxResume, r.Seq > maxSeq, r.Before > maxSeq,
		r.Action == proto.History && (r.Limit < 1 || r.Limit > proto.MaxHistory || r.Thread.IsZero()),
		r.Action == proto.SendMessage && r.Thread.IsZero() && r.Receiver.IsZero(),
		r.Action == proto.Authenticate && len(r.Token) == 0,
		!utf8.Valid(d.Content), !utf8.Valid(d.ClientID):
		t.Fatalf("beyond a limit: %+v", r)
	}
	for _, u := range d.MediaURLs {
		if len(u) == 0 || len(u) > proto.MaxMediaURL || !utf8.Valid(u) {
			t.Fatalf("media URL %q", u)
		}
	}
}

// FuzzRoundTrip writes a request with encoding/json, reads it, tells it as the event that it leads to, and
// reads that with encoding/json: what one client says is what the other hears.
func FuzzRoundTrip(f *testing.F) {
	f.Add("hello", "c-1", "en", "/media/1", []byte{0, 1, 2}, uint64(42))
	f.Add("a\"\\\n\x00\u20ac", "\"", "", "\u00e9", []byte(nil), uint64(0))
	f.Fuzz(func(t *testing.T, content, client, language, url string, secret []byte, seq uint64) {
		type says struct {
			Action    string   `json:"action,omitempty"`
			Receiver  string   `json:"receiverId"`
			Content   string   `json:"content"`
			Client    string   `json:"clientMessageId,omitempty"`
			Type      string   `json:"messageType"`
			Language  string   `json:"originalLanguage,omitempty"`
			Media     []string `json:"mediaUrls,omitempty"`
			Encrypted []byte   `json:"encryptedContent,omitempty"`
		}
		for _, p := range []*string{&content, &client, &language, &url} {
			*p = strings.ToValidUTF8(*p, "\ufffd") // as encoding/json would, but the answer then needs no escapes
		}
		said := says{"send_message", someone, content, client, "audio", language, []string{url}, secret}
		b, err := json.Marshal(said)
		if err != nil {
			t.Fatal(err)
		}
		var r proto.Request
		if Decode(b, &r) != nil {
			return
		}
		m := proto.Message{
			ID: id.Message{ID: uid("c")}, Seq: seq, Receiver: r.Receiver, Type: r.Draft.Type, ClientID: r.Draft.ClientID,
			Content: r.Draft.Content, Language: r.Draft.Language, Encrypted: r.Draft.Encrypted, MediaURLs: r.Draft.MediaURLs,
		}
		var heard says
		if err := json.Unmarshal(Append(nil, &proto.NewMessage{Message: &m}), &heard); err != nil {
			t.Fatal(err)
		}
		if said.Language == "" {
			said.Language = "en"
		}
		said.Action, heard.Action = "", ""
		want, err1 := json.Marshal(said)
		got, err2 := json.Marshal(heard)
		if err1 != nil || err2 != nil || !bytes.Equal(got, want) {
			t.Fatalf("heard %s, said %s, %v, %v", got, want, err1, err2)
		}
	})
}

// FuzzUnescape holds the decoding in place against encoding/json.
func FuzzUnescape(f *testing.F) {
	f.Add([]byte(`"a\u00e9\ud83d\ude00\"\\"`))
	f.Add([]byte(`"\ud800\ud800\udc00\udc00x"`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var want string
		if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' || !utf8.Valid(b) || json.Unmarshal(b, &want) != nil {
			return
		}
		if got := unescape(bytes.Clone(b[1 : len(b)-1])); string(got) != want {
			t.Fatalf("%s: %q, want %q", b, got, want)
		}
	})
}
