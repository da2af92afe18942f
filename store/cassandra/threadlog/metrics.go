package threadlog

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/store"
)

// refusal is why an entry was not written.
type refusal uint8

const (
	refusedQueue   refusal = iota // the budget of all threads is used up
	refusedThread                 // the thread's is
	refusedUnknown                // a write's outcome is unknown: the thread's, or too many others'
	refusedStore                  // the store refused, or did not say whether the id is known
	refusedClosed                 // the log was closed
	refusedDeposed                // another node owns the thread
	refusals
)

func (r refusal) String() string {
	switch r {
	case refusedQueue:
		return "queue"
	case refusedThread:
		return "thread"
	case refusedUnknown:
		return "unknown"
	case refusedStore:
		return "store"
	case refusedClosed:
		return "closed"
	default:
		return "deposed"
	}
}

func refusalOf(err error) refusal {
	if errors.Is(err, store.ErrDeposed) {
		return refusedDeposed
	}
	return refusedClosed
}

type metrics struct {
	written    prometheus.Counter
	duplicates prometheus.Counter
	conflicts  prometheus.Counter
	refused    [refusals]prometheus.Counter
	turns      prometheus.Histogram
	lookups    prometheus.Histogram
	fences     prometheus.Histogram
	failed     prometheus.Counter
	unknown    prometheus.Counter
	activated  prometheus.Counter
	rewritten  prometheus.Counter
	evicted    prometheus.Counter
	indexed    prometheus.Counter
	lost       prometheus.Counter
	takes      prometheus.Counter
	deposed    prometheus.Counter
	hotReads   prometheus.Counter
	storeReads prometheus.Counter
}

const namePrefix = "tolkflip_threadlog_"

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: namePrefix + name, Help: help})
	}
	sizes := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: namePrefix + name, Help: help, Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512},
		})
	}
	m := &metrics{
		written:    counter("messages_total", "Messages that were written and fenced."),
		duplicates: counter("duplicates_total", "Retries that were answered with the first result."),
		conflicts:  counter("conflicts_total", "Messages whose id was used for another body or thread."),
		turns:      sizes("turn_messages", "New messages in one turn of a thread."),
		lookups:    sizes("lookup_ids", "Message ids in one look-up."),
		fences:     sizes("fence_threads", "Threads that shared one fence read."),
		failed:     counter("failures_total", "Statements that did not go well."),
		unknown:    counter("unknown_total", "Writes of messages whose outcome is unknown."),
		activated:  counter("threads_activated_total", "Threads whose end was read."),
		rewritten:  counter("rewritten_total", "Messages of former owners that were written again."),
		evicted:    counter("threads_evicted_total", "Threads that left memory."),
		indexed:    counter("indexed_total", "Message ids that were written."),
		lost:       counter("lost_total", "Acknowledged rows that the store did not give: it has lost data."),
		takes:      counter("takes_total", "How often the slots were taken."),
		deposed:    counter("deposed_total", "How often another node took all slots."),
		hotReads:   counter("hot_reads_total", "Reads of a thread that memory answered."),
		storeReads: counter("store_reads_total", "Reads of a thread that went to the store."),
	}
	for r := range refusals {
		m.refused[r] = prometheus.NewCounter(prometheus.CounterOpts{
			Name: namePrefix + "refused_total", Help: "Messages that were refused, by reason.",
			ConstLabels: prometheus.Labels{"reason": r.String()},
		})
	}
	return m
}

// register adds everything to reg, with gauges that look at l.
func (m *metrics) register(reg prometheus.Registerer, l *Log) {
	if reg == nil {
		return
	}
	reg.MustRegister(
		m.written, m.duplicates, m.conflicts, m.turns, m.lookups, m.fences, m.failed, m.unknown, m.activated,
		m.rewritten, m.evicted, m.indexed, m.lost, m.takes, m.deposed, m.hotReads, m.storeReads,
	)
	for _, c := range m.refused {
		reg.MustRegister(c)
	}
	gauge := func(name, help string, f func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: namePrefix + name, Help: help}, f))
	}
	gauge("queue_messages", "Messages that wait or are on their way.", func() float64 { return float64(l.budget.items.Load()) })
	gauge("queue_bytes", "Their bytes.", func() float64 { return float64(l.budget.bytes.Load()) })
	gauge("unknown_threads", "Threads whose last write has an unknown outcome.", func() float64 { return float64(l.unknown.Load()) })
	gauge("workers", "Goroutines that run turns.", func() float64 {
		running, _ := l.run.load()
		return float64(running)
	})
	gauge("jobs", "Steps that wait for a goroutine.", func() float64 {
		_, waiting := l.run.load()
		return float64(waiting)
	})
	gauge("fence_waiting", "Threads that wait for a fence read.", func() float64 { return float64(l.fences.load()) })
	gauge("ids", "Message ids in memory.", func() float64 { return float64(l.ids.len()) })
	gauge("threads", "Threads in memory.", func() float64 {
		n := 0
		for i := range l.shards {
			h := &l.shards[i]
			h.mu.Lock()
			n += len(h.order)
			h.mu.Unlock()
		}
		return float64(n)
	})
}

func (m *metrics) turn(written, duplicates, conflicts int) {
	if written > 0 {
		m.written.Add(float64(written))
		m.turns.Observe(float64(written))
	}
	if duplicates > 0 {
		m.duplicates.Add(float64(duplicates))
	}
	if conflicts > 0 {
		m.conflicts.Add(float64(conflicts))
	}
}
