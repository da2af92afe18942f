package httpapi

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// refusal reasons: why a request or a connection was turned away before its handler.
type refusedReason uint8

const (
	refusedNoToken     refusedReason = iota // the route needs a token and none came
	refusedToken                            // the token or the internal key is not accepted
	refusedLimit                            // over the user's or the address's limit
	refusedBody                             // the body is over its limit
	refusedHead                             // the head is over its limit
	refusedSlow                             // head or body did not arrive in time
	refusedMalformed                        // not HTTP, or it ended half way
	refusedConnections                      // over MaxConnections
	refusedUpgrade                          // the engine did not take the socket
	refusedReasons
)

// String is the reason as a label.
func (r refusedReason) String() string {
	return [...]string{
		"no_token", "bad_token", "limit", "body_too_large", "head_too_large", "too_slow", "malformed",
		"too_many_connections", "upgrade",
	}[r]
}

// lingerEnd says how reading away what a refused client still sent came to its end.
type lingerEnd uint8

const (
	lingerDone lingerEnd = iota // the client closed
	lingerCut                   // it went on for too long, or the server stops
	lingerFull                  // too many linger already: it did not begin
	lingerEnds
)

// String is the end as a label.
func (e lingerEnd) String() string { return [...]string{"done", "cut", "full"}[e] }

type metrics struct {
	requests    *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	inFlight    prometheus.Gauge
	connections prometheus.Gauge
	panics      prometheus.Counter
	limitErrors prometheus.Counter
	refused     [refusedReasons]prometheus.Counter
	lingers     [lingerEnds]prometheus.Counter

	mu     sync.Mutex // guards routes
	routes map[[3]string]*routeCounts
}

// statusClasses label the first digit of a status.
var statusClasses = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx"} //nolint:gochecknoglobals // a table

// routeCounts are the series of one route, looked up once.
type routeCounts struct {
	class   [len(statusClasses)]prometheus.Counter
	seconds prometheus.Observer
}

func (c *routeCounts) observe(status int, took time.Duration) {
	class := min(max(status/100, 1), len(c.class))
	c.class[class-1].Inc()
	c.seconds.Observe(took.Seconds())
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tolkflip_http_requests_total", Help: "Requests answered, by route template and status class.",
		}, []string{"service", "method", "route", "class"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tolkflip_http_request_seconds", Help: "Time from a request's last byte to its reply, by service.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5},
		}, []string{"service"}),
		inFlight:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "tolkflip_http_in_flight", Help: "Requests being answered."}),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{Name: "tolkflip_http_connections", Help: "Open HTTP connections."}),
		panics:      prometheus.NewCounter(prometheus.CounterOpts{Name: "tolkflip_http_panics_total", Help: "Handlers that panicked."}),
		limitErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tolkflip_http_limit_errors_total", Help: "Requests let through because their limit could not be counted.",
		}),
		routes: map[[3]string]*routeCounts{},
	}
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tolkflip_http_refused_total", Help: "Requests and connections turned away before a handler, by reason.",
	}, []string{"reason"})
	for r := range refusedReasons {
		m.refused[r] = refused.WithLabelValues(r.String())
	}
	lingers := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tolkflip_http_lingers_total", Help: "Connections refused while they sent, by how reading away the rest ended.",
	}, []string{"end"})
	for e := range lingerEnds {
		m.lingers[e] = lingers.WithLabelValues(e.String())
	}
	reg.MustRegister(lingers, m.requests, m.seconds, m.inFlight, m.connections, m.panics, m.limitErrors, refused)
	return m
}

func (m *metrics) refuse(r refusedReason) { m.refused[r].Inc() }

func (m *metrics) route(service, method, route string) *routeCounts {
	key := [3]string{service, method, route}
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.routes[key]; c != nil {
		return c
	}
	c := &routeCounts{seconds: m.seconds.WithLabelValues(service)}
	for i, class := range statusClasses {
		c.class[i] = m.requests.WithLabelValues(service, method, route, class)
	}
	m.routes[key] = c
	return c
}
