package router

import "github.com/prometheus/client_golang/prometheus"

// eviction says why a room was forgotten.
type eviction uint8

const (
	evictedIdle eviction = iota // nobody used it for a while
	evictedFull                 // another room needed the place
	evictions
)

func (e eviction) String() string {
	if e == evictedFull {
		return "full"
	}
	return "idle"
}

type metrics struct {
	deliveries prometheus.Counter
	multicast  prometheus.Counter
	crowded    prometheus.Counter
	built      prometheus.Counter
	full       prometheus.Counter
	evicted    [evictions]prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, r *Router) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		reg.MustRegister(c)
		return c
	}
	gauge := func(name, help string, f func() int) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return float64(f()) }))
	}
	m := &metrics{
		deliveries: counter("tolkflip_router_deliveries_total", "Events handed to the loops, by connection, for users looked up one by one."),
		multicast:  counter("tolkflip_router_multicast_total", "Events handed to the loops, by connection, for the members of a group."),
		crowded:    counter("tolkflip_router_crowded_total", "Connections closed because their user opened too many others."),
		built:      counter("tolkflip_router_rooms_built_total", "Groups whose members were read into memory."),
		full:       counter("tolkflip_router_rooms_full_total", "Groups that found no place in memory: refused as busy."),
	}
	evicted := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tolkflip_router_rooms_evicted_total",
		Help: "Groups that were forgotten, by reason.",
	}, []string{"reason"})
	reg.MustRegister(evicted)
	for e := range evictions {
		m.evicted[e] = evicted.WithLabelValues(e.String())
	}
	gauge("tolkflip_router_connections", "Authenticated connections in the table.", func() int { _, n := r.Counts(); return n })
	gauge("tolkflip_router_users", "Users with at least one connection.", func() int { n, _ := r.Counts(); return n })
	gauge("tolkflip_router_rooms", "Groups in memory.", func() int { n, _ := r.roomCounts(); return n })
	gauge("tolkflip_router_room_members", "Members of the groups in memory.", func() int { _, n := r.roomCounts(); return n })
	gauge("tolkflip_router_revocations", "Revocations in memory.", func() int {
		if g := r.gate.Load(); g != nil {
			return g.Len()
		}
		return 0
	})
	return m
}

func (r *Router) roomCounts() (rooms, members int) {
	if r.rooms == nil {
		return 0, 0
	}
	return r.rooms.counts()
}
