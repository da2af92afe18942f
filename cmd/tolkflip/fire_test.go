package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestResumeUnderFire lets 20 people write to a group without pause while 200 clients of its members
// drop their connections and come back with resume at random moments. Every client sees each seq exactly
// once, in order. TOLKFLIP_TEST_FIRE sets how long (10 s by default).
func TestResumeUnderFire(t *testing.T) {
	t.Parallel()
	long := 10 * time.Second
	if v, err := time.ParseDuration(os.Getenv("TOLKFLIP_TEST_FIRE")); err == nil {
		long = v
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := start(t, nil)
	var numbers phones
	people := make([]person, 40)
	ids := make([]string, len(people))
	for i := range people {
		people[i] = must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), fmt.Sprint("person ", i)))
		ids[i] = people[i].ID
	}
	status, out, err := call(t.Context(), "POST", s.URL+"/api/groups", people[0].Token, map[string]any{"name": "fire", "memberIds": ids})
	if err != nil || status != 201 {
		t.Fatalf("make the group: %d %v %v", status, out, err)
	}
	thread, _ := out["groupId"].(string)

	var head atomic.Uint64
	writing, stopWriting := context.WithTimeout(t.Context(), long)
	defer stopWriting()
	var writers, readers sync.WaitGroup
	for i := range 20 {
		writers.Go(func() { fireWriter(writing, t, s.URL, people[i], thread, &head) })
	}
	var drops, received atomic.Int64
	finish := make(chan struct{}) // closed when the head is final
	for i := range 200 {
		readers.Go(func() {
			r := fireReader{t: t, base: s.URL, who: people[i%len(people)], thread: thread, random: rand.New(rand.NewPCG(seed, uint64(i)))}
			drops.Add(int64(r.run(t.Context(), finish, &head)))
			received.Add(int64(r.seq))
		})
	}
	writers.Wait()
	close(finish)
	readers.Wait()
	t.Logf("%d messages, %d drops, %d received in order by 200 clients", head.Load(), drops.Load(), received.Load())
	if head.Load() == 0 || drops.Load() == 0 {
		t.Error("nothing happened")
	}
}

// fireWriter sends one message after another, each after the last one's ack.
func fireWriter(ctx context.Context, t *testing.T, base string, who person, thread string, head *atomic.Uint64) {
	sock, err := connect(t.Context(), base, who.Token, nil)
	if err != nil {
		t.Error(err)
		return
	}
	defer sock.close()
	for n := 0; ctx.Err() == nil; n++ {
		if err := sock.send(map[string]any{"action": "send_message", "threadId": thread, "content": "fire", "clientMessageId": fmt.Sprint(n)}); err != nil {
			t.Error(err)
			return
		}
		f, _, err := sock.until("message_sent")
		if err != nil {
			t.Error(err)
			return
		}
		for old := head.Load(); old < f.Seq && !head.CompareAndSwap(old, f.Seq); old = head.Load() {
		}
	}
}

// fireReader follows a thread over connections that it drops at random.
type fireReader struct {
	t      *testing.T
	base   string
	who    person
	thread string
	random *rand.Rand
	seq    uint64 // the last that it holds
}

// run reads until finish is closed and the head is reached, and reports how often it dropped.
func (r *fireReader) run(ctx context.Context, finish <-chan struct{}, head *atomic.Uint64) (drops int) {
	for {
		done, err := r.once(ctx, finish, head)
		if err != nil {
			r.t.Errorf("reader at %d: %v", r.seq, err)
			return drops
		}
		if done {
			return drops
		}
		drops++
	}
}

// once is one connection: resume, then some frames, then the drop.
func (r *fireReader) once(ctx context.Context, finish <-chan struct{}, head *atomic.Uint64) (done bool, err error) {
	sock, err := connect(ctx, r.base, r.who.Token, map[string]any{"resume": map[string]any{"threads": map[string]uint64{r.thread: r.seq}}})
	if err != nil {
		return false, err
	}
	var waking sync.WaitGroup
	over := make(chan struct{})
	defer waking.Wait()
	defer close(over)
	defer sock.close()
	waking.Go(func() { // who has everything already would wait for a frame for ever
		select {
		case <-finish:
			_ = sock.send(map[string]any{"action": "ping"}) // a dropped socket needs no waking
		case <-over:
		}
	})
	frames := 1 + r.random.IntN(400)
	resumed, healing := false, false
	for n := 0; ; n++ {
		select {
		case <-finish:
			if resumed && r.seq >= head.Load() {
				return true, nil
			}
		default:
			if n >= frames {
				return false, nil
			}
		}
		f, err := sock.receive()
		if err != nil {
			return false, err
		}
		switch f.Type {
		case "new_message":
			if healing && f.Seq > r.seq+1 {
				continue // above the gap: the resume that heals it brings this one again
			}
			if f.Seq != r.seq+1 {
				return false, fmt.Errorf("seq %d came after %d", f.Seq, r.seq)
			}
			r.seq = f.Seq
		case "resumed":
			resumed = true
			state := f.Threads[r.thread]
			healing = !state.Complete
			if healing { // too far behind: the rest is history's to bring
				if err := r.catchUp(sock, state.Seq); err != nil {
					return false, err
				}
			}
		case "error":
			return false, errors.New(f.Code + " " + f.Message)
		default:
		}
	}
}

// catchUp is told that the resume ended at seq before the head; the gap up to the next live message is
// filled by another resume on the same connection.
func (r *fireReader) catchUp(sock *socket, seq uint64) error {
	if seq != r.seq {
		return fmt.Errorf("the resume says it sent up to %d; %d came", seq, r.seq)
	}
	return sock.send(map[string]any{"action": "resume", "threads": map[string]uint64{r.thread: r.seq}})
}
