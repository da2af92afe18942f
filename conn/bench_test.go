package conn

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/ws"
	"github.com/tolkflip/tolkflip/router"
)

// crowd is many clients that only count the bytes that they get: one epoll instance, one goroutine.
type crowd struct {
	fds   []int
	epoll int
	bytes atomic.Int64
	done  chan struct{}
	end   int // eventfd
	gone  sync.Once
}

// join connects n clients and authenticates them, so many at a time.
func (r *rig) join(n int) (*crowd, []router.Conn) {
	r.t.Helper()
	c := &crowd{done: make(chan struct{})}
	c.epoll, _ = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	at := netip.MustParseAddrPort(r.addr)
	hello := []byte(handshake("/ws?token=tok1"))
	names := make([]router.Conn, 0, n)
	for len(c.fds) < n {
		k := min(200, n-len(c.fds))
		for range k {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err == nil {
				err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()})
			}
			if err == nil {
				err = unix.SetNonblock(fd, true)
			}
			if err != nil {
				r.t.Fatal(err)
			}
			unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
			unix.Write(fd, hello)
			unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Fd: int32(fd), Events: unix.EPOLLIN})
			c.fds = append(c.fds, fd)
		}
		for range k {
			names = append(names, (<-r.rules.attached).Conn)
		}
	}
	c.end, _ = unix.Eventfd(0, unix.EFD_CLOEXEC)
	unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, c.end, &unix.EpollEvent{Fd: int32(c.end), Events: unix.EPOLLIN})
	go c.run()
	r.t.Cleanup(c.leave)
	return c, names
}

func (c *crowd) run() {
	defer close(c.done)
	events := make([]unix.EpollEvent, 512)
	b := make([]byte, 64<<10)
	for {
		n, err := unix.EpollWait(c.epoll, events, -1)
		if err != nil && err != unix.EINTR {
			return
		}
		got := 0
		for i := range max(n, 0) {
			if int(events[i].Fd) == c.end {
				return
			}
			if k, _ := unix.Read(int(events[i].Fd), b); k > 0 {
				got += k
			}
		}
		c.bytes.Add(int64(got))
	}
}

func (c *crowd) leave() { c.gone.Do(c.leaveNow) }

func (c *crowd) leaveNow() {
	unix.Write(c.end, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	<-c.done
	for _, fd := range c.fds {
		unix.Close(fd)
	}
	unix.Close(c.epoll)
	unix.Close(c.end)
}

// quiet waits until nothing has come for a while of work, so that handshakes are not counted.
func (c *crowd) quiet(r *rig) {
	for last := int64(-1); last != c.bytes.Load(); {
		last = c.bytes.Load()
		r.settled()
		r.settled()
	}
}

func (c *crowd) await(bytes int64) {
	for c.bytes.Load() < bytes {
		runtime.Gosched()
		unix.Poll(nil, 0)
	}
}

func byLoop(r *rig, names []router.Conn) [][]router.Conn {
	lists := make([][]router.Conn, r.Loops())
	for _, c := range names {
		lists[c.Loop()] = append(lists[c.Loop()], c)
	}
	return lists
}

func frameSize(ev proto.Event) int64 {
	n := len(actionJSON{}.append(nil, ev))
	return int64(len(ws.AppendHeader(nil, ws.Text, n)) + n)
}

func cpu() int64 {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkFanout multicasts to 5,000 connections; an operation is one delivery. window broadcasts are
// under way at once.
func BenchmarkFanout(b *testing.B) {
	for _, window := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) {
			r := start(b, nil, nil)
			c, names := r.join(5000)
			lists := byLoop(r, names)
			c.quiet(r)
			ev := newMessage(thread(1), 1, "a message of ordinary length, as people write them")
			each := frameSize(ev) * int64(len(names))
			base := c.bytes.Load()
			b.ReportAllocs()
			spent, sent := cpu(), int64(0)
			writes := r.Stats().Writes
			b.ResetTimer()
			for n := 0; n < b.N; n += len(names) {
				c.await(base + (sent-int64(window)+1)*each)
				r.Multicast(lists, 0, ev)
				sent++
			}
			c.await(base + sent*each)
			b.StopTimer()
			n := float64(sent) * float64(len(names))
			b.ReportMetric(n/b.Elapsed().Seconds(), "deliveries/s")
			b.ReportMetric(float64(cpu()-spent)/n, "cpu-ns/delivery")
			b.ReportMetric(float64(r.Stats().Writes-writes)/n, "writes/delivery")
		})
	}
}

// BenchmarkDeliver sends to one connection after the other out of 1,000; an operation is one message.
func BenchmarkDeliver(b *testing.B) {
	r := start(b, nil, nil)
	c, names := r.join(1000)
	c.quiet(r)
	ev := newMessage(thread(1), 1, "a message of ordinary length, as people write them")
	each := frameSize(ev)
	base := c.bytes.Load()
	b.ReportAllocs()
	spent := cpu()
	b.ResetTimer()
	for i := range b.N {
		if i%256 == 0 {
			c.await(base + int64(i-4096)*each)
		}
		r.Deliver(names[i%len(names):i%len(names)+1], 0, ev)
	}
	c.await(base + int64(b.N)*each)
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	b.ReportMetric(float64(cpu()-spent)/float64(b.N), "cpu-ns/message")
}

// BenchmarkEcho has 500 clients send messages that a rule answers with an ack to the sender and a message
// to a neighbour; an operation is one message sent. Each client has one message under way.
func BenchmarkEcho(b *testing.B) {
	next := map[router.Conn]router.Conn{}
	r := start(b, nil, func(f *fakeRules) {
		f.send = func(c router.Caller, r *proto.Request) {
			f.sink.Finish(c.Conn, &proto.MessageSent{Ref: r.Ref, Thread: thread(1), Seq: 1, ClientID: r.Draft.ClientID})
			f.sink.deliver(next[c.Conn], &proto.NewMessage{Message: &proto.Message{Thread: thread(1), Seq: 1, Sender: c.User, Content: r.Draft.Content}})
		}
	})
	c, names := r.join(500)
	for i, n := range names {
		next[n] = names[(i+1)%len(names)]
	}
	c.quiet(r)
	msg := []byte(masked(ws.Text, true, fmt.Sprintf(`{"action":"send_message","receiverId":"%s","clientMessageId":"0123456789abcdef","content":"a message of ordinary length, as people write them"}`, user(2))))
	each := frameSize(&proto.MessageSent{Thread: thread(1), Seq: 1, ClientID: []byte("0123456789abcdef")}) +
		frameSize(&proto.NewMessage{Message: &proto.Message{Thread: thread(1), Seq: 1, Sender: user(1), Content: []byte("a message of ordinary length, as people write them")}})
	base := c.bytes.Load()
	b.ReportAllocs()
	spent := cpu()
	b.ResetTimer()
	for i := range b.N {
		c.await(base + int64(i-len(c.fds))*each)
		unix.Write(c.fds[i%len(c.fds)], msg)
	}
	c.await(base + int64(b.N)*each)
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	b.ReportMetric(float64(cpu()-spent)/float64(b.N), "cpu-ns/message")
}

// BenchmarkConnect connects, upgrades and authenticates with the token at the handshake.
func BenchmarkConnect(b *testing.B) {
	r := start(b, nil, nil)
	b.ReportAllocs()
	spent := cpu()
	b.ResetTimer()
	for n := 0; n < b.N; n += 2000 {
		c, _ := r.join(min(2000, b.N-n))
		b.StopTimer()
		c.leave()
		b.StartTimer()
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "connects/s")
	b.ReportMetric(float64(cpu()-spent)/float64(b.N), "cpu-ns/connect")
}
