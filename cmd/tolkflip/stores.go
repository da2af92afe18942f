package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/blob"
	"github.com/tolkflip/tolkflip/store/cassandra"
	"github.com/tolkflip/tolkflip/store/memory"
	"github.com/tolkflip/tolkflip/store/pebble"
	"github.com/tolkflip/tolkflip/store/redis"
)

// mainStore keeps what must not be lost, whatever keeps it.
type mainStore interface { //nolint:interfacebloat // one accessor an aggregate
	Users() store.Users
	Sessions() store.Sessions
	Threads() store.Threads
	Cursors() store.Cursors
	Groups() store.Groups
	Members() store.Members
	Devices() store.Devices
	Media() store.MediaRecords
	Log() store.Log
	Healthy() error
	Close() error
}

// cache keeps what may be forgotten.
type cache interface {
	Codes() store.Codes
	Limits() store.Limits
	Recency() store.Recency
	Fanout() store.Fanout // nil where no other node could be told
	Healthy() error
	Close() error
}

// stores are the aggregates of the backends that --store, --cache and --blob name, in any mix.
type stores struct {
	users    store.Users
	sessions store.Sessions
	threads  store.Threads
	cursors  store.Cursors
	groups   store.Groups
	members  store.Members
	devices  store.Devices
	media    store.MediaRecords
	log      store.Log
	codes    store.Codes
	limits   store.Limits
	blobs    store.Blobs
	fanout   store.Fanout // nil where no other node could be told

	parts      []part                 // in the order in which they were opened
	checkpoint func(dir string) error // copies a consistent state of the main store; nil where it is not on disk
}

// part is one of the stores as an operator knows it.
type part struct {
	name    string       // store, cache or blob: of its flag, and in readiness
	slow    bool         // healthy may have to wait for an answer
	healthy func() error // nil when nothing is wrong
	close   func() error
}

// opening is what the backends are opened with.
type opening struct {
	cfg  Config
	from *settings // where secrets are
	node [16]byte
	key  []byte // derived from the token secret: the same on all nodes
	data string // the data directory
	log  *slog.Logger
	reg  prometheus.Registerer
	end  func(error) // ends the process from inside: a store can keep no promise any more
}

// openStores opens all three. What it opened is closed again when it fails.
func openStores(ctx context.Context, o opening) (_ *stores, err error) {
	s := &stores{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	c, err := o.openCache(ctx)
	if err != nil {
		return nil, trouble("cache", o.cfg.Cache, err)
	}
	s.parts = append(s.parts, part{name: "cache", healthy: c.Healthy, close: c.Close})
	s.codes, s.limits = c.Codes(), c.Limits()
	m, checkpoint, err := o.openMain(ctx, c.Recency())
	if err != nil {
		return nil, storeTrouble(o.cfg.Store, err)
	}
	s.parts, s.checkpoint = append(s.parts, part{name: "store", healthy: m.Healthy, close: m.Close}), checkpoint
	s.users, s.sessions, s.threads, s.cursors, s.groups = m.Users(), m.Sessions(), m.Threads(), m.Cursors(), m.Groups()
	s.members, s.devices, s.media, s.log = m.Members(), m.Devices(), m.Media(), m.Log()
	if scheme, _ := split(o.cfg.Store); scheme == cassandra.Scheme { // other stores have one node
		s.fanout = c.Fanout()
	}
	if s.fanout != nil {
		s.sessions = told{s.sessions, s.fanout, o.log.With("part", "revocations"), time.Now}
	}
	files, closeFiles, err := o.openBlobs(ctx)
	if err != nil {
		return nil, trouble("blob", o.cfg.Blob, err)
	}
	s.blobs = files
	s.parts = append(s.parts, part{
		name: "blob", slow: true, close: closeFiles,
		healthy: func() error { return files.Healthy(context.Background()) },
	})
	return s, nil
}

// close closes them, the last one first.
func (s *stores) close() error {
	var all error
	for i := len(s.parts) - 1; i >= 0; i-- {
		if err := s.parts[i].close(); err != nil {
			all = errors.Join(all, fmt.Errorf("close the %s: %w", s.parts[i].name, err))
		}
	}
	return all
}

func (o *opening) openMain(ctx context.Context, recency store.Recency) (mainStore, func(string) error, error) {
	log := o.log.With("part", "store")
	switch scheme, rest := split(o.cfg.Store); scheme {
	case cassandra.Scheme:
		c, err := o.cassandra(o.cfg.Store)
		if err != nil {
			return nil, nil, err
		}
		c.Recency = recency
		c.Deposed = func(err error) { o.end(fmt.Errorf("%w: %w", errDeposed, err)) }
		s, err := cassandra.Open(ctx, c, log, o.reg)
		return s, nil, err
	case "pebble":
		c := pebble.Default()
		c.Dir, c.Fatal, c.FreeBytes = rest, o.end, o.cfg.freeBytes
		s, err := pebble.Open(c, log, o.reg)
		if err != nil {
			return nil, nil, err
		}
		return s, s.Checkpoint, nil
	default: // memory: complete let nothing else through
		s, err := memory.New(memory.Default())
		return s, nil, err
	}
}

// cassandra is the configuration that an address and the settings around it give.
func (o *opening) cassandra(address string) (cassandra.Config, error) {
	c, err := cassandra.ParseURL(address)
	if err != nil {
		return c, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	c.Password = o.from.secrets["store-password"]
	c.Migrate, c.MakeKeyspace = c.Migrate && o.cfg.Migrate, c.MakeKeyspace && o.cfg.Migrate
	c.Node, c.Address, c.PID, c.TakeOver = o.node, host+":"+o.data, os.Getpid(), o.cfg.TakeOver
	return c, nil
}

func (o *opening) openCache(ctx context.Context) (cache, error) {
	log := o.log.With("part", "cache")
	if scheme, _ := split(o.cfg.Cache); scheme == "memory" {
		return openMemoryCache(o.reg)
	}
	c, err := redis.ParseURL(o.cfg.Cache)
	if err != nil {
		return nil, err
	}
	c.Password, c.SentinelPassword = o.from.secrets["cache-password"], o.from.secrets["cache-sentinel-password"]
	c.Node, c.Secret = store.Node{ID: o.node}, o.key
	if c.Fallback, err = memory.NewLimits(memory.DefaultCache(), memory.NewMetrics(o.reg)); err != nil {
		return nil, err
	}
	return redis.Open(ctx, c, log, o.reg)
}

func (o *opening) openBlobs(ctx context.Context) (store.Blobs, func() error, error) {
	log := o.log.With("part", "blob")
	scheme, rest := split(o.cfg.Blob)
	if scheme == "dir" {
		files, err := blob.OpenDisk(blob.DefaultDisk(rest), log, o.reg)
		if err != nil {
			return nil, nil, err
		}
		return files, files.Close, nil
	}
	c, err := blob.ParseURL(o.cfg.Blob)
	if err != nil {
		return nil, nil, err
	}
	c.Key, c.Secret = o.from.secrets["blob-key"], o.from.secrets["blob-secret"]
	c.PublicURL, c.MakeBucket = o.cfg.BlobPublicURL, o.cfg.Migrate
	files, err := blob.OpenS3(ctx, c, log, o.reg)
	if err != nil {
		return nil, nil, err
	}
	return files, files.Close, nil
}

// memoryCache is the embedded cache: it ends with the process.
type memoryCache struct {
	codes   *memory.Codes
	limits  *memory.Limits
	recency *memory.Recency
}

func openMemoryCache(reg prometheus.Registerer) (*memoryCache, error) {
	cfg, metrics := memory.DefaultCache(), memory.NewMetrics(reg)
	c := &memoryCache{}
	var err error
	if c.codes, err = memory.NewCodes(cfg, metrics); err != nil {
		return nil, err
	}
	if c.limits, err = memory.NewLimits(cfg, metrics); err != nil {
		return nil, err
	}
	c.recency, err = memory.NewRecency(cfg, metrics)
	return c, err
}

func (c *memoryCache) Codes() store.Codes     { return c.codes }
func (c *memoryCache) Limits() store.Limits   { return c.limits }
func (c *memoryCache) Recency() store.Recency { return c.recency }
func (c *memoryCache) Fanout() store.Fanout   { return nil }
func (c *memoryCache) Healthy() error         { return nil }
func (c *memoryCache) Close() error           { return nil }
