package presence

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/httpapi/apitest"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router/presence"
)

// Seed 13, with the rules of presence: a state that is set over REST reaches the sockets of those who
// share a thread, reads true to them, and to nobody else.
func TestStatesReachFriendsOnly(t *testing.T) {
	t.Parallel()
	w := apitest.NewWorld(t)
	rules, err := presence.New(presence.Default(), w.Router, presence.Stores{
		Users: w.Store.Users(), Threads: w.Store.Threads(), Members: w.Store.Members(),
	}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	s := apitest.Start(t, New(rules, w.Chat).API())
	bob, friend, mate, stranger := w.User("bob"), w.User("friend"), w.User("mate"), w.User("stranger")
	w.Say(bob, friend, "hi")
	group := w.Group("team", bob, mate)
	sockets := map[id.User]func() string{}
	eves := w.Connect(stranger)
	for _, u := range []id.User{friend, mate} {
		c := w.Connect(u)
		sockets[u] = func() string { return w.Wait(c) }
	}
	go func() { ended <- rules.Run(ctx) }()

	states := []string{"online", "away", "offline", "online"}
	for i, st := range states {
		path, body := "/api/presence/"+bob.String()+"/status", map[string]any{"status": st}
		if i%2 == 1 {
			path, body = "/api/v1/presence/update", map[string]any{"userId": bob, "status": st}
		}
		s.ViaGateway(bob).Want(200, "POST", path, body)
		for _, wait := range sockets {
			if got, want := wait(), fmt.Sprintf("presence %s %s", bob, st); got != want {
				t.Errorf("a friend was told %q, want %q", got, want)
			}
		}
		for u, want := range map[id.User]string{friend: st, mate: st, stranger: "offline"} {
			r := s.ViaGateway(u).Want(200, "POST", "/api/presence/users/batch", map[string]any{"userIds": []id.User{bob}})
			got := r.Body["presences"].(map[string]any)[bob.String()].(map[string]any)
			if got["status"] != want || (got["lastSeen"] == nil) != (u == stranger) {
				t.Errorf("%s reads %v, want %s", u, got, want)
			}
		}
	}
	if got := w.Told(eves); got != nil { // each state but the last was told to all before the next
		t.Errorf("a stranger was told %q", got)
	}

	s.ViaGateway(bob).Want(200, "POST", "/api/presence/typing", map[string]any{"threadId": group, "isTyping": true})
	if got := sockets[mate](); got != "typing true by "+bob.String() {
		t.Errorf("the group was told %q", got)
	}
	s.ViaGateway(stranger).Refused(403, "not a member of this group", "", "POST", "/api/presence/typing", map[string]any{"threadId": group, "isTyping": true})
	s.ViaGateway(stranger).Refused(404, "no such thread", "", "POST", "/api/presence/typing", map[string]any{"threadId": id.Direct(bob, friend), "isTyping": true})
}
