package pebble

import (
	"encoding/binary"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tolkflip/tolkflip/proto/id"
)

// A group of messages is made durable as one row of the journal, whatever its size: the tables of messages and
// of ids get theirs later, sorted and many at once (see filer.go). Two rows a message in random places of the
// memtable's skip list cost 4.5 us of 38 at 30K messages a second, and their flushes a burst of work that
// everybody waited for; a row a group costs next to nothing. Until a message is filed memory answers for it
// (see unfiled.go). Open files what a crash left in the journal.
//
// A row is a version, then of each message its thread, seq, the length of its value and the value.

func journalKey(committer int, n uint64) []byte {
	k := make([]byte, journalKeyLen)
	putJournalKey(k, committer, n)
	return k
}

// putJournalKey fills k, which is journalKeyLen long.
func putJournalKey(k []byte, committer int, n uint64) {
	k[0], k[1] = tableJournal, byte(committer)
	binary.BigEndian.PutUint64(k[2:], n)
}

// appendJournal appends what stands before a message's value of n bytes.
func appendJournal(b []byte, t id.Thread, seq uint64, n int) []byte {
	if len(b) == 0 {
		b = append(b, valueV1)
	}
	b = append(b, t.ID[:]...)
	b = binary.AppendUvarint(b, seq)
	return binary.AppendUvarint(b, uint64(n))
}

// eachJournaled calls each with the messages of a journal row.
func eachJournaled(row []byte, each func(t id.Thread, seq uint64, value []byte) error) error {
	r := read(row)
	for len(r.b) > 0 {
		t := id.Thread{ID: r.id()}
		seq, value := r.uint(), r.bytes()
		if r.bad || len(value) < messageFixed {
			return errCorrupt
		}
		if err := each(t, seq, value); err != nil {
			return err
		}
	}
	return r.end()
}

// messageIDOf reads the id out of a message's value.
func messageIDOf(value []byte) (m id.Message) {
	copy(m.ID[:], value[3:])
	return m
}

// file puts a message's rows into a batch.
func file(b *pebble.Batch, t id.Thread, seq uint64, value []byte) {
	op := b.SetDeferred(messageKeyLen, len(value))
	putMessageKey(op.Key, t, seq)
	copy(op.Value, value)
	_ = op.Finish() // only an indexed batch can fail
	op = b.SetDeferred(idKeyLen, idValueLen(seq))
	putIDKey(op.Key, tableIDs, messageIDOf(value).ID)
	appendIDValue(op.Value[:0], t, seq)
	_ = op.Finish() // only an indexed batch can fail
}

// replayBytes is how large a batch of the replay grows, about.
const replayBytes = 4 << 20

// replayJournal files what is in the journal, before anything reads the tables. A message that was filed
// already is filed again, as it is.
func (s *Store) replayJournal() error {
	from, to := []byte{tableJournal}, []byte{tableJournal + 1}
	b := s.db.NewBatch()
	defer b.Close() //nolint:errcheck // it was applied, or will be by the next Open
	n := 0
	err := s.scan(from, to, func(_, row []byte) (bool, error) {
		return true, eachJournaled(row, func(t id.Thread, seq uint64, value []byte) error {
			file(b, t, seq, value)
			n++
			if b.Len() < replayBytes {
				return nil
			}
			// The write-ahead log keeps the order: the last batch, which empties the journal, is synced.
			err := s.db.Apply(b, pebble.NoSync)
			b.Reset()
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("replay the journal: %w", err)
	}
	if n == 0 {
		return nil
	}
	_ = b.DeleteRange(from, to, nil) // a plain batch cannot fail
	if err := s.db.Apply(b, pebble.Sync); err != nil {
		return fmt.Errorf("replay the journal: %w", err)
	}
	s.log.Info("messages of the journal were filed", slog.Int("messages", n))
	return nil
}
