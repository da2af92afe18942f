package action

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
)

//nolint:gochecknoglobals // the test binary's flag
var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// golden compares got with the file, or writes it.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s\n got %s\nwant %s", path, got, want)
	}
}

// inputs gives the client frames of testdata, without the line feed at the end of each file.
func inputs(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("testdata/decode/*.in")
	if err != nil || len(paths) == 0 {
		t.Fatal("no test data", err)
	}
	in := make(map[string][]byte)
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		in[strings.TrimSuffix(path, ".in")] = bytes.TrimSuffix(b, []byte("\n"))
	}
	return in
}

// dump writes what a request says, a line for each field that is set.
func dump(r *proto.Request, err error) []byte {
	var b bytes.Buffer
	line := func(name, value string) {
		if value != "" && value != "0" && value != "false" {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	quoted := func(p []byte) string {
		if p == nil {
			return ""
		}
		return fmt.Sprintf("%q", p)
	}
	name := "none"
	if r.Action != proto.NoAction {
		name = names[r.Action]
	}
	line("action", name)
	line("ref", string(r.Ref))
	line("client id", quoted(r.Draft.ClientID))
	var e *proto.Error
	if errors.As(err, &e) {
		line("error", fmt.Sprintf("%s field=%q message=%q", e.Code, e.Field, e.Message))
		return b.Bytes()
	}
	line("token", quoted(r.Token))
	line("thread", r.Thread.String())
	line("receiver", r.Receiver.String())
	line("message", r.Message.String())
	line("seq", fmt.Sprint(r.Seq))
	line("before", fmt.Sprint(r.Before))
	line("limit", fmt.Sprint(r.Limit))
	line("is typing", fmt.Sprint(r.IsTyping))
	for _, u := range r.Users {
		line("user", u.String())
	}
	if r.Action == proto.SendMessage {
		line("type", r.Draft.Type.String())
	}
	line("content", quoted(r.Draft.Content))
	line("language", quoted(r.Draft.Language))
	line("encrypted", quoted(r.Draft.Encrypted))
	for _, u := range r.Draft.MediaURLs {
		line("media", quoted(u))
	}
	line("reply to", r.Draft.ReplyTo.String())
	line("resume", fmt.Sprint(r.Resume.Asked))
	line("all", fmt.Sprint(r.Resume.All))
	for _, p := range r.Resume.Threads {
		line("position", fmt.Sprintf("%s %d", p.Thread, p.Seq))
	}
	return b.Bytes()
}

func TestDecodeGolden(t *testing.T) {
	for name, in := range inputs(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			var r proto.Request
			golden(t, name+".golden", dump(&r, Decode(bytes.Clone(in), &r)))
			err := Decode(bytes.Clone(in), &r) // a request that is used again has nothing of the last
			golden(t, name+".golden", dump(&r, err))
		})
	}
}

func uid(s string) id.ID {
	v, err := id.Parse(strings.Repeat(s, 8) + "-1111-4222-8333-" + strings.Repeat(s, 12))
	if err != nil {
		panic(err)
	}
	return v
}

// events is one of each event, and of each that has optional parts one without them.
func events() map[string]proto.Event {
	ref, client := []byte("41"), []byte("c-1")
	user, thread, message := id.User{ID: uid("a")}, id.Thread{ID: uid("b")}, id.Message{ID: uid("c")}
	text := proto.Message{
		ID: message, Thread: thread, Seq: 42, Sender: user, Receiver: id.User{ID: uid("d")}, Sent: 1764000000123,
		Content: []byte("h\u00e9llo \"you\""), Language: []byte("fr"),
	}
	full := text
	full.Type, full.ClientID, full.Encrypted, full.ReplyTo = proto.VoiceNote, client, []byte("AAEC\nAwQ=\n"), id.Message{ID: uid("e")}
	full.MediaURLs = [][]byte{[]byte("/media/1"), []byte("https://x/?a=1&b=\"")}
	group := proto.Message{ID: message, Thread: thread, Seq: 1, Sender: user, Sent: 1}
	return map[string]proto.Event{
		"authenticated":              &proto.Authenticated{User: user, Session: id.Session{ID: uid("f")}},
		"authenticated_ref":          &proto.Authenticated{Ref: []byte(`"r1"`), User: user, Session: id.Session{ID: uid("f")}},
		"auth_error":                 &proto.AuthError{Reason: "token_expired"},
		"auth_error_ref":             &proto.AuthError{Ref: ref, Reason: "invalid_token"},
		"message_sent":               &proto.MessageSent{Message: message, Thread: thread, Seq: 42, Sent: 1764000000123},
		"message_sent_duplicate":     &proto.MessageSent{Ref: ref, Message: message, Thread: thread, Seq: 42, ClientID: client, Sent: 1764000000123, Duplicate: true},
		"message_error":              &proto.MessageError{Ref: ref, ClientID: client, Err: proto.Fail(proto.Busy, "the log is full")},
		"message_error_not_retrying": &proto.MessageError{Err: proto.BadField("content", "content is required")},
		"message_error_unknown":      &proto.MessageError{},
		"new_message":                &proto.NewMessage{Message: &text},
		"new_message_full":           &proto.NewMessage{Message: &full},
		"new_message_group":          &proto.NewMessage{Message: &group},
		"resumed": &proto.Resumed{Ref: ref, Threads: []proto.ThreadState{
			{Thread: thread, Head: 57, Seq: 57, Named: true, Complete: true},
			{Thread: id.Thread{ID: uid("1")}, Head: 90, Seq: 12, Named: true},
			{Thread: id.Thread{ID: uid("2")}, Head: 3},
		}},
		"resumed_nothing":  &proto.Resumed{},
		"history":          &proto.HistoryPage{Ref: ref, Thread: thread, Messages: []proto.Message{text, full}, Complete: true},
		"history_nothing":  &proto.HistoryPage{Thread: thread},
		"delivered":        &proto.DeliveredTo{Thread: thread, Seq: 7, User: user},
		"read_receipt":     &proto.ReadTo{Thread: thread, Seq: 7, Message: message, User: user},
		"read_receipt_seq": &proto.ReadTo{Thread: thread, Seq: 7, User: user},
		"typing":           &proto.TypingIn{Thread: thread, User: user, IsTyping: true},
		"typing_stopped":   &proto.TypingIn{Thread: thread, User: user},
		"presence":         &proto.PresenceOf{User: user, Status: proto.Online, LastSeen: 1764000000123},
		"presence_ref":     &proto.PresenceOf{Ref: ref, User: user, Status: proto.Away, LastSeen: 1},
		"presence_unknown": &proto.PresenceOf{User: user},
		"pong":             &proto.Pong{},
		"pong_ref":         &proto.Pong{Ref: ref},
		"error":            &proto.Failure{Ref: ref, Err: proto.Fail(proto.NotFound, "no such thread")},
		"error_cause":      &proto.Failure{Err: proto.Unexpected(errors.New("secret"))},
	}
}

func TestAppendGolden(t *testing.T) {
	for name, ev := range events() {
		t.Run(name, func(t *testing.T) {
			got := Append([]byte("x"), ev)[1:]
			if !json.Valid(got) {
				t.Errorf("not JSON: %s", got)
			}
			golden(t, "testdata/encode/"+name+".golden", append(got, '\n'))
		})
	}
}
