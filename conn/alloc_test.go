//go:build !race

package conn

import (
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/ws"
	"github.com/tolkflip/tolkflip/router"
)

// allocations gives the heap objects per operation of f, over many operations, everything in the process
// counted: loops, workers, and the clients, which allocate nothing themselves.
func allocations(f func(n int)) float64 {
	const n = 400
	f(n) // fills the pools
	f(n)
	best := 1e9
	for range 5 { // a collection empties pools, which costs a few
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f(n)
		runtime.ReadMemStats(&after)
		best = min(best, float64(after.Mallocs-before.Mallocs)/n)
	}
	return best
}

func TestDeliverShouldNotAllocate(t *testing.T) {
	r := start(t, nil, nil)
	c, names := r.join(1)
	c.quiet(r)
	for name, content := range map[string]string{"small": "hello", "large": strings.Repeat("x", 20<<10)} {
		ev := newMessage(thread(1), 1, content)
		each := frameSize(ev)
		if a := allocations(func(n int) {
			for range n {
				at := c.bytes.Load()
				r.Deliver(names, 0, ev)
				c.await(at + each)
			}
		}); a > 0.02 {
			t.Errorf("%s: %.3f objects a delivery to one", name, a)
		}
	}
}

func TestMulticastShouldNotAllocate(t *testing.T) {
	r := start(t, nil, nil)
	const n = 5000
	c, names := r.join(n)
	lists := byLoop(r, names)
	c.quiet(r)
	ev := newMessage(thread(1), 1, "hello")
	each := frameSize(ev) * n
	if a := allocations(func(k int) {
		for range k / 100 {
			at := c.bytes.Load()
			r.Multicast(lists, 0, ev)
			r.Deliver(names[:3], 0, ev)
			c.await(at + each + 3*frameSize(ev))
		}
	}); a > 0.25 { // 4 multicasts count as 400: that is 100 objects for 20,000 deliveries
		t.Errorf("%.0f objects for 20,000 deliveries", a*400)
	}
}

// From the bytes in one socket to those in another, through a mailbox, a worker and a rule.
func TestMessageShouldNotAllocate(t *testing.T) {
	var names []router.Conn
	sent := &proto.MessageSent{Thread: thread(1), Seq: 1}
	live := newMessage(thread(1), 1, "")
	r := start(t, func(c *Config) { c.Workers = 1 }, func(f *fakeRules) {
		f.send = func(c router.Caller, r *proto.Request) {
			live.Message.Content = r.Draft.Content
			f.sink.Finish(c.Conn, sent)
			f.sink.Deliver(names, c.Conn, live)
		}
	})
	c, joined := r.join(3)
	names = joined
	c.quiet(r)
	msg := []byte(masked(ws.Text, true, `{"action":"send_message","receiverId":"`+user(2).String()+`","content":"hello"}`))
	fd, each := c.fds[0], frameSize(sent)+2*frameSize(newMessage(thread(1), 1, "hello"))
	if a := allocations(func(n int) {
		for range n {
			at := c.bytes.Load()
			unix.Write(fd, msg)
			c.await(at + each)
		}
	}); a > 0.05 {
		t.Errorf("%.3f objects a message", a)
	}
}

// An idle connection is its slot.
func TestIdleConnectionHasNoObjects(t *testing.T) {
	r := start(t, nil, nil)
	measure := func() uint64 {
		r.settled()
		r.settled()
		runtime.GC()
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapObjects
	}
	c, _ := r.join(500)
	c.quiet(r)
	before := measure()
	const n = 4000
	d, _ := r.join(n)
	d.quiet(r)
	after := measure()
	for _, l := range r.loops {
		if k := l.stats.sides.value(); k != 0 {
			t.Errorf("%d sides in use", k)
		}
	}
	if grown := float64(after) - float64(before); grown/n > 0.2 {
		t.Errorf("%.2f objects a connection", grown/n)
	}
}
