package threadlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// Config is how a Log is opened.
type Config struct {
	Node     Node   // who this is, across restarts
	Address  string // what other nodes' operators are told of it
	PID      int
	TakeOver bool // take the slots also from a node that seems to live

	// Import is for moving the threads of another store here: entries bring their Seq, and one that is not
	// the next of its thread is refused with ErrConflict, whatever became of those before it. Their ids are
	// not looked for in message_ids: who moves a store begins at Head, and its ids are used once.
	Import bool

	// Deposed, where set, is called once when another node has taken all slots: nothing is acked any more,
	// and all that is left to do is to end the process. It must not block.
	Deposed func(error)
	// Recent, where set, is told the newest durable message of threads that changed, at most MaxRecent at a
	// time and never twice at once: what lists and recency are kept by. After an error the same threads come
	// again. It may block as long as its context lets it.
	Recent func(ctx context.Context, list []Recent) error
	Now    func() time.Time

	Workers     int // goroutines at most, so statements in flight of turns, look-ups, index and activations
	LookupCalls int // calls of Lookup in flight; what comes meanwhile shares the next one
	FenceCalls  int // calls of Version in flight, likewise
	IndexCalls  int // calls of Index in flight, likewise

	QueueItems     int // entries that wait or are on their way, of all threads
	QueueBytes     int // and their bytes
	ThreadItems    int // entries that may wait in one thread
	Threads        int // threads in memory, beyond those that have something on their way
	UnknownThreads int // threads whose last write has an unknown outcome; at so many, sends are refused untried
	HotBytes       int // ring of newest messages of all threads, outside the heap

	Beat         time.Duration // between two beats, and looks at the owners while nothing is sent
	Stale        time.Duration // a node whose beat is older is not in the way
	IndexEvery   time.Duration // ids wait at most so long to be written together
	RecentEvery  time.Duration // between two calls of Recent; threads' rows may lag by two seconds in all
	RetryFirst   time.Duration // pause before the second repetition of what failed; doubles
	RetryMax     time.Duration // up to here
	CloseTimeout time.Duration // Close waits so long for what is on its way
}

// MaxRecent is the most threads that Config.Recent is told of in one call.
const MaxRecent = 64

// Recent is the newest durable message of a thread.
type Recent struct {
	Thread id.Thread
	A, B   id.User // the two of a direct thread, in byte order; absent in a group
	Last   store.Preview
}

// Group reports whether the thread is a group.
func (r *Recent) Group() bool { return r.B.IsZero() }

// Default is the configuration of a server.
func Default() Config {
	return Config{
		Now:         time.Now,
		Workers:     256,
		LookupCalls: 8,
		FenceCalls:  2,
		IndexCalls:  8,

		QueueItems:     64 << 10,
		QueueBytes:     64 << 20,
		ThreadItems:    16 << 10,
		Threads:        64 << 10,
		UnknownThreads: 256,
		HotBytes:       32 << 20,

		Beat:         5 * time.Second,
		Stale:        15 * time.Second,
		IndexEvery:   200 * time.Millisecond,
		RecentEvery:  time.Second,
		RetryFirst:   20 * time.Millisecond,
		RetryMax:     time.Second,
		CloseTimeout: 10 * time.Second,
	}
}

// Validate names what is wrong with c.
func (c Config) Validate() error {
	if c.Node == (Node{}) {
		return errors.New("threadlog: no node id")
	}
	if c.Now == nil {
		return errors.New("threadlog: no clock")
	}
	for _, n := range []struct {
		name string
		is   int
	}{
		{"Workers", c.Workers},
		{"LookupCalls", c.LookupCalls},
		{"FenceCalls", c.FenceCalls},
		{"IndexCalls", c.IndexCalls},
		{"QueueItems", c.QueueItems},
		{"QueueBytes", c.QueueBytes},
		{"ThreadItems", c.ThreadItems},
		{"Threads", c.Threads},
		{"UnknownThreads", c.UnknownThreads},
		{"Beat", int(c.Beat)},
		{"Stale", int(c.Stale)},
		{"IndexEvery", int(c.IndexEvery)},
		{"RecentEvery", int(c.RecentEvery)},
		{"RetryFirst", int(c.RetryFirst)},
		{"RetryMax", int(c.RetryMax)},
		{"CloseTimeout", int(c.CloseTimeout)},
	} {
		if n.is < 1 {
			return fmt.Errorf("threadlog: %s must be positive", n.name)
		}
	}
	if c.HotBytes < 0 {
		return errors.New("threadlog: HotBytes must not be negative")
	}
	return nil
}
