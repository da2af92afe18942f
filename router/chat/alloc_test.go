//go:build !race

package chat

import (
	"context"
	"log/slog"
	"math"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/store"
)

// instantLog acks at once; its promises beyond that do not matter here.
type instantLog struct {
	store.Log
	seq       uint64
	duplicate bool
}

func (l *instantLog) Append(e *store.Entry) {
	l.seq++
	e.Seq, e.Duplicate = l.seq, l.duplicate
	e.Done(e)
}

// tally is a Sink that only counts.
type tally struct{ finished, frames int }

func (n *tally) Loops() int                                             { return 1 }
func (n *tally) Deliver(to []router.Conn, _ router.Conn, _ proto.Event) { n.frames += len(to) }
func (n *tally) Multicast(by [][]router.Conn, _ router.Conn, _ proto.Event) {
	for _, l := range by {
		n.frames += len(l)
	}
}
func (n *tally) Finish(router.Conn, proto.Event)                      { n.finished++ }
func (n *tally) Close(router.Conn, uint16, string)                    {}
func (n *tally) CloseSession(router.Conn, id.Session, uint16, string) {}

// roster is a store.Members of one group that everybody is in.
type roster struct {
	store.Members
	users []id.User
}

func (m roster) Get(context.Context, id.Thread, id.User) (store.Member, error) {
	return store.Member{}, nil
}

func (m roster) List(_ context.Context, _ id.Thread, after id.User, _ int) (list []store.Member, _ error) {
	for _, u := range m.users {
		if after.IsZero() {
			list = append(list, store.Member{User: u})
		}
	}
	return list, nil
}

// TestSendDoesNotAllocate counts allocations from Send to the last frame: to a person, to a group, of a retry.
func TestSendDoesNotAllocate(t *testing.T) {
	sink, log := &tally{}, &instantLog{}
	var users []id.User
	for range 500 {
		users = append(users, id.NewUser())
	}
	r := router.New(sink, prometheus.NewRegistry())
	s, err := New(Default(), r, nil, Stores{Log: log, Members: roster{users: users}},
		slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	group := id.NewGroup()
	s.places.put(group, place{group: true})
	s.settings.put(group, setting{until: math.MaxInt64})
	for i, u := range users {
		s.people.put(u, person{until: math.MaxInt64})
		r.Attach(router.Caller{Conn: router.MakeConn(0, 0, 1, uint32(i+1)), User: u})
	}
	me := router.Caller{Conn: router.MakeConn(0, 0, 1, 1), User: users[0]}
	draft := proto.Draft{ClientID: []byte("c"), Content: []byte("hello"), MediaURLs: [][]byte{[]byte("u")}}
	for _, c := range []struct {
		name      string
		r         proto.Request
		duplicate bool
		frames    int
	}{
		{"person", proto.Request{Ref: []byte("1"), Receiver: users[1], Draft: draft}, false, 2},
		{"group", proto.Request{Ref: []byte("1"), Thread: group, Draft: draft}, false, 500},
		{"retry", proto.Request{Ref: []byte("1"), Receiver: users[1], Draft: draft}, true, 0},
	} {
		log.duplicate = c.duplicate
		s.Send(me, &c.r) // the pool and the room get warm
		*sink = tally{}
		const runs = 200
		if got := testing.AllocsPerRun(runs, func() { s.Send(me, &c.r) }); got != 0 {
			t.Errorf("%s: %v allocations", c.name, got)
		}
		if sink.finished != runs+1 || sink.frames != (runs+1)*c.frames {
			t.Errorf("%s: %d finished, %d frames", c.name, sink.finished, sink.frames)
		}
	}
}
