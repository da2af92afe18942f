package cassandra

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// health judges whether a quorum answers. A probe reads the fence of the log, one row, every ProbeEvery: a
// second one in a row that fails makes the store unhealthy, and the first that succeeds healthy again. Between
// probes, a row of failed statements without one that succeeded has the next probe come at once.
type health struct {
	s    *Store
	hint chan struct{} // probe now

	mu     sync.Mutex
	missed int   // statements that failed since the last that did not
	probes int   // probes that failed since the last that did not
	why    error // nil: healthy
}

// Failed statements in a row after which a probe comes at once.
const hintAfter = 8

func newHealth(s *Store) *health { return &health{s: s, hint: make(chan struct{}, 1)} }

func (h *health) err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.why
}

// observe is told of every statement.
func (h *health) observe(c cause) {
	h.mu.Lock()
	switch c {
	case causeNone:
		h.missed = 0
	case causeTimeout, causeUnavailable, causeConnection, causeOverload, causeFailure:
		h.missed++
	default: // says nothing of the cluster
	}
	ask := c != causeNone && h.missed == hintAfter
	h.mu.Unlock()
	if ask {
		select {
		case h.hint <- struct{}{}:
		default:
		}
	}
}

func (h *health) run() {
	tick := time.NewTicker(h.s.cfg.ProbeEvery)
	defer tick.Stop()
	for {
		select {
		case <-h.s.stop:
			return
		case <-tick.C:
		case <-h.hint:
		}
		h.probe()
	}
}

// probe asks for one row at the consistency of everything else.
func (h *health) probe() {
	ctx, cancel := context.WithTimeout(context.Background(), h.s.cfg.Timeout+100*time.Millisecond)
	defer cancel()
	go func() {
		select {
		case <-h.s.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	_, err := quorum{h.s}.Version(ctx)
	select {
	case <-h.s.stop:
		return
	default:
	}
	h.judge(err)
}

// judge takes the outcome of a probe.
func (h *health) judge(err error) {
	h.mu.Lock()
	before := h.why
	if err == nil {
		h.probes, h.why = 0, nil
	} else if h.probes++; h.probes >= 2 {
		h.why = fmt.Errorf("cassandra: no quorum in %s answers: %s", h.place(), explainBare(err))
	}
	after := h.why
	h.mu.Unlock()
	switch {
	case before == nil && after != nil:
		h.s.log.Error("the store does not answer; sends are refused until it does", slog.String("error", after.Error()))
	case before != nil && after == nil:
		h.s.log.Info("the store answers again")
	}
}

func (h *health) place() string {
	if h.s.cfg.Consistency == Global {
		return "the cluster"
	}
	return "data centre " + h.s.cfg.DC
}

// explainBare is the innermost text of an error.
func explainBare(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return explain(err)
		}
		err = inner
	}
}
