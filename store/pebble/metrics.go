package pebble

import (
	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// refusal is why a message or another write was refused.
type refusal uint8

const (
	refusedQueue  refusal = iota // the committer's queue was full
	refusedFull                  // the disk is nearly full
	refusedClosed                // the store was closed, or failed
	refusals
)

func (r refusal) String() string {
	switch r {
	case refusedQueue:
		return "queue"
	case refusedFull:
		return "disk"
	default:
		return "closed"
	}
}

type metrics struct {
	appended    prometheus.Counter
	duplicates  prometheus.Counter
	conflicts   prometheus.Counter
	refused     [refusals]prometheus.Counter
	groupSize   prometheus.Histogram
	syncSeconds prometheus.Histogram
	hotReads    prometheus.Counter
	storeReads  prometheus.Counter
	loaded      prometheus.Counter
	evicted     prometheus.Counter
	filed       prometheus.Counter
	freeBytes   prometheus.Gauge
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "tolkflip_store_" + name, Help: help})
	}
	m := &metrics{
		appended:   counter("messages_total", "Messages that were written."),
		duplicates: counter("duplicates_total", "Retries that were answered with the first result."),
		conflicts:  counter("conflicts_total", "Messages whose id was used for another body or thread."),
		groupSize: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tolkflip_store_group_messages", Help: "Messages in one write.",
			Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512},
		}),
		syncSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tolkflip_store_sync_seconds", Help: "How long the syncer waited for a write to be durable.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}),
		hotReads:   counter("hot_reads_total", "Reads of a thread that memory answered."),
		storeReads: counter("disk_reads_total", "Reads of a thread that went to the store."),
		loaded:     counter("threads_loaded_total", "Threads whose head was read from the store."),
		evicted:    counter("threads_evicted_total", "Threads whose head left memory."),
		filed:      counter("filed_total", "Messages that were moved from the journal to their tables."),
		freeBytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tolkflip_store_free_bytes", Help: "Free space of the file system, as last measured.",
		}),
	}
	for r := range refusals {
		m.refused[r] = prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tolkflip_store_refused_total", Help: "Writes that were refused, by reason.",
			ConstLabels: prometheus.Labels{"reason": r.String()},
		})
	}
	return m
}

// register adds everything to reg, with gauges that look at s.
func (m *metrics) register(reg prometheus.Registerer, s *Store) {
	if reg == nil {
		return
	}
	reg.MustRegister(
		m.appended, m.duplicates, m.conflicts, m.groupSize, m.syncSeconds, m.hotReads, m.storeReads,
		m.loaded, m.evicted, m.filed, m.freeBytes,
	)
	for _, c := range m.refused {
		reg.MustRegister(c)
	}
	gauge := func(name, help string, f func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tolkflip_store_" + name, Help: help}, f))
	}
	gauge("queue_messages", "Messages that wait for a committer.", func() float64 {
		n := 0
		for _, c := range s.committers {
			c.queue.mu.Lock()
			n += c.queue.items
			c.queue.mu.Unlock()
		}
		return float64(n)
	})
	gauge("threads", "Threads whose head is in memory.", func() float64 {
		n := 0
		for _, c := range s.committers {
			c.mu.RLock()
			n += len(c.threads)
			c.mu.RUnlock()
		}
		return float64(n)
	})
	gauge("unfiled_messages", "Messages that are in the journal and not yet in their tables.", func() float64 {
		n := 0
		for _, c := range s.committers {
			c.mu.RLock()
			n += len(c.growing.entries)
			if c.filing != nil {
				n += len(c.filing.entries)
			}
			c.mu.RUnlock()
		}
		return float64(n)
	})
	engine := func(name, help string, f func(*pebble.Metrics) float64) {
		gauge(name, help, func() float64 {
			if s.begin() != nil {
				return 0
			}
			defer s.end()
			return f(s.db.Metrics())
		})
	}
	engine("disk_bytes", "What the store takes on disk.", func(m *pebble.Metrics) float64 { return float64(m.DiskSpaceUsage()) })
	engine("compaction_debt_bytes", "What compactions have yet to do.",
		func(m *pebble.Metrics) float64 { return float64(m.Compact.EstimatedDebt) })
	engine("memtable_bytes", "What the memtables hold.", func(m *pebble.Metrics) float64 { return float64(m.MemTable.Size) })
	engine("cache_bytes", "What the block cache holds.", func(m *pebble.Metrics) float64 { return float64(m.BlockCache.Size) })
}

func (m *metrics) read(hot bool) {
	if hot {
		m.hotReads.Inc()
		return
	}
	m.storeReads.Inc()
}

func (m *metrics) observe(g *group, duplicates, conflicts int) {
	if g.written > 0 {
		m.appended.Add(float64(g.written))
		m.groupSize.Observe(float64(g.written))
	}
	if duplicates > 0 {
		m.duplicates.Add(float64(duplicates))
	}
	if conflicts > 0 {
		m.conflicts.Add(float64(conflicts))
	}
}
