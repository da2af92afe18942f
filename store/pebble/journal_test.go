package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// TestReadsAcrossTheJournal reads threads in all ways while some of their messages are in the tables, some in
// tables that were taken in, and some in the journal alone.
func TestReadsAcrossTheJournal(t *testing.T) {
	t.Parallel()
	for name, hot := range map[string]int{"window": 1 << 20, "no window": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const seed = 7
			rng := rand.New(rand.NewPCG(seed, seed))
			cfg := small(vfs.NewMem())
			cfg.HotBytes, cfg.FileEvery, cfg.FileTables, cfg.Committers = hot, time.Hour, 20, 2
			s := open(t, cfg)
			wrote := map[id.Thread][]store.Message{}
			var threads []store.Message
			for range 5 {
				threads = append(threads, direct(id.NewUser(), id.NewUser()))
			}
			for range 60 {
				for range 1 + rng.IntN(12) {
					m := threads[rng.IntN(len(threads))]
					m.ID, m.Content = id.Message{ID: id.NewGroup().ID}, fmt.Appendf(nil, "%d", rng.Uint64())
					m.Seq = add(s.Log(), m).must(t).Seq
					wrote[m.Thread] = append(wrote[m.Thread], m)
				}
				if rng.IntN(4) == 0 {
					check(t, s.fileAll())
				}
				m := threads[rng.IntN(len(threads))]
				readAll(t, s, m.Thread, wrote[m.Thread], rng)
			}
			for _, m := range threads {
				readAll(t, s, m.Thread, wrote[m.Thread], rng)
			}
		})
	}
}

// readAll compares what the log shows of a thread with what was written.
func readAll(t *testing.T, s *Store, th id.Thread, want []store.Message, rng *rand.Rand) {
	t.Helper()
	ctx, n := context.Background(), len(want)
	if n == 0 {
		return
	}
	at, limit := rng.IntN(n+1), 1+rng.IntN(2*n)
	after, err := s.Log().After(ctx, th, uint64(at), limit)
	check(t, err)
	sameMessages(t, "After", after, want[at:min(n, at+limit)])
	before, err := s.Log().Before(ctx, th, uint64(at)+1, limit)
	check(t, err)
	sameMessages(t, "Before", before, want[max(0, at-limit):at])
	newest, err := s.Log().Before(ctx, th, 0, limit)
	check(t, err)
	sameMessages(t, "newest", newest, want[max(0, n-limit):])
	one := want[rng.IntN(n)]
	found, err := s.Log().Find(ctx, one.ID)
	check(t, err)
	sameMessages(t, "Find", []store.Message{found}, []store.Message{one})
	again := one
	again.Seq = 0
	if e := <-add(s.Log(), again); e.Err != nil || !e.Duplicate || e.Seq != one.Seq {
		t.Fatalf("a retry of %d: seq %d, duplicate %v, %v", one.Seq, e.Seq, e.Duplicate, e.Err)
	}
	again.Content = []byte("another")
	if e := <-add(s.Log(), again); !errors.Is(e.Err, store.ErrConflict) {
		t.Fatalf("another body with a known id: %v", e.Err)
	}
}

func sameMessages(t *testing.T, way string, got, want []store.Message) {
	t.Helper()
	if !slices.EqualFunc(got, want, func(a, b store.Message) bool {
		return a.Seq == b.Seq && a.ID == b.ID && bytes.Equal(a.Content, b.Content)
	}) {
		t.Fatalf("%s: %d messages %v, want %d", way, len(got), got, len(want))
	}
}

// TestCommitterAwaitsTheFiler holds the taking in of tables up: the committer stops two generations ahead, and
// goes on with everything when they are let in.
func TestCommitterAwaitsTheFiler(t *testing.T) {
	t.Parallel()
	const batch = 64
	gate := newTableGate(vfs.NewMem())
	cfg := small(gate)
	cfg.Committers, cfg.FileMessages, cfg.FileTables, cfg.GroupMessages, cfg.Pace = 1, batch, 1, 16, 0
	s := open(t, cfg)
	u := id.NewUser()
	gate.closed.Lock()
	var sent []appended
	for range 10 * batch {
		sent = append(sent, add(s.Log(), direct(u, u)))
	}
	for range batch { // these fit
		sent[0].must(t)
		sent = sent[1:]
	}
	held := s.committers[0]
	held.mu.RLock()
	over := len(held.growing.entries) > 2*batch+cfg.GroupMessages
	held.mu.RUnlock()
	if over {
		t.Error("the committer ran ahead of the filer")
	}
	gate.closed.Unlock()
	for _, a := range sent {
		a.must(t)
	}
	head, err := s.Log().Head(t.Context(), id.Direct(u, u))
	if check(t, err); head != 10*batch {
		t.Errorf("head %d, want %d", head, 10*batch)
	}
}

// TestJournalOfAnEarlierProgram opens a store of the layout without a journal, and sees that it cannot be
// opened by a program of that time any more.
func TestJournalOfAnEarlierProgram(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	db, err := pebble.Open("store", &pebble.Options{FS: fs, Logger: pebbleLog{&Store{log: silent()}}})
	check(t, err)
	check(t, db.Set([]byte{tableLayout}, []byte{1}, pebble.Sync))
	check(t, db.Close())
	s := open(t, small(fs))
	v, _, err := s.get(nil, []byte{tableLayout})
	if check(t, err); !bytes.Equal(v, []byte{layoutVersion}) {
		t.Errorf("layout %v", v)
	}
}

// FuzzJournal reads rows that nobody wrote, and rows that were written back as they were.
func FuzzJournal(f *testing.F) {
	f.Add([]byte{valueV1})
	f.Add(appendJournal(nil, id.NewGroup(), 3, 0))
	m := direct(id.NewUser(), id.NewUser())
	n, flags := messageLen(&m)
	f.Add(appendMessage(appendJournal(nil, m.Thread, 1, n), &m, flags))
	f.Fuzz(func(t *testing.T, row []byte) {
		var again []byte
		err := eachJournaled(row, func(th id.Thread, seq uint64, value []byte) error {
			again = append(appendJournal(again, th, seq, len(value)), value...)
			_ = messageIDOf(value)
			return nil
		})
		if err != nil || len(again) == 0 {
			return
		}
		var first, second []byte
		note := func(to *[]byte) func(id.Thread, uint64, []byte) error {
			return func(th id.Thread, seq uint64, value []byte) error {
				*to = binary.BigEndian.AppendUint64(append(*to, th.ID[:]...), seq)
				*to = append(*to, value...)
				return nil
			}
		}
		if eachJournaled(row, note(&first)) != nil || eachJournaled(again, note(&second)) != nil || !bytes.Equal(first, second) {
			t.Errorf("%x came back as %x", row, again)
		}
	})
}
