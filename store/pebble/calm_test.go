package pebble

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// workFile takes some time for a write.
type workFile struct {
	vfs.File
	takes time.Duration
}

func (f workFile) Write(b []byte) (int, error) {
	<-time.After(f.takes)
	return len(b), nil
}

type workFS struct {
	vfs.FS
	takes time.Duration
}

func (f workFS) Create(string, vfs.DiskWriteCategory) (vfs.File, error) {
	return workFile{takes: f.takes}, nil
}

// TestTablesRest sees how long the writer of a file rests after each of four writes.
func TestTablesRest(t *testing.T) {
	t.Parallel()
	const us = time.Microsecond
	for name, c := range map[string]struct {
		category vfs.DiskWriteCategory
		times    int64
		takes    time.Duration
		want     []time.Duration
	}{
		"a flush":             {"pebble-memtable-flush", 3, 600 * us, []time.Duration{3600 * us, 3600 * us}},
		"a compaction":        {"pebble-compaction", 2, 1000 * us, []time.Duration{2000 * us, 2000 * us, 2000 * us, 2000 * us}},
		"rests are bounded":   {"pebble-compaction", 3, 9000 * us, slices.Repeat([]time.Duration{calmRest}, 4)},
		"behind":              {"pebble-compaction", 0, 5000 * us, nil},
		"the log never rests": {"pebble-wal", 3, 5000 * us, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var rest atomic.Int64
				rest.Store(c.times)
				var rests []time.Duration
				fs := calmFS{FS: workFS{takes: c.takes}, rest: &rest}
				f, err := fs.Create("x", c.category)
				if err != nil {
					t.Fatal(err)
				}
				for range 4 {
					began := time.Now()
					if _, err := f.Write([]byte("block")); err != nil {
						t.Fatal(err)
					}
					if d := time.Since(began) - c.takes; d > 0 {
						rests = append(rests, d)
					}
				}
				if !slices.Equal(rests, c.want) {
					t.Errorf("rested %v, want %v", rests, c.want)
				}
			})
		})
	}
}

func TestCalmFor(t *testing.T) {
	t.Parallel()
	figures := func(memtables int64, sublevels int32) *pebble.Metrics {
		m := &pebble.Metrics{}
		m.MemTable.Count, m.Levels[0].Sublevels = memtables, sublevels
		return m
	}
	for name, c := range map[string]struct {
		m    *pebble.Metrics
		want int64
	}{
		"quiet":             {figures(1, 0), calmTimes},
		"a flush under way": {figures(2, 32), calmTimes},
		"flushes behind":    {figures(3, 0), 0},
		"L0 deep":           {figures(1, 33), 0},
	} {
		if got := calmFor(c.m); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// spyFS notes what files are made for.
type spyFS struct {
	vfs.FS
	made *sync.Map
}

func (f spyFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f.made.Store(category, true)
	return f.FS.Create(name, category)
}

// TestTablesAreKnown notices when Pebble calls its work something else.
func TestTablesAreKnown(t *testing.T) {
	t.Parallel()
	var made sync.Map
	s := open(t, small(spyFS{vfs.NewMem(), &made}))
	for range 2 { // tables that overlap: one alone would only be moved
		for _, k := range []string{"\x01", "\xfe"} {
			if err := s.db.Set([]byte(k), nil, pebble.Sync); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
		t.Fatal(err)
	}
	for _, category := range []vfs.DiskWriteCategory{"pebble-memtable-flush", "pebble-compaction"} {
		if _, ok := made.Load(category); !ok {
			t.Errorf("nothing was made for %s", category)
		}
	}
}
