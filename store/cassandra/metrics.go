package cassandra

import (
	"context"
	"time"

	"github.com/gocql/gocql"
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	seconds         prometheus.Histogram
	failures        [causes]prometheus.Counter
	conditionsAgain prometheus.Counter
	cursorsRefused  prometheus.Counter
	scans           prometheus.Counter
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "tolkflip_cassandra_" + name, Help: help})
	}
	m := &metrics{
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tolkflip_cassandra_statement_seconds", Help: "How long statements took, batches as one, failed ones too.",
			Buckets: prometheus.ExponentialBuckets(0.00025, 2, 15),
		}),
		conditionsAgain: counter("conditions_repeated_total", "Conditional writes that met another or had an unknown outcome, and were made again."),
		cursorsRefused:  counter("cursors_refused_total", "Moves of cursors that were refused because too many wait to be written."),
		scans:           counter("list_scans_total", "Lists of a user's threads that were read whole because no cache had their order."),
	}
	for c := range causes {
		m.failures[c] = prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tolkflip_cassandra_failures_total", Help: "Statements that failed, by cause; none is those that did not.",
			ConstLabels: prometheus.Labels{"cause": c.String()},
		})
	}
	return m
}

// register makes the metrics visible; reg may be nil.
func (m *metrics) register(reg prometheus.Registerer, s *Store) {
	if reg == nil {
		return
	}
	reg.MustRegister(m.seconds, m.conditionsAgain, m.cursorsRefused, m.scans,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tolkflip_cassandra_healthy", Help: "1 while a quorum answers.",
		}, func() float64 {
			if s.Healthy() != nil {
				return 0
			}
			return 1
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tolkflip_cassandra_suspected_hosts", Help: "Hosts that let statements time out and come last for a while.",
		}, func() float64 { return float64(s.hosts.suspected()) }))
	for _, c := range m.failures {
		reg.MustRegister(c)
	}
}

// watcher is told by the driver of every statement that was tried.
type watcher struct{ s *Store }

// ObserveQuery is told of single statements and pages.
func (w watcher) ObserveQuery(_ context.Context, q gocql.ObservedQuery) {
	w.observe(q.Statement, q.End.Sub(q.Start), q.Err)
}

// ObserveBatch is told of batches.
func (w watcher) ObserveBatch(_ context.Context, b gocql.ObservedBatch) {
	first := ""
	if len(b.Statements) > 0 {
		first = b.Statements[0]
	}
	w.observe(first, b.End.Sub(b.Start), b.Err)
}

func (w watcher) observe(statement string, took time.Duration, err error) {
	c := causeOf(err)
	w.s.metrics.seconds.Observe(took.Seconds())
	w.s.metrics.failures[c].Inc()
	w.s.health.observe(c)
	if f := w.s.cfg.observe; f != nil {
		f(statement, err)
	}
}
