package proto

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"testing"

	"github.com/tolkflip/tolkflip/proto/id"
)

func TestCodes(t *testing.T) {
	tests := []struct {
		code      Code
		name      string
		retryable bool
	}{
		{Internal, "internal", true},
		{Invalid, "invalid", false},
		{Unauthenticated, "unauthenticated", false},
		{Forbidden, "forbidden", false},
		{NotFound, "not_found", false},
		{Conflict, "conflict", false},
		{TooMany, "too_many", true},
		{Busy, "busy", true},
		{Code(200), "internal", false},
	}
	for _, test := range tests {
		if test.code.String() != test.name || test.code.Retryable() != test.retryable {
			t.Errorf("%d: %s, retryable %v", test.code, test.code, test.code.Retryable())
		}
	}
	var nobodySaid Error
	if nobodySaid.Code != Internal {
		t.Error("an error that nobody classified looks like the client's fault")
	}
}

func TestError(t *testing.T) {
	for _, test := range []struct {
		err  *Error
		want string
	}{
		{&Error{}, "internal"},
		{Fail(NotFound, "no such thread"), "not_found: no such thread"},
		{BadField("content", "content is required"), "invalid (content): content is required"},
		{Unexpected(io.ErrUnexpectedEOF), "internal: internal error: unexpected EOF"},
		{&Error{Code: Busy, Cause: io.EOF}, "busy: EOF"},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
	wrapped := fmt.Errorf("read page: %w", Unexpected(io.EOF))
	var e *Error
	if !errors.Is(wrapped, io.EOF) || !errors.As(wrapped, &e) || e.Message != "internal error" {
		t.Errorf("%v does not unwrap", wrapped)
	}
	if Fail(Busy, "x").Unwrap() != nil {
		t.Error("a cause from nowhere")
	}
}

func TestMessageTypes(t *testing.T) {
	for name, want := range map[string]MessageType{
		"": Text, "text": Text, "image": Image, "video": Video, "audio": Audio, "file": File, "voice_note": VoiceNote, "voiceNote": VoiceNote,
		"gif": File, "Text": File, "text ": File,
	} {
		if got := ParseMessageType(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
		if got := ParseMessageType([]byte(name)); got != want {
			t.Errorf("bytes of %q: %v, want %v", name, got, want)
		}
	}
	for kind := Text; kind <= VoiceNote; kind++ {
		if got := ParseMessageType(kind.String()); got != kind {
			t.Errorf("%v reads back as %v", kind, got)
		}
	}
	if got := MessageType(200).String(); got != "text" {
		t.Errorf("an unknown kind is called %q", got)
	}
}

func TestStatuses(t *testing.T) {
	for status, want := range map[Status]string{Offline: "offline", Online: "online", Away: "away", Status(9): "offline"} {
		if status.String() != want {
			t.Errorf("%d: %s, want %s", status, status, want)
		}
	}
}

func TestMessageGroup(t *testing.T) {
	m := Message{Receiver: id.User{ID: id.ID{1}}}
	if m.Group() {
		t.Error("a message to a person is a group's")
	}
	if m.Receiver = (id.User{}); !m.Group() {
		t.Error("a message to nobody is not a group's")
	}
}

// fill sets every field of v, so that what Reset forgets is seen.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 8))
		for i := range 3 {
			fill(v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int:
		v.SetInt(7)
	default:
		v.SetUint(7)
	}
}

func TestRequestReset(t *testing.T) {
	var r Request
	fill(reflect.ValueOf(&r).Elem())
	r.Reset()
	if cap(r.Users) != 8 || cap(r.Draft.MediaURLs) != 8 || cap(r.Resume.Threads) != 8 {
		t.Errorf("memory was given away: %d %d %d", cap(r.Users), cap(r.Draft.MediaURLs), cap(r.Resume.Threads))
	}
	if len(r.Users) != 0 || len(r.Draft.MediaURLs) != 0 || len(r.Resume.Threads) != 0 {
		t.Error("lists are not empty")
	}
	if old := r.Draft.MediaURLs[:3]; old[0] != nil || old[2] != nil {
		t.Error("the last frame's bytes are still referred to")
	}
	r.Users, r.Draft.MediaURLs, r.Resume.Threads = nil, nil, nil
	if !reflect.DeepEqual(r, Request{}) {
		t.Errorf("left over: %+v", r)
	}
}

func TestEveryEventIsOne(t *testing.T) {
	for _, ev := range []Event{
		&Authenticated{}, &AuthError{}, &MessageSent{}, &MessageError{}, &NewMessage{}, &Resumed{}, &HistoryPage{}, &DeliveredTo{},
		&ReadTo{}, &TypingIn{}, &PresenceOf{}, &Pong{}, &Failure{},
	} {
		ev.event()
	}
}
