package threadlog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// history is what anyone was told. Whatever else happens, no two people may be told things that do not go
// together.
type history struct {
	t     *trial
	a, b  id.User
	acked map[int]acked
	shown [simThreads]map[uint64]int // by seq, the message that was acked or read there
	most  [simThreads]uint64         // of shown
}

type acked struct {
	seq  uint64
	sent int64
}

func (h *history) failf(format string, args ...any) {
	h.t.fail(fmt.Errorf("at %d: %w", h.t.now, fmt.Errorf(format, args...)))
}

func number(m id.Message) int { return int(binary.BigEndian.Uint32(m.ID[:])) }

// show notes that someone was told of a message at a seq.
func (h *history) show(i int, seq uint64, n int, how string) {
	if h.shown[i] == nil {
		h.shown[i] = map[uint64]int{}
	}
	if was, ok := h.shown[i][seq]; ok && was != n {
		h.failf("%s: seq %d of thread %d is message %d, it was %d", how, seq, i, n, was)
	}
	h.shown[i][seq] = n
	h.most[i] = max(h.most[i], seq)
	if i == 0 {
		with := 0
		for k := range h.t.replicas {
			if h.t.replicas[k].firsts[0] {
				with++
			}
		}
		if with < 2 {
			h.failf("%s: seq %d was told before the thread's rows were in", how, seq)
		}
	}
}

// done checks an answer to a sender.
func (h *history) done(n *simNode, life, message, body int, e *store.Entry) {
	i := message / 100 % simThreads
	switch {
	case errors.Is(e.Err, store.ErrConflict):
		h.t.tally.conflicts++
		if _, ok := h.acked[message]; !ok || body == 0 {
			h.failf("message %d conflicts with itself", message)
		}
		return
	case errors.Is(e.Err, store.ErrBusy), errors.Is(e.Err, store.ErrClosed), errors.Is(e.Err, store.ErrDeposed):
		return
	case e.Err != nil:
		h.failf("message %d: %v", message, e.Err)
		return
	case body != 0:
		h.failf("another body of message %d was acked at %d", message, e.Seq)
		return
	}
	h.t.tally.acks++
	if was, ok := h.acked[message]; ok && (was.seq != e.Seq || was.sent != e.Sent) {
		h.failf("message %d was acked at %d, sent %d, and at %d, sent %d", message, was.seq, was.sent, e.Seq, e.Sent)
	}
	h.acked[message] = acked{e.Seq, e.Sent}
	h.show(i, e.Seq, message, "ack")
	if e.Duplicate {
		h.t.tally.duplicates++
		return
	}
	if life != n.life {
		return
	}
	s := &n.said[i]
	if e.Seq <= s.done || e.Seq <= s.mark {
		h.failf("Done of seq %d after Done of %d and a mark at %d", e.Seq, s.done, s.mark)
	}
	s.done = e.Seq
}

// mark checks where a mark stands.
func (h *history) mark(n *simNode, life, i int, head uint64) {
	if life != n.life || n.l == nil || n.l.ended() != nil || n.l.epochs[SlotOf(h.t.threads[i])].Load() == 0 {
		return
	}
	s := &n.said[i]
	if head < s.done || head < s.mark {
		h.failf("mark at %d after Done of %d and a mark at %d", head, s.done, s.mark)
	}
	s.mark = head
}

// read reads a little of a thread through a node.
func (h *history) read(n *simNode, l *Log, i int) {
	ctx, t := context.Background(), h.t
	thread, slot := t.threads[i], SlotOf(t.threads[i])
	owns := t.slots.Owner[slot] == n.node && t.slots.Epoch[slot] == l.epochs[slot].Load()
	before, life := h.most[i], n.life
	head, err := l.Head(ctx, thread)
	if err != nil {
		return
	}
	if owns && head < before {
		h.failf("the owner's head of thread %d is %d where %d was told", i, head, before)
	}
	if life == n.life {
		if head < n.said[i].head {
			h.failf("head of thread %d went back from %d to %d", i, n.said[i].head, head)
		}
		n.said[i].head = head
	}
	limit := 1 + t.rng.IntN(12)
	switch t.rng.IntN(3) {
	case 0:
		after := uint64(t.rng.IntN(int(head) + 1))
		list, err := l.After(ctx, thread, after, limit)
		if h.page(i, list, err, "After") && len(list) > 0 && list[0].Seq != after+1 {
			h.failf("After(%d) begins at %d", after, list[0].Seq)
		}
		if err == nil && len(list) == 0 && after < head {
			h.failf("After(%d) under head %d is empty", after, head)
		}
	case 1:
		below := uint64(t.rng.IntN(int(head) + 2))
		list, err := l.Before(ctx, thread, below, limit)
		if h.page(i, list, err, "Before") && below > 0 && len(list) > 0 && list[len(list)-1].Seq != below-1 {
			h.failf("Before(%d) ends at %d", below, list[len(list)-1].Seq)
		}
	default:
		m := h.message(i*simNumbers+1+t.rng.IntN(t.messages), 0)
		got, err := l.Find(ctx, m.ID)
		if err == nil {
			h.page(i, []store.Message{got}, nil, "Find")
		} else if errors.Is(err, errLost) {
			h.failf("Find: %w", err)
		}
	}
}

// page checks what a reader was given, and reports whether there was anything.
func (h *history) page(i int, list []store.Message, err error, how string) bool {
	if errors.Is(err, errLost) {
		h.failf("%s: %w", how, err)
	}
	if err != nil {
		return false
	}
	for k := range list {
		m := &list[k]
		n := number(m.ID)
		if k > 0 && m.Seq != list[k-1].Seq+1 {
			h.failf("%s: seq %d after %d", how, m.Seq, list[k-1].Seq)
		}
		if m.Thread != h.t.threads[i] || !bytes.Equal(m.Content, content(n, 0)) {
			h.failf("%s: message %d at %d says %v", how, n, m.Seq, m.Content)
		}
		h.show(i, m.Seq, n, how)
	}
	return true
}

// final reads all through a last owner and compares it with all that was told.
func (h *history) final(n *simNode) {
	ctx, t := context.Background(), h.t
	for i, thread := range t.threads {
		at := map[int]uint64{}
		head, err := n.l.Head(ctx, thread)
		for seq := uint64(0); err == nil && seq < head; {
			var list []store.Message
			if list, err = n.l.After(ctx, thread, seq, 7); len(list) == 0 || list[0].Seq != seq+1 {
				h.failf("in the end After(%d) under head %d gives %d, %v", seq, head, len(list), err)
				return
			}
			h.page(i, list, nil, "the end")
			for k := range list {
				m := number(list[k].ID)
				if was, twice := at[m]; twice {
					h.failf("message %d is in the log at %d and at %d", m, was, list[k].Seq)
				}
				at[m], seq = list[k].Seq, list[k].Seq
			}
		}
		if err != nil {
			h.failf("in the end: %w", err)
			return
		}
		t.tally.log += len(at)
		for k := range simClients * t.messages {
			h.stands(n, at, k/t.messages*simNumbers+1+k%t.messages, i)
		}
	}
}

// stands checks that an acked message is where it was acked, and that a retry of it is told so.
func (h *history) stands(n *simNode, at map[int]uint64, message, i int) {
	was, ok := h.acked[message]
	if !ok || message/simNumbers%simThreads != i {
		return
	}
	if at[message] != was.seq {
		h.failf("message %d was acked at %d and stands at %d", message, was.seq, at[message])
	}
	switch x := h.t.rng.Float64(); {
	case x < 0.4:
		return
	case x < 0.7:
		if got, err := n.l.Find(context.Background(), h.message(message, 0).ID); err != nil || got.Seq != was.seq {
			h.failf("message %d was acked at %d, Find gives %d, %v", message, was.seq, got.Seq, err)
		}
		return
	}
	done := make(chan struct{})
	e := &store.Entry{Message: h.message(message, 0)}
	e.Done = func(e *store.Entry) { close(done) }
	n.l.Append(e)
	_ = n.l.world.wait(context.Background(), done)
	if e.Err != nil || !e.Duplicate || e.Seq != was.seq || e.Sent != was.sent {
		h.failf("in the end a retry of message %d, acked at %d, is told %d, %v", message, was.seq, e.Seq, e.Err)
	}
}
