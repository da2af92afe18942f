package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// A piece is what of a thread is on its way at once: with the threads that are moved beside each other it
// bounds the memory of a move.
const (
	pieceMessages = 256
	pieceBytes    = 512 << 10
)

// logOf is a thread that has messages.
type logOf struct {
	thread id.Thread
	head   uint64
}

// moveMessages moves the logs of all threads, some beside each other, each in its own order.
func (m *mover) moveMessages(ctx context.Context) error {
	walk := func(ctx context.Context, give func(logOf) error) error {
		return m.from.Logs(ctx, func(t id.Thread, head uint64) error { return give(logOf{t, head}) })
	}
	return each(ctx, walk, m.log)
}

// log moves one thread's messages, from where the keyspace's log of it ends.
func (m *mover) log(ctx context.Context, l logOf) error {
	at, err := m.resume(ctx, l)
	if err != nil {
		return err
	}
	m.read[messages].Add(int64(at))
	p := piece{m: m}
	err = m.from.Messages(ctx, l.thread, at, func(msg *store.Message) error {
		if !p.add(msg) {
			return nil
		}
		return p.send(ctx)
	})
	if err == nil {
		err = p.send(ctx)
	}
	return m.count(threads, at < l.head, err)
}

// resume says how much of a thread is there already, and checks that it is the same.
func (m *mover) resume(ctx context.Context, l logOf) (at uint64, err error) {
	err = patiently(ctx, func() error {
		at, err = m.to.Log().Head(ctx, l.thread)
		return err
	})
	if err != nil || at == 0 {
		return 0, err
	}
	var have []store.Message
	err = patiently(ctx, func() error {
		have, err = m.to.Log().Before(ctx, l.thread, at+1, 1)
		return err
	})
	if err != nil {
		return 0, err
	}
	want, err := m.store.Log().Before(ctx, l.thread, at+1, 1)
	if err != nil {
		return 0, err
	}
	if at > l.head || len(have) != 1 || len(want) != 1 || have[0].ID != want[0].ID || have[0].Seq != want[0].Seq {
		return 0, fmt.Errorf("thread %s is there with other messages than these", l.thread)
	}
	return at, nil
}

// piece collects messages of one thread and sends them.
type piece struct {
	m       *mover
	entries []*store.Entry
	bytes   int
}

// add takes a copy of msg, and reports whether the piece is full.
func (p *piece) add(msg *store.Message) (full bool) {
	e := &store.Entry{Message: *msg}
	for _, b := range []*[]byte{&e.ClientID, &e.Content, &e.Language, &e.Encrypted} {
		*b = slices.Clone(*b)
		p.bytes += len(*b)
	}
	e.MediaURLs = slices.Clone(e.MediaURLs)
	for i, u := range e.MediaURLs {
		e.MediaURLs[i] = slices.Clone(u)
		p.bytes += len(u)
	}
	p.entries = append(p.entries, e)
	return len(p.entries) == pieceMessages || p.bytes >= pieceBytes
}

// send writes the piece and waits until all of it is durable. What the log refuses as busy is sent again
// once nothing of the piece is on its way any more. Each message keeps its seq, or it is not written.
func (p *piece) send(ctx context.Context) error {
	left := p.entries
	err := patiently(ctx, func() error {
		busy, err := p.once(ctx, left)
		if err != nil || !busy {
			return err
		}
		head, err := p.m.to.Log().Head(ctx, left[0].Thread)
		if err != nil {
			return err
		}
		for len(left) > 0 && left[0].Seq <= head { // those that were in after all
			left = left[1:]
		}
		if len(left) == 0 {
			return nil
		}
		return store.ErrBusy
	})
	if err == nil {
		p.m.read[messages].Add(int64(len(p.entries)))
		p.m.moved[messages].Add(int64(len(p.entries)))
	}
	p.entries, p.bytes = p.entries[:0], 0
	return err
}

// once appends entries and waits for every one's outcome.
func (p *piece) once(ctx context.Context, entries []*store.Entry) (busy bool, err error) {
	seqs := make([]uint64, len(entries))
	done := make(chan *store.Entry, len(entries))
	for i, e := range entries {
		seqs[i] = e.Seq
		e.Done = func(e *store.Entry) { done <- e }
		p.m.to.Log().Append(e)
	}
	for range entries {
		switch e := <-done; {
		case errors.Is(e.Err, store.ErrBusy):
			busy = true
		case e.Err != nil:
			err = fmt.Errorf("message %d of thread %s: %w", e.Seq, e.Thread, e.Err)
		}
	}
	for i, e := range entries {
		if err == nil && e.Seq != seqs[i] {
			err = fmt.Errorf("message %d of thread %s was given seq %d", seqs[i], e.Thread, e.Seq)
		}
		e.Seq = seqs[i]
	}
	if err == nil {
		err = ctx.Err()
	}
	return busy, err
}
