package action

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/tolkflip/tolkflip/proto"
)

const someone = "11111111-2222-4333-8444-555555555555"

// refused decodes s, which must be refused as invalid, and gives the field that is at fault.
func refused(t *testing.T, s string) (field string, r *proto.Request) {
	t.Helper()
	r = new(proto.Request)
	err := Decode([]byte(s), r)
	var e *proto.Error
	if !errors.As(err, &e) || e.Code != proto.Invalid || e.Message == "" {
		t.Fatalf("%.200s: %v", s, err)
	}
	return e.Field, r
}

func accepted(t *testing.T, s string) *proto.Request {
	t.Helper()
	r := new(proto.Request)
	if err := Decode([]byte(s), r); err != nil {
		t.Fatalf("%.200s: %v", s, err)
	}
	return r
}

func TestDecodeLimits(t *testing.T) {
	send := func(member string) string {
		return `{"action":"send_message","receiverId":"` + someone + `",` + member + `}`
	}
	ids := func(n int, each func(id string) string) string {
		var list []string
		for i := range n {
			list = append(list, each(fmt.Sprintf("%08x-2222-4333-8444-555555555555", i+1)))
		}
		return strings.Join(list, ",")
	}
	watch := func(n int) string {
		return `{"action":"presence_watch","userIds":[` + ids(n, func(id string) string { return `"` + id + `"` }) + `]}`
	}
	resume := func(n int) string {
		return `{"action":"resume","threads":{` + ids(n, func(id string) string { return `"` + id + `":1` }) + `}}`
	}
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, test := range []struct{ field, fits, over string }{
		{"content", send(`"content":"` + x(proto.MaxContent) + `"`), send(`"content":"` + x(proto.MaxContent+1) + `"`)},
		{
			"content",
			send(`"content":"` + strings.Repeat(`\n`, proto.MaxContent) + `"`), // what counts is the text, not its escapes
			send(`"content":"` + strings.Repeat(`\n`, proto.MaxContent+1) + `"`),
		},
		{
			"encryptedContent",
			send(`"encryptedContent":"` + x(proto.MaxContent) + `"`), send(`"encryptedContent":"` + x(proto.MaxContent+4) + `"`),
		},
		{"mediaUrls", send(`"mediaUrls":["` + x(proto.MaxMediaURL) + `"]`), send(`"mediaUrls":["` + x(proto.MaxMediaURL+1) + `"]`)},
		{"userIds", watch(proto.MaxWatch), watch(proto.MaxWatch + 1)},
		{"threads", resume(proto.MaxResume), resume(proto.MaxResume + 1)},
	} {
		accepted(t, test.fits)
		if field, _ := refused(t, test.over); field != test.field {
			t.Errorf("over the limit of %s: %s is named", test.field, field)
		}
	}
	r := accepted(t, resume(proto.MaxResume))
	for i, p := range r.Resume.Threads {
		if want := fmt.Sprintf("%08x-", i+1); !strings.HasPrefix(p.Thread.String(), want) || p.Seq != 1 {
			t.Fatalf("thread %d of the resume is %v", i, p)
		}
	}
	if len(r.Resume.Threads) != proto.MaxResume {
		t.Errorf("%d threads", len(r.Resume.Threads))
	}
}

func TestDecodeThreadNamedTwiceCountsOnce(t *testing.T) {
	var b strings.Builder
	for i := range 2 * proto.MaxResume {
		fmt.Fprintf(&b, `,"%08x-2222-4333-8444-555555555555":%d`, i%proto.MaxResume, i)
	}
	r := accepted(t, `{"action":"resume","threads":{`+b.String()[1:]+`}}`)
	if len(r.Resume.Threads) != proto.MaxResume {
		t.Fatalf("%d threads", len(r.Resume.Threads))
	}
	for i, p := range r.Resume.Threads {
		if p.Seq != uint64(proto.MaxResume+i) {
			t.Fatalf("thread %d has seq %d", i, p.Seq)
		}
	}
}

func TestDecodeDepth(t *testing.T) {
	nested := func(n int, key string) string {
		return `{"action":"ping","` + key + `":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`
	}
	accepted(t, nested(4000, "x"))
	for _, n := range []int{10_000, 100_000, 400_000} {
		for _, key := range []string{"x", "resume"} {
			refused(t, nested(n, key))
			refused(t, `{"action":"ping","x":`+strings.Repeat(`{"a":`, n))
		}
	}
}

func TestDecodeErrorKeepsWhatARefusalRepeats(t *testing.T) {
	const rest = `"action":"send_message","ref":"r","clientMessageId":"c","receiverId":"` + someone + `"`
	for _, s := range []string{
		`{"content":1,` + rest + `}`,
		`{` + rest + `,"content":1}`,
		`{` + rest + `,"mediaUrls":[1]}`,
		`{` + rest + `}`,
		`{` + rest + `,"content":"x"`,
		`{` + rest + `,"content":"x"}}`,
	} {
		if _, r := refused(t, s); r.Action != proto.SendMessage || string(r.Ref) != `"r"` || string(r.Draft.ClientID) != "c" {
			t.Errorf("%s: %v %s %s", s, r.Action, r.Ref, r.Draft.ClientID)
		}
	}
	_, r := refused(t, `{"action":"send_message","ref":{},"clientMessageId":"c"}`)
	if r.Ref != nil || r.Action != proto.SendMessage || string(r.Draft.ClientID) != "c" {
		t.Errorf("bad ref: %v %q %q", r.Action, r.Ref, r.Draft.ClientID)
	}
	_, r = refused(t, `{"action":"send_message","ref":1,"clientMessageId":[]}`)
	if string(r.Ref) != "1" || r.Action != proto.SendMessage || r.Draft.ClientID != nil {
		t.Errorf("bad client id: %v %q %q", r.Action, r.Ref, r.Draft.ClientID)
	}
}

func TestDecodeLeavesNothingOfTheLastRequest(t *testing.T) {
	var r proto.Request
	for name, in := range inputs(t) {
		_ = Decode(bytes.Clone(in), &r)
		if err := Decode([]byte(`{"action":"ping"}`), &r); err != nil {
			t.Fatal(err)
		}
		if got := string(dump(&r, nil)); got != "action: ping\n" {
			t.Errorf("after %s: %s", name, got)
		}
	}
}

func TestDecodeAliasesItsInput(t *testing.T) {
	b := []byte(`{"action":"send_message","receiverId":"` + someone + `","content":"he\u006cl\u006f","clientMessageId":"c"}`)
	var r proto.Request
	if err := Decode(b, &r); err != nil || string(r.Draft.Content) != "hello" {
		t.Fatal(err)
	}
	for i := range b {
		b[i] = '#'
	}
	if string(r.Draft.Content) != "#####" || string(r.Draft.ClientID) != "#" {
		t.Errorf("%q %q are copies", r.Draft.Content, r.Draft.ClientID)
	}
}

// Names is what others build their tables of actions on: each is one that Decode knows, and no two are the same.
func TestNames(t *testing.T) {
	seen := make(map[proto.Action]string)
	for _, name := range Names() {
		var r proto.Request
		_ = Decode([]byte(`{"action":"`+name+`"}`), &r) // most lack what they need
		if other, twice := seen[r.Action]; twice || r.Action == proto.NoAction {
			t.Errorf("%q is action %d, as %q is", name, r.Action, other)
		}
		seen[r.Action] = name
	}
	if _, ok := seen[proto.Ping]; !ok || len(seen) != int(proto.Ping) {
		t.Errorf("%d actions, the last is number %d", len(seen), proto.Ping)
	}
}

func TestDecodeBase64(t *testing.T) {
	for s, want := range map[string]bool{
		"AAEC": true, "AA==": true, "AAE=": true, "+/09": true, `AA\nEC`: true, `AAEC\r\n`: true, `A\nA=\n=`: true,
		"A": false, "AA": false, "AAE": false, "A===": false, "====": false, "AA=A": false, "AA==AAEC": false, "AA EC": false,
		"AA-_": false, "AAEC=": false, `AA\u0000C`: false, "\u00e9\u00e9": false, `\n`: true,
	} {
		err := Decode([]byte(`{"action":"send_message","receiverId":"`+someone+`","content":"x","encryptedContent":"`+s+`"}`), new(proto.Request))
		if (err == nil) != want {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestDecodeNamesNoContentInErrors(t *testing.T) {
	for _, s := range []string{
		`{"action":"authenticate","token":"sesame","ref":[]}`,
		`{"action":"send_message","content":"sesame"}`,
		`{"action":"send_message","receiverId":"sesame","content":"sesame"}`,
		`{"action":"authenticate","token":"sesame"`,
	} {
		var r proto.Request
		if err := Decode([]byte(s), &r); err == nil || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: %v", s, err)
		}
	}
}

// Sonic goes through the strings that it splits off 32 bytes at a time, and then does not look at escapes.
func TestDecodeEscapesInLongStrings(t *testing.T) {
	long := strings.Repeat("x", 100)
	for _, escape := range []string{`\q`, `\u12`, `\u12g4`, `\U0041`, `\x41`, `\0`, `\ `} {
		for _, key := range []string{"action", "ref", "content", "clientMessageId", "unknown", `k\u0065y`, escape + long} {
			refused(t, `{"action":"ping","`+key+`":"`+escape+long+`"}`)
			refused(t, `{"action":"ping","x":["`+escape+long+`"],"`+key+`":"`+long+escape+`"}`)
		}
		refused(t, `{"action":"ping","ref":"`+escape+`"                                                     }`)
	}
	refused(t, `{"action":"authen\ume"e","token":{}","resicat:"t}`+long)
	accepted(t, `{"action":"ping","x":"`+long+`\"\\\/\b\f\n\r\t\u00E9\\u`+long+`"}`)
}

// The scratch memory is pooled: what many decode at once must not mix.
func TestDecodeByMany(t *testing.T) {
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			var r proto.Request
			for i := range 500 {
				id := fmt.Sprintf("%08x-%04x-4333-8444-555555555555", g+1, i)
				text := fmt.Sprintf("from %d, number %d", g, i)
				in := `{"action":"send_message","receiverId":"` + id + `","content":"` + text + `\n","mediaUrls":["` + text + `"],"ref":` + fmt.Sprint(i) + `}`
				if i%3 == 0 {
					in = `{"action":"resume","threads":{"` + id + `":` + fmt.Sprint(i) + `},"ref":` + fmt.Sprint(i) + `}`
				}
				err := Decode([]byte(in), &r)
				ok := err == nil && string(r.Ref) == fmt.Sprint(i)
				if i%3 == 0 {
					ok = ok && len(r.Resume.Threads) == 1 && r.Resume.Threads[0].Thread.String() == id && r.Resume.Threads[0].Seq == uint64(i)
				} else {
					ok = ok && r.Receiver.String() == id && string(r.Draft.Content) == text+"\n" && string(r.Draft.MediaURLs[0]) == text
				}
				if !ok {
					t.Errorf("%s: %s, %v", in, dump(&r, err), err)
					return
				}
			}
		})
	}
	all.Wait()
}
