//go:build !race

package pebble

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// TestAppendAllocatesNothing counts what a message allocates in the whole process, from Append to Done.
// Pebble allocates a little for each memtable and file, which is not a whole allocation a message.
func TestAppendAllocatesNothing(t *testing.T) {
	cfg := small(vfs.NewMem())
	cfg.MemTableBytes, cfg.Pace, cfg.FileEvery = 64<<20, 0, time.Hour
	s := open(t, cfg)
	u := id.NewUser()
	done := make(chan struct{}, 1)
	e := &store.Entry{Message: direct(u, u), Done: func(e *store.Entry) {
		if e.Err != nil || e.Duplicate {
			t.Errorf("append: %v", e.Err)
		}
		done <- struct{}{}
	}}
	n := uint64(0)
	send := func() {
		n++
		binary.BigEndian.PutUint64(e.ID.ID[8:], n)
		s.Log().Append(e)
		<-done
	}
	for range 100 {
		send()
	}
	if allocs := testing.AllocsPerRun(2000, send); allocs > 0 {
		t.Errorf("%v allocations a message", allocs)
	}
}
