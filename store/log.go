package store

import (
	"bytes"
	"context"
	"hash"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
)

// Message is one message of a thread.
type Message = proto.Message

// Entry is one message on its way into the log. The log owns it, and all that its slices point to, from
// Append until it has called Done; a caller pools its entries, with one Done for the life of each, so
// that sending allocates nothing.
type Entry struct {
	Message // Append's caller sets all but Seq

	// The outcome, set before Done is called. On a Duplicate, Seq and Sent are those of the first.
	// Err is ErrBusy (refused, nothing was written, retryable), ErrConflict (the id was used for another
	// body or thread), ErrClosed or ErrDeposed.
	Duplicate bool
	Err       error

	// Done is called exactly once. For entries that were written it is called in seq order within a
	// thread, by one goroutine at a time for that thread, after the message is durable; it must not block.
	// For a refusal it may be called from within Append.
	Done func(*Entry)
}

// Log keeps each thread as a dense sequence of messages from seq 1.
//
// What is acked (Done without Err) is durable: it survives a crash of the process and of the machine.
// What readers are shown is durable. A retry of an id is answered with the first result for ever. The
// first message of a direct thread also makes the thread's rows (Threads.Get, ByUser of both), in the
// same write. Threads.Get(...).Last follows within two seconds.
type Log interface {
	// Append queues e and returns at once. A thread's entries are written in the order of Append.
	Append(e *Entry)
	// Mark calls f with the thread's durable head, from the place that calls Done: every Done at or below
	// head has returned before f is called, and every one above it comes after. f must not block. After
	// Close f is called with 0.
	Mark(t id.Thread, f func(head uint64))
	// After gives durable messages with seq > after, rising, at most limit and about 256 KiB of them
	// (but at least one).
	After(ctx context.Context, t id.Thread, after uint64, limit int) ([]Message, error)
	// Before gives durable messages with seq < before (0 = from the head), the newest of them, in rising
	// order, with After's limits.
	Before(ctx context.Context, t id.Thread, before uint64, limit int) ([]Message, error)
	// Head is the durable head; 0 where nothing was written.
	Head(ctx context.Context, t id.Thread) (uint64, error)
	// Find looks a message up by its id: ErrNotFound where it is not, or not durable yet.
	Find(ctx context.Context, m id.Message) (Message, error)
}

// SameBody reports whether b repeats what a retry of a must repeat (see WriteBody). A store that has the
// first message at hand compares the bodies themselves: no hash to pay for on the way of every message,
// and none that a sender could make collide.
func SameBody(a, b *Message) bool {
	if a.Type != b.Type || a.ReplyTo != b.ReplyTo || len(a.MediaURLs) != len(b.MediaURLs) ||
		!bytes.Equal(a.Content, b.Content) || !bytes.Equal(a.Encrypted, b.Encrypted) {
		return false
	}
	for i := range a.MediaURLs {
		if !bytes.Equal(a.MediaURLs[i], b.MediaURLs[i]) {
			return false
		}
	}
	return true
}

// WriteBody feeds h with what a retry must repeat: type, content, media, encrypted content and replyTo.
// A message with the same id and another body is a conflict.
func WriteBody(h hash.Hash, m *Message) {
	var n [8]byte
	part := func(b []byte) {
		for i := range n {
			n[i] = byte(len(b) >> (8 * i))
		}
		h.Write(n[:])
		h.Write(b)
	}
	n[0] = byte(m.Type)
	h.Write(n[:1])
	part(m.Content)
	part(m.Encrypted)
	n[0] = byte(len(m.MediaURLs))
	h.Write(n[:1])
	for _, u := range m.MediaURLs {
		part(u)
	}
	h.Write(m.ReplyTo.ID[:])
}
