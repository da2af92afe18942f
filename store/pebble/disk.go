package pebble

import (
	"log/slog"
	"syscall"
	"time"
)

// A write-ahead log that cannot grow is fatal in Pebble, and so is a flush that finds no room. So the
// store stops taking writes while there is still room for what it has taken: one statfs in DiskEvery, and
// a flag that every write reads. In the same turn it looks whether flushes and compactions keep up.

func (s *Store) runDisk() {
	tick := time.NewTicker(s.cfg.DiskEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			s.checkDisk()
			s.checkBacklog()
		}
	}
}

// checkDisk looks at the free space and says so when it crosses the limit. What cannot be measured
// changes nothing.
func (s *Store) checkDisk() {
	if s.cfg.FreeBytes == nil {
		return
	}
	free, total, err := s.cfg.FreeBytes()
	if err != nil {
		s.log.Warn("free space cannot be measured", slog.Any("error", err))
		return
	}
	s.metrics.freeBytes.Set(float64(free))
	full := free < max(s.cfg.MinFreeBytes, total/100*s.cfg.MinFreePercent)
	if s.full.Swap(full) == full {
		return
	}
	if full {
		s.log.Error("the disk is nearly full, writes are refused", slog.Uint64("free_bytes", free))
		return
	}
	s.log.Info("the disk has room again, writes are taken", slog.Uint64("free_bytes", free))
}

func statfs(dir string) (free, total uint64, err error) {
	var v syscall.Statfs_t
	if err := syscall.Statfs(dir, &v); err != nil {
		return 0, 0, err
	}
	return v.Bavail * uint64(v.Bsize), v.Blocks * uint64(v.Bsize), nil
}
