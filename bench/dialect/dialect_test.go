package dialect_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/tolkflip/tolkflip/bench/dialect"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/action"
	"github.com/tolkflip/tolkflip/proto/id"
)

func TestStampRoundTrip(t *testing.T) {
	t.Parallel()
	for _, s := range []dialect.Stamp{
		{},
		{Run: 0xffffffff, Sender: 1<<24 - 1, N: 1<<32 - 1, Due: 1<<56 - 1},
		{Run: 7, Sender: 1999, N: 12345, Due: 8_123_456_789},
	} {
		text := s.Append(nil)
		if len(text) != dialect.StampSize {
			t.Errorf("%+v has %d bytes, want %d", s, len(text), dialect.StampSize)
		}
		if got, ok := dialect.ParseStamp(append(text, "more"...)); !ok || got != s {
			t.Errorf("%s was read as %+v %v, want %+v", text, got, ok, s)
		}
		if _, ok := dialect.ParseStamp(text[:len(text)-1]); ok {
			t.Error("a cut stamp was accepted")
		}
	}
}

// TestAppend holds what is appended by hand against the server's own decoder.
func TestAppend(t *testing.T) {
	t.Parallel()
	user, group := id.NewUser(), id.NewGroup()
	others := []id.User{id.NewUser(), id.NewUser(), id.NewUser()}
	stamp := dialect.Stamp{Run: 9, Sender: 4, N: 2, Due: 77}
	text := string(stamp.Append(nil))
	check := func(name string, frame []byte, want func(r *proto.Request) bool) {
		t.Helper()
		var r proto.Request
		if err := action.Decode(frame, &r); err != nil {
			t.Errorf("%s: %s is not accepted: %v", name, frame, err)
		} else if !want(&r) {
			t.Errorf("%s: %s was read as %+v", name, frame, r)
		}
	}
	for _, size := range []int{dialect.StampSize, 200, 1000} {
		check("direct", dialect.AppendDirect(nil, user, stamp, size), func(r *proto.Request) bool {
			return r.Action == proto.SendMessage && r.Receiver == user && string(r.Draft.ClientID) == text &&
				len(r.Draft.Content) == size && strings.HasPrefix(string(r.Draft.Content), text)
		})
		check("group", dialect.AppendGroup(nil, group, stamp, size), func(r *proto.Request) bool {
			return r.Action == proto.SendMessage && r.Thread == group && len(r.Draft.Content) == size
		})
	}
	check("authenticate", dialect.AppendAuthenticate(nil, []byte("abc")), func(r *proto.Request) bool {
		return r.Action == proto.Authenticate && string(r.Token) == "abc"
	})
	check("watch", dialect.AppendWatch(nil, others), func(r *proto.Request) bool {
		return r.Action == proto.PresenceWatch && reflect.DeepEqual(r.Users, others)
	})
	check("ping", dialect.AppendPing(nil, 77), func(r *proto.Request) bool { return r.Action == proto.Ping && len(r.Ref) > 0 })
}

// TestScan reads what the server's own encoder writes.
func TestScan(t *testing.T) {
	t.Parallel()
	stamp := dialect.Stamp{Run: 9, Sender: 4, N: 2, Due: 77}
	text := stamp.Append(nil)
	content := append(append([]byte{}, text...), " and more"...)
	sent := action.Append(nil, &proto.MessageSent{Message: id.Message{ID: id.NewUser().ID}, Thread: id.NewGroup(), Seq: 41, ClientID: text, Sent: 5, Duplicate: true})
	message := action.Append(nil, &proto.NewMessage{Message: &proto.Message{
		ID: id.Message{ID: id.NewUser().ID}, Thread: id.NewGroup(), Seq: 1<<63 + 5, Sender: id.NewUser(), ClientID: []byte("other"), Content: content,
	}})
	refused := action.Append(nil, &proto.MessageError{ClientID: text, Err: proto.Fail(proto.Busy, "full")})
	for _, c := range []struct {
		frame []byte
		kind  dialect.Kind
	}{
		{sent, dialect.MessageSent},
		{message, dialect.NewMessage},
		{refused, dialect.MessageError},
		{action.Append(nil, &proto.Authenticated{User: id.NewUser(), Session: id.NewSession()}), dialect.Authenticated},
		{action.Append(nil, &proto.AuthError{Reason: "invalid_token"}), dialect.AuthError},
		{action.Append(nil, &proto.PresenceOf{User: id.NewUser()}), dialect.Presence},
		{action.Append(nil, &proto.Failure{Err: proto.Fail(proto.Busy, "full")}), dialect.Failure},
		{action.Append(nil, &proto.Pong{}), dialect.Pong},
		{[]byte(`{"seq":5,"type":"new_message"}`), dialect.NewMessage},
		{[]byte(`{"type":"new_message`), dialect.Other},
		{[]byte(`{"messageType":"text"}`), dialect.Other},
		{nil, dialect.Other},
	} {
		if got := dialect.KindOf(c.frame); got != c.kind {
			t.Errorf("%s is of kind %d, want %d", c.frame, got, c.kind)
		}
		if len(c.frame) > 0 && !json.Valid(c.frame) && c.kind != dialect.Other {
			t.Errorf("%s is not JSON", c.frame)
		}
	}
	if dialect.Seq(sent) != 41 || dialect.Seq(message) != 1<<63+5 || dialect.Seq(refused) != 0 {
		t.Errorf("seqs are %d, %d and %d", dialect.Seq(sent), dialect.Seq(message), dialect.Seq(refused))
	}
	if s, ok := dialect.AckStamp(sent); !ok || s != stamp {
		t.Errorf("the ack's stamp is %+v %v", s, ok)
	}
	if s, ok := dialect.ContentStamp(message); !ok || s != stamp {
		t.Errorf("the message's stamp is %+v %v", s, ok)
	}
	if !dialect.Duplicate(sent) || dialect.Duplicate(message) {
		t.Error("duplicate was misread")
	}
	if code, ok := dialect.Text(refused, `"code":"`); !ok || string(code) != "busy" {
		t.Errorf("the code is %q", code)
	}
}

func TestPingDue(t *testing.T) {
	t.Parallel()
	var r proto.Request
	if err := action.Decode(dialect.AppendPing(nil, 123456), &r); err != nil {
		t.Fatal(err)
	}
	if due, ok := dialect.PingDue(action.Append(nil, &proto.Pong{Ref: r.Ref})); !ok || due != 123456 {
		t.Errorf("the pong says %d %v", due, ok)
	}
}

func FuzzScan(f *testing.F) {
	f.Add([]byte(`{"type":"new_message","seq":5,"content":"00000007-0007cf-00003039-00000000123456"}`))
	f.Add([]byte(`{"type":"`))
	f.Fuzz(func(t *testing.T, b []byte) {
		dialect.KindOf(b)
		dialect.Seq(b)
		dialect.PingDue(b)
		if s, ok := dialect.ContentStamp(b); ok && s.Sender < 0 {
			t.Error("a negative sender")
		}
		if s, ok := dialect.ParseStamp(b); ok && string(s.Append(nil)) != string(b[:dialect.StampSize]) {
			t.Errorf("%q was read as %+v", b, s)
		}
	})
}
