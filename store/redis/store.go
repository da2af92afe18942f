package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/rueidis"

	"github.com/tolkflip/tolkflip/store"
)

// Store keeps what may be forgotten, in Redis. Its accessors give views that share its connections.
type Store struct {
	client  *client
	recency *recency
	leases  *leases
	fanout  *fanout
	health  *health

	stop   func() // ends the health check, and waits for it
	closed sync.Once
}

// Open connects, and tries everything that a server will ask for, so that a wrong password, a missing
// permission or the wrong kind of server is an error now, which says what to check. It needs the servers
// to be there; later on they may come and go.
func Open(ctx context.Context, cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &client{cfg: cfg, room: make(chan struct{}, cfg.InFlight)}
	var err error
	if c.metrics, err = newMetrics(reg); err != nil {
		return nil, fmt.Errorf("redis: register metrics: %w", err)
	}
	if err := c.connect(ctx); err != nil {
		return nil, err
	}
	s := &Store{client: c, recency: newRecency(c), leases: newLeases(c, cfg.Node), fanout: newFanout(c)}
	s.health = newHealth(c, log, s.recency.pay, s.fanout.pay)
	if err := s.probe(ctx); err != nil {
		c.driver.Close()
		return nil, err
	}
	within, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.health.run(within)
	}()
	s.stop = func() {
		cancel()
		<-done
	}
	return s, nil
}

// connect makes the driver's client. The driver does not know ctx there, so it is waited for beside it.
func (c *client) connect(ctx context.Context) error {
	option, err := c.cfg.option()
	if err != nil {
		return err
	}
	type result struct {
		driver rueidis.Client
		err    error
	}
	made := make(chan result, 1)
	go func() {
		d, err := rueidis.NewClient(option)
		made <- result{d, err}
	}()
	select {
	case r := <-made:
		if r.err != nil && r.driver != nil {
			r.driver.Close()
		}
		if r.err != nil {
			return c.connectFailed(ctx, r.err)
		}
		c.driver = r.driver
		return nil
	case <-ctx.Done():
		go func() {
			if r := <-made; r.driver != nil {
				r.driver.Close()
			}
		}()
		return c.connectFailed(ctx, ctx.Err())
	}
}

// connectFailed says which server was meant.
func (c *client) connectFailed(ctx context.Context, err error) error {
	err = c.fail(ctx, healthCheck, err)
	var f *failure
	if errors.As(err, &f) {
		f.doing = "connect"
		if f.advice == "" && f.why == failedTimeout && c.cfg.TLSCA != "" {
			f.advice = noTLS
		}
	}
	return err
}

// option is the configuration as the driver takes it.
func (c Config) option() (rueidis.ClientOption, error) {
	t, err := c.tlsConfig()
	if err != nil {
		return rueidis.ClientOption{}, err
	}
	dialer := net.Dialer{Timeout: c.DialTimeout, KeepAlive: c.DeadAfter / 3} // it also pings as often
	o := rueidis.ClientOption{
		InitAddress:         c.Addresses,
		Username:            c.User,
		Password:            c.Password,
		SelectDB:            c.Database,
		ClientName:          "tolkflip",
		ClientSetInfo:       rueidis.DisableClientSetInfo, // a command that Redis 7.0 does not know
		TLSConfig:           t,
		Dialer:              dialer,
		ConnWriteTimeout:    c.DeadAfter,
		ReadBufferEachConn:  64 << 10,
		WriteBufferEachConn: 64 << 10,
		DisableCache:        true,
		AlwaysPipelining:    true, // else a call that runs out of time closes the connection of all
	}
	switch c.Mode {
	case Sentinel:
		o.Sentinel = rueidis.SentinelOption{
			MasterSet: c.Master, Username: c.SentinelUser, Password: c.SentinelPassword,
			TLSConfig: t, Dialer: dialer, TopologyRefreshInterval: c.DeadAfter,
		}
	case Cluster:
		o.ClusterOption = rueidis.ClusterOption{ShardsRefreshInterval: c.DeadAfter, MaxMovedRedirections: 5}
	case Standalone:
		o.ForceSingleClient = true
	}
	return o, nil
}

// Codes gives verification codes. Without Redis they are ErrBusy.
func (s *Store) Codes() store.Codes { return codes{s.client} }

// Limits gives rate limits. Without Redis they are counted by Config.Fallback.
func (s *Store) Limits() store.Limits { return limits{s.client} }

// Recency gives the order of users' threads.
func (s *Store) Recency() store.Recency { return s.recency }

// Leases gives who is connected where; they speak for Config.Node.
func (s *Store) Leases() store.Leases { return s.leases }

// Fanout gives what tells other nodes of revocations.
func (s *Store) Fanout() store.Fanout { return s.fanout }

// Responses gives the response cache.
func (s *Store) Responses() store.Responses { return responses{s.client} }

// Healthy names what keeps Redis from answering, as of a moment ago; nil where it answers.
func (s *Store) Healthy() error { return s.health.error() }

// Close gives the leases back and closes the connections. Calls that come later are store.ErrClosed.
func (s *Store) Close() error {
	s.closed.Do(func() {
		s.stop()
		s.leases.close()
		s.client.closed.Store(true)
		s.client.driver.Close()
	})
	return nil
}
