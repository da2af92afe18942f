package chat

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/memory"
)

// TestSend follows one message: the ack to the sender, the message to the receiver and the sender's other
// devices, nothing to anybody else, and nothing but the ack for a retry.
func TestSend(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ann, bob, eve := w.user(), w.user(), w.user()
	a, a2, b, e := w.connect(ann), w.connect(ann), w.connect(bob), w.connect(eve)
	r := &proto.Request{
		Action: proto.SendMessage, Ref: []byte("7"), Receiver: bob,
		Draft: proto.Draft{
			ClientID: []byte("mine"), Content: []byte("hello"), Language: []byte("en"), Encrypted: []byte("c2VjcmV0"),
			MediaURLs: [][]byte{[]byte("u1"), []byte("u2")}, Type: proto.Image, ReplyTo: id.ClientMessage(ann, []byte("x")),
		},
	}
	w.Send(a, r)
	// The request was only lent.
	for _, s := range [][]byte{r.Ref, r.Draft.ClientID, r.Draft.Content, r.Draft.Language, r.Draft.Encrypted, r.Draft.MediaURLs[0]} {
		for i := range s {
			s[i] = '#'
		}
	}
	sent := one[*proto.MessageSent](w, a)
	if string(sent.Ref) != "7" || string(sent.ClientID) != "mine" || sent.Seq != 1 || sent.Duplicate ||
		sent.Thread != id.Direct(ann, bob) || sent.Message != id.ClientMessage(ann, []byte("mine")) || sent.Sent == 0 {
		t.Errorf("ack %+v", sent)
	}
	for _, c := range []*proto.NewMessage{one[*proto.NewMessage](w, b), one[*proto.NewMessage](w, a2)} {
		m := c.Message
		if m.ID != sent.Message || m.Thread != sent.Thread || m.Seq != 1 || m.Sender != ann || m.Receiver != bob || m.Type != proto.Image ||
			string(m.ClientID) != "mine" || string(m.Content) != "hello" || string(m.Language) != "en" || string(m.Encrypted) != "c2VjcmV0" ||
			!bytes.Equal(bytes.Join(m.MediaURLs, []byte(",")), []byte("u1,u2")) || m.ReplyTo.IsZero() || m.Sent != sent.Sent {
			t.Errorf("message %+v", m)
		}
	}
	w.none(a, a2, b, e)

	// A retry, with the bytes as they were.
	r.Ref, r.Draft.ClientID, r.Draft.Content = []byte("8"), []byte("mine"), []byte("hello")
	r.Draft.Encrypted, r.Draft.MediaURLs = []byte("c2VjcmV0"), [][]byte{[]byte("u1"), []byte("u2")}
	w.Send(a2, r)
	again := one[*proto.MessageSent](w, a2)
	if !again.Duplicate || again.Message != sent.Message || again.Seq != 1 || again.Sent != sent.Sent || string(again.Ref) != "8" {
		t.Errorf("ack of the retry %+v", again)
	}
	w.none(a, a2, b, e)

	// The same id for something else.
	r.Draft.Content = []byte("other")
	w.Send(a, r)
	refused := one[*proto.MessageError](w, a)
	if refused.Err.Code != proto.Conflict || string(refused.ClientID) != "mine" || string(refused.Ref) != "8" {
		t.Errorf("refusal %+v", refused)
	}
	w.none(a, a2, b, e)
}

// TestSendOrder: on the sender's connection the ack of a message comes before later ones, and everybody sees
// one order.
func TestSendOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ann, bob := w.user(), w.user()
	a, b := w.connect(ann), w.connect(bob)
	for range 100 {
		w.Send(a, &proto.Request{Receiver: bob, Draft: text("from ann")})
		w.Send(b, &proto.Request{Receiver: ann, Draft: text("from bob")})
	}
	for _, c := range []uint64{0, 1} {
		who := a
		if c == 1 {
			who = b
		}
		var seq uint64
		got := 0
		for got < 200 {
			frames := w.loops.Wait(who.Conn, 1)
			for _, f := range frames {
				got++
				seq++
				switch e := f.Event.(type) {
				case *proto.MessageSent:
					if e.Seq != seq || !f.Finish {
						t.Fatalf("ack of %d by Finish %v, want %d", e.Seq, f.Finish, seq)
					}
				case *proto.NewMessage:
					if e.Message.Seq != seq {
						t.Fatalf("message %d, want %d", e.Message.Seq, seq)
					}
				default:
					t.Fatalf("got %+v", e)
				}
			}
		}
	}
}

func TestSendRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ann, bob, eve := w.user(), w.user(), w.user()
	blocked := w.user()
	yes := true
	if _, err := w.mem.Users().Update(context.Background(), blocked, store.UserPatch{Blocked: &yes}); err != nil {
		t.Fatal(err)
	}
	w.post(ann, id.Thread{}, bob, "hi")
	group := w.group(ann, bob)
	only := w.group(ann, bob)
	w.setting(only, "only_admins_can_send", "true")
	long := strings.Repeat("x", proto.MaxContent+1)
	for _, c := range []struct {
		name string
		from id.User
		post Post
		want int
	}{
		{"to a person", ann, Post{Receiver: bob, Draft: text("x")}, -1},
		{"to a thread", bob, Post{Thread: id.Direct(ann, bob), Draft: text("x")}, -1},
		{"to both", ann, Post{Thread: id.Direct(ann, bob), Receiver: bob, Draft: text("x")}, -1},
		{"only media", ann, Post{Receiver: bob, Draft: proto.Draft{MediaURLs: [][]byte{[]byte("u")}}}, -1},
		{"only encrypted", ann, Post{Receiver: bob, Draft: proto.Draft{Encrypted: []byte("u")}}, -1},
		{"to a group", bob, Post{Thread: group, Draft: text("x")}, -1},
		{"admin", ann, Post{Thread: only, Draft: text("x")}, -1},
		{"by one without a row", id.NewUser(), Post{Receiver: bob, Draft: text("x")}, -1},

		{"nobody", ann, Post{Draft: text("x")}, int(proto.Invalid)},
		{"nothing", ann, Post{Receiver: bob}, int(proto.Invalid)},
		{"to oneself", ann, Post{Receiver: ann, Draft: text("x")}, int(proto.Invalid)},
		{"thread and receiver differ", ann, Post{Thread: group, Receiver: bob, Draft: text("x")}, int(proto.Invalid)},
		{"unknown person", ann, Post{Receiver: id.NewUser(), Draft: text("x")}, int(proto.NotFound)},
		{"blocked person", ann, Post{Receiver: blocked, Draft: text("x")}, int(proto.NotFound)},
		{"by one who is blocked", blocked, Post{Receiver: ann, Draft: text("x")}, int(proto.Forbidden)},
		{"unknown thread", ann, Post{Thread: id.NewGroup(), Draft: text("x")}, int(proto.NotFound)},
		{"others' thread", eve, Post{Thread: id.Direct(ann, bob), Draft: text("x")}, int(proto.NotFound)},
		{"others' group", eve, Post{Thread: group, Draft: text("x")}, int(proto.Forbidden)},
		{"not an admin", bob, Post{Thread: only, Draft: text("x")}, int(proto.Forbidden)},
		{"content too long", ann, Post{Receiver: bob, Draft: text(long)}, int(proto.Invalid)},
		{"encrypted too long", ann, Post{Receiver: bob, Draft: proto.Draft{Encrypted: []byte(long)}}, int(proto.Invalid)},
		{"client id too long", ann, Post{Receiver: bob, Draft: proto.Draft{Content: []byte("x"), ClientID: []byte(long[:65])}}, int(proto.Invalid)},
		{"language too long", ann, Post{Receiver: bob, Draft: proto.Draft{Content: []byte("x"), Language: []byte(long[:40])}}, int(proto.Invalid)},
		{"too many urls", ann, Post{Receiver: bob, Draft: proto.Draft{MediaURLs: make([][]byte, 17)}}, int(proto.Invalid)},
		{"url too long", ann, Post{Receiver: bob, Draft: proto.Draft{MediaURLs: [][]byte{[]byte(long[:2049])}}}, int(proto.Invalid)},
	} {
		_, err := w.Post(context.Background(), c.from, c.post)
		wantCode(t, c.name, err, c.want)
		// A socket reads the same.
		s := w.connect(c.from)
		w.Send(s, &proto.Request{Thread: c.post.Thread, Receiver: c.post.Receiver, Draft: c.post.Draft})
		f := w.loops.Wait(s.Conn, 1)[0]
		if !f.Finish {
			t.Errorf("%s: the send was not finished", c.name)
		}
		if e, refused := f.Event.(*proto.MessageError); refused != (c.want >= 0) || refused && int(e.Err.Code) != c.want {
			t.Errorf("%s: got %+v over the socket", c.name, f.Event)
		}
		w.router.Detach(s)
	}
}

// reads counts the rows that are read of people.
type reads struct {
	store.Users
	n atomic.Int64
}

func (r *reads) Get(ctx context.Context, u id.User) (store.User, error) {
	r.n.Add(1)
	return r.Users.Get(ctx, u)
}

// TestSendLanguage: a message without a language is in its sender's, which is known without another read.
func TestSendLanguage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	people := &reads{Users: w.mem.Users()}
	w.store.Users = people
	bob := w.user()
	b := w.connect(bob)
	speaks := func(code string) id.User {
		u := w.user()
		if _, err := people.Update(context.Background(), u, store.UserPatch{Language: &code}); err != nil {
			t.Fatal(err)
		}
		return u
	}
	for _, c := range []struct {
		name   string
		from   id.User
		given  string
		stored string
	}{
		{"own", speaks("de"), "", "de"},
		{"with a region", speaks("zh-TW"), "", "zh-TW"},
		{"given", speaks("de"), "pt-BR", "pt-BR"},
		{"none", w.user(), "", ""},
		{"as long as is kept", speaks("de-1996-x-abcde"), "", "de-1996-x-abcde"},
		{"longer than anybody can choose", speaks("de-1996-x-abcdef"), "", ""},
		{"of one without a row", id.NewUser(), "", ""},
	} {
		a := w.connect(c.from)
		for range 2 { // from the store, and from memory
			draft := text("x")
			draft.Language = []byte(c.given)
			w.Send(a, &proto.Request{Receiver: bob, Draft: draft})
			if m := one[*proto.NewMessage](w, b).Message; string(m.Language) != c.stored || string(m.Content) != "x" {
				t.Errorf("%s: told %q in %q, want %q", c.name, m.Content, m.Language, c.stored)
			}
			sent := one[*proto.MessageSent](w, a)
			if kept, err := w.mem.Log().Find(context.Background(), sent.Message); err != nil || string(kept.Language) != c.stored {
				t.Errorf("%s: kept %q %v, want %q", c.name, kept.Language, err, c.stored)
			}
		}
	}
	ann := speaks("de")
	w.post(ann, id.Thread{}, bob, "x")
	before := people.n.Load()
	if sent := w.post(ann, id.Thread{}, bob, "x"); sent.Language != "de" || people.n.Load() != before {
		t.Errorf("in %q, after %d reads", sent.Language, people.n.Load()-before)
	}
	italian := "it"
	if _, err := people.Update(context.Background(), ann, store.UserPatch{Language: &italian}); err != nil {
		t.Fatal(err)
	}
	w.UserChanged(ann)
	if sent := w.post(ann, id.Thread{}, bob, "x"); sent.Language != "it" {
		t.Errorf("after a change in %q", sent.Language)
	}
}

// TestSendToGroup sends to a group while its members change.
func TestSendToGroup(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ann, bob, eve := w.user(), w.user(), w.user()
	group := w.group(ann, bob)
	a, a2, b, e := w.connect(ann), w.connect(ann), w.connect(bob), w.connect(eve)
	w.Send(a, &proto.Request{Thread: group, Draft: text("one")})
	if got := one[*proto.MessageSent](w, a); got.Seq != 1 || got.Thread != group {
		t.Errorf("ack %+v", got)
	}
	for _, m := range []*proto.NewMessage{one[*proto.NewMessage](w, a2), one[*proto.NewMessage](w, b)} {
		if !m.Message.Group() || m.Message.Sender != ann || m.Message.Thread != group {
			t.Errorf("message %+v", m.Message)
		}
	}
	w.none(e)

	if err := w.mem.Members().Remove(context.Background(), group, bob); err != nil {
		t.Fatal(err)
	}
	if err := w.mem.Members().Add(context.Background(), store.Member{Group: group, User: eve}); err != nil {
		t.Fatal(err)
	}
	w.MembersChanged(group, []id.User{eve}, []id.User{bob})
	w.post(ann, group, id.User{}, "two")
	one[*proto.NewMessage](w, e)
	one[*proto.NewMessage](w, a)
	one[*proto.NewMessage](w, a2)
	w.none(b)
	_, err := w.Post(context.Background(), bob, Post{Thread: group, Draft: text("three")})
	wantCode(t, "a removed member", err, int(proto.Forbidden))
	if err := w.Member(context.Background(), group, bob); err == nil {
		t.Error("a removed member still has access")
	}

	if err := w.mem.Groups().Delete(context.Background(), group); err != nil {
		t.Fatal(err)
	}
	w.MembersChanged(group, nil, []id.User{ann, eve})
	_, err = w.Post(context.Background(), ann, Post{Thread: group, Draft: text("four")})
	wantCode(t, "a deleted group", err, int(proto.NotFound))
}

// TestSettingsCount: a change of a group's settings, and of a person's block, counts when it was told.
func TestSettingsCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ann, bob := w.user(), w.user()
	group := w.group(ann, bob)
	w.post(bob, group, id.User{}, "one")
	w.setting(group, "only_admins_can_send", "true")
	_, err := w.Post(context.Background(), bob, Post{Thread: group, Draft: text("two")})
	wantCode(t, "not an admin", err, int(proto.Forbidden))
	w.setting(group, "only_admins_can_send", "false")
	w.post(bob, group, id.User{}, "three")

	w.post(bob, id.Thread{}, ann, "x")
	yes := true
	if _, err := w.mem.Users().Update(context.Background(), ann, store.UserPatch{Blocked: &yes}); err != nil {
		t.Fatal(err)
	}
	w.UserChanged(ann)
	_, err = w.Post(context.Background(), bob, Post{Receiver: ann, Draft: text("y")})
	wantCode(t, "a blocked receiver", err, int(proto.NotFound))
}

// TestSendBusy: a full queue of the log is a refusal that may be retried, on both doors.
func TestSendBusy(t *testing.T) {
	t.Parallel()
	entered, gate := make(chan struct{}, 4), make(chan struct{})
	w := newWorld(t, func(m *memory.Config, _ *Config) {
		m.QueueItems = 1
		m.BeforeWrite = func(*store.Entry) error { entered <- struct{}{}; <-gate; return nil }
	})
	ann, bob := w.user(), w.user()
	a := w.connect(ann)
	r := &proto.Request{Receiver: bob, Draft: proto.Draft{Content: []byte("x"), ClientID: []byte("c")}}
	w.Send(a, r)
	<-entered    // one is being written,
	w.Send(a, r) // one waits,
	w.Send(a, r) // and there is no place for another
	refused := one[*proto.MessageError](w, a)
	if refused == nil || refused.Err.Code != proto.Busy || !refused.Err.Code.Retryable() || string(refused.ClientID) != "c" {
		t.Errorf("refusal %+v", refused)
	}
	_, err := w.Post(context.Background(), ann, Post{Receiver: bob, Draft: text("x")})
	wantCode(t, "a full queue", err, int(proto.Busy))
	close(gate)
}

// TestPostGivesUp: a poster that stops waiting gets busy; the message goes its way all the same, and the
// sending is not used again before the log is done with it.
func TestPostGivesUp(t *testing.T) {
	t.Parallel()
	entered, gate := make(chan struct{}, 8), make(chan struct{})
	w := newWorld(t, func(m *memory.Config, _ *Config) {
		m.BeforeWrite = func(*store.Entry) error { entered <- struct{}{}; <-gate; return nil }
	})
	ann, bob := w.user(), w.user()
	b := w.connect(bob)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-entered
		cancel()
	}()
	_, err := w.Post(ctx, ann, Post{Receiver: bob, Draft: text("late")})
	wantCode(t, "giving up", err, int(proto.Busy))
	go func() {
		for range 3 {
			gate <- struct{}{}
		}
	}()
	w.post(ann, id.Thread{}, bob, "second")
	w.post(ann, id.Thread{}, bob, "third")
	var got []string
	for len(got) < 3 {
		for _, f := range w.loops.Wait(b.Conn, 1) {
			got = append(got, string(f.Event.(*proto.NewMessage).Message.Content))
		}
	}
	if strings.Join(got, " ") != "late second third" {
		t.Errorf("received %q", got)
	}
}

// TestSendStoreFails: what is our own fault says nothing of itself.
func TestSendStoreFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(m *memory.Config, _ *Config) {
		m.BeforeWrite = func(*store.Entry) error { return errors.New("disk on fire") }
	})
	ann, bob := w.user(), w.user()
	a := w.connect(ann)
	w.Send(a, &proto.Request{Receiver: bob, Draft: text("x")})
	if e := one[*proto.MessageError](w, a); e.Err.Code != proto.Internal || strings.Contains(e.Err.Message, "fire") {
		t.Errorf("refusal %+v", e.Err)
	}
}
