package pebble

import (
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

// bytesPerSync is how much of a table waits for the disk at once: the log's syncs queue behind it.
const bytesPerSync = 256 << 10

// options are Pebble's. What is not named is Pebble's default.
func (s *Store) options(cache *pebble.Cache) *pebble.Options {
	o := &pebble.Options{
		FS:                          calmFS{FS: s.cfg.FS, rest: &s.calm},
		Cache:                       cache,
		FormatMajorVersion:          pebble.FormatTableFormatV6,
		Logger:                      pebbleLog{s},
		MemTableSize:                uint64(s.cfg.MemTableBytes),
		MemTableStopWritesThreshold: 4,
		// Let L0 grow rather than stop writers: the queues in front of the committers refuse first.
		L0CompactionThreshold:     16,
		L0CompactionFileThreshold: 1000,
		L0StopWritesThreshold:     1000,
		LBaseMaxBytes:             64 << 20,
		MaxOpenFiles:              1024,
		// One compaction on an idle machine's second core; two when debt piles up.
		CompactionConcurrencyRange: func() (lower, upper int) { return 1, 2 },
		BytesPerSync:               bytesPerSync,
	}
	for i := range o.Levels {
		// An id that is not there, which is what every new message asks for, must cost no disk read.
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].BlockSize = 8 << 10
	}
	return o
}

// pebbleLog is Pebble's logger. What it calls fatal ends the process.
type pebbleLog struct{ s *Store }

func (l pebbleLog) Infof(format string, args ...any) {
	if l.s.log.Enabled(nil, slog.LevelDebug) { //nolint:staticcheck // Pebble gives no context
		l.s.log.Debug("pebble", slog.String("event", fmt.Sprintf(format, args...)))
	}
}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.s.log.Error("pebble", slog.String("event", fmt.Sprintf(format, args...)))
}

// Fatalf must not return: Pebble goes on as if it did not.
func (l pebbleLog) Fatalf(format string, args ...any) {
	err := fmt.Errorf("pebble: "+format, args...)
	l.s.fail(err)
	panic(err)
}
