package memory

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// Board is where the nodes of one process tell each other who is connected and what was revoked. A server
// alone has one to itself; tests of several servers in one process share one.
type Board struct {
	cfg     CacheConfig
	metrics *Metrics

	mu    sync.Mutex
	nodes map[store.Node]*seat
	held  int
}

// seat is what a board has of a node.
type seat struct {
	users map[id.User]struct{}
	ends  time.Time // zero while the node lives
	ears  map[*ear]struct{}
}

// NewBoard makes a board without nodes.
func NewBoard(cfg CacheConfig, m *Metrics) (*Board, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Board{cfg: cfg, metrics: m, nodes: map[store.Node]*seat{}}, nil
}

// seat gives a node's, made if need be; mu is held.
func (b *Board) seat(n store.Node) *seat {
	s := b.nodes[n]
	if s == nil {
		s = &seat{users: map[id.User]struct{}{}, ears: map[*ear]struct{}{}}
		b.nodes[n] = s
	}
	return s
}

// sweep forgets the leases of nodes that were abandoned long enough ago; mu is held.
func (b *Board) sweep() {
	now := b.cfg.Now()
	for _, s := range b.nodes {
		if !s.ends.IsZero() && !now.Before(s.ends) {
			b.empty(s)
		}
	}
}

func (b *Board) empty(s *seat) {
	b.held -= len(s.users)
	clear(s.users)
}

// Leases are one node's on a board.
type Leases struct {
	board *Board
	node  store.Node
}

// Leases gives a node's leases, of which there are none yet.
func (b *Board) Leases(n store.Node) *Leases {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.seat(n)
	b.empty(s)
	s.ends = time.Time{}
	return &Leases{b, n}
}

// Hold notes that users are connected here.
func (l *Leases) Hold(_ context.Context, users ...id.User) error {
	b := l.board
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.seat(l.node)
	for _, u := range users {
		if _, ok := s.users[u]; ok {
			continue
		}
		if b.held >= b.cfg.Leases {
			b.metrics.leasesRefused.Inc()
			return store.ErrBusy
		}
		s.users[u] = struct{}{}
		b.held++
	}
	return nil
}

// Release notes that they are not.
func (l *Leases) Release(_ context.Context, users ...id.User) error {
	b := l.board
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.seat(l.node)
	for _, u := range users {
		if _, ok := s.users[u]; ok {
			delete(s.users, u)
			b.held--
		}
	}
	return nil
}

// Of gives the nodes of users.
func (l *Leases) Of(_ context.Context, users []id.User) ([][]store.Node, error) {
	b := l.board
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweep()
	list := make([][]store.Node, len(users))
	for i, u := range users {
		for n, s := range b.nodes {
			if _, ok := s.users[u]; ok {
				list[i] = append(list[i], n)
			}
		}
		slices.SortFunc(list[i], func(a, b store.Node) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	}
	return list, nil
}

// Close gives the leases back.
func (l *Leases) Close() error {
	l.board.mu.Lock()
	defer l.board.mu.Unlock()
	l.board.empty(l.board.seat(l.node))
	return nil
}

// Abandon leaves the leases to lapse, as those of a process that was killed.
func (l *Leases) Abandon() {
	l.board.mu.Lock()
	defer l.board.mu.Unlock()
	l.board.seat(l.node).ends = l.board.cfg.Now().Add(l.board.cfg.LeaseLapse)
}

// Fanout is one node's on a board. Nothing is lost here, save for who listens too slowly.
type Fanout struct {
	board *Board
	node  store.Node
}

// Fanout gives a node's.
func (b *Board) Fanout(n store.Node) *Fanout { return &Fanout{b, n} }

// noticesAtOnce may wait for a listener; beyond, it is told that it missed some.
const noticesAtOnce = 4096

// fanoutRetry is how long after a failed missed the next is.
const fanoutRetry = time.Second

// ear is what waits for a listener; the board's mu guards it.
type ear struct {
	wake   chan struct{}
	told   []store.Revocation
	missed bool
}

// Publish tells the other nodes.
func (f *Fanout) Publish(_ context.Context, r store.Revocation) error {
	b := f.board
	b.mu.Lock()
	defer b.mu.Unlock()
	for n, s := range b.nodes {
		if n == f.node {
			continue
		}
		for e := range s.ears {
			if len(e.told) < noticesAtOnce {
				e.told = append(e.told, r)
			} else if !e.missed {
				e.missed = true
				b.metrics.fanoutMissed.Inc()
			}
			select {
			case e.wake <- struct{}{}:
			default:
			}
		}
	}
	return nil
}

// Listen hands on what the others publish, until ctx ends.
func (f *Fanout) Listen(ctx context.Context, told func(store.Revocation), missed func(context.Context) error) {
	b := f.board
	e := &ear{wake: make(chan struct{}, 1), missed: true}
	e.wake <- struct{}{}
	b.mu.Lock()
	b.seat(f.node).ears[e] = struct{}{}
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.seat(f.node).ears, e)
		b.mu.Unlock()
	}()
	var again <-chan time.Time
	for {
		failed := false
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		case <-again:
			failed = true
		}
		b.mu.Lock()
		list, all := e.told, e.missed || failed
		e.told, e.missed = nil, false
		b.mu.Unlock()
		for _, r := range list {
			told(r)
		}
		if all {
			again = nil
			if missed(ctx) != nil {
				again = time.After(fanoutRetry)
			}
		}
	}
}
