package memory

import (
	"context"
	"crypto/subtle"
	"sync"
	"time"

	"github.com/tolkflip/tolkflip/store"
)

// Codes keeps verification codes in a bounded table. A full one refuses new codes (ErrBusy, counted):
// to drop older ones instead would let a stranger's requests take a person's code away.
type Codes struct {
	cfg     CacheConfig
	metrics *Metrics

	mu     sync.Mutex
	codes  expiring[string, code]
	grants expiring[grant, struct{}]
}

type code struct {
	digits string
	left   int
}

type grant struct{ phone, address string }

// NewCodes makes an empty table.
func NewCodes(cfg CacheConfig, m *Metrics) (*Codes, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Codes{
		cfg: cfg, metrics: m,
		codes:  newExpiring[string, code](cfg.Codes),
		grants: newExpiring[grant, struct{}](cfg.Codes),
	}, nil
}

// Put stores a code for a phone, in place of any other.
func (c *Codes) Put(_ context.Context, phone, digits string, ttl time.Duration, tries int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	return c.kept(c.codes.put(phone, code{digits, tries}, now, now.Add(ttl)))
}

// Try compares and counts.
func (c *Codes) Try(_ context.Context, phone, digits string) (store.Verdict, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ends, ok := c.codes.get(phone, c.cfg.Now())
	if !ok {
		return store.Verdict{Expired: true}, nil
	}
	if k.left <= 0 {
		c.codes.remove(phone)
		return store.Verdict{TooMany: true}, nil
	}
	if subtle.ConstantTimeCompare([]byte(k.digits), []byte(digits)) == 1 {
		c.codes.remove(phone)
		return store.Verdict{OK: true}, nil
	}
	k.left--
	c.codes.replace(phone, k, ends)
	return store.Verdict{Left: k.left}, nil
}

// Grant notes that a phone was verified from an address.
func (c *Codes) Grant(_ context.Context, phone, address string, ttl time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	return c.kept(c.grants.put(grant{phone, address}, struct{}{}, now, now.Add(ttl)))
}

// Granted reports whether a grant stands.
func (c *Codes) Granted(_ context.Context, phone, address string, take bool) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := grant{phone, address}
	_, _, ok := c.grants.get(k, c.cfg.Now())
	if ok && take {
		c.grants.remove(k)
	}
	return ok, nil
}

func (c *Codes) kept(ok bool) error {
	if ok {
		return nil
	}
	c.metrics.codesRefused.Inc()
	return store.ErrBusy
}
