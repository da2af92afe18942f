package conn

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// dropReason is why an event did not reach a connection.
type dropReason uint8

const (
	dropGone  dropReason = iota // the connection was closed before it got there
	dropInbox                   // the loop's inbox was over its budget
	dropHold                    // a hold overflowed: the resume sends it again
	dropReasons
)

func (r dropReason) String() string { return [...]string{"gone", "inbox", "hold"}[r] }

// closeReason is why a connection ended.
type closeReason uint8

const (
	closedByPeer          closeReason = iota // the client closed
	closedByError                            // the socket failed
	closedByProtocol                         // the client broke RFC 6455 or a size limit
	closedByPanic                            // a bug of ours
	closedByRule                             // Sink.Close with another code
	closedToken                              // 4401: refused or revoked
	closedExpired                            // 4401: the token expired
	closedUnauthenticated                    // 4408: no token in time
	closedSilent                             // 4408: no answer to a ping
	closedSlow                               // 4413
	closedTooFast                            // 4429
	closedOverloaded                         // 4503
	closedDraining                           // 1001
	closedHandshake                          // no head in time, or cut before the handshake
	closeReasons
)

func (r closeReason) String() string {
	return [...]string{
		"peer", "error", "protocol", "panic", "rule", "token", "expired", "unauthenticated", "silent",
		"slow", "too_fast", "overloaded", "draining", "handshake",
	}[r]
}

// refusal is why a socket or a request got no further.
type refusal uint8

const (
	notRefused         refusal = iota
	refusedFull                // MaxConnections
	refusedAddress             // PerAddress
	refusedDescriptors         // EMFILE or ENFILE at accept
	refusedTable               // no place in the connection table
	refusedEpoll               // epoll would not have it
	refusedStopping            // shutting down
	refusedHTTPFull            // HTTPConnections
	refusedHandOver            // EMFILE at the hand-over to an HTTP server
	refusedHead                // a head that is malformed, too large, late or no valid handshake
	refusals
)

func (r refusal) String() string {
	return [...]string{
		"none", "full", "address", "descriptors", "table", "epoll", "stopping", "http_full", "hand_over", "head",
	}[r]
}

// message is what the client reads.
func (r refusal) message() string {
	switch r {
	case refusedAddress:
		return "too many connections from this address"
	case refusedStopping:
		return "shutting down"
	default:
		return "too many connections"
	}
}

// counter has one writer, its loop, and any number of readers: adding is a load and a store.
type counter struct{ n atomic.Int64 }

func (c *counter) add(n int64)  { c.n.Store(c.n.Load() + n) }
func (c *counter) value() int64 { return c.n.Load() }

// loopStats is what a loop counts.
type loopStats struct {
	sockets   counter // open WebSockets
	authed    counter // of those, authenticated ones
	sides     counter // busy connections
	upgrades  counter
	handed    counter // to HTTP servers
	reads     counter // system calls that read something
	writes    counter // system calls
	bytesIn   counter
	bytesOut  counter
	framesIn  counter // data frames
	framesOut counter // frames that left, control frames written at once excepted
	pings     counter
	pauses    counter // reading was stopped for a full mailbox
	broken    counter // protocol errors
	overflows counter // of holds
	passes    counter
	passNanos counter
	dropped   [dropReasons]counter
	closed    [closeReasons]counter
}

// serverStats is what several goroutines count.
type serverStats struct {
	accepted      atomic.Int64
	acceptErrors  atomic.Int64
	refused       [refusals]atomic.Int64
	dropped       [dropReasons]atomic.Int64
	authenticated atomic.Int64
	shutOut       atomic.Int64
	invalid       atomic.Int64
	stalls        atomic.Int64
	panics        atomic.Int64
	tasks         atomic.Int64
	taskNanos     atomic.Int64
}

// metrics gives a server's figures to Prometheus when it asks. Loops count without a shared cache line,
// and nothing is added up before.
type metrics struct {
	server *Server
	figs   []figure
}

// figure is one time series.
type figure struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	labels []string
	value  func(*Server) float64
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	var last *prometheus.Desc
	for _, f := range m.figs {
		if f.desc != last {
			ch <- f.desc
			last = f.desc
		}
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for _, f := range m.figs {
		ch <- prometheus.MustNewConstMetric(f.desc, f.kind, f.value(m.server), f.labels...)
	}
}

const namespace = "tolkflip_conn_"

func (m *metrics) add(kind prometheus.ValueType, name, help string, value func(*Server) float64) {
	m.figs = append(m.figs, figure{desc: prometheus.NewDesc(namespace+name, help, nil, nil), kind: kind, value: value})
}

// sum adds a counter that every loop has.
func (m *metrics) sum(kind prometheus.ValueType, name, help string, pick func(*loopStats) *counter) {
	m.add(kind, name, help, func(s *Server) float64 { return float64(s.sum(pick)) })
}

// each adds a counter with a label of n values.
func (m *metrics) each(name, help, label string, n int, text func(int) string, value func(*Server, int) int64) {
	d := prometheus.NewDesc(namespace+name, help, []string{label}, nil)
	for i := range n {
		m.figs = append(m.figs, figure{
			desc: d, kind: prometheus.CounterValue, labels: []string{text(i)},
			value: func(s *Server) float64 { return float64(value(s, i)) },
		})
	}
}

// sum adds up a counter of all loops.
func (s *Server) sum(pick func(*loopStats) *counter) (n int64) {
	for _, l := range s.loops {
		n += pick(&l.stats).value()
	}
	return n
}

func newMetrics(s *Server) *metrics {
	const up, level = prometheus.CounterValue, prometheus.GaugeValue
	m := &metrics{server: s}
	m.add(level, "connections", "Sockets that the loops own.", func(s *Server) float64 { return float64(s.open.Load()) })
	m.add(level, "http_connections", "Sockets that are with the HTTP servers.", func(s *Server) float64 { return float64(s.withHTTP.Load()) })
	m.add(level, "input_bytes", "Incomplete and waiting input.", func(s *Server) float64 { return float64(s.input.Load()) })
	m.add(level, "run_queue", "Mailboxes and feeds that wait for a worker.", func(s *Server) float64 { return float64(s.queue.depth.Load()) })
	m.add(level, "inbox", "Items of the inboxes' last turns.", func(s *Server) (n float64) {
		for _, l := range s.loops {
			n += float64(l.inbox.depth.Load())
		}
		return n
	})
	m.add(level, "table_bytes", "Memory of the connection table.", func(s *Server) float64 { return float64(s.slots.mapped.Load()) * float64(chunkBytes) })
	m.add(up, "accepted_total", "Sockets accepted.", func(s *Server) float64 { return float64(s.stats.accepted.Load()) })
	m.add(up, "accept_errors_total", "Failed accepts.", func(s *Server) float64 { return float64(s.stats.acceptErrors.Load()) })
	m.add(up, "authenticated_total", "Accepted tokens.", func(s *Server) float64 { return float64(s.stats.authenticated.Load()) })
	m.add(up, "refused_tokens_total", "Refused tokens.", func(s *Server) float64 { return float64(s.stats.shutOut.Load()) })
	m.add(up, "invalid_total", "Messages that were not understood.", func(s *Server) float64 { return float64(s.stats.invalid.Load()) })
	m.add(up, "stalls_total", "Mailboxes that waited for sends in flight.", func(s *Server) float64 { return float64(s.stats.stalls.Load()) })
	m.add(up, "panics_total", "Panics that cost one connection.", func(s *Server) float64 { return float64(s.stats.panics.Load()) })
	m.add(up, "tasks_total", "Turns of mailboxes and feeds at workers.", func(s *Server) float64 { return float64(s.stats.tasks.Load()) })
	m.add(up, "task_seconds_total", "Time of those.", func(s *Server) float64 { return float64(s.stats.taskNanos.Load()) / 1e9 })
	m.loops()
	m.each("refused_total", "Sockets and requests that got no further.", "reason", int(refusals)-1,
		func(i int) string { return refusal(i + 1).String() },
		func(s *Server, i int) int64 { return s.stats.refused[i+1].Load() })
	m.each("dropped_total", "Events that did not reach a connection.", "reason", int(dropReasons),
		func(i int) string { return dropReason(i).String() }, (*Server).dropped)
	m.each("closed_total", "Connections that ended.", "reason", int(closeReasons),
		func(i int) string { return closeReason(i).String() },
		func(s *Server, i int) int64 { return s.sum(func(l *loopStats) *counter { return &l.closed[i] }) })
	return m
}

// loops adds what the loops count.
func (m *metrics) loops() {
	const up, level = prometheus.CounterValue, prometheus.GaugeValue
	m.sum(level, "sockets", "Open WebSockets.", func(l *loopStats) *counter { return &l.sockets })
	m.sum(level, "authenticated", "Authenticated WebSockets.", func(l *loopStats) *counter { return &l.authed })
	m.sum(level, "busy", "Connections with something that waits, at the last tick.", func(l *loopStats) *counter { return &l.sides })
	m.sum(up, "upgrades_total", "WebSocket handshakes.", func(l *loopStats) *counter { return &l.upgrades })
	m.sum(up, "handed_over_total", "Connections given to HTTP servers.", func(l *loopStats) *counter { return &l.handed })
	m.sum(up, "reads_total", "Reads that gave something.", func(l *loopStats) *counter { return &l.reads })
	m.sum(up, "writes_total", "Writes.", func(l *loopStats) *counter { return &l.writes })
	m.sum(up, "received_bytes_total", "Bytes read.", func(l *loopStats) *counter { return &l.bytesIn })
	m.sum(up, "sent_bytes_total", "Bytes written.", func(l *loopStats) *counter { return &l.bytesOut })
	m.sum(up, "received_frames_total", "Data frames read.", func(l *loopStats) *counter { return &l.framesIn })
	m.sum(up, "sent_frames_total", "Frames written.", func(l *loopStats) *counter { return &l.framesOut })
	m.sum(up, "pings_total", "Pings to silent clients.", func(l *loopStats) *counter { return &l.pings })
	m.sum(up, "pauses_total", "Times that reading stopped for a full mailbox.", func(l *loopStats) *counter { return &l.pauses })
	m.sum(up, "protocol_errors_total", "Broken rules of RFC 6455.", func(l *loopStats) *counter { return &l.broken })
	m.sum(up, "hold_overflows_total", "Holds of resumes that overflowed.", func(l *loopStats) *counter { return &l.overflows })
	m.sum(up, "passes_total", "Turns of the loops' inboxes.", func(l *loopStats) *counter { return &l.passes })
	m.add(up, "pass_seconds_total", "Time of those.", func(s *Server) float64 {
		return float64(s.sum(func(l *loopStats) *counter { return &l.passNanos })) / 1e9
	})
}

// dropped is how many events were dropped for a reason.
func (s *Server) dropped(i int) int64 {
	return s.stats.dropped[i].Load() + s.sum(func(l *loopStats) *counter { return &l.dropped[i] })
}
