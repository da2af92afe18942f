// Package memory keeps everything in plain maps: the store of tests and of `--store memory:`, which
// forgets all at a restart and grows with what is written. What only caches (Codes, Limits, Recency, a Board
// of Leases and Fanout, Responses) is bounded and expires; it is the embedded cache of a production server too.
//
// One lock guards all aggregates. The log has the asynchrony of a durable one: a goroutine of its own
// writes entries and calls Done, never from within Append save for a refusal, and never under a lock.
package memory

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// Config is how a Store is made.
type Config struct {
	QueueItems int              // entries and marks that may wait for the log; beyond, ErrBusy
	QueueBytes int              // bytes of message bodies that may wait
	Now        func() time.Time // what expiry is measured by

	// BeforeWrite, where set, is called by the log's goroutine for each entry before it is written. It
	// may block, which pauses the log; an error refuses the entry with it. For tests.
	BeforeWrite func(*store.Entry) error
}

// Default is the configuration of a server.
func Default() Config {
	return Config{QueueItems: 16 << 10, QueueBytes: 8 << 20, Now: time.Now}
}

// Validate names what is wrong with c.
func (c Config) Validate() error {
	if c.QueueItems < 1 || c.QueueBytes < 1 {
		return errors.New("memory: queue limits must be positive")
	}
	if c.Now == nil {
		return errors.New("memory: no clock")
	}
	return nil
}

// Store holds one map an aggregate. Its accessors give views of it that share its lock.
type Store struct {
	now func() time.Time
	log *Log

	mu       sync.RWMutex
	users    map[id.User]store.User
	phones   map[string]id.User
	sessions map[id.User]map[id.Session]store.Session
	revoked  []store.Revocation
	threads  map[id.Thread]*thread
	directs  map[id.User]map[id.Thread]struct{}
	settings map[cursorKey]store.ThreadSettings
	cursors  map[id.Thread]map[id.User]store.Cursor
	groups   map[id.Thread]store.Group
	members  map[id.Thread]map[id.User]store.Member
	groupsOf map[id.User]map[id.Thread]struct{}
	devices  map[string]store.Device // by token
	media    map[id.Media]store.Media
	messages map[id.Message]place
}

type cursorKey struct {
	thread id.Thread
	user   id.User
}

// New makes a Store and starts its log; Close ends it.
func New(cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Store{
		now:      cfg.Now,
		users:    map[id.User]store.User{},
		phones:   map[string]id.User{},
		sessions: map[id.User]map[id.Session]store.Session{},
		threads:  map[id.Thread]*thread{},
		directs:  map[id.User]map[id.Thread]struct{}{},
		settings: map[cursorKey]store.ThreadSettings{},
		cursors:  map[id.Thread]map[id.User]store.Cursor{},
		groups:   map[id.Thread]store.Group{},
		members:  map[id.Thread]map[id.User]store.Member{},
		groupsOf: map[id.User]map[id.Thread]struct{}{},
		devices:  map[string]store.Device{},
		media:    map[id.Media]store.Media{},
		messages: map[id.Message]place{},
	}
	s.log = newLog(s, cfg)
	return s, nil
}

// Users gives the people.
func (s *Store) Users() store.Users { return users{s} }

// Sessions gives the logins.
func (s *Store) Sessions() store.Sessions { return sessions{s} }

// Threads gives the conversations.
func (s *Store) Threads() store.Threads { return threads{s} }

// Cursors gives the members' positions.
func (s *Store) Cursors() store.Cursors { return cursors{s} }

// Groups gives the groups.
func (s *Store) Groups() store.Groups { return groups{s} }

// Members gives who is in which group.
func (s *Store) Members() store.Members { return members{s} }

// Devices gives the push tokens.
func (s *Store) Devices() store.Devices { return devices{s} }

// Media gives the records of uploaded files.
func (s *Store) Media() store.MediaRecords { return media{s} }

// Log gives the threads' messages.
func (s *Store) Log() store.Log { return s.log }

// Healthy is nil: memory has no disk that could be full.
func (s *Store) Healthy() error { return nil }

// Close writes what waits in the log, calls its Done, and refuses what comes later.
func (s *Store) Close() error {
	s.log.close()
	return nil
}

func (s *Store) nowMillis() int64 { return s.now().UnixMilli() }

// sorted gives the keys of a set of ids in byte order.
func sorted[K comparable](set map[K]struct{}, compare func(a, b K) int) []K {
	list := make([]K, 0, len(set))
	for k := range set {
		list = append(list, k)
	}
	slices.SortFunc(list, compare)
	return list
}
