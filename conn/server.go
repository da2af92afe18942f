package conn

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/tolkflip/tolkflip/proto/ws"
)

// Server is the connections of a node: the listening sockets, the loops and the workers. It is a
// router.Sink and a router.Replayer from New on. Call Listen for each port, then Start, then Shutdown; a
// server that is not started must be shut down too.
type Server struct {
	config Config
	ticks  waits
	log    *slog.Logger
	rules  Rules // set by Start

	slots     *table
	loops     []*loop
	dialects  []dialect
	ports     []*port // fixed from Start on
	acceptor  *acceptor
	queue     *runQueue
	addresses addressTable

	frames  frames
	buffers buffers
	batches sync.Pool // of *batch
	casts   sync.Pool // of *multicast
	mails   sync.Pool // of *mailbox

	open     atomic.Int64  // connections
	withHTTP atomic.Int64  // connections at HTTP servers
	input    atomic.Int64  // bytes of input that wait
	turn     atomic.Uint64 // the loop of the next connection
	stats    serverStats
	one      [8]byte // what is written to an eventfd
	ping     [2]byte

	started  atomic.Bool
	stopping atomic.Bool
	seating  sync.RWMutex // held for reading by Adopt while it may touch the table
	stopped  sync.Once
	running  struct {
		loops   sync.WaitGroup
		workers sync.WaitGroup
	}
	stopErr error
}

// waits is the configuration's times in ticks.
type waits struct{ header, auth, ping, pong, close uint32 }

// New makes a server with its loops, which do not run yet.
func New(cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, fmt.Errorf("conn: read the limit of descriptors: %w", err)
	}
	s := &Server{
		config: cfg, log: log, slots: newTable(limit.Max), queue: newRunQueue(),
		dialects: []dialect{actionJSON{}},
		one:      [8]byte{1}, // any nonzero count, in either byte order
		ping:     [2]byte(ws.AppendFrame(nil, ws.Ping, nil)),
		ticks: waits{
			header: cfg.ticks(cfg.HeaderTimeout), auth: cfg.ticks(cfg.AuthTimeout), ping: cfg.ticks(cfg.PingAfter),
			pong: cfg.ticks(cfg.PongTimeout), close: cfg.ticks(cfg.CloseTimeout),
		},
	}
	for i := range cfg.Loops {
		l, err := newLoop(s, i)
		if err != nil {
			s.freeLoops()
			return nil, fmt.Errorf("conn: %w", err)
		}
		s.loops = append(s.loops, l)
	}
	if err := reg.Register(newMetrics(s)); err != nil {
		s.freeLoops()
		return nil, fmt.Errorf("conn: register the metrics: %w", err)
	}
	return s, nil
}

func (s *Server) freeLoops() {
	for _, l := range s.loops {
		l.free()
	}
}

// Listen opens a port and gives the address that it got. Clients can connect from now on and are accepted
// from Start on.
func (s *Server) Listen(p Port) (net.Addr, error) {
	switch {
	case s.started.Load() || s.stopping.Load():
		return nil, errors.New("conn: listen: the server was started")
	case s.portIndex(p.Name) >= 0:
		return nil, fmt.Errorf("conn: listen: port %q is there already", p.Name)
	case len(s.ports) == 256:
		return nil, errors.New("conn: listen: more than 256 ports")
	}
	fd, addr, err := listen(p.Addr)
	if err != nil {
		return nil, err
	}
	s.ports = append(s.ports, &port{
		name: p.Name, sockets: slices.Clone(p.Sockets), fd: fd, http: newHTTPListener(s, addr),
	})
	return addr, nil
}

func (s *Server) portIndex(name string) int {
	return slices.IndexFunc(s.ports, func(p *port) bool { return p.name == name })
}

// HTTP is the listener of a port for an HTTP server: all requests that are not for a socket. It is nil for
// a name that Listen was not given.
func (s *Server) HTTP(name string) net.Listener {
	if i := s.portIndex(name); i >= 0 {
		return s.ports[i].http
	}
	return nil
}

// Start accepts connections and serves them by the rules.
func (s *Server) Start(r Rules) error {
	if r.Gate == nil || r.Table == nil || r.Chat == nil || r.Presence == nil {
		return errors.New("conn: start: a rule is missing")
	}
	if s.stopping.Load() {
		return ErrShutDown
	}
	if !s.started.CompareAndSwap(false, true) {
		return errors.New("conn: start: the server was started")
	}
	s.rules = r
	a, err := newAcceptor(s)
	if err != nil {
		s.started.Store(false)
		return err
	}
	s.acceptor = a
	for _, l := range s.loops {
		s.running.loops.Go(func() {
			if err := l.run(); err != nil {
				s.log.Error("event loop ended", "error", err)
			}
		})
	}
	for range s.config.Workers {
		s.running.workers.Go((&worker{server: s}).loop)
	}
	go a.run()
	return nil
}

// panicked counts and logs a panic. The text is logged only when the runtime wrote it: any other might hold
// what a client sent. The stack holds no content.
func (s *Server) panicked(where string, cause any, stack []byte) {
	s.stats.panics.Add(1)
	text := fmt.Sprintf("%T", cause)
	if e, ok := cause.(runtime.Error); ok {
		text = e.Error()
	}
	s.log.Error("panic", "where", where, "cause", text, "stack", string(stack))
}

// Stats is a snapshot for an operator's screen.
type Stats struct {
	Connections   int64 // sockets that the loops own
	Sockets       int64 // of those, WebSockets
	Authenticated int64 // of those, authenticated ones
	HTTP          int64 // sockets at HTTP servers
	Busy          int64 // connections with something that waits
	InputBytes    int64 // incomplete and waiting input
	RunQueue      int64 // mailboxes and feeds that wait for a worker
	Accepted      int64 // since the start, as all below
	FramesIn      int64
	FramesOut     int64
	BytesIn       int64
	BytesOut      int64
	Writes        int64
	Dropped       int64 // events that did not reach a connection
	Slow          int64 // connections closed with 4413
	Pauses        int64 // times that reading stopped
	Panics        int64
}

// Stats adds up the loops' figures.
func (s *Server) Stats() Stats {
	st := Stats{
		Connections: s.open.Load(), HTTP: s.withHTTP.Load(), InputBytes: s.input.Load(),
		RunQueue: s.queue.depth.Load(), Accepted: s.stats.accepted.Load(), Panics: s.stats.panics.Load(),
		Sockets:       s.sum(func(l *loopStats) *counter { return &l.sockets }),
		Authenticated: s.sum(func(l *loopStats) *counter { return &l.authed }),
		Busy:          s.sum(func(l *loopStats) *counter { return &l.sides }),
		FramesIn:      s.sum(func(l *loopStats) *counter { return &l.framesIn }),
		FramesOut:     s.sum(func(l *loopStats) *counter { return &l.framesOut }),
		BytesIn:       s.sum(func(l *loopStats) *counter { return &l.bytesIn }),
		BytesOut:      s.sum(func(l *loopStats) *counter { return &l.bytesOut }),
		Writes:        s.sum(func(l *loopStats) *counter { return &l.writes }),
		Pauses:        s.sum(func(l *loopStats) *counter { return &l.pauses }),
		Slow:          s.sum(func(l *loopStats) *counter { return &l.closed[closedSlow] }),
	}
	for r := range int(dropReasons) {
		st.Dropped += s.dropped(r)
	}
	return st
}
