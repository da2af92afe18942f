package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/memory"
	"github.com/tolkflip/tolkflip/store/pebble"
)

// stores are the aggregates of the configured backends.
type stores struct {
	users    store.Users
	sessions store.Sessions
	threads  store.Threads
	cursors  store.Cursors
	groups   store.Groups
	members  store.Members
	devices  store.Devices
	log      store.Log
	codes    store.Codes
	limits   store.Limits

	healthy    func() error           // what keeps the store from taking writes
	checkpoint func(dir string) error // copies a consistent state; nil where there is nothing on disk
	close      func() error
}

// backend is what every store gives, whatever keeps the data.
type backend interface { //nolint:interfacebloat // one accessor an aggregate
	Users() store.Users
	Sessions() store.Sessions
	Threads() store.Threads
	Cursors() store.Cursors
	Groups() store.Groups
	Members() store.Members
	Devices() store.Devices
	Log() store.Log
	Healthy() error
	Close() error
}

// openStores opens what --store and --cache name. fatal is called when the store finds that it can keep
// no promise any more, such as after a failed fsync.
func openStores(cfg Config, log *slog.Logger, reg prometheus.Registerer, fatal func(error)) (*stores, error) {
	scheme, dir, _ := strings.Cut(cfg.Store, ":")
	var b backend
	var checkpoint func(string) error
	switch scheme {
	case "pebble":
		c := pebble.Default()
		c.Dir, c.Fatal, c.FreeBytes = dir, fatal, cfg.freeBytes
		p, err := pebble.Open(c, log.With("part", "store"), reg)
		var held *pebble.ErrInUse
		if errors.As(err, &held) {
			return nil, inUseError{err.Error()}
		} else if err != nil {
			return nil, fmt.Errorf("--store %s: %w", cfg.Store, err)
		}
		b, checkpoint = p, p.Checkpoint
	default: // memory: complete let nothing else through
		m, err := memory.New(memory.Default())
		if err != nil {
			return nil, fmt.Errorf("--store %s: %w", cfg.Store, err)
		}
		b = m
	}
	s := &stores{
		users: b.Users(), sessions: b.Sessions(), threads: b.Threads(), cursors: b.Cursors(), groups: b.Groups(),
		members: b.Members(), devices: b.Devices(), log: b.Log(), healthy: b.Healthy, checkpoint: checkpoint, close: b.Close,
	}
	metrics := memory.NewMetrics(reg)
	var err error
	if s.codes, err = memory.NewCodes(memory.DefaultCache(), metrics); err == nil {
		s.limits, err = memory.NewLimits(memory.DefaultCache(), metrics)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("--cache %s: %w", cfg.Cache, err), s.close())
	}
	return s, nil
}
