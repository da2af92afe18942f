package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMixes runs a server on every mix of embedded and real stores that the machine has: people log in,
// write, and are ready.
func TestMixes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		make func(t *testing.T) stack
	}{
		{"memory and files on S3", func(t *testing.T) stack { return stack{blob: s3Address(t), secrets: s3Secrets(t)} }},
		{"Pebble and Redis", func(t *testing.T) stack { return stack{store: "pebble:" + t.TempDir(), cache: redisAddress(t)} }},
		{"Pebble, Sentinel and S3", func(t *testing.T) stack {
			return stack{store: "pebble:" + t.TempDir(), cache: sentinelAddress(t), blob: s3Address(t), secrets: s3Secrets(t)}
		}},
		{"memory and a Redis cluster", func(t *testing.T) stack { return stack{cache: clusterAddress(t)} }},
		{"Cassandra alone", func(t *testing.T) stack {
			s := realStack(t)
			s.cache, s.blob = "", ""
			return s
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := startOn(t, c.make(t), nil)
			var numbers phones
			a := must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "a"))
			b := must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "b"))
			sock := must[*socket](t, "connect")(connect(t.Context(), s.URL, a.Token, nil))
			defer sock.close()
			for seq := range uint64(3) {
				if f, err := sock.deliver(map[string]any{"action": "send_message", "receiverId": b.ID, "content": "x"}); err != nil || f.Seq != seq+1 {
					t.Errorf("%+v %v, want seq %d", f, err, seq+1)
				}
			}
			s.isReady(t, "")
		})
	}
}

func redisAddress(t *testing.T) string {
	return realAddress(t, "TOLKFLIP_TEST_REDIS", func(v string) string { return "redis://" + v + "?prefix=" + shared.name + ":" })
}

func sentinelAddress(t *testing.T) string {
	return realAddress(t, "TOLKFLIP_TEST_SENTINEL", func(v string) string {
		name, hosts, _ := strings.Cut(v, "@")
		return "redis+sentinel://" + hosts + "/" + name + "?prefix=" + shared.name + ":"
	})
}

func clusterAddress(t *testing.T) string {
	return realAddress(t, "TOLKFLIP_TEST_CLUSTER", func(v string) string { return "redis+cluster://" + v + "?prefix=" + shared.name + ":" })
}

func s3Address(t *testing.T) string {
	return realAddress(t, "TOLKFLIP_TEST_S3", func(v string) string {
		u, _, _ := s3Of(t, v)
		return "s3://" + u.Host + "/" + shared.bucket()
	})
}

func s3Secrets(t *testing.T) map[string]string {
	_, key, secret := s3Of(t, os.Getenv("TOLKFLIP_TEST_S3"))
	return map[string]string{"blob-key": key, "blob-secret": secret}
}

// isReady waits until /ready names the part that fails, "" for none.
func (s *testServer) isReady(t *testing.T, failing string) {
	t.Helper()
	for {
		status, out, err := call(t.Context(), "GET", s.URL+"/ready", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		parts, _ := out["failing"].(map[string]any)
		if failing == "" && status == 200 || failing != "" && status == 503 && parts[failing] != nil {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("ready answers %d %v", status, out)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// cable is the way from a server to one of its stores: a TCP proxy that can be cut and mended.
type cable struct {
	to     string
	listen net.Listener
	mu     sync.Mutex
	cut    bool
	conns  map[net.Conn]struct{}
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	c := &cable{to: to, conns: map[net.Conn]struct{}{}, listen: must[net.Listener](t, "listen")(net.Listen("tcp", "127.0.0.1:0"))}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			near, err := c.listen.Accept()
			if err != nil {
				return
			}
			running.Go(func() { c.carry(near) })
		}
	})
	t.Cleanup(func() {
		c.listen.Close()
		c.set(true)
		running.Wait()
	})
	return c
}

func (c *cable) address() string { return c.listen.Addr().String() }

func (c *cable) carry(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer far.Close()
	c.mu.Lock()
	if c.cut {
		c.mu.Unlock()
		return
	}
	c.conns[near], c.conns[far] = struct{}{}, struct{}{}
	c.mu.Unlock()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // ends with either side
			near.Close()
			far.Close()
		})
	}
	both.Wait()
	c.mu.Lock()
	delete(c.conns, near)
	delete(c.conns, far)
	c.mu.Unlock()
}

// set cuts the cable, or mends it.
func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	if cut {
		for conn := range c.conns {
			conn.Close()
		}
	}
}

// TestStoreGoneAndBack cuts the way to Cassandra: readiness names it, sends are refused as retryable and
// not acked, REST answers 503, sockets stay, and all of it is over by itself.
func TestStoreGoneAndBack(t *testing.T) {
	t.Parallel()
	on := realStack(t)
	node, _, _ := strings.Cut(os.Getenv("TOLKFLIP_TEST_CASSANDRA"), ",")
	way := newCable(t, node)
	on.store = strings.Replace(on.store, os.Getenv("TOLKFLIP_TEST_CASSANDRA"), way.address(), 1)
	s := startOn(t, on, nil)
	var numbers phones
	a := must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "a"))
	b := must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "b"))
	sock := must[*socket](t, "connect")(connect(t.Context(), s.URL, a.Token, nil))
	defer sock.close()
	n := 0
	action := func() map[string]any {
		n++
		return map[string]any{"action": "send_message", "receiverId": b.ID, "content": fmt.Sprint(n), "clientMessageId": fmt.Sprint(n)}
	}
	first, err := sock.deliver(action())
	if err != nil {
		t.Fatal(err)
	}
	way.set(true)
	if err := sock.send(action()); err != nil {
		t.Fatal(err)
	}
	if f, err := sock.answered(); err != nil || f.Type != "message_error" || f.Code != "busy" || !f.Retryable {
		t.Errorf("without a store: %+v %v, want a retryable busy", f, err)
	}
	s.isReady(t, "store")
	for _, path := range []string{"/api/chat/threads", "/api/users/contacts"} {
		if status, out, err := call(t.Context(), "GET", s.URL+path, b.Token, nil); err != nil || status != 503 || out["code"] != "busy" {
			t.Errorf("GET %s: %d %v %v, want 503 and busy", path, status, out, err)
		}
	}
	if err := sock.send(map[string]any{"action": "ping"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := sock.until("pong"); err != nil {
		t.Errorf("the socket: %v", err)
	}
	way.set(false)
	s.isReady(t, "")
	n = 1 // the refused one comes again with its id
	for want := first.Seq + 1; want <= first.Seq+3; want++ {
		if f, err := sock.deliver(action()); err != nil || f.Seq != want {
			t.Errorf("afterwards: %+v %v, want seq %d", f, err, want)
		}
	}
	if status, out, err := call(t.Context(), "GET", s.URL+"/api/chat/threads", b.Token, nil); err != nil || status != 200 {
		t.Errorf("reading afterwards: %d %v %v", status, out, err)
	}
}

// TestCacheGoneAndBack cuts the way to Redis: nobody is logged out, messages go on, logging in waits.
func TestCacheGoneAndBack(t *testing.T) {
	t.Parallel()
	address := redisAddress(t)
	way := newCable(t, os.Getenv("TOLKFLIP_TEST_REDIS"))
	s := startOn(t, stack{cache: strings.Replace(address, os.Getenv("TOLKFLIP_TEST_REDIS"), way.address(), 1)}, nil)
	var numbers phones
	a := must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "a"))
	b := must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "b"))
	sock := must[*socket](t, "connect")(connect(t.Context(), s.URL, a.Token, nil))
	defer sock.close()
	way.set(true)
	s.isReady(t, "cache")
	if f, err := sock.deliver(map[string]any{"action": "send_message", "receiverId": b.ID, "content": "x"}); err != nil || f.Seq != 1 {
		t.Errorf("%+v %v", f, err)
	}
	if status, out, err := call(t.Context(), "GET", s.URL+"/api/chat/threads", b.Token, nil); err != nil || status != 200 {
		t.Errorf("reading: %d %v %v", status, out, err)
	}
	status, out, err := call(t.Context(), "POST", s.URL+"/api/auth/request-code", "", map[string]any{"phone_number": numbers.number()})
	if err != nil || status != 503 || out["code"] != "busy" {
		t.Errorf("asking for a code: %d %v %v, want 503 and busy", status, out, err)
	}
	way.set(false)
	s.isReady(t, "")
	must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "c"))
}

// TestFilesGoneAndBack cuts the way to S3: readiness names it, and the chat goes on.
func TestFilesGoneAndBack(t *testing.T) {
	t.Parallel()
	address := s3Address(t)
	u, _, _ := s3Of(t, os.Getenv("TOLKFLIP_TEST_S3"))
	way := newCable(t, u.Host)
	s := startOn(t, stack{blob: strings.Replace(address, u.Host, way.address(), 1), secrets: s3Secrets(t)}, nil)
	s.isReady(t, "")
	way.set(true)
	s.isReady(t, "blob")
	var numbers phones
	must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "a"))
	way.set(false)
	s.isReady(t, "")
}

// TestSecondServer starts a second server on a keyspace: it is refused and told by whom, unless it takes over.
// The first then ends by itself, and its sockets with it.
func TestSecondServer(t *testing.T) {
	t.Parallel()
	on := realStack(t)
	dir := t.TempDir()
	args, env := on.args()
	serve := func(ctx context.Context, name string, more ...string) (code <-chan int, said *output) {
		said = &output{line: make(chan string, 100)}
		done := make(chan int, 1)
		all := append(append([]string{"serve", "--dev", "--port-base", "0", "--drain", "0s", "--data", filepath.Join(dir, name)}, args...), more...)
		go func() {
			done <- run(ctx, all, env, said, said)
			close(said.line)
		}()
		return done, said
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first, said := serve(ctx, "first")
	url := said.ready(t)
	var numbers phones
	p := must[person](t, "register")(register(t.Context(), url, numbers.number(), "p"))
	q := must[person](t, "register")(register(t.Context(), url, numbers.number(), "q"))
	sock := must[*socket](t, "connect")(connect(t.Context(), url, p.Token, nil))
	defer sock.close()
	before, err := sock.deliver(map[string]any{"action": "send_message", "receiverId": q.ID, "content": "before"})
	if err != nil {
		t.Fatal(err)
	}

	node := strings.TrimSpace(string(must[[]byte](t, "node-id")(os.ReadFile(filepath.Join(dir, "first", "node-id")))))
	second, saidSecond := serve(ctx, "second")
	if code := <-second; code != exitInUse || !strings.Contains(saidSecond.all(), node) || !strings.Contains(saidSecond.all(), "--take-over") {
		t.Errorf("a second server: exit %d, %q; want %d, the node %s and --take-over", code, saidSecond.all(), exitInUse, node)
	}
	third, saidThird := serve(ctx, "third", "--take-over")
	url = saidThird.ready(t)
	var end closed
	if _, err := sock.receive(); !errors.As(err, &end) || end.code != 1001 {
		t.Errorf("the socket of the deposed server has %v, want a close with 1001", err)
	}
	if code := <-first; code != exitDeposed {
		t.Errorf("the deposed server: exit %d, %q", code, said.all())
	}
	again := must[*socket](t, "connect")(connect(t.Context(), url, p.Token, nil))
	defer again.close()
	if f, err := again.deliver(map[string]any{"action": "send_message", "receiverId": q.ID, "content": "after"}); err != nil || f.Seq != before.Seq+1 {
		t.Errorf("the new owner: %+v %v, want seq %d", f, err, before.Seq+1)
	}
	cancel()
	if code := <-third; code != exitOK {
		t.Errorf("the new owner: exit %d, %q", code, saidThird.all())
	}
}

// output is what a server in this process prints.
type output struct {
	mu   sync.Mutex
	text strings.Builder
	line chan string
}

// Write takes a part.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(b)
	for line := range strings.Lines(string(b)) {
		select {
		case o.line <- line:
		default: // nobody waits for a line any more
		}
	}
	return len(b), nil
}

func (o *output) all() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// ready waits until the server is, and gives its address.
func (o *output) ready(t *testing.T) string {
	t.Helper()
	for line := range o.line {
		if _, url, ok := strings.Cut(line, " ms: "); ok && strings.HasPrefix(line, "tolkflip ready in ") {
			return strings.TrimSuffix(strings.TrimSpace(url), "/")
		}
	}
	t.Fatalf("the server ended: %s", o.all())
	return ""
}
