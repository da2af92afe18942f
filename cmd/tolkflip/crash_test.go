package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// sending is what a sender knows of one of its messages.
type sending struct {
	content string
	acked   bool
	id      string
	seq     uint64
}

// sender writes messages to one other person, with client ids that it repeats after a crash.
type sender struct {
	person
	to       person
	thread   string
	messages []sending
}

// TestKillUnderLoad kills the server's process while people write, 20 times over on the same data. After
// each restart every message without an ack is sent again with its id. In the end each acked message is
// in its thread exactly once, where the ack said, and the threads have no hole.
func TestKillUnderLoad(t *testing.T) { onStacks(t, testKillUnderLoad) }

func testKillUnderLoad(t *testing.T, on stack) {
	rounds := 20
	if on.store != "" {
		rounds = 5 // each takes longer
	}
	if v, err := strconv.Atoi(os.Getenv("TOLKFLIP_TEST_KILLS")); err == nil {
		rounds = v
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	data := filepath.Join(t.TempDir(), "data")
	args, env := on.args()
	c := startChildIn(t, env, data, args...)
	var numbers phones
	senders := make([]*sender, 16)
	for i := range senders {
		from := must[person](t, "register")(register(t.Context(), c.URL, numbers.number(), fmt.Sprint("from ", i)))
		to := must[person](t, "register")(register(t.Context(), c.URL, numbers.number(), fmt.Sprint("to ", i)))
		senders[i] = &sender{person: from, to: to}
	}
	for range rounds {
		var acked atomic.Int64
		enough := int64(200 + random.IntN(3000)) // the kill comes after this many acks: some moment under load
		reached := make(chan struct{})
		var once sync.Once
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for _, s := range senders {
			running.Go(func() {
				s.write(ctx, t, c.URL, func() {
					if acked.Add(1) == enough {
						once.Do(func() { close(reached) })
					}
				})
			})
		}
		<-reached
		c.kill()
		cancel()
		running.Wait()
		c = startChildIn(t, env, data, args...)
	}
	total, retried := 0, 0
	for _, s := range senders {
		retried += s.finish(t, c.URL)
		total += s.verify(t, c.URL)
	}
	t.Logf("%d kills, %d messages acked and found once each, %d settled by the last retry", rounds, total, retried)
	if total == 0 {
		t.Fatal("nothing was acked")
	}
}

// write sends without end: first what has no ack yet, then new messages, up to 32 ahead of the acks. It
// ends with the connection.
func (s *sender) write(ctx context.Context, t *testing.T, base string, acked func()) {
	sock, err := connect(ctx, base, s.Token, nil)
	if err != nil {
		return // the kill came first
	}
	ctx, cancel := context.WithCancel(ctx)
	slots := make(chan struct{}, 32)
	var mu sync.Mutex
	var writing sync.WaitGroup
	defer func() {
		cancel()
		sock.close()
		writing.Wait()
	}()
	writing.Go(func() {
		defer sock.close()
		for i := 0; ctx.Err() == nil; i++ {
			mu.Lock()
			if i == len(s.messages) {
				s.messages = append(s.messages, sending{content: fmt.Sprintf("message %d", i)})
			}
			m := s.messages[i]
			mu.Unlock()
			if m.acked {
				continue
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			if sock.send(s.action(i, m.content)) != nil {
				return
			}
		}
	})
	for {
		f, err := sock.receive()
		if err != nil {
			return
		}
		mu.Lock()
		s.note(t, f)
		mu.Unlock()
		if f.Type == "message_sent" || f.Type == "message_error" {
			<-slots
		}
		if f.Type == "message_sent" {
			acked()
		}
	}
}

func (s *sender) action(i int, content string) map[string]any {
	return map[string]any{"action": "send_message", "receiverId": s.to.ID, "content": content, "clientMessageId": strconv.Itoa(i)}
}

// note takes an answer to a send. The mutex of write, if any, is held.
func (s *sender) note(t *testing.T, f frame) {
	switch f.Type {
	case "message_sent":
		i, err := strconv.Atoi(f.ClientMessageID)
		if err != nil || i >= len(s.messages) {
			t.Errorf("an ack for %q, which was never sent", f.ClientMessageID)
			return
		}
		m := &s.messages[i]
		if m.acked && (m.id != f.MessageID || m.seq != f.Seq) {
			t.Errorf("message %d was acked as %s at %d, and again as %s at %d", i, m.id, m.seq, f.MessageID, f.Seq)
		}
		m.acked, m.id, m.seq, s.thread = true, f.MessageID, f.Seq, f.ThreadID
	case "message_error":
		if f.Retryable {
			return // it is sent again in the next round
		}
		t.Errorf("message %s was refused: %s %s", f.ClientMessageID, f.Code, f.Message)
	default:
	}
}

// finish sends what has no ack, once more, and waits for all answers. Then it repeats one that had an
// ack long ago: the answer must be the first result.
func (s *sender) finish(t *testing.T, base string) (retried int) {
	sock, err := connect(t.Context(), base, s.Token, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sock.close()
	for i, m := range s.messages {
		if m.acked && i != 0 {
			continue
		}
		retried++
		f, err := sock.deliver(s.action(i, m.content))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 && m.acked && !f.Duplicate {
			t.Errorf("the retry of an acked message was not called a duplicate: %+v", f)
		}
		s.note(t, f)
	}
	return retried
}

// verify reads the thread and compares it with what was acked.
func (s *sender) verify(t *testing.T, base string) int {
	sock, err := connect(t.Context(), base, s.to.Token, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sock.close()
	bySeq := map[uint64]frame{}
	for before := uint64(0); ; {
		ask := map[string]any{"action": "history", "threadId": s.thread, "limit": 100}
		if before > 0 {
			ask["before"] = before
		}
		if err := sock.send(ask); err != nil {
			t.Fatal(err)
		}
		page, _, err := sock.until("history")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Messages {
			if old, twice := bySeq[m.Seq]; twice {
				t.Errorf("seq %d of %s is both %s and %s", m.Seq, s.thread, old.MessageID, m.MessageID)
			}
			bySeq[m.Seq] = m
		}
		if page.Complete || len(page.Messages) == 0 {
			break
		}
		before = page.Messages[0].Seq
	}
	for seq := uint64(1); seq <= uint64(len(bySeq)); seq++ {
		if _, ok := bySeq[seq]; !ok {
			t.Errorf("thread %s has %d messages and none at seq %d", s.thread, len(bySeq), seq)
		}
	}
	if len(bySeq) != len(s.messages) {
		t.Errorf("thread %s has %d messages, %d were sent", s.thread, len(bySeq), len(s.messages))
	}
	for i, m := range s.messages {
		if got := bySeq[m.seq]; got.MessageID != m.id || got.Content != m.content {
			t.Errorf("message %d was acked as %s at %d; there is %s %q", i, m.id, m.seq, got.MessageID, got.Content)
		}
	}
	return len(s.messages)
}
