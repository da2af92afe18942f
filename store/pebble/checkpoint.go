package pebble

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Checkpoint writes a copy of the running store, as it is at one moment during the call, to dir, which
// must not exist. Table files are linked where the file system can. All that was acked before the call is
// in it.
func (s *Store) Checkpoint(dir string) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.end()
	if err := errors.Join(s.fileAll(), s.settle()); err != nil {
		return fmt.Errorf("settle the store: %w", err)
	}
	if err := s.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("write a checkpoint: %w", err)
	}
	return nil
}
