package row

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/bytedance/sonic"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

func user(n byte) id.User       { return id.User{ID: id.ID{15: n}} }
func thread(n byte) id.Thread   { return id.Thread{ID: id.ID{15: n}} }
func message(n byte) id.Message { return id.Message{ID: id.ID{15: n}} }

// A row has exactly these keys, in whichever state the message is: the clients' models are strict.
func TestMessageKeys(t *testing.T) {
	t.Parallel()
	full := store.Message{
		ID: message(1), Thread: thread(2), Seq: 7, Sender: user(3), Receiver: user(4), Type: proto.VoiceNote,
		Sent: 1_700_000_000_123, ClientID: []byte("c-1"), Content: []byte("hé"), Language: []byte("fr"),
		Encrypted: []byte("AAAA\n"), MediaURLs: [][]byte{[]byte("https://m/1")}, ReplyTo: message(9),
	}
	for _, c := range []struct {
		m    store.Message
		s    Status
		want string
	}{
		{full, Read, `{"thread_id":"00000000-0000-0000-0000-000000000002","message_id":"00000000-0000-0000-0000-000000000001",` +
			`"client_message_id":"c-1","content":"hé","encrypted_content":"AAAA\n","is_group":false,"media_urls":["https://m/1"],` +
			`"message_type":"voice_note","metadata":{"timestamp":"1700000000123"},"original_language":"fr",` +
			`"receiver_id":"00000000-0000-0000-0000-000000000004","reply_to":"00000000-0000-0000-0000-000000000009",` +
			`"sender_id":"00000000-0000-0000-0000-000000000003","seq":7,"status":"read","timestamp":"2023-11-14T22:13:20.123Z","translations":{}}`},
		{
			store.Message{ID: message(1), Thread: thread(2), Seq: 1, Sender: user(3), Sent: 1_700_000_000_000},
			Sent,
			`{"thread_id":"00000000-0000-0000-0000-000000000002","message_id":"00000000-0000-0000-0000-000000000001",` +
				`"client_message_id":null,"content":"","encrypted_content":null,"is_group":true,"media_urls":[],` +
				`"message_type":"text","metadata":{"timestamp":"1700000000000"},"original_language":"en",` +
				`"receiver_id":null,"reply_to":null,` +
				`"sender_id":"00000000-0000-0000-0000-000000000003","seq":1,"status":"sent","timestamp":"2023-11-14T22:13:20.000Z","translations":{}}`,
		},
	} {
		for name, marshal := range map[string]func(any) ([]byte, error){"encoding/json": json.Marshal, "sonic": sonic.Marshal} {
			got, err := marshal(Of(&c.m, c.s))
			if err != nil || string(got) != c.want {
				t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, c.want)
			}
		}
	}
}

func TestOfCopies(t *testing.T) {
	t.Parallel()
	m := store.Message{Content: []byte("abc"), ClientID: []byte("id"), MediaURLs: [][]byte{[]byte("url")}, Encrypted: []byte("enc")}
	r := Of(&m, Sent)
	for _, b := range append(m.MediaURLs, m.Content, m.ClientID, m.Encrypted) {
		for i := range b {
			b[i] = '#'
		}
	}
	if r.Content != "abc" || *r.ClientMessageID != "id" || r.MediaURLs[0] != "url" || *r.EncryptedContent != "enc" {
		t.Errorf("the row changed with the message: %+v", r)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	at := func(u byte, delivered, read uint64) store.CursorOf {
		return store.CursorOf{User: user(u), Cursor: store.Cursor{Delivered: delivered, Read: read}}
	}
	for _, c := range []struct {
		name     string
		cursors  []store.CursorOf
		sender   byte
		receiver byte
		seq      uint64
		want     Status
	}{
		{"nobody has a cursor", nil, 1, 2, 1, Sent},
		{"own cursor does not count", []store.CursorOf{at(1, 9, 9)}, 1, 2, 5, Sent},
		{"delivered", []store.CursorOf{at(1, 9, 9), at(2, 5, 4)}, 1, 2, 5, Delivered},
		{"not yet", []store.CursorOf{at(1, 9, 9), at(2, 4, 4)}, 1, 2, 5, Sent},
		{"read", []store.CursorOf{at(2, 5, 5), at(1, 9, 9)}, 1, 2, 5, Read},
		{"seen by the other side", []store.CursorOf{at(1, 9, 9), at(2, 5, 4)}, 2, 1, 9, Read},
		{"group: the first other one decides", []store.CursorOf{at(1, 9, 9), at(2, 3, 3), at(3, 6, 5), at(4, 4, 4)}, 1, 0, 6, Delivered},
		{"group: the best one is the sender", []store.CursorOf{at(2, 3, 3), at(3, 8, 8), at(4, 4, 4)}, 3, 0, 4, Read},
		{"group: equal ones", []store.CursorOf{at(1, 5, 5), at(2, 5, 5)}, 1, 0, 5, Read},
		{"with oneself", []store.CursorOf{at(1, 5, 4)}, 1, 1, 5, Delivered},
	} {
		m := store.Message{Sender: user(c.sender), Receiver: user(c.receiver), Seq: c.seq}
		if c.receiver == 0 {
			m.Receiver = id.User{}
		}
		for range len(c.cursors) + 1 { // whatever the order
			r := NewReceipts(c.cursors)
			if got := r.Status(&m); got != c.want {
				t.Errorf("%s: %s, want %s", c.name, got, c.want)
			}
			if len(c.cursors) > 1 {
				c.cursors = append(c.cursors[1:], c.cursors[0])
			}
		}
	}
}

func TestThread(t *testing.T) {
	t.Parallel()
	direct := store.ThreadOf{
		Thread: store.Thread{ID: thread(1), Created: 1000, Head: 12, Last: store.Preview{Seq: 12, Sent: 2000, Sender: user(2), Text: "hi"}},
		Peer:   user(2),
	}
	r := OfThread(user(1), &direct, store.Cursor{Delivered: 12, Read: 9})
	if r.UnreadCount != 3 || r.ThreadType != "direct" || *r.OtherParticipantID != user(2) || r.LastMessageTime != 2000 ||
		r.LastMessagePreview != "hi" || r.ParticipantID != user(1) || r.Seq != 12 || r.ReadSeq != 9 || *r.LastSenderID != user(2) {
		t.Errorf("direct row %+v", r)
	}
	group := store.ThreadOf{Thread: store.Thread{ID: thread(1), Created: 1000, Group: true}}
	r = OfThread(user(1), &group, store.Cursor{Read: 4}) // a cursor above the head counts nothing
	if r.UnreadCount != 0 || r.ThreadType != "group" || r.OtherParticipantID != nil || r.LastMessageTime != 1000 ||
		r.LastMessagePreview != "" || r.LastSenderID != nil {
		t.Errorf("group row %+v", r)
	}
}

func TestPreview(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		p    store.Preview
		want string
	}{
		{store.Preview{}, ""},
		{store.Preview{Seq: 1, Text: "hello"}, "hello"},
		{store.Preview{Seq: 1}, "Encrypted message"},
		{store.Preview{Seq: 1, Type: proto.Image}, "Photo"},
		{store.Preview{Seq: 1, Type: proto.Video}, "Video"},
		{store.Preview{Seq: 1, Type: proto.Audio}, "Audio"},
		{store.Preview{Seq: 1, Type: proto.VoiceNote}, "Voice message"},
		{store.Preview{Seq: 1, Type: proto.File}, "File"},
	} {
		if got := Preview(&c.p); got != c.want {
			t.Errorf("%+v: %q, want %q", c.p, got, c.want)
		}
	}
}

func TestTime(t *testing.T) {
	t.Parallel()
	got, err := json.Marshal([]Time{0, 1, 1_700_000_000_120, 253_402_300_799_999})
	want := `[null,"1970-01-01T00:00:00.001Z","2023-11-14T22:13:20.120Z","9999-12-31T23:59:59.999Z"]`
	if err != nil || string(got) != want {
		t.Errorf("%s %v, want %s", got, err, want)
	}
}

func TestPositions(t *testing.T) {
	t.Parallel()
	for _, seq := range []uint64{1, 255, 1 << 40, 1<<64 - 1} {
		text := FormatPosition(SeqPosition(seq))
		if got, err := ParseSeqPosition(*text); err != nil || got != seq {
			t.Errorf("%d came back as %d %v", seq, got, err)
		}
	}
	if FormatPosition(nil) != nil {
		t.Error("an absent position is not null")
	}
	if got, err := ParseSeqPosition(""); got != 0 || err != nil {
		t.Errorf("no position: %d %v", got, err)
	}
	for _, bad := range []string{"x", "0", "zz", "00", "0000000000000000", "000000000000000001", string(make([]byte, 600))} {
		if got, err := ParseSeqPosition(bad); err == nil {
			t.Errorf("%q was read as %d", bad, got)
		}
	}
}

func FuzzPosition(f *testing.F) {
	f.Add("00ff")
	f.Add("0000000000000001")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePosition(text)
		if err != nil || len(p) == 0 {
			return
		}
		if again, err := ParsePosition(*FormatPosition(p)); err != nil || !slices.Equal(again, p) {
			t.Fatalf("%q: %x came back as %x %v", text, p, again, err)
		}
	})
}
