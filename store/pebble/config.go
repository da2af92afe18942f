package pebble

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Config is how a Store is opened.
type Config struct {
	Dir string // made where it is not there
	FS  vfs.FS // nil = the disk

	CacheBytes    int64 // block cache; filled as blocks are read
	MemTableBytes int64 // one memtable; it grows to that as it is written
	HotBytes      int   // newest messages in memory, for reads that need no disk; takes room as they are written. 0 = none
	FilterBytes   int   // what proves that a message id is new, at most; grows with the ids. 0 = none
	Threads       int   // threads whose head is kept in memory
	Cursors       int   // cursors kept in memory

	Committers    int           // goroutines that write the log; a thread belongs to one of them
	Inflight      int           // groups of a committer that are written and not yet synced, at most
	Pace          time.Duration // least time between two batches of a committer; a lone message does not wait
	QueueItems    int           // messages that wait for a committer; beyond, ErrBusy
	QueueBytes    int           // the same in bytes
	GroupMessages int           // messages in one write, at most
	GroupBytes    int           // the same in bytes; a single larger message is a group of its own

	FileEvery    time.Duration // how often messages are moved from the journal to their tables
	FileMessages int           // and when so many wait for it; twice as many hold the committer up
	FileBytes    int           // the same in bytes
	FileTables   int           // so many are written as tables, fewer as rows

	RecencyEvery time.Duration // how far the order of ByUser may lag the log
	CursorsEvery time.Duration // how much movement of cursors a crash may lose
	DiskEvery    time.Duration // how often free space is looked at
	SweepEvery   time.Duration // how often expired revocations are forgotten

	MinFreeBytes   uint64 // with less free space, or less than MinFreePercent of the file system's
	MinFreePercent uint64 // size, writes are refused and the store is unhealthy

	// FreeBytes measures the file system. nil = statfs of Dir, or unlimited where FS is not the disk.
	FreeBytes func() (free, total uint64, err error)
	// Now is what expiry is measured by.
	Now func() time.Time
	// Fatal is called once when the write-ahead log cannot be written or synced, or the store is corrupt:
	// nothing in flight is acked any more, and only a new process can tell what is durable. It should end
	// the process. nil = panic.
	Fatal func(error)

	faults faults
}

// faults break promises on purpose, so that tests can see that the checkers notice.
type faults struct {
	noSync   bool         // ack what was not synced
	noDedup  bool         // do not look ids up
	skip     func() bool  // leave a seq out
	syncFail func() error // fail a sync
	synced   func()       // called by a syncer before it waits
	loading  func()       // called while the head of a thread is read from the store
	applied  func(n int)  // called by a committer after a write of n messages
	clipOff  bool         // show readers what is not durable
}

// Default is the configuration of a server.
func Default() Config {
	return Config{
		CacheBytes:    32 << 20,
		MemTableBytes: 64 << 20,
		HotBytes:      16 << 20,
		FilterBytes:   64 << 20,
		Threads:       64 << 10,
		Cursors:       64 << 10,

		Committers:    min(8, max(1, runtime.GOMAXPROCS(0)/4)),
		Inflight:      2,
		Pace:          500 * time.Microsecond,
		QueueItems:    16 << 10,
		QueueBytes:    8 << 20,
		GroupMessages: 512,
		GroupBytes:    1 << 20,

		FileEvery:    4 * time.Second,
		FileMessages: 64 << 10,
		FileBytes:    24 << 20,
		FileTables:   1024,

		RecencyEvery: time.Second,
		CursorsEvery: time.Second,
		DiskEvery:    time.Second,
		SweepEvery:   time.Hour,

		MinFreeBytes:   256 << 20,
		MinFreePercent: 2,

		Now: time.Now,
	}
}

// Validate names what is wrong with c.
func (c Config) Validate() error {
	if c.Dir == "" {
		return errors.New("pebble: no directory")
	}
	for name, v := range map[string]int64{
		"CacheBytes": c.CacheBytes, "MemTableBytes": c.MemTableBytes,
		"Threads": int64(c.Threads), "Cursors": int64(c.Cursors), "Inflight": int64(c.Inflight),
		"QueueItems": int64(c.QueueItems), "QueueBytes": int64(c.QueueBytes),
		"GroupMessages": int64(c.GroupMessages), "GroupBytes": int64(c.GroupBytes),
		"FileEvery": int64(c.FileEvery), "FileMessages": int64(c.FileMessages), "FileBytes": int64(c.FileBytes),
		"FileTables":   int64(c.FileTables),
		"RecencyEvery": int64(c.RecencyEvery), "CursorsEvery": int64(c.CursorsEvery), "DiskEvery": int64(c.DiskEvery),
		"SweepEvery": int64(c.SweepEvery),
	} {
		if v < 1 {
			return fmt.Errorf("pebble: %s must be positive", name)
		}
	}
	if c.Committers < 1 || c.Committers > 64 {
		return errors.New("pebble: Committers must be 1 to 64")
	}
	if c.GroupMessages > maxGroup {
		return fmt.Errorf("pebble: GroupMessages must be at most %d", maxGroup)
	}
	if c.Pace < 0 || c.FilterBytes < 0 || c.HotBytes < 0 {
		return errors.New("pebble: Pace, FilterBytes and HotBytes must not be negative")
	}
	if c.Now == nil {
		return errors.New("pebble: no clock")
	}
	return nil
}
