package pebble

import (
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/store"
)

// Store is an open directory. Its accessors give views of it.
type Store struct {
	// Fixed after Open.
	cfg          Config
	log          *slog.Logger
	metrics      *metrics
	db           *pebble.DB
	lock         *dirLock // nil where FS is not the disk
	committers   []*committer
	cursors      *cursorCache
	filter       *idFilter
	tableOptions sstable.WriterOptions
	locks        stripes

	// life is held for reading by every call while it uses db, and for writing by Close.
	life   sync.RWMutex
	closed bool

	full   atomic.Bool  // free space is under the limit
	calm   atomic.Int64 // how long flushes and compactions rest, see calm.go
	failed atomic.Bool  // a fatal failure was reported
	dead   chan struct{}
	die    sync.Once

	stop    chan struct{}  // ends the background goroutines
	workers sync.WaitGroup // them

	listing sync.Mutex // one flush of recency at a time
	lister  lister     // guarded by listing
	seen    sync.Mutex // one Seen at a time
}

// Open opens the store in cfg.Dir, makes it where there is none, and repairs what a crash left behind.
// It fails with *ErrInUse when another process has it open.
func Open(cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Store{
		cfg: cfg, log: log, metrics: newMetrics(),
		locks: stripes{seed: maphash.MakeSeed()}, dead: make(chan struct{}), stop: make(chan struct{}),
	}
	onDisk := cfg.FS == nil
	if onDisk {
		s.cfg.FS = vfs.Default
		lock, err := lockDir(cfg.Dir)
		if err != nil {
			return nil, err
		}
		s.lock = lock
	}
	if cfg.FreeBytes == nil && onDisk {
		s.cfg.FreeBytes = func() (free, total uint64, err error) { return statfs(cfg.Dir) }
	}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.lock.release())
	}
	if err := s.start(); err != nil {
		return nil, errors.Join(err, s.release(), s.db.Close(), s.lock.release())
	}
	s.metrics.register(reg, s)
	return s, nil
}

func (s *Store) open() error {
	if err := s.cfg.FS.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("make the store's directory: %w", err)
	}
	cache := pebble.NewCache(s.cfg.CacheBytes)
	defer cache.Unref()
	options := s.options(cache)
	options.EnsureDefaults()
	db, err := pebble.Open(s.cfg.Dir, options)
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	s.db = db
	s.tableOptions = options.MakeWriterOptions(0, db.TableFormat())
	s.checkDisk()
	s.cursors = newCursorCache(s)
	err = s.checkLayout()
	if err == nil {
		err = s.cleanFiling()
	}
	if err == nil {
		err = s.replayJournal()
	}
	if err == nil {
		err = s.repairRecency()
	}
	if err == nil {
		err = s.sweepRevocations()
	}
	if err != nil {
		return errors.Join(err, db.Close())
	}
	return nil
}

// checkLayout refuses a store of a later layout, and marks a new one.
func (s *Store) checkLayout() error {
	key := []byte{tableLayout}
	v, found, err := s.get(nil, key)
	switch {
	case err != nil:
		return fmt.Errorf("read the store's layout: %w", err)
	case found && (len(v) != 1 || v[0] > layoutVersion):
		return errors.New("pebble: the store was written by a later version of the program")
	case found && v[0] == layoutVersion:
		return nil
	}
	// A new store, or one of version 1, which had no journal: an earlier program must not overlook it.
	return s.db.Set(key, []byte{layoutVersion}, pebble.Sync)
}

func (s *Store) start() error {
	s.filter = newIDFilter(s.cfg.FilterBytes)
	for i := range s.cfg.Committers {
		c, err := newCommitter(s, i)
		if err != nil {
			return err
		}
		s.committers = append(s.committers, c)
	}
	run := []func(){s.runRecency, s.cursors.run, s.runDisk, s.runSweep}
	if s.cfg.FilterBytes > 0 {
		// Made before the first write: what it does not see is added by the committers.
		it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{tableIDs}, UpperBound: []byte{tableIDs + 1}})
		if err != nil {
			return fmt.Errorf("read the message ids: %w", err)
		}
		run = append(run, func() { s.fillFilter(it) })
	}
	for _, f := range run {
		s.workers.Add(1)
		go func() {
			defer s.workers.Done()
			f()
		}()
	}
	for _, c := range s.committers {
		c.start()
	}
	return nil
}

// release gives memory back that the garbage collector does not know.
func (s *Store) release() error {
	err := s.filter.release()
	for _, c := range s.committers {
		err = errors.Join(err, c.window.release())
	}
	return err
}

// Close writes and acks what waits in the log, flushes what is kept in memory, and closes the store.
// Calls that come later fail with ErrClosed. After a fatal failure nothing is written any more.
func (s *Store) Close() error {
	for _, c := range s.committers {
		c.close()
	}
	for _, c := range s.committers {
		c.wait()
	}
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	close(s.stop)
	s.workers.Wait()
	var err error
	if !s.failed.Load() {
		err = errors.Join(s.flushRecency(), s.cursors.flush())
	}
	return errors.Join(err, s.release(), s.db.Close(), s.lock.release())
}

// begin is called by every method before it uses db, and end after.
func (s *Store) begin() error {
	s.life.RLock()
	if s.closed {
		s.life.RUnlock()
		return store.ErrClosed
	}
	return nil
}

func (s *Store) end() { s.life.RUnlock() }

// beginWrite is begin for a method that writes: it is ErrBusy while the disk is nearly full.
func (s *Store) beginWrite() error {
	if s.full.Load() {
		s.metrics.refused[refusedFull].Inc()
		return store.ErrBusy
	}
	if s.failed.Load() {
		return store.ErrClosed
	}
	return s.begin()
}

// fail reports a failure after which nothing may be acked any more.
func (s *Store) fail(err error) {
	s.failed.Store(true)
	s.die.Do(func() {
		close(s.dead)
		if s.cfg.Fatal == nil {
			panic(err)
		}
		s.cfg.Fatal(err)
	})
}

// Healthy says why the store is not ready to be written, and is nil when it is.
func (s *Store) Healthy() error {
	switch {
	case s.failed.Load():
		return errors.New("pebble: the store failed and was stopped")
	case s.full.Load():
		return errors.New("pebble: the disk is nearly full, writes are refused")
	}
	return nil
}

// Users gives the people.
func (s *Store) Users() store.Users { return users{s} }

// Sessions gives the logins.
func (s *Store) Sessions() store.Sessions { return sessions{s} }

// Threads gives the conversations.
func (s *Store) Threads() store.Threads { return threads{s} }

// Cursors gives the members' positions.
func (s *Store) Cursors() store.Cursors { return s.cursors }

// Groups gives the groups.
func (s *Store) Groups() store.Groups { return groups{s} }

// Members gives who is in which group.
func (s *Store) Members() store.Members { return members{s} }

// Devices gives the push tokens.
func (s *Store) Devices() store.Devices { return devices{s} }

// Media gives the records of uploaded files.
func (s *Store) Media() store.MediaRecords { return media{s} }

// Log gives the threads' messages.
func (s *Store) Log() store.Log { return threadLog{s} }
