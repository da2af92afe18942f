package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const healthEvery = time.Second

// health knows which of the stores fail. A part comes back by itself; nothing is restarted.
type health struct {
	parts []part
	log   *slog.Logger
	ready *prometheus.GaugeVec

	mu   sync.Mutex
	last map[string]error // what was seen last, by part
}

func newHealth(parts []part, log *slog.Logger, reg prometheus.Registerer) *health {
	h := &health{
		parts: parts, log: log, last: map[string]error{},
		ready: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tolkflip_part_ready", Help: "1 while a part (store, cache, blob) does its work, 0 while it fails.",
		}, []string{"part"}),
	}
	reg.MustRegister(h.ready)
	for _, p := range parts {
		h.ready.WithLabelValues(p.name).Set(1)
	}
	return h
}

// failing gives what fails now, by part. It may be asked any number of times: parts that must be asked over
// the network are asked by run alone.
func (h *health) failing() map[string]error {
	all := map[string]error{}
	for _, p := range h.parts {
		err := p.healthy
		if p.slow {
			err = func() error {
				h.mu.Lock()
				defer h.mu.Unlock()
				return h.last[p.name]
			}
		}
		if err := err(); err != nil {
			all[p.name] = err
		}
	}
	return all
}

// run looks at the parts until ctx ends, and tells the log when one fails and when it is back.
func (h *health) run(ctx context.Context) {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	for {
		for _, p := range h.parts {
			h.saw(p.name, p.healthy())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (h *health) saw(name string, err error) {
	h.mu.Lock()
	before := h.last[name]
	h.last[name] = err
	h.mu.Unlock()
	switch {
	case before == nil && err != nil:
		h.ready.WithLabelValues(name).Set(0)
		h.log.Error("a part fails: not ready until it is back", "name", name, "err", err)
	case before != nil && err == nil:
		h.ready.WithLabelValues(name).Set(1)
		h.log.Info("a part is back", "name", name)
	}
}
