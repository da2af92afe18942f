package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// heads are the newest seqs that writers were told of, by thread.
type heads struct {
	threads []string
	of      map[string]*atomic.Uint64
}

// TestResumeUnderFire lets 20 people write to four groups without pause while 200 clients of their members
// drop their connections and come back with resume at random moments. Every client sees each seq of each
// thread exactly once, in order. TOLKFLIP_TEST_FIRE sets how long (10 s by default).
func TestResumeUnderFire(t *testing.T) { onStacks(t, testResumeUnderFire) }

func testResumeUnderFire(t *testing.T, on stack) {
	long := 10 * time.Second
	if v, err := time.ParseDuration(os.Getenv("TOLKFLIP_TEST_FIRE")); err == nil {
		long = v
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := startOn(t, on, onDisk)
	var numbers phones
	people := make([]person, 40)
	ids := make([]string, len(people))
	for i := range people {
		people[i] = must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), fmt.Sprint("person ", i)))
		ids[i] = people[i].ID
	}
	all := heads{of: map[string]*atomic.Uint64{}}
	for range 4 {
		status, out, err := call(t.Context(), "POST", s.URL+"/api/groups", people[0].Token, map[string]any{"name": "fire", "memberIds": ids})
		if err != nil || status != 201 {
			t.Fatalf("make the group: %d %v %v", status, out, err)
		}
		thread := fmt.Sprint(out["groupId"])
		all.threads, all.of[thread] = append(all.threads, thread), new(atomic.Uint64)
	}

	writing, stopWriting := context.WithTimeout(t.Context(), long)
	defer stopWriting()
	var writers, readers sync.WaitGroup
	for i := range 20 {
		thread := all.threads[i%len(all.threads)]
		writers.Go(func() { fireWriter(writing, t, s.URL, people[i], thread, all.of[thread]) })
	}
	var drops, received atomic.Int64
	finish := make(chan struct{}) // closed when the heads are final
	for i := range 200 {
		readers.Go(func() {
			r := fireReader{t: t, base: s.URL, who: people[i%len(people)], random: rand.New(rand.NewPCG(seed, uint64(i))), seqs: map[string]uint64{}}
			for _, thread := range all.threads {
				r.seqs[thread] = 0
			}
			drops.Add(int64(r.run(t.Context(), finish, all)))
			for _, seq := range r.seqs {
				received.Add(int64(seq))
			}
		})
	}
	writers.Wait()
	close(finish)
	readers.Wait()
	sent := uint64(0)
	for _, head := range all.of {
		sent += head.Load()
	}
	t.Logf("%d messages, %d drops, %d received in order by 200 clients", sent, drops.Load(), received.Load())
	if sent == 0 || drops.Load() == 0 {
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
		f, err := sock.deliver(map[string]any{"action": "send_message", "threadId": thread, "content": "fire", "clientMessageId": fmt.Sprint(n)})
		if err != nil {
			t.Error(err)
			return
		}
		for old := head.Load(); old < f.Seq && !head.CompareAndSwap(old, f.Seq); old = head.Load() {
		}
	}
}

// fireReader follows threads over connections that it drops at random.
type fireReader struct {
	t      *testing.T
	base   string
	who    person
	random *rand.Rand
	seqs   map[string]uint64 // the last that it holds, by thread
}

// run reads until finish is closed and the heads are reached, and reports how often it dropped.
func (r *fireReader) run(ctx context.Context, finish <-chan struct{}, all heads) (drops int) {
	for {
		done, err := r.once(ctx, finish, all)
		if err != nil {
			r.t.Errorf("reader at %v: %v", r.seqs, err)
			return drops
		}
		if done {
			return drops
		}
		drops++
	}
}

// once is one connection: resume, then some frames, then the drop.
func (r *fireReader) once(ctx context.Context, finish <-chan struct{}, all heads) (done bool, err error) {
	sock, err := connect(ctx, r.base, r.who.Token, map[string]any{"resume": map[string]any{"threads": r.seqs}})
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
	healing := map[string]bool{} // the resume of these is not complete
	resumed := false
	for n := 0; ; n++ {
		select {
		case <-finish:
			if resumed && r.reached(all) {
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
			if err := r.message(f, healing[f.ThreadID]); err != nil {
				return false, err
			}
		case "resumed":
			resumed = true
			if err := r.resumed(sock, f, healing); err != nil {
				return false, err
			}
		case "pong": // all that was delivered before the writers ended came before it
			if resumed && !slices.Contains(slices.Collect(maps.Values(healing)), true) && !r.reached(all) {
				return false, errors.New("something was lost")
			}
		case "error":
			return false, errors.New(f.Code + " " + f.Message)
		default:
		}
	}
}

func (r *fireReader) reached(all heads) bool {
	for thread, head := range all.of {
		if r.seqs[thread] < head.Load() {
			return false
		}
	}
	return true
}

func (r *fireReader) message(f frame, healing bool) error {
	seq, known := r.seqs[f.ThreadID]
	switch {
	case !known:
		return errors.New("a message of another thread")
	case healing && f.Seq > seq+1:
		return nil // above the gap: the resume that heals it brings this one again
	case f.Seq != seq+1:
		return fmt.Errorf("seq %d of %s came after %d", f.Seq, f.ThreadID, seq)
	}
	r.seqs[f.ThreadID] = f.Seq
	return nil
}

// resumed takes the end of a resume. Where the client was too far behind, another resume on the same
// connection fills the gap up to what is live.
func (r *fireReader) resumed(sock *socket, f frame, healing map[string]bool) error {
	missing := map[string]uint64{}
	for thread, state := range f.Threads {
		healing[thread] = !state.Complete
		if state.Complete {
			continue
		}
		if state.Seq != r.seqs[thread] {
			return fmt.Errorf("the resume says it sent %s up to %d; %d came", thread, state.Seq, r.seqs[thread])
		}
		missing[thread] = state.Seq
	}
	if len(missing) == 0 {
		return nil
	}
	return sock.send(map[string]any{"action": "resume", "threads": missing})
}
