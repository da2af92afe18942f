package presence

import "github.com/prometheus/client_golang/prometheus"

// drop says what was left out because a bound was reached.
type drop uint8

const (
	dropChange   drop = iota // a change that was not told
	dropLinger               // a user without debounce
	dropSeen                 // a last-seen time
	dropWish                 // a state that a person tried to set
	dropWatch                // a watch request
	dropAudience             // people beyond Config.Told
	dropCheck                // watchers beyond Config.Checks
	drops
)

func (d drop) String() string {
	switch d {
	case dropChange:
		return "change"
	case dropLinger:
		return "linger"
	case dropSeen:
		return "seen"
	case dropWish:
		return "wish"
	case dropWatch:
		return "watch"
	case dropAudience:
		return "audience"
	default:
		return "check"
	}
}

type metrics struct {
	told    prometheus.Counter
	dropped [drops]prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, s *Service) *metrics {
	m := &metrics{told: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "tolkflip_presence_changes_total",
		Help: "Changes that were told.",
	})}
	dropped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tolkflip_presence_dropped_total",
		Help: "What was left out because a bound was reached.",
	}, []string{"what"})
	reg.MustRegister(m.told, dropped)
	for d := range drops {
		m.dropped[d] = dropped.WithLabelValues(d.String())
	}
	gauge := func(name, help string, f func() int) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return float64(f()) }))
	}
	gauge("tolkflip_presence_queue", "Changes that wait to be told.", func() int {
		s.in.Lock()
		defer s.in.Unlock()
		return s.in.changes.len()
	})
	gauge("tolkflip_presence_lingering", "Users without a connection who are still shown.", func() int {
		s.in.Lock()
		defer s.in.Unlock()
		return s.in.linger.len()
	})
	gauge("tolkflip_presence_watches", "Watches of open connections.", func() int {
		s.graph.mu.Lock()
		defer s.graph.mu.Unlock()
		return s.graph.mu.live
	})
	return m
}
