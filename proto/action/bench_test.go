package action

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/bytedance/sonic"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
)

func BenchmarkDecode(b *testing.B) {
	send := func(content string) string {
		return `{"action":"send_message","receiverId":"` + someone + `","content":"` + content +
			`","clientMessageId":"c-000000000001","messageType":"text","originalLanguage":"en"}`
	}
	var threads []string
	for i := range 100 {
		threads = append(threads, fmt.Sprintf(`"%08x-2222-4333-8444-555555555555":%d`, i+1, i))
	}
	for _, test := range []struct{ name, in string }{
		{"ping", `{"action":"ping"}`},
		{"send", send(strings.Repeat("hello ", 12))},
		{"send escaped", send(strings.Repeat(`h\u00e9llo\n`, 12))},
		{"send 64KiB", send(strings.Repeat("hello ", 10<<10))},
		{"delivered", `{"action":"delivered","threadId":"` + someone + `","seq":41}`},
		{"resume 100", `{"action":"resume","threads":{` + strings.Join(threads, ",") + `}}`},
	} {
		b.Run(test.name, func(b *testing.B) {
			in := make([]byte, len(test.in))
			var r proto.Request
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				copy(in, test.in)
				if err := Decode(in, &r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, test := range []struct{ name, content string }{
		{"200", strings.Repeat("a", 200)},
		{"200 cyrillic", strings.Repeat("\u0436", 100)},
		{"200 quotes", strings.Repeat("aaaaaaa\"", 25)},
		{"64KiB", strings.Repeat("a", 64<<10)},
	} {
		m := &proto.Message{
			ID: id.Message{ID: uid("c")}, Thread: id.Thread{ID: uid("b")}, Seq: 42, Sender: id.User{ID: uid("a")},
			Receiver: id.User{ID: uid("d")}, Sent: 1764000000123, ClientID: []byte("c-1"), Content: []byte(test.content), Language: []byte("en"),
		}
		b.Run("new_message "+test.name, func(b *testing.B) {
			ev := &proto.NewMessage{Message: m}
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst = Append(dst[:0], ev)
			}
			b.SetBytes(int64(len(dst)))
		})
	}
	b.Run("message_sent", func(b *testing.B) {
		ev := events()["message_sent"]
		var dst []byte
		b.ReportAllocs()
		for b.Loop() {
			dst = Append(dst[:0], ev)
		}
	})
	type message struct {
		Type      string `json:"type"`
		ID        string `json:"messageId"`
		Thread    string `json:"threadId"`
		Seq       uint64 `json:"seq"`
		Sender    string `json:"senderId"`
		Receiver  string `json:"receiverId,omitempty"`
		Content   string `json:"content"`
		Kind      string `json:"messageType"`
		Language  string `json:"originalLanguage"`
		Timestamp int64  `json:"timestamp"`
		Client    string `json:"clientMessageId,omitempty"`
	}
	v := &message{"new_message", someone, someone, 42, someone, someone, strings.Repeat("a", 200), "text", "en", 1764000000123, "c-1"}
	for name, marshal := range map[string]func(any) ([]byte, error){"sonic": sonic.Marshal, "encoding json": json.Marshal} {
		b.Run(name+" 200", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := marshal(v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
