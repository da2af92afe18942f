package memory

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what the bounded tables give up.
type Metrics struct {
	codesRefused  prometheus.Counter
	limitsEvicted prometheus.Counter

	recencyEvicted   prometheus.Counter
	leasesRefused    prometheus.Counter
	fanoutMissed     prometheus.Counter
	responsesEvicted prometheus.Counter
	responsesLarge   prometheus.Counter
}

// NewMetrics makes the counters and registers them with reg, where one is given.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "tolkflip_" + name, Help: help})
	}
	m := &Metrics{
		recencyEvicted: counter("recency_evicted_total", "Users' lists of threads that were forgotten before their end because the table was full."),
		leasesRefused:  counter("leases_refused_total", "Leases that were refused because the table was full."),
		fanoutMissed:   counter("fanout_overflow_total", "Times that a listener for revocations was too slow and must read them all."),
		responsesEvicted: counter("responses_evicted_total",
			"Responses that were forgotten before their end because there was no room."),
		responsesLarge: counter("responses_refused_total", "Responses that were not cached because they are too long."),
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
		reg.MustRegister(
			m.codesRefused, m.limitsEvicted, m.recencyEvicted, m.leasesRefused, m.fanoutMissed, m.responsesEvicted, m.responsesLarge,
		)
	}
	return m
}
