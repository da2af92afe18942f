package httpapi

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/proto/token"
	"github.com/tolkflip/tolkflip/store"
)

// Config is what an operator may set of the HTTP side, for all ports alike.
type Config struct {
	CallTimeout    time.Duration // a handler's own work; over it the client reads 503
	HeaderTimeout  time.Duration // from the first byte of a request to the end of its head
	BodyTimeout    time.Duration // from the end of the head to the end of the body
	WriteTimeout   time.Duration // for sending one reply
	IdleTimeout    time.Duration // between two requests of a connection
	StreamSilence  time.Duration // without a byte of a streamed body, in or out
	StreamRate     int           // bytes a second that a peer keeps up on average in such a body, after the first silence
	ReadBuffer     int           // bytes; the head of a request must fit
	MaxBody        int           // bytes of a JSON body; over it 413
	MaxConnections int           // over all ports; over it 503 and Retry-After
	CompressAbove  int           // bytes of a reply from which it is compressed for those who accept gzip

	// Origins are the web origins that browsers may call from. "*" is any, without credentials.
	Origins []string
	// TrustedProxies are the addresses whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix

	LimitWindow  time.Duration // of the two limits below
	AddressLimit int           // requests without a good token, an address (IPv6: a /64) and window
	UserLimit    int           // requests with one, a user and window

	// Dev exempts loopback addresses from limits by address.
	Dev bool
	// InternalKey opens Internal routes. Empty: they are shut. A secret.
	InternalKey string
}

// Default is what serves well where nothing is configured.
func Default() Config {
	return Config{
		CallTimeout:    15 * time.Second,
		HeaderTimeout:  10 * time.Second,
		BodyTimeout:    30 * time.Second,
		WriteTimeout:   30 * time.Second,
		IdleTimeout:    10 * time.Second,
		StreamSilence:  30 * time.Second,
		StreamRate:     8 << 10,
		ReadBuffer:     8 << 10,
		MaxBody:        1 << 20,
		MaxConnections: 10_000,
		CompressAbove:  1 << 10,
		Origins:        []string{"*"},
		LimitWindow:    15 * time.Minute,
		AddressLimit:   100,
		UserLimit:      6000,
	}
}

// Validate says what cannot be served with.
func (c Config) Validate() error {
	for _, d := range []time.Duration{
		c.CallTimeout, c.HeaderTimeout, c.BodyTimeout, c.WriteTimeout, c.IdleTimeout, c.LimitWindow, c.StreamSilence,
	} {
		if d <= 0 {
			return errors.New("httpapi: every time-out and window must be above 0")
		}
	}
	if c.ReadBuffer < 1<<10 || c.MaxBody < 1 || c.MaxConnections < 1 || c.CompressAbove < 0 || c.StreamRate < 1 {
		return errors.New("httpapi: a size is out of range")
	}
	if c.AddressLimit < 1 || c.UserLimit < 1 {
		return errors.New("httpapi: a limit must be at least 1")
	}
	if c.InternalKey != "" && len(c.InternalKey) < 32 {
		return errors.New("httpapi: the internal key must have at least 32 bytes")
	}
	return nil
}

// Tokens judges access tokens; router.Gate does. A refused one is a *proto.Error whose Message is
// token_expired or invalid_token.
type Tokens interface {
	Check(tok []byte) (token.Claims, error)
}

// Readiness says what keeps the process from serving well, by the part's name; empty when nothing does.
type Readiness interface {
	Ready() map[string]error
}

// Deps are the values that the kit calls. All but Ready and Upgrade are needed.
type Deps struct {
	Tokens  Tokens
	Limits  store.Limits
	Ready   Readiness           // absent: always ready
	Metrics prometheus.Gatherer // what GET /metrics shows
	// Upgrade takes over a connection whose request asked for a WebSocket on one of Service.Sockets. Head
	// is the request as it came and all that was read behind it. The connection is closed when Upgrade
	// returns, so it must have duplicated it by then. On an error nothing was sent yet.
	Upgrade func(c net.Conn, service string, head []byte) error
}

func (d Deps) validate() error {
	if d.Tokens == nil || d.Limits == nil || d.Metrics == nil {
		return errors.New("httpapi: Deps lacks Tokens, Limits or Metrics")
	}
	return nil
}
