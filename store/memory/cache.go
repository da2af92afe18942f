package memory

import (
	"errors"
	"time"

	"github.com/tolkflip/tolkflip/store"
)

// CacheConfig bounds the tables of what may be forgotten.
type CacheConfig struct {
	Codes     int // phones that may have a code, and grants that may stand, at once
	Windows   int // rate-limit windows that may be counted at once
	Places    int // places in the lists of Recency, of all users; 24 bytes each
	Leases    int // leases on a Board, of all nodes
	Responses int // bytes of Responses, keys included

	RecencyLife time.Duration // a user's list is built anew after this at the latest
	FillLife    time.Duration // how long Touches are kept for a Fill that is awaited
	LeaseLapse  time.Duration // how long an abandoned node's leases are seen
	Dropped     time.Duration // how long a Drop is remembered against an older Put

	Now func() time.Time // what expiry is measured by
}

// DefaultCache is the configuration of a server.
func DefaultCache() CacheConfig {
	return CacheConfig{
		Codes: 100_000, Windows: 256_000, Places: 2_000_000, Leases: 4_000_000, Responses: 64 << 20,
		RecencyLife: 6 * time.Hour, FillLife: 2 * time.Minute, LeaseLapse: store.LeaseLapse, Dropped: 2 * time.Minute,
		Now: time.Now,
	}
}

// Validate names what is wrong with c.
func (c CacheConfig) Validate() error {
	if c.Codes < 1 || c.Windows < 1 || c.Places < 1 || c.Leases < 1 || c.Responses < 1 {
		return errors.New("memory: table sizes must be positive")
	}
	if c.RecencyLife <= 0 || c.FillLife <= 0 || c.LeaseLapse <= 0 || c.Dropped <= 0 {
		return errors.New("memory: lives must be positive")
	}
	if c.Now == nil {
		return errors.New("memory: no clock")
	}
	return nil
}
