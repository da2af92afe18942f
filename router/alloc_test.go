//go:build !race

package router_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
)

// TestDeliverDoesNotAllocate holds for one and for thousands of recipients, looked up or in a room.
func TestDeliverDoesNotAllocate(t *testing.T) {
	ev := &proto.Pong{}
	for _, n := range []int{1, 5000} {
		l := &nowhere{loops: 2}
		r := router.New(l, prometheus.NewRegistry())
		m := newRoster()
		g := router.NewRooms(router.DefaultRooms(), r, m)
		group, users := m.group(n)
		for i, u := range users {
			r.Attach(router.Caller{Conn: router.MakeConn(uint8(i%2), 0, 1, uint32(i+1)), User: u})
		}
		room := get(t, g, group)
		defer room.Release()
		if got := testing.AllocsPerRun(50, func() { r.Deliver(users, 0, ev) }); got != 0 {
			t.Errorf("Deliver to %d: %v allocations", n, got)
		}
		if got := testing.AllocsPerRun(50, func() { room.Multicast(0, ev) }); got != 0 {
			t.Errorf("Multicast to %d: %v allocations", n, got)
		}
		if l.frames == 0 || l.frames%n != 0 {
			t.Errorf("%d frames", l.frames)
		}
		c := router.Caller{Conn: router.MakeConn(0, 0, 1, 9999), User: id.NewUser()}
		if got := testing.AllocsPerRun(50, func() { r.Attach(c); r.Detach(c) }); got != 0 {
			t.Errorf("Attach and Detach: %v allocations", got)
		}
	}
}
