package redis

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/tolkflip/tolkflip/store"
)

// Mode is how the servers stand together.
type Mode uint8

// The three ways in which Redis is run.
const (
	Standalone Mode = iota // one server
	Sentinel               // a primary with replicas; sentinels say which is the primary
	Cluster                // several primaries share the keys
)

// String is the scheme of the mode's URLs.
func (m Mode) String() string {
	switch m {
	case Sentinel:
		return "redis+sentinel"
	case Cluster:
		return "redis+cluster"
	default:
		return "redis"
	}
}

// SystemCA in place of a file's name trusts the authorities that the operating system trusts.
const SystemCA = "system"

// Config is how a Store is opened. ParseURL fills in the first part; the rest is for the caller.
type Config struct {
	Mode      Mode
	Addresses []string // host:port; of the sentinels in their mode
	Master    string   // what the sentinels call the primary
	User      string   // ACL user; empty is Redis's "default"
	Database  int      // number of the database; a cluster has only 0
	Prefix    string   // begins every key and channel; what shares a server must not share it

	TLSCA   string // PEM file of the authority that the servers' certificates are signed by, or SystemCA; empty is no TLS
	TLSCert string // PEM file of a certificate that servers may ask for, and of its key
	TLSKey  string
	TLSName string // name in the servers' certificates; empty is the host that was dialed

	SentinelUser string // ACL user at the sentinels

	Password         string // never in a URL; empty is none
	SentinelPassword string // at the sentinels; empty is none

	Node     store.Node   // whom Leases speak for, and who does not hear its own Fanout; required
	Secret   []byte       // keys the hashes of phones, addresses and codes; the same on every node
	Fallback store.Limits // counts while Redis cannot be asked; nil = Take is ErrBusy then

	Timeout     time.Duration // of one call, its waiting included
	DialTimeout time.Duration // of one connection, TLS and login included
	DeadAfter   time.Duration // silence after which a connection is given up; also how late a lost one is noticed
	InFlight    int           // calls at once; beyond, ErrBusy
	HealthEvery time.Duration // how often the servers are looked at

	RecencyLife time.Duration // a user's list is built anew after this at the latest
	FillLife    time.Duration // how long Touches are kept for a Fill that is awaited
	LeaseLife   time.Duration // a node's leases end this long after its last beat
	LeaseBeat   time.Duration // how often a node renews them
	EchoEvery   time.Duration // how often a listener makes sure that it hears itself
	ReloadDeaf  time.Duration // how often a listener that hears nothing is told that it missed some
	ReloadEvery time.Duration // how often one that hears is told so, for a publisher that died
	Dropped     time.Duration // how long a Drop is remembered against an older Put

	Now func() time.Time
}

// Default is the configuration of a server, without an address.
func Default() Config {
	return Config{
		Prefix: "tolkflip:",

		Timeout:     500 * time.Millisecond,
		DialTimeout: 2 * time.Second,
		DeadAfter:   3 * time.Second,
		InFlight:    512,
		HealthEvery: time.Second,

		RecencyLife: 6 * time.Hour,
		FillLife:    2 * time.Minute,
		LeaseLife:   24 * time.Second,
		LeaseBeat:   6 * time.Second,
		EchoEvery:   5 * time.Second,
		ReloadDeaf:  10 * time.Second,
		ReloadEvery: 5 * time.Minute,
		Dropped:     2 * time.Minute,

		Now: time.Now,
	}
}

// Validate names what is wrong with c.
func (c Config) Validate() error {
	if len(c.Addresses) == 0 {
		return errors.New("redis: no address")
	}
	for _, a := range c.Addresses {
		if err := checkAddress(a); err != nil {
			return fmt.Errorf("redis: address: %w", err)
		}
	}
	switch {
	case c.Mode > Cluster:
		return fmt.Errorf("redis: no mode %d", c.Mode)
	case c.Mode == Standalone && len(c.Addresses) > 1:
		return errors.New("redis: one address only, save for sentinels and a cluster")
	case c.Mode == Sentinel && c.Master == "":
		return errors.New("redis: no name of the primary, which the sentinels are asked for")
	case c.Mode != Sentinel && (c.Master != "" || c.SentinelUser != "" || c.SentinelPassword != ""):
		return errors.New("redis: name of a primary, or user or password of sentinels, without sentinels")
	case c.Database < 0:
		return errors.New("redis: the database must not be negative")
	case c.Mode == Cluster && c.Database != 0:
		return errors.New("redis: a cluster has no database but 0")
	case c.User != "" && c.Password == "":
		return fmt.Errorf("redis: user %q without a password", c.User)
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return errors.New("redis: TLS certificate and key come together")
	case c.TLSCA == "" && (c.TLSCert != "" || c.TLSName != ""):
		return errors.New("redis: TLS certificate or name without TLS authority")
	case c.Node.IsZero():
		return errors.New("redis: no node")
	case c.Now == nil:
		return errors.New("redis: no clock")
	case c.InFlight < 1:
		return errors.New("redis: InFlight must be positive")
	}
	if err := checkPrefix(c.Prefix); err != nil {
		return fmt.Errorf("redis: prefix: %w", err)
	}
	return c.checkTimes()
}

func (c Config) checkTimes() error {
	for name, d := range map[string]time.Duration{
		"Timeout": c.Timeout, "DialTimeout": c.DialTimeout, "DeadAfter": c.DeadAfter, "HealthEvery": c.HealthEvery,
		"RecencyLife": c.RecencyLife, "FillLife": c.FillLife, "LeaseLife": c.LeaseLife, "LeaseBeat": c.LeaseBeat,
		"EchoEvery": c.EchoEvery, "ReloadDeaf": c.ReloadDeaf, "ReloadEvery": c.ReloadEvery, "Dropped": c.Dropped,
	} {
		if d < time.Millisecond {
			return fmt.Errorf("redis: %s must be at least a millisecond", name)
		}
	}
	if c.LeaseBeat > c.LeaseLife/2 {
		return errors.New("redis: LeaseBeat must be at most half of LeaseLife")
	}
	return nil
}

// String says which servers are meant, and nothing that is secret.
func (c Config) String() string {
	s := c.Mode.String() + "://" + strings.Join(c.Addresses, ",")
	if c.Master != "" {
		s += "/" + c.Master
	}
	return s
}

func checkAddress(a string) error {
	host, port, err := net.SplitHostPort(a)
	if err != nil || host == "" {
		return fmt.Errorf("%q is not host:port", a)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("port %q of %s is not 1 to 65535", port, host)
	}
	return nil
}

// checkPrefix keeps out what means something in a pattern (of ACL rules) and braces, which in a cluster
// would put all keys on one server.
func checkPrefix(p string) error {
	if p == "" || len(p) > 64 {
		return errors.New("must be 1 to 64 characters")
	}
	for _, r := range p {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("_-.:", r):
		default:
			return fmt.Errorf("%q in it: only letters, digits and _ - . : may be", r)
		}
	}
	return nil
}
