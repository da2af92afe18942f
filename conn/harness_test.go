package conn

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/proto/token"
	"github.com/tolkflip/tolkflip/proto/ws"
	"github.com/tolkflip/tolkflip/router"
)

// user is a user id that a number tells from others.
func user(n byte) id.User { return id.User{ID: id.ID{15: n, 0: 1}} }

func session(n byte) id.Session { return id.Session{ID: id.ID{15: n, 0: 2}} }

func thread(n byte) id.Thread { return id.Thread{ID: id.ID{15: n, 0: 3}} }

// fakeGate knows tokens by name.
type fakeGate struct {
	mu    sync.Mutex
	known map[string]token.Claims
}

func (g *fakeGate) allow(tok string, c token.Claims) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.known == nil {
		g.known = make(map[string]token.Claims)
	}
	g.known[tok] = c
}

func (g *fakeGate) Check(tok []byte) (token.Claims, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, ok := g.known[string(tok)]
	if !ok {
		reason := "invalid_token"
		if strings.HasPrefix(string(tok), "old") {
			reason = "token_expired"
		}
		return c, proto.Fail(proto.Unauthenticated, reason)
	}
	return c, nil
}

// fakeRules is all rules; a nil function does nothing.
type fakeRules struct {
	sink     *Server
	table    Table // instead of the channels
	gate     fakeGate
	attached chan router.Caller
	detached chan router.Caller
	send     func(c router.Caller, r *proto.Request)
	resume   func(c router.Caller, r *proto.Request)
	other    func(what string, c router.Caller, r *proto.Request)
}

func (f *fakeRules) Attach(c router.Caller) { f.attached <- c }

// Detach never blocks, as on a loop it must not: a benchmark that connects for ever does not look at it.
func (f *fakeRules) Detach(c router.Caller) {
	select {
	case f.detached <- c:
	default:
	}
}

func (f *fakeRules) Send(c router.Caller, r *proto.Request) {
	if f.send != nil {
		f.send(c, r)
	}
}

func (f *fakeRules) Resume(c router.Caller, r *proto.Request) {
	if f.resume != nil {
		f.resume(c, r)
	}
}
func (f *fakeRules) History(c router.Caller, r *proto.Request)   { f.call("history", c, r) }
func (f *fakeRules) Delivered(c router.Caller, r *proto.Request) { f.call("delivered", c, r) }
func (f *fakeRules) Read(c router.Caller, r *proto.Request)      { f.call("read", c, r) }
func (f *fakeRules) Typing(c router.Caller, r *proto.Request)    { f.call("typing", c, r) }
func (f *fakeRules) Watch(c router.Caller, r *proto.Request)     { f.call("watch", c, r) }
func (f *fakeRules) Unwatch(c router.Caller, r *proto.Request)   { f.call("unwatch", c, r) }
func (f *fakeRules) call(what string, c router.Caller, r *proto.Request) {
	if f.other != nil {
		f.other(what, c, r)
	}
}

func (f *fakeRules) rules() Rules {
	r := Rules{Gate: &f.gate, Table: f, Chat: f, Presence: f}
	if f.table != nil {
		r.Table = f.table
	}
	return r
}

// echo answers every send at once, with its own content as a message of thread 1.
func (f *fakeRules) echo(c router.Caller, r *proto.Request) {
	f.sink.Deliver([]router.Conn{c.Conn}, 0, newMessage(thread(1), 1, string(r.Draft.Content)))
	f.sink.Finish(c.Conn, &proto.MessageSent{Ref: r.Ref, Thread: thread(1), Seq: 1, ClientID: r.Draft.ClientID})
}

func newMessage(t id.Thread, seq uint64, content string) *proto.NewMessage {
	return &proto.NewMessage{Message: &proto.Message{
		ID: id.Message{ID: id.ID{15: byte(seq), 0: 4}}, Thread: t, Seq: seq, Sender: user(9), Content: []byte(content),
	}}
}

// rig is a running server with fake rules.
type rig struct {
	*Server
	t     testing.TB
	rules *fakeRules
	addr  string
	logs  *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs a server on a free port. The clock of its deadlines stands until the test advances it.
func start(t testing.TB, edit func(*Config), with func(*fakeRules)) *rig {
	t.Helper()
	cfg := Default()
	cfg.Loops, cfg.Workers = 2, 2
	cfg.DrainWindow = 0
	cfg.manual = true
	if edit != nil {
		edit(&cfg)
	}
	logs := &lockedBuffer{}
	s, err := New(cfg, slog.New(slog.NewTextHandler(logs, nil)), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeRules{sink: s, attached: make(chan router.Caller, 1<<15), detached: make(chan router.Caller, 1<<15)}
	for i := range byte(100) {
		f.gate.allow(fmt.Sprint("tok", i), token.Claims{User: user(i), Session: session(i), Expires: cfg.Now().Add(time.Hour).Unix()})
	}
	if with != nil {
		with(f)
	}
	addr, err := s.Listen(Port{Name: "main", Addr: "127.0.0.1:0", Sockets: []string{"/ws", "/chat"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(f.rules()); err != nil {
		t.Fatal(err)
	}
	r := &rig{Server: s, t: t, rules: f, addr: addr.String(), logs: logs}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // cut what is left
		if err := s.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("shutdown: %v", err)
		}
		if n := s.input.Load(); n != 0 {
			t.Errorf("%d bytes of input are still counted", n)
		}
		if n := s.open.Load(); n != 0 {
			t.Errorf("%d connections are still counted", n)
		}
	})
	return r
}

// ticking moves the clock of all loops and waits until they have seen it.
type ticking struct {
	n    uint32
	done sync.WaitGroup
}

func (o *ticking) wait() *sync.WaitGroup { return &o.done }
func (o *ticking) apply(l *loop, _ router.Conn, _ *frame) {
	defer o.done.Done()
	l.now += o.n
}

// advance moves the clock n ticks on, and returns when all that this sets off was begun.
func (r *rig) advance(n int) {
	r.each(&ticking{n: uint32(n)})
	r.settled()
}

type nothing struct{ done sync.WaitGroup }

func (o *nothing) wait() *sync.WaitGroup                  { return &o.done }
func (o *nothing) apply(l *loop, _ router.Conn, _ *frame) { o.done.Done() }

// settled returns when every loop has ended the pass it was in.
func (r *rig) settled() {
	r.each(&nothing{})
	r.each(&nothing{})
}

// counting counts the connections that have a deadline.
type counting struct {
	n    atomic.Int64
	done sync.WaitGroup
}

func (o *counting) wait() *sync.WaitGroup { return &o.done }
func (o *counting) apply(l *loop, _ router.Conn, _ *frame) {
	defer o.done.Done()
	l.owned(0, l.slots.limit(), func(_ int, s *slot) {
		if s.has(linked) {
			o.n.Add(1)
		}
	})
}

// greeted is how many connections the loops know.
func (r *rig) greeted() int64 {
	o := &counting{}
	r.each(o)
	return o.n.Load()
}

// inLoop runs f on the loop of a connection.
type inLoop struct {
	f    func(l *loop, s *slot)
	done chan struct{}
}

func (o *inLoop) apply(l *loop, c router.Conn, _ *frame) {
	defer close(o.done)
	o.f(l, l.find(c))
}

func (r *rig) look(c router.Conn, f func(l *loop, s *slot)) {
	o := &inLoop{f: f, done: make(chan struct{})}
	if !r.must(c, nil, o) {
		r.t.Fatal("the loop has ended")
	}
	<-o.done
}

// until calls f until it reports true; only a test that fails waits for the deadline.
func (r *rig) until(what string, f func() bool) {
	r.t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatalf("never: %s", what)
		}
	}
}

// peer is a client on a raw TCP socket.
type peer struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func (r *rig) dial() *peer {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.wrap(c)
}

func (r *rig) wrap(c net.Conn) *peer {
	p := &peer{t: r.t, Conn: c, r: bufio.NewReader(c)}
	p.SetDeadline(time.Now().Add(60 * time.Second))
	r.t.Cleanup(func() { c.Close() })
	return p
}

const key = "dGhlIHNhbXBsZSBub25jZQ=="

func handshake(path string, more ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " +
		key + "\r\n" + strings.Join(append(more, ""), "\r\n") + "\r\n"
}

// upgrade is dial and a handshake.
func (r *rig) upgrade(path string, more ...string) *peer {
	r.t.Helper()
	p := r.dial()
	p.write(handshake(path, more...))
	p.accepted()
	return p
}

// accepted reads the 101.
func (p *peer) accepted() {
	p.t.Helper()
	head := p.head()
	if !strings.HasPrefix(head, "HTTP/1.1 101 ") || !strings.Contains(head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
		p.t.Fatalf("handshake answered with %q", head)
	}
}

// head reads an HTTP head.
func (p *peer) head() string {
	p.t.Helper()
	var head strings.Builder
	for !strings.HasSuffix(head.String(), "\r\n\r\n") {
		line, err := p.r.ReadString('\n')
		head.WriteString(line)
		if err != nil {
			p.t.Fatalf("head %q: %v", head.String(), err)
		}
	}
	return head.String()
}

// login is upgrade and authenticate as user n; it returns the connection's name.
func (r *rig) login(n byte) (*peer, router.Conn) {
	r.t.Helper()
	p := r.upgrade("/ws")
	p.text(fmt.Sprintf(`{"action":"authenticate","token":"tok%d"}`, n))
	p.expect("authenticated")
	c := <-r.rules.attached
	if c.User != user(n) || c.Session != session(n) {
		r.t.Fatalf("attached as %v", c)
	}
	return p, c.Conn
}

func (p *peer) write(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p.Conn, s); err != nil {
		p.t.Fatal(err)
	}
}

func masked(op ws.Op, fin bool, payload string) string {
	return string(ws.AppendMaskedFrame(nil, op, fin, [4]byte{1, 2, 3, 4}, []byte(payload)))
}

func (p *peer) text(s string) { p.t.Helper(); p.write(masked(ws.Text, true, s)) }

// frame reads one frame.
func (p *peer) frame() (ws.Op, []byte) {
	p.t.Helper()
	op, b, err := p.tryFrame()
	if err != nil {
		p.t.Fatalf("read a frame: %v", err)
	}
	return op, b
}

func (p *peer) tryFrame() (ws.Op, []byte, error) {
	var b []byte
	for {
		h, n, status := ws.ParseHeader(b)
		if status == ws.Ready {
			if h.Masked || !h.Fin {
				return 0, nil, fmt.Errorf("header %+v", h)
			}
			payload := make([]byte, h.Length)
			_, err := io.ReadFull(p.r, payload)
			return h.Op, payload, err
		}
		_ = n
		c, err := p.r.ReadByte()
		if err != nil {
			return 0, nil, err
		}
		b = append(b, c)
	}
}

// expect reads a text frame and checks its type.
func (p *peer) expect(kind string) map[string]any {
	p.t.Helper()
	op, b := p.frame()
	var m map[string]any
	if op != ws.Text || json.Unmarshal(b, &m) != nil || m["type"] != kind {
		p.t.Fatalf("got %d %s, want %s", op, b, kind)
	}
	return m
}

// expectClose reads a close frame with the code, answers it, and then the end of the stream.
func (p *peer) expectClose(code uint16) {
	p.t.Helper()
	p.expectAnswer(code)
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], code)
	io.WriteString(p.Conn, masked(ws.Close, true, string(b[:])))
	p.expectEnd()
}

// expectAnswer reads a close frame with the code.
func (p *peer) expectAnswer(code uint16) {
	p.t.Helper()
	op, b := p.frame()
	if op != ws.Close {
		p.t.Fatalf("got frame %d %q, want close %d", op, b, code)
	}
	got, reason, err := ws.ParseClose(b)
	if err != nil || got != code {
		p.t.Fatalf("closed with %d %q %v, want %d", got, reason, err, code)
	}
}

// expectEnd reads the end of the stream.
func (p *peer) expectEnd() {
	p.t.Helper()
	if b, err := io.ReadAll(p.r); err != nil || len(b) > 0 {
		p.t.Fatalf("got %q, %v instead of the end of the stream", b, err)
	}
}
