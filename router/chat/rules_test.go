package chat

import (
	"context"
	"strings"
	"testing"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/store"
)

func TestMember(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ann, bob, eve := w.user(), w.user(), w.user()
	w.post(ann, id.Thread{}, bob, "x")
	direct, group := id.Direct(ann, bob), w.group(ann, bob)
	for _, c := range []struct {
		name   string
		thread id.Thread
		user   id.User
		want   int
	}{
		{"direct", direct, bob, -1},
		{"direct, a stranger", direct, eve, int(proto.NotFound)},
		{"not begun", id.Direct(ann, eve), ann, int(proto.NotFound)},
		{"unknown", id.NewGroup(), ann, int(proto.NotFound)},
		{"group", group, bob, -1},
		{"group, a stranger", group, eve, int(proto.Forbidden)},
	} {
		for range 2 { // from the store, and from memory
			wantCode(t, c.name, w.Member(context.Background(), c.thread, c.user), c.want)
		}
	}
	w.post(ann, group, id.User{}, "x") // now the room is in memory
	wantCode(t, "room", w.Member(context.Background(), group, bob), -1)
	wantCode(t, "room, a stranger", w.Member(context.Background(), group, eve), int(proto.Forbidden))
}

func TestTyping(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.cfg.SmallGroup = 3
	ann, bob, eve := w.user(), w.user(), w.user()
	w.post(ann, id.Thread{}, bob, "x")
	group, large := w.group(ann, bob, eve), w.group(ann, bob, eve, w.user())
	a, a2, b, e := w.connect(ann), w.connect(ann), w.connect(bob), w.connect(eve)
	direct := id.Direct(ann, bob)

	for _, r := range []*proto.Request{{Receiver: bob}, {Thread: direct}, {Thread: direct, Receiver: bob}} {
		r.IsTyping = true
		w.Typing(a, r)
		if got := one[*proto.TypingIn](w, b); *got != (proto.TypingIn{Thread: direct, User: ann, IsTyping: true}) {
			t.Errorf("got %+v", got)
		}
		w.none(a, a2, e)
	}
	w.Typing(a, &proto.Request{Thread: group})
	for _, c := range []router.Caller{b, e} {
		if got := one[*proto.TypingIn](w, c); *got != (proto.TypingIn{Thread: group, User: ann}) {
			t.Errorf("got %+v", got)
		}
	}
	w.Typing(a, &proto.Request{Thread: large})
	w.Typing(a, &proto.Request{Receiver: eve}) // no thread yet
	w.none(a, a2, b, e)
	for _, c := range []struct {
		r    proto.Request
		want proto.Code
	}{
		{proto.Request{}, proto.Invalid},
		{proto.Request{Receiver: ann}, proto.Invalid},
		{proto.Request{Receiver: eve, Thread: direct}, proto.Invalid},
		{proto.Request{Thread: id.Direct(bob, eve)}, proto.NotFound},
		{proto.Request{Thread: id.NewGroup()}, proto.NotFound},
		{proto.Request{Thread: w.group(bob, eve)}, proto.Forbidden},
	} {
		c.r.Ref = []byte("3")
		w.Typing(a, &c.r)
		if got := one[*proto.Failure](w, a); got.Err.Code != c.want || string(got.Ref) != "3" {
			t.Errorf("%+v: got %+v", c.r, got.Err)
		}
	}
}

// TestTypingNeedsTheRightToWrite: who could not send is refused the same way, and nobody is told.
func TestTypingNeedsTheRightToWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ann, bob, eve := w.user(), w.user(), w.user()
	w.post(ann, id.Thread{}, bob, "x")
	w.post(eve, id.Thread{}, bob, "x")
	only := w.group(ann, bob, eve)
	w.setting(only, "only_admins_can_send", "true")
	blocked := true
	if _, err := w.mem.Users().Update(context.Background(), eve, store.UserPatch{Blocked: &blocked}); err != nil {
		t.Fatal(err)
	}
	w.UserChanged(eve)
	a, b, e := w.connect(ann), w.connect(bob), w.connect(eve)
	for _, c := range []struct {
		name string
		from router.Caller
		to   proto.Request
		want int
	}{
		{"not an admin", b, proto.Request{Thread: only}, int(proto.Forbidden)},
		{"blocked, in a group", e, proto.Request{Thread: only}, int(proto.Forbidden)},
		{"blocked, to a person", e, proto.Request{Receiver: bob}, int(proto.Forbidden)},
		{"to one who is blocked", b, proto.Request{Receiver: eve}, int(proto.NotFound)},
	} {
		w.Typing(c.from, &c.to)
		wantCode(t, c.name, one[*proto.Failure](w, c.from).Err, c.want)
		_, sent := w.Post(context.Background(), c.from.User, Post{c.to.Thread, c.to.Receiver, text("x")})
		wantCode(t, c.name+", sending", sent, c.want)
	}
	w.none(a, b, e)
	w.Typing(a, &proto.Request{Thread: only})
	for _, c := range []router.Caller{b, e} {
		if got := one[*proto.TypingIn](w, c); got.User != ann {
			t.Errorf("got %+v", got)
		}
	}
}

func TestCursors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ann, bob, eve := w.user(), w.user(), w.user()
	var ids []id.Message
	for range 4 {
		ids = append(ids, w.post(ann, id.Thread{}, bob, "x").Message)
	}
	direct := id.Direct(ann, bob)
	a, b, b2, e := w.connect(ann), w.connect(bob), w.connect(bob), w.connect(eve)

	w.Delivered(b, &proto.Request{Thread: direct, Seq: 2})
	for _, c := range []router.Caller{a, b2} {
		if got := one[*proto.DeliveredTo](w, c); *got != (proto.DeliveredTo{Thread: direct, Seq: 2, User: bob}) {
			t.Errorf("got %+v", got)
		}
	}
	w.Delivered(b, &proto.Request{Thread: direct, Seq: 2}) // did not move
	w.Delivered(b, &proto.Request{Thread: direct, Seq: 1}) // nor backwards
	w.none(a, b, b2, e)
	w.Delivered(b2, &proto.Request{Thread: direct, Seq: 99}) // no further than the head
	if got := one[*proto.DeliveredTo](w, a); got.Seq != 4 {
		t.Errorf("got %+v", got)
	}
	one[*proto.DeliveredTo](w, b)

	for i, r := range []*proto.Request{
		{Thread: direct, Seq: 1},
		{Thread: direct, Message: ids[1]},
		{Message: ids[2]}, // clients of the first generation name no thread
		{Thread: direct, Seq: 1000},
	} {
		w.Read(b, r)
		want := proto.ReadTo{Thread: direct, Seq: uint64(i + 1), Message: ids[i], User: bob}
		for _, c := range []router.Caller{a, b2} {
			if got := one[*proto.ReadTo](w, c); *got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
	}
	w.Read(b, &proto.Request{Thread: direct, Seq: 3})
	w.none(a, b, b2, e)

	w.post(eve, id.Thread{}, bob, "x")
	one[*proto.NewMessage](w, b)
	one[*proto.NewMessage](w, b2)
	one[*proto.NewMessage](w, e)
	for _, c := range []struct {
		r    proto.Request
		want proto.Code
	}{
		{proto.Request{Seq: 1}, proto.Invalid},
		{proto.Request{Thread: direct}, proto.Invalid},
		{proto.Request{Thread: direct, Seq: 1}, proto.NotFound},
		{proto.Request{Message: ids[0]}, proto.NotFound},
		{proto.Request{Thread: direct, Message: ids[0]}, proto.NotFound},
		{proto.Request{Thread: id.Direct(bob, eve), Message: ids[0]}, proto.NotFound},
		{proto.Request{Message: id.ClientMessage(ann, []byte("none"))}, proto.NotFound},
	} {
		w.Read(e, &c.r)
		if got := one[*proto.Failure](w, e); got.Err.Code != c.want {
			t.Errorf("%+v: got %+v", c.r, got.Err)
		}
	}
	w.none(a, b, b2)

	ctx := context.Background()
	if err := w.MarkDelivered(ctx, bob, id.Direct(bob, eve), 1, id.Message{}); err != nil {
		t.Error(err)
	}
	if got := one[*proto.DeliveredTo](w, e); got.User != bob {
		t.Errorf("got %+v", got)
	}
	if err := w.MarkRead(ctx, bob, id.Direct(bob, eve), 1, id.Message{}); err != nil {
		t.Error(err)
	}
	if got := one[*proto.ReadTo](w, e); got.User != bob {
		t.Errorf("got %+v", got)
	}
}

// TestCursorsInGroups: the members of a small group are told, those of a large one are not.
func TestCursorsInGroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.cfg.SmallGroup = 2
	ann, bob := w.user(), w.user()
	small, large := w.group(ann, bob), w.group(ann, bob, w.user())
	w.post(ann, small, id.User{}, "x")
	w.post(ann, large, id.User{}, "x")
	a, b := w.connect(ann), w.connect(bob)
	w.Read(b, &proto.Request{Thread: small, Seq: 1})
	if got := one[*proto.ReadTo](w, a); got.Thread != small || got.User != bob || got.Message.IsZero() {
		t.Errorf("got %+v", got)
	}
	w.Read(b, &proto.Request{Thread: large, Seq: 1})
	w.none(a, b)
	if c, err := w.mem.Cursors().Of(context.Background(), bob, []id.Thread{large}); err != nil || c[0] != (store.Cursor{Delivered: 1, Read: 1}) {
		t.Errorf("cursor %+v %v", c, err)
	}
}

// between does something after the row of a member was looked for.
type between struct {
	store.Members
	then func()
}

func (b *between) Get(ctx context.Context, g id.Thread, u id.User) (store.Member, error) {
	m, err := b.Members.Get(ctx, g, u)
	if b.then != nil {
		b.then()
	}
	return m, err
}

// TestExpect: a newcomer begins at the head, also when another adds the same person meanwhile and the group
// goes on: what was written since then is unread. A member's cursor stays where it is.
func TestExpect(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ctx := context.Background()
	rows := &between{Members: w.mem.Members()}
	w.store.Members = rows
	ann, bob, eve := w.user(), w.user(), w.user()
	group := w.group(ann, bob)
	at := func(what string, u id.User, want uint64) {
		t.Helper()
		if c, err := w.mem.Cursors().Of(ctx, u, []id.Thread{group}); err != nil || c[0].Read != want || c[0].Delivered != want {
			t.Errorf("%s: %+v %v, want %d", what, c, err, want)
		}
	}
	expect := func(u id.User) {
		t.Helper()
		if err := w.Expect(ctx, group, u); err != nil {
			t.Error(err)
		}
	}
	expect(eve)
	at("nothing written", eve, 0)
	for range 3 {
		w.post(ann, group, id.User{}, "x")
	}
	a := w.connect(ann)
	rows.then = func() {
		rows.then = nil
		if err := rows.Add(ctx, store.Member{Group: group, User: eve}); err != nil {
			t.Error(err)
		}
		w.post(ann, group, id.User{}, "to the newcomer")
		one[*proto.NewMessage](w, a)
	}
	expect(eve)
	at("a newcomer", eve, 3)
	expect(bob)
	at("a member", bob, 0)
	expect(eve)
	at("a member by now", eve, 3)
	w.none(a) // nobody is told of a receipt
}

func TestHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ann, bob, eve := w.user(), w.user(), w.user()
	for range 120 {
		w.post(ann, id.Thread{}, bob, "x")
	}
	big := strings.Repeat("x", 60<<10)
	for range 6 {
		w.post(eve, id.Thread{}, bob, big)
	}
	b := w.connect(bob)
	direct, heavy := id.Direct(ann, bob), id.Direct(bob, eve)
	for _, c := range []struct {
		name        string
		r           proto.Request
		first, last uint64
		complete    bool
	}{
		{"default", proto.Request{Thread: direct}, 71, 120, false},
		{"limit", proto.Request{Thread: direct, Limit: 3}, 118, 120, false},
		{"most", proto.Request{Thread: direct, Limit: 1000}, 21, 120, false},
		{"before", proto.Request{Thread: direct, Before: 21, Limit: 100}, 1, 20, true},
		{"exactly the rest", proto.Request{Thread: direct, Before: 21, Limit: 20}, 1, 20, true},
		{"almost the rest", proto.Request{Thread: direct, Before: 21, Limit: 19}, 2, 20, false},
		{"the first", proto.Request{Thread: direct, Before: 2}, 1, 1, true},
		{"before the first", proto.Request{Thread: direct, Before: 1}, 0, 0, true},
		{"a frame's size", proto.Request{Thread: heavy}, 3, 6, false},
		{"the rest of it", proto.Request{Thread: heavy, Before: 3}, 1, 2, true},
	} {
		c.r.Ref = []byte("1")
		w.History(b, &c.r)
		got := one[*proto.HistoryPage](w, b)
		if got.Thread != c.r.Thread || string(got.Ref) != "1" || got.Complete != c.complete {
			t.Errorf("%s: complete %v", c.name, got.Complete)
		}
		if c.last == 0 && len(got.Messages) == 0 {
			continue
		}
		for i, m := range got.Messages {
			if m.Seq != c.first+uint64(i) {
				t.Fatalf("%s: seq %d at %d, want from %d", c.name, m.Seq, i, c.first)
			}
		}
		if n := len(got.Messages); n == 0 || got.Messages[n-1].Seq != c.last {
			t.Errorf("%s: %d messages, want up to %d", c.name, n, c.last)
		}
	}
	w.History(b, &proto.Request{Thread: id.Direct(ann, eve)})
	if got := one[*proto.Failure](w, b); got.Err.Code != proto.NotFound {
		t.Errorf("got %+v", got.Err)
	}
}
