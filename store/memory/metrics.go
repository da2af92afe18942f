package memory

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what the bounded tables give up.
type Metrics struct {
	codesRefused  prometheus.Counter
	limitsEvicted prometheus.Counter
}

// NewMetrics makes the counters and registers them with reg, where one is given.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		codesRefused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tolkflip_codes_refused_total",
			Help: "Verification codes and grants that were refused because the table was full.",
		}),
		limitsEvicted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tolkflip_limits_evicted_total",
			Help: "Rate-limit windows that were forgotten before their end because the table was full.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.codesRefused, m.limitsEvicted)
	}
	return m
}
