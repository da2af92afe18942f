package redis

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/store"
)

// command is what a call is for: a label, and words for its error.
type command uint8

const (
	codePut command = iota
	codeTry
	grantPut
	grantGet
	limitTake
	recencyTouch
	recencyNewest
	recencyFill
	recencyForget
	leaseWrite
	leaseRenew
	leaseOf
	fanoutPublish
	fanoutListen
	responseGet
	responsePut
	responseDrop
	healthCheck
	commands
)

func (c command) String() string {
	return [commands]string{
		"code_put", "code_try", "grant_put", "grant_get", "limit_take", "recency_touch", "recency_newest", "recency_fill",
		"recency_forget", "lease_write", "lease_renew", "lease_of", "fanout_publish", "fanout_listen", "response_get",
		"response_put", "response_drop", "health_check",
	}[c]
}

func (c command) doing() string {
	return [commands]string{
		"store a code", "try a code", "store a grant", "look for a grant", "take from a limit", "move a thread forward",
		"read the newest threads", "fill a list of threads", "forget a list of threads", "write leases", "renew leases",
		"read leases", "publish a revocation", "listen for revocations", "read a response", "store a response",
		"drop a response", "check the servers",
	}[c]
}

// reason is why a call failed.
type reason uint8

const (
	failedTimeout reason = iota // no answer in time
	failedRefused               // Redis answered with an error
	failedLost                  // no connection, or it broke
	failedShort                 // not tried: the server has just failed to answer, or too many calls wait
	failedCaller                // the caller gave up, or the store was closed
	reasons
)

func (r reason) String() string {
	return [reasons]string{"timeout", "refused", "connection", "not_tried", "given_up"}[r]
}

type metrics struct {
	seconds  [commands]prometheus.Observer
	errors   [commands][reasons]prometheus.Counter
	fallback prometheus.Counter
	missed   prometheus.Counter
	rewrites prometheus.Counter
	large    prometheus.Counter
	unpaid   prometheus.Counter
	healthy  prometheus.Gauge
	held     prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "tolkflip_cache_" + name, Help: help})
	}
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "tolkflip_cache_seconds", Help: "How long calls of Redis took, by what they are for.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 11),
	}, []string{"command"})
	failed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tolkflip_cache_errors_total", Help: "Calls of Redis that failed, by what they are for and why.",
	}, []string{"command", "reason"})
	m := &metrics{
		fallback: counter("limits_fallback_total", "Events of rate limits that were counted in this process because Redis did not answer."),
		missed:   counter("fanout_missed_total", "Times that the live revocations had to be read from the main store."),
		rewrites: counter("lease_rewrites_total", "Groups of leases (a 256th of the users each) that Redis had lost, or had an old state of, and that were written anew."),
		large:    counter("responses_large_total", "Responses that were not cached because they are too long."),
		unpaid:   counter("recency_forgotten_total", "Failed moves of a thread that could not be kept in mind; the user's list may be out of order until it expires."),
		healthy:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "tolkflip_cache_healthy", Help: "1 when Redis answered the last check, 0 when it did not."}),
		held:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "tolkflip_cache_leases", Help: "Users whose leases this node holds."}),
	}
	for c := range commands {
		m.seconds[c] = seconds.WithLabelValues(c.String())
		for r := range reasons {
			m.errors[c][r] = failed.WithLabelValues(c.String(), r.String())
		}
	}
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		seconds, failed, m.fallback, m.missed, m.rewrites, m.large, m.unpaid, m.healthy, m.held,
	} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

// observe counts a call that took d.
func (m *metrics) observe(c command, d time.Duration, err error) {
	if err == nil {
		m.seconds[c].Observe(d.Seconds())
		return
	}
	why := failedLost
	var f *failure
	switch {
	case errors.As(err, &f):
		why = f.why
	case errors.Is(err, store.ErrClosed):
		why = failedCaller
	}
	m.errors[c][why].Inc()
	if why == failedTimeout || why == failedRefused {
		m.seconds[c].Observe(d.Seconds())
	}
}
