package main

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Config is every setting of serve. The tags are the help text, the default and the flag's name.
type Config struct {
	Dev      bool   `help:"For trying out: request-code answers with the code and logs it, and requests from this machine are not limited by address."`
	Data     string `default:"./tolkflip-data" placeholder:"DIR" help:"Data directory: store/, blob/, jwt-secret, node-id, pid, control.sock."`
	Host     string `default:"127.0.0.1" placeholder:"ADDRESS" help:"Address to listen on; 0.0.0.0 for all."`
	PortBase int    `default:"3000" placeholder:"PORT" help:"Port of the gateway; the others follow it. 0 picks twelve free ports."`
	Services string `default:"all" placeholder:"all|NAME,…" help:"Services to run: ${services}."`
	Config   string `placeholder:"FILE" help:"YAML file with any of these settings."`

	JWTSecretFile string `name:"jwt-secret-file" placeholder:"FILE" help:"File with the secret that signs tokens, 32 bytes or more. Default: TOLKFLIP_JWT_SECRET, else one is made and kept in the data directory."`
	Store         string `placeholder:"URL" help:"Where people, threads and messages are kept: pebble:DIR, memory: (nothing survives a restart) or cassandra://[user@]host[:9042],host/keyspace?dc=&rf=&tls=ca.pem. Default: pebble:<data>/store. Password: TOLKFLIP_STORE_PASSWORD."`
	Cache         string `default:"memory:" placeholder:"URL" help:"Where codes, limits and what else may be lost are kept: memory:, redis://[user@]host[:6379][/db], redis+sentinel://[user@]host[:26379],host/master-name[/db] or redis+cluster://[user@]host[:6379],host; each with ?prefix=&tls=ca.pem. Passwords: TOLKFLIP_CACHE_PASSWORD, TOLKFLIP_CACHE_SENTINEL_PASSWORD."`
	Blob          string `placeholder:"URL" help:"Where files are kept: dir:DIR or s3://host[:port]/bucket?tls=&region=. Default: dir:<data>/blob. Credentials: TOLKFLIP_BLOB_KEY, TOLKFLIP_BLOB_SECRET."`
	BlobPublicURL string `name:"blob-public-url" placeholder:"URL" help:"Where clients reach the server of --blob s3://: they then read files from it, not through this process."`
	Migrate       bool   `default:"true" negatable:"" help:"At start make what the stores lack: keyspace, tables and what later versions add to them, bucket. With --no-migrate it is tolkflip migrate that does."`
	TakeOver      bool   `help:"Take the threads of --store cassandra:// also from a node that still runs; it stops then, with exit code 5."`

	AccessTTL     time.Duration `name:"access-ttl" default:"1h" help:"Life of an access token."`
	SessionTTL    time.Duration `name:"session-ttl" default:"720h" help:"Life of a session (refresh token)."`
	DefaultRegion string        `placeholder:"CC" help:"Two-letter country for phone numbers that are written without +."`

	TwilioAccountSID string `name:"twilio-account-sid" placeholder:"SID" help:"Twilio account for verification codes; its token comes as TOLKFLIP_TWILIO_AUTH_TOKEN or in the file."`
	TwilioFrom       string `name:"twilio-from" placeholder:"PHONE" help:"The number that the codes come from."`

	AllowedOrigins string        `default:"*" placeholder:"*|ORIGIN,…" help:"Web origins that may call the API."`
	TrustedProxies string        `placeholder:"CIDR,…" help:"Proxies whose X-Forwarded-For is believed."`
	LimitUser      int           `default:"6000" placeholder:"N" help:"Requests by one user in 15 minutes."`
	LimitAddress   int           `default:"100" placeholder:"N" help:"Requests from one address in 15 minutes, without a token."`
	HTTPTimeout    time.Duration `name:"http-timeout" default:"10s" help:"How long a REST request may take."`

	Loops          int           `default:"0" placeholder:"N" help:"Event loops; 0 = one a core."`
	MaxConnections int           `default:"0" placeholder:"N" help:"Connections at most; 0 = what the file limit allows."`
	MaxPerAddress  int           `default:"0" placeholder:"N" help:"Connections from one address at most; 0 = no such limit."`
	OutboundLimit  int           `default:"1048576" placeholder:"BYTES" help:"Unsent bytes of one connection at which it is closed as too slow (4413)."`
	AuthTimeout    time.Duration `default:"10s" help:"Time a socket has to authenticate."`
	PingAfter      time.Duration `default:"25s" help:"Silence after which a socket is pinged; 20 s later it is closed."`
	Drain          time.Duration `default:"10s" help:"At a stop, the window over which sockets are closed."`

	LogLevel  string `default:"info" enum:"debug,info,warn,error" placeholder:"LEVEL" help:"debug, info, warn or error."`
	LogFormat string `default:"text" enum:"text,json" placeholder:"FORMAT" help:"text or json."`

	PrintConfig bool `help:"Print all settings and where each comes from, secrets masked, and stop."`
	CompatEnv   bool `help:"Also read the variables of the Node.js backend: JWT_SECRET, ALLOWED_ORIGINS, TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_PHONE_NUMBER."`

	freeBytes func() (free, total uint64, err error) `kong:"-"` // of the store's disk, for tests; nil asks the system
}

// complete fills what depends on other settings and checks all of them. Errors name the flag.
func (c *Config) complete() error {
	if c.Store == "" {
		c.Store = "pebble:" + filepath.Join(c.Data, "store")
	}
	if c.Blob == "" {
		c.Blob = "dir:" + filepath.Join(c.Data, "blob")
	}
	for _, check := range []struct {
		flag string
		err  error
	}{
		{"host", checkHost(c.Host)},
		{"port-base", between(c.PortBase, 0, 65535-len(serviceNames()))},
		{"services", checkServices(c.Services)},
		{"store", checkStore(c.Store)},
		{"cache", checkCache(c.Cache)},
		{"blob", checkBlob(c.Blob)},
		{"blob-public-url", checkPublicURL(c.Blob, c.BlobPublicURL)},
		{"access-ttl", atLeast(c.AccessTTL, time.Minute)},
		{"session-ttl", atLeast(c.SessionTTL, c.AccessTTL)},
		{"default-region", checkRegion(c.DefaultRegion)},
		{"twilio-from", together(c.TwilioAccountSID, c.TwilioFrom, "twilio-account-sid")},
		{"allowed-origins", checkOrigins(c.AllowedOrigins)},
		{"trusted-proxies", second(parseProxies(c.TrustedProxies))},
		{"limit-user", between(c.LimitUser, 1, 1<<30)},
		{"limit-address", between(c.LimitAddress, 1, 1<<30)},
		{"http-timeout", atLeast(c.HTTPTimeout, 100*time.Millisecond)},
		{"loops", between(c.Loops, 0, 255)},
		{"max-connections", between(c.MaxConnections, 0, 1<<28-1)},
		{"max-per-address", between(c.MaxPerAddress, 0, 1<<28-1)},
		{"outbound-limit", between(c.OutboundLimit, 64<<10, 1<<30)},
		{"auth-timeout", atLeast(c.AuthTimeout, time.Second)},
		{"ping-after", atLeast(c.PingAfter, time.Second)},
		{"drain", atLeast(c.Drain, 0)},
	} {
		if check.err != nil {
			return usageError{fmt.Errorf("--%s: %w", check.flag, check.err)}
		}
	}
	return nil
}

// useNode fills what is still at its default from the Node.js backend's variables.
func (c *Config) useNode(s *settings, environ map[string]string) {
	for _, v := range []struct {
		name, flag string
		to         *string
	}{
		{"ALLOWED_ORIGINS", "allowed-origins", &c.AllowedOrigins},
		{"TWILIO_ACCOUNT_SID", "twilio-account-sid", &c.TwilioAccountSID},
		{"TWILIO_PHONE_NUMBER", "twilio-from", &c.TwilioFrom},
	} {
		if value := environ[v.name]; value != "" && s.from(v.flag) == "default" {
			*v.to, s.source[v.flag] = value, v.name
		}
	}
	for name, secret := range map[string]string{"JWT_SECRET": "jwt-secret", "TWILIO_AUTH_TOKEN": "twilio-auth-token"} {
		if value := environ[name]; value != "" && s.secrets[secret] == "" {
			s.secrets[secret], s.source[secret] = value, name
		}
	}
}

func second[T any](_ T, err error) error { return err }

func between(n, low, high int) error {
	if n < low || n > high {
		return fmt.Errorf("%d is not between %d and %d", n, low, high)
	}
	return nil
}

func atLeast(d, low time.Duration) error {
	if d < low {
		return fmt.Errorf("%v is less than %v", d, low)
	}
	return nil
}

func checkHost(h string) error {
	if h == "localhost" {
		return nil
	}
	if _, err := netip.ParseAddr(h); err != nil {
		return fmt.Errorf("%q is not an IP address", h)
	}
	return nil
}

func checkServices(list string) error {
	if list == "all" {
		return nil
	}
	for name := range strings.SplitSeq(list, ",") {
		if !slices.Contains(serviceNames(), name) {
			return fmt.Errorf("%q is not a service; they are %s", name, strings.Join(serviceNames(), ", "))
		}
	}
	return nil
}

func checkRegion(r string) error {
	if r != "" && (len(r) != 2 || strings.ToUpper(r) != r) {
		return fmt.Errorf("%q is not a two-letter country code in capitals", r)
	}
	return nil
}

func together(a, b, other string) error {
	if (a == "") != (b == "") {
		return fmt.Errorf("goes with --%s: both or neither", other)
	}
	return nil
}

func checkOrigins(list string) error {
	for o := range strings.SplitSeq(list, ",") {
		if o == "*" {
			continue
		}
		if u, err := url.Parse(o); err != nil || u.Host == "" || u.Path != "" {
			return fmt.Errorf("%q is not an origin such as https://chat.example.com", o)
		}
	}
	return nil
}

func parseProxies(list string) ([]netip.Prefix, error) {
	if list == "" {
		return nil, nil
	}
	var all []netip.Prefix
	for p := range strings.SplitSeq(list, ",") {
		prefix, err := netip.ParsePrefix(strings.TrimSpace(p))
		if err != nil {
			return nil, errors.New(p + " is not a network such as 10.0.0.0/8")
		}
		all = append(all, prefix)
	}
	return all, nil
}
