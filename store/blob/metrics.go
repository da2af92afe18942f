package blob

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/store"
)

// operation is a call of Blobs.
type operation uint8

const (
	opPut operation = iota
	opOpen
	opStat
	opDelete
	operations
)

func (o operation) String() string {
	switch o {
	case opPut:
		return "put"
	case opOpen:
		return "open"
	case opStat:
		return "stat"
	default:
		return "delete"
	}
}

// outcome is how a call ended.
type outcome uint8

const (
	ended    outcome = iota
	absent           // there is no such file
	busy             // the store could not take it
	canceled         // the caller's context ended
	broken           // its reader failed, or what it gave was wrong
	outcomes
)

func (o outcome) String() string {
	switch o {
	case ended:
		return "ok"
	case absent:
		return "not_found"
	case busy:
		return "busy"
	case canceled:
		return "canceled"
	default:
		return "error"
	}
}

func outcomeOf(err error) outcome {
	switch {
	case err == nil:
		return ended
	case errors.Is(err, store.ErrNotFound):
		return absent
	case errors.Is(err, store.ErrBusy), errors.Is(err, store.ErrClosed):
		return busy
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return canceled
	default:
		return broken
	}
}

type metrics struct {
	calls    [operations][outcomes]prometheus.Counter
	stored   prometheus.Counter
	waits    prometheus.Counter
	removed  prometheus.Counter
	unaborts prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "tolkflip_blob_" + name, Help: help})
		if reg != nil {
			reg.MustRegister(c)
		}
		return c
	}
	m := &metrics{
		stored:   counter("stored_bytes_total", "Bytes of the files that were stored."),
		waits:    counter("buffer_waits_total", "How often an upload waited for memory for its part."),
		removed:  counter("leftovers_removed_total", "Unfinished uploads of dead processes that were removed."),
		unaborts: counter("leftovers_forgotten_total", "Failed uploads that could not be removed and are too many to remember."),
	}
	for o := range operations {
		for r := range outcomes {
			m.calls[o][r] = prometheus.NewCounter(prometheus.CounterOpts{
				Name: "tolkflip_blob_calls_total", Help: "Calls of the store of files, by outcome.",
				ConstLabels: prometheus.Labels{"call": o.String(), "outcome": r.String()},
			})
			if reg != nil {
				reg.MustRegister(m.calls[o][r])
			}
		}
	}
	return m
}

// gauge registers one that is looked at when it is asked for.
func gauge(reg prometheus.Registerer, name, help string, f func() float64) {
	if reg != nil {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tolkflip_blob_" + name, Help: help}, f))
	}
}

func (m *metrics) count(o operation, err error) { m.calls[o][outcomeOf(err)].Inc() }
