package cassandra

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Scheme is that of the URLs that ParseURL reads.
const Scheme = "cassandra"

// errURL says what a URL looks like.
var errURL = errors.New("cassandra: an address is cassandra://[user@]host[:port][,host...]/keyspace[?dc=&rf=&tls=&consistency=&timeout=&migrate=]")

// ParseURL reads cassandra://[user@]h1[:9042],h2/keyspace?dc=&rf=&tls=ca.pem into a Config that is
// otherwise Default. Parameters:
//
//	dc           the data centre whose nodes are spoken to
//	rf           replicas of a keyspace that is made
//	tls          a file of CA certificates, or "system" for the system's; without it: no TLS
//	consistency  local (the default: LOCAL_QUORUM, LOCAL_SERIAL) or global (QUORUM, SERIAL)
//	timeout      of one statement, such as 600ms
//	migrate      no: neither make the keyspace nor change the schema at start
//
// A password in the URL is refused: URLs are shown. No error repeats the URL.
func ParseURL(s string) (Config, error) {
	c := Default()
	rest, ok := strings.CutPrefix(s, Scheme+"://")
	if !ok {
		return c, errURL
	}
	rest, query, _ := strings.Cut(rest, "?")
	hosts, keyspace, ok := strings.Cut(rest, "/")
	if !ok {
		return c, errURL
	}
	if at := strings.LastIndexByte(hosts, '@'); at >= 0 {
		user, err := url.PathUnescape(hosts[:at])
		if err != nil || user == "" {
			return c, errURL
		}
		if strings.Contains(hosts[:at], ":") {
			return c, errors.New("cassandra: the password does not belong into the address")
		}
		c.User, hosts = user, hosts[at+1:]
	}
	for h := range strings.SplitSeq(hosts, ",") {
		if _, _, err := hostPort(h); err != nil {
			return c, err
		}
		c.Hosts = append(c.Hosts, h)
	}
	c.Keyspace = keyspace
	values, err := url.ParseQuery(query)
	if err != nil {
		return c, errURL
	}
	for k, v := range values {
		if len(v) != 1 {
			return c, fmt.Errorf("cassandra: %q is given twice in the address", k)
		}
		if err := c.set(k, v[0]); err != nil {
			return c, err
		}
	}
	return c, c.Validate()
}

// set takes one parameter of a URL.
func (c *Config) set(key, value string) error {
	bad := func(want string) error { return fmt.Errorf("cassandra: %s in the address must be %s", key, want) }
	switch key {
	case "dc":
		c.DC = value
	case "rf":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > 100 {
			return bad("a number of replicas")
		}
		c.RF = n
	case "tls":
		if value == "" {
			return bad("a file, or system")
		}
		c.TLS = true
		if value != "system" {
			c.CA = value
		}
	case "consistency":
		switch value {
		case "local":
			c.Consistency = Local
		case "global":
			c.Consistency = Global
		default:
			return bad("local or global")
		}
	case "timeout":
		d, err := time.ParseDuration(value)
		if err != nil || d < 10*time.Millisecond || d > time.Minute {
			return bad("a time of 10ms to 1m")
		}
		c.Timeout, c.Budget = d, 3*d
	case "migrate":
		switch value {
		case "yes":
		case "no":
			c.Migrate, c.MakeKeyspace = false, false
		default:
			return bad("yes or no")
		}
	default:
		return fmt.Errorf("cassandra: the address has an unknown parameter %q", key)
	}
	return nil
}

// defaultPort is the native protocol's.
const defaultPort = 9042

// hostPort splits a contact point.
func hostPort(s string) (host string, port int, err error) {
	bad := fmt.Errorf("cassandra: %q is not a host, or a host and a port", s)
	host, port = s, defaultPort
	if h, p, err := net.SplitHostPort(s); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return "", 0, bad
		}
		host, port = h, int(n)
	} else if strings.Count(s, ":") == 1 {
		return "", 0, bad
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if host == "" || strings.ContainsAny(host, " /@[]?#") {
		return "", 0, bad
	}
	return host, port, nil
}
