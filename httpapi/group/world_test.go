package group

import (
	"fmt"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/httpapi/apitest"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/router/chat"
)

// Seed 15, with the rules of chat: a message reaches every member, those who came later too, and nobody
// who was removed, left or was in a group that was deleted; only_admins_can_send holds at once.
func TestMessagesFollowMembership(t *testing.T) {
	t.Parallel()
	w := apitest.NewWorld(t)
	svc, err := New(Default(), Deps{
		Groups: w.Store.Groups(), Members: w.Store.Members(), People: w.Store.Users(), Rooms: w.Chat, Registry: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	s := apitest.Start(t, svc.API())
	var people []id.User
	var sockets []router.Caller
	for i := range 5 {
		people = append(people, w.User(fmt.Sprint("u", i)))
		sockets = append(sockets, w.Connect(people[i]))
	}
	r := s.As(people[0]).Want(201, "POST", "/api/groups", map[string]any{"name": "g", "memberIds": people[1:3]})
	v, err := id.Parse(r.Body["groupId"].(string))
	if err != nil {
		t.Fatal(err)
	}
	group, path := id.Thread{ID: v}, "/api/groups/"+r.Body["groupId"].(string)
	say := func(who int, text string, reaches ...int) {
		t.Helper()
		w.SayIn(group, people[who], text)
		for i := range sockets {
			told := w.Told(sockets[i])
			if got := len(told) == 1; len(told) > 1 || got != slices.Contains(reaches, i) {
				t.Errorf("%s: %d was told %q", text, i, told)
			}
		}
	}
	refused := func(who int, code proto.Code) {
		t.Helper()
		_, err := w.Chat.Post(t.Context(), people[who], chat.Post{Thread: group, Draft: proto.Draft{Content: []byte("x")}})
		if e, ok := err.(*proto.Error); !ok || e.Code != code { //nolint:errorlint // the rules' own type
			t.Errorf("%d: %v, want %v", who, err, code)
		}
	}
	unread := func(who int, want uint64) {
		t.Helper()
		head, err := w.Store.Log().Head(t.Context(), group)
		c, err2 := w.Store.Cursors().Of(t.Context(), people[who], []id.Thread{group})
		if err != nil || err2 != nil || head-c[0].Read != want {
			t.Errorf("%d has read up to %d of %d, want %d unread (%v, %v)", who, c[0].Read, head, want, err, err2)
		}
	}
	say(0, "first", 0, 1, 2)
	s.As(people[0]).Want(201, "POST", path+"/members", map[string]any{"newMemberId": people[3]})
	unread(3, 0)
	say(0, "one more", 0, 1, 2, 3)
	unread(3, 1)
	unread(2, 2)
	s.As(people[0]).Want(400, "POST", path+"/members", map[string]any{"newMemberId": people[3]})
	unread(3, 1)
	s.As(people[0]).Want(400, "POST", path+"/members", map[string]any{"newMemberId": people[2]})
	unread(2, 2)
	s.As(people[0]).Want(200, "DELETE", path+"/members/"+people[1].String(), nil)
	say(0, "one less", 0, 2, 3)
	refused(1, proto.Forbidden)
	s.As(people[2]).Want(200, "DELETE", path, nil)
	say(0, "another left", 0, 3)
	s.As(people[0]).Want(200, "PUT", path+"/settings", map[string]any{"settings": map[string]any{"only_admins_can_send": true}})
	say(0, "by an admin", 0, 3)
	refused(3, proto.Forbidden)
	s.As(people[0]).Want(200, "PUT", path+"/members/"+people[3].String()+"/role", map[string]any{"newRole": "admin"})
	say(3, "by another admin", 0, 3)
	s.As(people[0]).Want(200, "DELETE", path, nil)
	refused(0, proto.NotFound)
	refused(3, proto.NotFound)
	if err := w.Chat.Member(t.Context(), group, people[0]); err == nil {
		t.Error("a deleted group has a member")
	}
}
