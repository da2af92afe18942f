package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router/chat"
	"github.com/tolkflip/tolkflip/store"
)

// userOf is a person's id as the rules take it.
func userOf(t *testing.T, p person) id.User {
	t.Helper()
	return id.User{ID: must[id.ID](t, "id")(id.Parse(p.ID))}
}

// crowded makes many groups of a few people, past REST, and gives their ids.
func crowded(t *testing.T, s *testServer, n int, members ...person) (groups []id.Thread) {
	t.Helper()
	for range n {
		g := id.NewGroup()
		var list []store.Member
		for _, m := range members {
			list = append(list, store.Member{Group: g, User: userOf(t, m), Role: store.Admin})
		}
		if err := s.stores.groups.Create(t.Context(), store.Group{ID: g, Name: "g", CreatedBy: list[0].User}, list); err != nil {
			t.Fatal(err)
		}
		groups = append(groups, g)
	}
	return groups
}

// post writes a text into a group for a user and gives its seq.
func (s *testServer) post(ctx context.Context, from id.User, group id.Thread, text string) (uint64, error) {
	sent, err := s.chat.Post(ctx, from, chat.Post{Thread: group, Draft: proto.Draft{Content: []byte(text)}})
	return sent.Seq, err
}

// TestResumeOfAThousandThreads: one connection asks for as many threads as it may while others write to all
// of them, drops, and comes back: it gets each message of each thread once, in order.
func TestResumeOfAThousandThreads(t *testing.T) {
	t.Parallel()
	s := start(t, onDisk)
	var numbers phones
	reader := must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "reader"))
	writer := must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "writer"))
	from := userOf(t, writer)
	groups := crowded(t, s, proto.MaxResume, writer, reader)
	all := heads{of: map[string]*atomic.Uint64{}}
	for _, g := range groups {
		all.threads, all.of[g.String()] = append(all.threads, g.String()), new(atomic.Uint64)
	}
	var writing sync.WaitGroup
	stop := make(chan struct{})
	written := make(chan struct{}, 1<<20)
	for w := range 8 { // each has threads of its own, so that the last ack is the head
		writing.Go(func() {
			random := rand.New(rand.NewPCG(11, uint64(w)))
			for n := 0; ; n++ {
				i := n // first every thread once, then any
				if n >= len(groups)/8 {
					i = random.IntN(len(groups) / 8)
					select {
					case <-stop:
						return
					default:
					}
				}
				g := groups[i*8+w]
				seq, err := s.post(context.Background(), from, g, "x")
				if err != nil {
					t.Errorf("post: %v", err)
					return
				}
				all.of[g.String()].Store(seq)
				select {
				case written <- struct{}{}:
				default:
				}
			}
		})
	}
	r := fireReader{t: t, base: s.URL, who: reader, seqs: map[string]uint64{}}
	for _, thread := range all.threads {
		r.seqs[thread] = 0
	}
	for range len(groups) + 2000 {
		<-written
	}
	for round := range 4 {
		if round == 3 {
			close(stop)
			writing.Wait()
		}
		if err := r.resumeAll(t.Context()); err != nil {
			t.Errorf("round %d: %v", round, err)
			break
		}
	}
	select {
	case <-stop:
	default:
		close(stop)
	}
	writing.Wait()
	total := uint64(0)
	for thread, seq := range r.seqs {
		if head := all.of[thread].Load(); seq != head {
			t.Errorf("%s was read up to %d of %d", thread, seq, head)
		}
		total += seq
	}
	t.Logf("%d messages of %d threads", total, len(r.seqs))
}

// resumeAll is one connection, dropped when the resume of every thread is complete and a ping was answered.
func (r *fireReader) resumeAll(ctx context.Context) error {
	sock, err := connect(ctx, r.base, r.who.Token, map[string]any{"resume": map[string]any{"threads": r.seqs}})
	if err != nil {
		return err
	}
	defer sock.close()
	healing := map[string]bool{}
	for {
		f, err := sock.receive()
		if err != nil {
			return err
		}
		switch f.Type {
		case "new_message":
			err = r.message(f, healing[f.ThreadID])
		case "resumed":
			if err = r.resumed(sock, f, healing); err == nil {
				open := false
				for _, state := range f.Threads {
					open = open || !state.Complete
				}
				if !open {
					err = sock.send(map[string]any{"action": "ping"})
				}
			}
		case "pong":
			return nil
		default:
			err = fmt.Errorf("%s %s %s", f.Type, f.Code, f.Message)
		}
		if err != nil {
			return err
		}
	}
}

// seen collects the seqs of one thread that a socket is told.
type seen struct {
	mu    sync.Mutex
	moved sync.Cond
	seqs  []uint64
	err   error
}

func (s *seen) read(sock *socket) {
	for {
		f, err := sock.receive()
		s.mu.Lock()
		if err != nil {
			s.err = err
			s.moved.Broadcast()
			s.mu.Unlock()
			return
		}
		if f.Type == "new_message" {
			s.seqs = append(s.seqs, f.Seq)
			s.moved.Broadcast()
		}
		s.mu.Unlock()
	}
}

// until waits for a seq, or one behind it.
func (s *seen) until(seq uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.err == nil && (len(s.seqs) == 0 || s.seqs[len(s.seqs)-1] < seq) {
		s.moved.Wait()
	}
	return s.err
}

// TestMembersChangeUnderLoad: a member is taken out of a group and put back while others write to it without
// pause. Once the removal was answered it is told nothing that is written from then on; once it was added
// again, everything.
func TestMembersChangeUnderLoad(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	var numbers phones
	var people []person
	for range 4 {
		people = append(people, must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "p")))
	}
	admin, guest := people[0], people[3]
	group := crowded(t, s, 1, people...)[0]
	path := s.URL + "/api/groups/" + group.String() + "/members"
	var reading, writing sync.WaitGroup
	listen := func(p person) (*seen, *socket) {
		sock := must[*socket](t, "connect")(connect(t.Context(), s.URL, p.Token, nil))
		told := &seen{}
		told.moved.L = &told.mu
		reading.Go(func() { told.read(sock) })
		return told, sock
	}
	told, sock := listen(guest)
	pace, paced := listen(admin) // who writes waits for it, so that no reader is too slow
	stop := make(chan struct{})
	for _, p := range people[:3] {
		from := userOf(t, p)
		writing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				seq, err := s.post(context.Background(), from, group, "load")
				if err == nil && seq > 100 {
					err = pace.until(seq - 100)
				}
				if err != nil {
					t.Errorf("post: %v", err)
					return
				}
			}
		})
	}
	from := userOf(t, admin)
	mark := func() uint64 { return must[uint64](t, "post")(s.post(t.Context(), from, group, "mark")) }
	change := func(method, url string, body any, want int) {
		t.Helper()
		if status, out, err := call(t.Context(), method, url, admin.Token, body); err != nil || status != want {
			t.Errorf("%s: %d %v %v", method, status, out, err)
		}
	}
	type span struct {
		from, to uint64
		in       bool
	}
	var spans []span
	for range 15 {
		first := mark()
		spans = append(spans, span{first, mark(), true})
		if err := told.until(spans[len(spans)-1].to); err != nil {
			t.Fatalf("a member was not told: %v", err)
		}
		change("DELETE", path+"/"+guest.ID, nil, 200)
		first = mark()
		spans = append(spans, span{first, mark(), false})
		change("POST", path, map[string]any{"newMemberId": guest.ID}, 201)
	}
	close(stop)
	writing.Wait()
	if err := told.until(mark()); err != nil {
		t.Error(err)
	}
	sock.close()
	paced.close()
	reading.Wait()
	if !slices.IsSorted(told.seqs) || len(slices.Compact(slices.Clone(told.seqs))) != len(told.seqs) {
		t.Error("not in order, or twice")
	}
	for _, sp := range spans {
		for seq := sp.from; seq <= sp.to; seq++ {
			if _, got := slices.BinarySearch(told.seqs, seq); got != sp.in {
				t.Errorf("seq %d, written when the guest was in: %v, was told: %v", seq, sp.in, got)
			}
		}
	}
	t.Logf("%d messages, %d of them told", spans[len(spans)-1].to, len(told.seqs))
}

// TestRevokeUnderLoad ends a session by logging out while it sends as fast as it can. What it sends after the
// logout was answered is not accepted, and nothing comes behind the close.
func TestRevokeUnderLoad(t *testing.T) {
	t.Parallel()
	s := start(t, onDisk)
	var numbers phones
	other := must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "other"))
	for range 10 {
		p := must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "p"))
		group := crowded(t, s, 1, p, other)[0]
		revokeOnce(t, s, p, userOf(t, other), group)
	}
}

func revokeOnce(t *testing.T, s *testServer, p person, other id.User, group id.Thread) {
	t.Helper()
	sock := must[*socket](t, "connect")(connect(t.Context(), s.URL, p.Token, nil))
	defer sock.close()
	var over atomic.Bool
	var sending sync.WaitGroup
	sending.Go(func() {
		for n := 0; ; n++ {
			text := "early"
			if over.Load() {
				text = "late"
			}
			if sock.send(map[string]any{"action": "send_message", "threadId": group.String(), "content": text, "clientMessageId": fmt.Sprint(n)}) != nil {
				return // the connection is gone
			}
		}
	})
	acked := map[string]bool{}
	for len(acked) < 50 {
		f, err := sock.receive()
		if err != nil || f.Type != "message_sent" {
			t.Fatalf("%+v %v", f, err)
		}
		acked[f.MessageID] = true
	}
	loggedOut := make(chan error, 1)
	go func() {
		status, out, err := call(context.Background(), "POST", s.URL+"/api/auth/logout", p.Token, map[string]any{})
		over.Store(true)
		if err == nil && status != 200 {
			err = fmt.Errorf("logout: %d %v", status, out)
		}
		loggedOut <- err
	}()
	var end closed
	for {
		f, err := sock.receive()
		if errors.As(err, &end) {
			break
		}
		if err != nil {
			t.Fatalf("the socket ended without a close frame: %v", err)
		}
		switch {
		case f.Type == "message_sent":
			acked[f.MessageID] = true
		case f.Type == "message_error" && f.Code == "unauthenticated":
		default:
			t.Errorf("%+v", f)
		}
	}
	if end.code != 4401 {
		t.Errorf("closed with %d", end.code)
	}
	_ = sock.write(ws.OpClose, ws.NewCloseFrameBody(4401, "")) // the answer; fails where the server did not wait for it
	if rest, err := io.ReadAll(sock.buf); len(rest) > 0 {
		t.Errorf("%d bytes behind the close frame (%v)", len(rest), err)
	}
	sock.close()
	sending.Wait()
	if err := <-loggedOut; err != nil {
		t.Error(err)
	}
	// Behind what is still on its way to the disk.
	head := must[uint64](t, "post")(s.post(t.Context(), other, group, "last"))
	kept := map[string]bool{}
	for at := uint64(0); at < head; {
		list, err := s.stores.log.After(t.Context(), group, at, 200)
		if err != nil || len(list) == 0 {
			t.Fatalf("read from %d: %d messages, %v", at, len(list), err)
		}
		for _, m := range list {
			at = m.Seq
			kept[m.ID.String()] = true
			if string(m.Content) == "late" {
				t.Errorf("seq %d of %d was sent after the logout was answered", m.Seq, head)
			}
		}
	}
	for message := range acked {
		if !kept[message] {
			t.Errorf("message %s was acked and is not there", message)
		}
	}
}
