package router_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/proto/token"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/memory"
)

// nowhere is a Sink that only counts.
type nowhere struct{ loops, frames int }

func (n *nowhere) Loops() int                                             { return n.loops }
func (n *nowhere) Deliver(to []router.Conn, _ router.Conn, _ proto.Event) { n.frames += len(to) }
func (n *nowhere) Multicast(by [][]router.Conn, _ router.Conn, _ proto.Event) {
	for _, l := range by {
		n.frames += len(l)
	}
}
func (n *nowhere) Finish(router.Conn, proto.Event)                      { n.frames++ }
func (n *nowhere) Close(router.Conn, uint16, string)                    {}
func (n *nowhere) CloseSession(router.Conn, id.Session, uint16, string) {}

func caller(i int, u id.User) router.Caller {
	return router.Caller{Conn: router.MakeConn(uint8(i%2), 0, 1, uint32(i+1)), User: u}
}

// BenchmarkDeliver looks users up among 100,000 connections; per-op divided by n is a look-up.
func BenchmarkDeliver(b *testing.B) {
	for _, n := range []int{1, 2, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := router.New(&nowhere{loops: 2}, prometheus.NewRegistry())
			var users []id.User
			for i := range 100_000 {
				users = append(users, id.NewUser())
				r.Attach(caller(i, users[i]))
			}
			ev := &proto.Pong{}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				at := i * 7 % (len(users) - n)
				r.Deliver(users[at:at+n], 0, ev)
			}
		})
	}
}

// BenchmarkRoom is a group of 5,000 that is sent to: quiet, with one coming or going before each message,
// and the coming and going alone.
func BenchmarkRoom(b *testing.B) {
	setup := func(b *testing.B) (*router.Router, router.Room, []id.User) {
		r := router.New(&nowhere{loops: 2}, prometheus.NewRegistry())
		m := newRoster()
		g := router.NewRooms(router.DefaultRooms(), r, m)
		group, users := m.group(5000)
		for i, u := range users {
			r.Attach(caller(i, u))
		}
		room, err := g.Get(context.Background(), group)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		return r, room, users
	}
	ev := &proto.Pong{}
	b.Run("multicast", func(b *testing.B) {
		_, room, _ := setup(b)
		for b.Loop() {
			room.Multicast(0, ev)
		}
	})
	b.Run("churn", func(b *testing.B) {
		r, _, users := setup(b)
		for i := 0; b.Loop(); i++ {
			c := caller(10_000+i%5000, users[i%5000])
			r.Attach(c)
			r.Detach(c)
		}
	})
	b.Run("churn and multicast", func(b *testing.B) {
		r, room, users := setup(b)
		for i := 0; b.Loop(); i++ {
			c := caller(10_000+i%5000, users[i%5000])
			r.Attach(c)
			room.Multicast(0, ev)
			r.Detach(c)
			room.Multicast(0, ev)
		}
	})
	b.Run("all leave and come back", func(b *testing.B) {
		r, room, users := setup(b)
		for b.Loop() {
			for i, u := range users {
				r.Detach(caller(i, u))
			}
			for i, u := range users {
				r.Attach(caller(i, u))
			}
			room.Multicast(0, ev)
		}
	})
}

// BenchmarkEnter is what each message pays for a revocation that can wait for it.
func BenchmarkEnter(b *testing.B) {
	r := router.New(&nowhere{loops: 2}, prometheus.NewRegistry())
	m, err := memory.New(memory.Default())
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	signer, err := token.NewSigner(bytes.Repeat([]byte("secret"), 8))
	if err != nil {
		b.Fatal(err)
	}
	g, err := router.NewGate(context.Background(), signer, m.Sessions(), r, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	for range 10_000 {
		g.Removed([]store.Session{{User: id.NewUser(), ID: id.NewSession(), Expires: time.Now().Add(time.Hour).UnixMilli()}})
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c := router.Caller{User: id.NewUser(), Session: id.NewSession()}
		for pb.Next() {
			if p, ok := r.Enter(c); ok {
				p.Leave()
			}
		}
	})
}

// BenchmarkTableMemory reports the memory of the table by connection, heap and mapped together, as the
// growth of the process's resident set.
func BenchmarkTableMemory(b *testing.B) {
	for _, n := range []int{15_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				users := make([]id.User, n)
				for i := range users {
					users[i] = id.NewUser()
				}
				before := resident(b)
				r := router.New(&nowhere{loops: 2}, prometheus.NewRegistry())
				for i, u := range users {
					r.Attach(caller(i, u))
				}
				b.ReportMetric(float64(resident(b)-before)/float64(n), "B/connection")
				runtime.KeepAlive(users)
				for i, u := range users {
					r.Detach(caller(i, u))
				}
			}
		})
	}
}
