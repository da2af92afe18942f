package pebble

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// The filer of a committer moves messages from the journal to the tables of messages and of ids, a generation
// at a time: sorted, and as tables of their own that Pebble takes in as they are, past its write-ahead log and
// memtables. A few messages are not worth two files and go the ordinary way. Then their rows of the journal
// are deleted; where that is lost in a crash, Open files them a second time.

// seal takes the growing generation to be filed, where no other is. soon: also before it is full. The shard's
// lock is held.
func (c *committer) seal(soon bool) {
	u := c.growing
	if c.filing != nil || len(u.entries) == 0 {
		return
	}
	if soon || len(u.entries) >= c.s.cfg.FileMessages || u.bytes >= c.s.cfg.FileBytes {
		c.filing, c.growing, c.spare = u, c.spare, nil
		c.sealSoon = false
	}
}

// keep notes what a group put into the journal: from now on memory answers for it.
func (c *committer) keep(g *group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seal(c.sealSoon)
	u := c.growing
	if len(u.entries) == 0 {
		u.first = c.journaled
	}
	u.last = c.journaled
	for i := range g.items {
		if it := &g.items[i]; it.seq > 0 {
			it.thread.remember(it.seq, u.add(it.thread, it.entry.ID, it.seq, it.value))
		}
	}
}

// await holds the committer up while it is a whole generation ahead of the filer, and reports false when the
// store has failed.
func (c *committer) await() bool {
	for {
		c.mu.Lock()
		over := c.filing != nil && (len(c.growing.entries) >= 2*c.s.cfg.FileMessages || c.growing.bytes >= 2*c.s.cfg.FileBytes)
		c.mu.Unlock()
		if !over {
			return true
		}
		select {
		case <-c.filed:
		case <-c.s.dead:
			return false
		}
	}
}

// sealed gives the generation to file, when all of it is durable. idle: seal what grows where nothing of it
// is on its way, or else with the next group.
func (c *committer) sealed(idle bool) *unfiled {
	c.mu.Lock()
	defer c.mu.Unlock()
	if idle && c.filing == nil {
		if c.published == c.growing.last {
			c.seal(true)
		} else {
			c.sealSoon = true
		}
	}
	if c.filing != nil && c.published >= c.filing.last {
		return c.filing
	}
	return nil
}

// runFiler is the filer's goroutine. It ends when the syncer has, with everything filed.
func (c *committer) runFiler() {
	tick := time.NewTicker(c.s.cfg.FileEvery)
	defer tick.Stop()
	for {
		idle, last := false, false
		select {
		case <-c.due:
		case <-tick.C:
			idle = true
		case <-c.ended:
			idle, last = true, true
		case <-c.s.dead:
			return
		}
		for u := c.sealed(idle); u != nil; u = c.sealed(last) {
			if c.s.failed.Load() {
				return
			}
			if err := c.file(u); err != nil {
				c.s.fail(fmt.Errorf("file messages: %w", err))
				return
			}
		}
		if last {
			return
		}
	}
}

// file moves a generation into the tables.
func (c *committer) file(u *unfiled) error {
	var err error
	if len(u.entries) < c.s.cfg.FileTables {
		err = c.fileRows(u)
	} else {
		err = c.fileTables(u)
	}
	if err != nil {
		return err
	}
	c.s.metrics.filed.Add(float64(len(u.entries)))
	for chunk := range slices.Chunk(u.entries, 512) { // a short hold of the lock each
		c.mu.Lock()
		for i := range chunk {
			chunk[i].thread.forget(chunk[i].seq)
		}
		c.mu.Unlock()
	}
	c.mu.Lock()
	u.reset()
	c.filing, c.spare = nil, u
	c.mu.Unlock()
	select {
	case c.filed <- struct{}{}:
	default:
	}
	return nil
}

// fileRows writes a few messages like any other rows.
func (c *committer) fileRows(u *unfiled) error {
	b := c.s.db.NewBatchWithSize(u.bytes + 256*len(u.entries))
	for i := range u.entries {
		e := &u.entries[i]
		file(b, e.thread.id, e.seq, e.value)
	}
	c.strike(b, u)
	return errors.Join(c.s.db.Apply(b, pebble.NoSync), b.Close())
}

// strike deletes the generation's rows of the journal.
func (c *committer) strike(b *pebble.Batch, u *unfiled) {
	_ = b.DeleteRange(journalKey(c.index, u.first), journalKey(c.index, u.last+1), nil) // a plain batch cannot fail
}

// place is an entry in an order: the first bytes of its key decide nearly always.
type place struct {
	prefix uint64
	entry  int32
}

// ordered gives the entries in the order of a key.
func (u *unfiled) ordered(places []place, prefix func(*unfiledEntry) uint64, compare func(a, b *unfiledEntry) int) []place {
	places = places[:0]
	for i := range u.entries {
		places = append(places, place{prefix(&u.entries[i]), int32(i)})
	}
	slices.SortFunc(places, func(a, b place) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		return compare(&u.entries[a.entry], &u.entries[b.entry])
	})
	return places
}

// fileTables writes a table of ids and one of messages, in the order of their keys, and has Pebble take them in.
// Both are durable then.
func (c *committer) fileTables(u *unfiled) error {
	key, value := make([]byte, messageKeyLen), make([]byte, 0, 64)
	places := u.ordered(make([]place, 0, len(u.entries)),
		func(e *unfiledEntry) uint64 { return binary.BigEndian.Uint64(e.id.ID[:]) },
		func(a, b *unfiledEntry) int { return bytes.Compare(a.id.ID[:], b.id.ID[:]) })
	ids, err := c.table("ids", func(w *sstable.Writer) error {
		var last *unfiledEntry
		for _, at := range places {
			e := &u.entries[at.entry]
			if last != nil && last.id == e.id { // only where nothing looked it up
				continue
			}
			last = e
			putIDKey(key[:idKeyLen], tableIDs, e.id.ID)
			value = appendIDValue(value[:0], e.thread.id, e.seq)
			if err := w.Set(key[:idKeyLen], value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	places = u.ordered(places,
		func(e *unfiledEntry) uint64 { return binary.BigEndian.Uint64(e.thread.id.ID[:]) },
		func(a, b *unfiledEntry) int {
			if a.thread != b.thread {
				return bytes.Compare(a.thread.id.ID[:], b.thread.id.ID[:])
			}
			return cmp.Compare(a.seq, b.seq)
		})
	messages, err := c.table("messages", func(w *sstable.Writer) error {
		for _, at := range places {
			e := &u.entries[at.entry]
			putMessageKey(key, e.thread.id, e.seq)
			if err := w.Set(key, e.value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.s.db.Ingest(context.Background(), []string{ids, messages}); err != nil {
		return fmt.Errorf("take in tables: %w", err)
	}
	b := c.s.db.NewBatch()
	c.strike(b, u)
	return errors.Join(c.s.db.Apply(b, pebble.NoSync), b.Close())
}

// filingDir is where tables are written before Pebble takes them in.
const filingDir = "filing"

// cleanFiling makes that directory, and removes what a crash left in it.
func (s *Store) cleanFiling() error {
	fs, dir := s.cfg.FS, s.cfg.FS.PathJoin(s.cfg.Dir, filingDir)
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of tables to take in: %w", err)
	}
	left, err := fs.List(dir)
	if err != nil {
		return fmt.Errorf("read the directory of tables to take in: %w", err)
	}
	for _, name := range left {
		if err := fs.Remove(fs.PathJoin(dir, name)); err != nil {
			return fmt.Errorf("remove a table that was not taken in: %w", err)
		}
	}
	return nil
}

// table writes one table, and gives its path.
func (c *committer) table(kind string, fill func(*sstable.Writer) error) (string, error) {
	fs := c.s.cfg.FS
	path := fs.PathJoin(c.s.cfg.Dir, filingDir, fmt.Sprintf("%d-%s.sst", c.index, kind))
	f, err := fs.Create(path, "pebble-ingestion")
	if err != nil {
		return "", fmt.Errorf("make a table: %w", err)
	}
	f = vfs.NewSyncingFile(f, vfs.SyncingFileOptions{BytesPerSync: bytesPerSync})
	calm := &calmFile{File: f, fs: calmFS{rest: &c.s.calm}, since: time.Now()}
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(calm), c.s.tableOptions)
	if err := fill(w); err != nil {
		return "", errors.Join(fmt.Errorf("write a table: %w", err), w.Close())
	}
	if err := w.Close(); err != nil {
		return "", fmt.Errorf("write a table: %w", err)
	}
	return path, nil
}

// fileAll has everything that is durable by now filed before it returns.
func (s *Store) fileAll() error {
	for _, c := range s.committers {
		c.mu.Lock()
		upTo := c.published
		c.mu.Unlock()
		for !c.hasFiled(upTo) {
			select {
			case c.due <- struct{}{}:
			default:
			}
			select {
			case <-c.s.dead:
				return errStopped
			case <-time.After(time.Millisecond):
			}
		}
	}
	return nil
}

// hasFiled reports whether the rows of the journal up to n were filed; where they were not it asks for it.
func (c *committer) hasFiled(n uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.filing != nil && c.filing.first <= n {
		return false
	}
	if len(c.growing.entries) == 0 || c.growing.first > n {
		return true
	}
	if c.published == c.growing.last {
		c.seal(true)
	} else {
		c.sealSoon = true
	}
	return false
}
