package pebble

import (
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// calmFS spreads the work of flushes and compactions out. Pebble does each as fast as it can: at 30K messages
// a second that is a quarter of a second of one processor at a time, and what wants to be answered meanwhile
// waits for the scheduler, up to ten milliseconds a step. Their writes are the place where they can be held
// up, since a table's blocks are written as they are made: one rests after each turn of work, for some
// multiple of it, unless the store falls behind.
type calmFS struct {
	vfs.FS
	rest *atomic.Int64 // how many times as long as it worked a writer rests; 0 while the store is behind
}

const (
	calmTurn  = time.Millisecond      // of work, between two rests
	calmRest  = 10 * time.Millisecond // the longest rest
	calmTimes = 3                     // calmFS.rest of a store that keeps up
)

// Create makes a file whose writes rest, where a flush or a compaction makes it.
func (c calmFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := c.FS.Create(name, category)
	if err != nil || category != "pebble-memtable-flush" && category != "pebble-compaction" {
		return f, err
	}
	return &calmFile{File: f, fs: c, since: time.Now()}, nil
}

// calmFile is a table on its way to the disk. One goroutine writes it.
type calmFile struct {
	vfs.File
	fs    calmFS
	since time.Time // the end of the last rest
}

// Write writes, and rests when it is time to.
func (f *calmFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	if worked := time.Since(f.since); worked >= calmTurn {
		if rest := worked * time.Duration(f.fs.rest.Load()); rest > 0 {
			<-time.After(min(rest, calmRest))
		}
		f.since = time.Now()
	}
	return n, err
}

// checkBacklog ends the rests while more waits for flushes and compactions than they should leave.
func (s *Store) checkBacklog() { s.calm.Store(calmFor(s.db.Metrics())) }

// calmFor is the rest that a store with these figures can afford. Two memtables are one that is written and
// one that is flushed; a third means that writers fill them faster. Each sublevel of L0 is one more table that a
// look-up may have to search.
func calmFor(m *pebble.Metrics) int64 {
	if m.MemTable.Count > 2 || m.Levels[0].Sublevels > 32 {
		return 0
	}
	return calmTimes
}
