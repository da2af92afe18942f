package apitest

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/router/chat"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/memory"
)

// World is the inside of a server: stores in memory, the table of connections and the rules of chat, with
// event loops that write down what they are told to send.
type World struct {
	t      testing.TB
	Store  *memory.Store
	Router *router.Router
	Chat   *chat.Service

	loops *loops
	users uint32
	slots uint32
}

// NewWorld makes one that ends with the test.
func NewWorld(t testing.TB) *World {
	t.Helper()
	st, err := memory.New(memory.Default())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &World{t: t, Store: st, loops: &loops{}}
	w.loops.mu.told = map[router.Conn][]string{}
	w.loops.more.L = &w.loops.mu
	reg := prometheus.NewRegistry()
	w.Router = router.New(w.loops, reg)
	w.Chat, err = chat.New(chat.Default(), w.Router, w.loops, chat.Stores{
		Log: st.Log(), Threads: st.Threads(), Users: st.Users(), Groups: st.Groups(), Members: st.Members(), Cursors: st.Cursors(),
	}, slog.New(slog.DiscardHandler), reg)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// User registers somebody.
func (w *World) User(name string) id.User {
	w.t.Helper()
	w.users++
	u := store.User{
		ID: id.NewUser(), Phone: fmt.Sprintf("+1555%07d", w.users), Name: name,
		Avatar: "https://cdn.example.com/" + name, Language: "en",
	}
	if err := w.Store.Users().Create(w.t.Context(), u); err != nil {
		w.t.Fatal(err)
	}
	return u.ID
}

// Connect opens a socket of a user; the test's end closes it.
func (w *World) Connect(u id.User) router.Caller {
	w.slots++
	c := router.Caller{Conn: router.MakeConn(0, 0, 1, w.slots), User: u, Session: id.NewSession()}
	w.Router.Attach(c)
	w.t.Cleanup(func() { w.Router.Detach(c) })
	return c
}

// Told gives what a socket was sent since the last call, an event a line.
func (w *World) Told(c router.Caller) []string {
	w.loops.mu.Lock()
	defer w.loops.mu.Unlock()
	told := w.loops.mu.told[c.Conn]
	delete(w.loops.mu.told, c.Conn)
	return told
}

// Wait gives the first event that a socket is sent since the last call of Told or Wait.
func (w *World) Wait(c router.Caller) string {
	w.loops.mu.Lock()
	defer w.loops.mu.Unlock()
	for len(w.loops.mu.told[c.Conn]) == 0 {
		w.loops.more.Wait()
	}
	told := w.loops.mu.told[c.Conn]
	w.loops.mu.told[c.Conn] = told[1:]
	return told[0]
}

// Group makes a group of some people, the first of whom is its admin.
func (w *World) Group(name string, people ...id.User) id.Thread {
	w.t.Helper()
	g := store.Group{ID: id.NewGroup(), Name: name, Avatar: "https://cdn.example.com/" + name, CreatedBy: people[0], Created: 1}
	members := make([]store.Member, len(people))
	for i, u := range people {
		members[i] = store.Member{Group: g.ID, User: u, Joined: 1}
	}
	members[0].Role = store.Admin
	if err := w.Store.Groups().Create(w.t.Context(), g, members); err != nil {
		w.t.Fatal(err)
	}
	return g.ID
}

// Say sends a message to a person, as a socket would.
func (w *World) Say(from, to id.User, content string) chat.Sent {
	w.t.Helper()
	return w.post(from, chat.Post{Receiver: to, Draft: proto.Draft{Content: []byte(content)}})
}

// SayIn sends a message into a thread.
func (w *World) SayIn(t id.Thread, from id.User, content string) chat.Sent {
	w.t.Helper()
	return w.post(from, chat.Post{Thread: t, Draft: proto.Draft{Content: []byte(content)}})
}

func (w *World) post(from id.User, p chat.Post) chat.Sent {
	w.t.Helper()
	sent, err := w.Chat.Post(w.t.Context(), from, p)
	if err != nil {
		w.t.Fatal(err)
	}
	return sent
}

// loops stand in for the event loops.
type loops struct {
	router.Replayer // no test resumes

	mu struct {
		sync.Mutex
		told map[router.Conn][]string
	}
	more sync.Cond
}

func (l *loops) Deliver(to []router.Conn, except router.Conn, ev proto.Event) {
	line := describe(ev)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range to {
		if c != except {
			l.mu.told[c] = append(l.mu.told[c], line)
		}
	}
	l.more.Broadcast()
}

func (l *loops) Multicast(byLoop [][]router.Conn, except router.Conn, ev proto.Event) {
	for _, to := range byLoop {
		l.Deliver(to, except, ev)
	}
}

func (l *loops) Finish(to router.Conn, ev proto.Event) { l.Deliver([]router.Conn{to}, 0, ev) }

func (l *loops) Close(router.Conn, uint16, string)                    {}
func (l *loops) CloseSession(router.Conn, id.Session, uint16, string) {}
func (l *loops) Loops() int                                           { return 1 }

// describe writes the parts of an event that tests look at.
func describe(ev proto.Event) string {
	switch ev := ev.(type) {
	case *proto.NewMessage:
		return fmt.Sprintf("new_message %s %d %s", ev.Message.ID, ev.Message.Seq, ev.Message.Content)
	case *proto.DeliveredTo:
		return fmt.Sprintf("delivered %d by %s", ev.Seq, ev.User)
	case *proto.ReadTo:
		return fmt.Sprintf("read %d %s by %s", ev.Seq, ev.Message, ev.User)
	case *proto.TypingIn:
		return fmt.Sprintf("typing %t by %s", ev.IsTyping, ev.User)
	case *proto.PresenceOf:
		return fmt.Sprintf("presence %s %s", ev.User, ev.Status)
	default:
		return fmt.Sprintf("%T", ev)
	}
}
