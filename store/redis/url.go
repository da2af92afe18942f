package redis

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// ParseURL reads where Redis is, and gives Default with that filled in:
//
//	redis://[user@]host[:6379][/database]
//	redis+sentinel://[user@]host[:26379],host…/master-name[/database]
//	redis+cluster://[user@]host[:6379],host…
//
// each with these after a question mark, where they are wanted:
//
//	prefix=NAME           begins every key and channel (tolkflip:)
//	tls=FILE              TLS; the servers' certificates are signed by this PEM file's authority, or by one
//	                      that the operating system trusts where FILE is the word system
//	tls-name=HOST         the name in the servers' certificates, where it is not the host
//	tls-cert=FILE         a certificate of our own and its key, for servers that ask for one
//	tls-key=FILE
//	sentinel-user=NAME    ACL user at the sentinels
//
// A password is refused: a URL is seen in process lists and logs. Errors name the part that is wrong and
// never give the whole.
func ParseURL(raw string) (Config, error) {
	c := Default()
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return c, errors.New("redis: not a URL: it must begin with redis://, redis+sentinel:// or redis+cluster://")
	}
	switch scheme {
	case Standalone.String():
	case Sentinel.String():
		c.Mode = Sentinel
	case Cluster.String():
		c.Mode = Cluster
	default:
		return c, errors.New("redis: scheme: must be redis, redis+sentinel or redis+cluster")
	}
	if strings.Contains(rest, "#") {
		return c, errors.New("redis: a # has no meaning in the URL; as a character it is %23")
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	if err := c.readAuthority(authority); err != nil {
		return c, err
	}
	if err := c.readPath(path); err != nil {
		return c, err
	}
	return c, c.readQuery(query)
}

func (c *Config) readAuthority(s string) error {
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		user := s[:at]
		if strings.Contains(user, ":") {
			return errors.New("redis: user: a password does not belong in the URL; give it apart")
		}
		var err error
		if c.User, err = url.PathUnescape(user); err != nil || c.User == "" {
			return errors.New("redis: user: empty, or not well escaped")
		}
		s = s[at+1:]
	}
	port := "6379"
	if c.Mode == Sentinel {
		port = "26379"
	}
	for host := range strings.SplitSeq(s, ",") {
		if host == "" {
			return errors.New("redis: host: one is missing")
		}
		if !strings.Contains(host, ":") || strings.HasSuffix(host, "]") {
			host = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
		if err := checkAddress(host); err != nil {
			return fmt.Errorf("redis: host: %w", err)
		}
		if slices.Contains(c.Addresses, host) {
			return fmt.Errorf("redis: host: %s is there twice", host)
		}
		c.Addresses = append(c.Addresses, host)
	}
	if c.Mode == Standalone && len(c.Addresses) > 1 {
		return errors.New("redis: host: only one; several are redis+sentinel:// or redis+cluster://")
	}
	return nil
}

func (c *Config) readPath(path string) error {
	database := path
	if c.Mode == Sentinel {
		var name string
		name, database, _ = strings.Cut(path, "/")
		var err error
		if c.Master, err = url.PathUnescape(name); err != nil || c.Master == "" {
			return errors.New("redis: master-name: missing after the hosts, as in /mymaster; it is the one in the sentinels' configuration")
		}
	}
	if database == "" {
		return nil
	}
	n, err := strconv.ParseUint(database, 10, 16)
	if err != nil {
		return fmt.Errorf("redis: database: %q is not a number", database)
	}
	if c.Mode == Cluster && n != 0 {
		return errors.New("redis: database: a cluster has only number 0")
	}
	c.Database = int(n)
	return nil
}

func (c *Config) readQuery(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("redis: the part after the ? is not well escaped")
	}
	fields := map[string]*string{
		"prefix": &c.Prefix, "tls": &c.TLSCA, "tls-name": &c.TLSName, "tls-cert": &c.TLSCert, "tls-key": &c.TLSKey,
	}
	if c.Mode == Sentinel {
		fields["sentinel-user"] = &c.SentinelUser
	}
	for name, v := range values {
		field := fields[name]
		switch {
		case name == "password" || name == "sentinel-password":
			return fmt.Errorf("redis: %s: does not belong in the URL; give it apart", name)
		case field == nil:
			return fmt.Errorf("redis: %s: unknown here; known are prefix, tls, tls-name, tls-cert, tls-key and, for sentinels, sentinel-user", name)
		case len(v) > 1:
			return fmt.Errorf("redis: %s: is there twice", name)
		case v[0] == "":
			return fmt.Errorf("redis: %s: empty", name)
		}
		*field = v[0]
	}
	if err := checkPrefix(c.Prefix); err != nil {
		return fmt.Errorf("redis: prefix: %w", err)
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("redis: tls-cert and tls-key come together")
	}
	if c.TLSCA == "" && (c.TLSCert != "" || c.TLSName != "") {
		return errors.New("redis: tls-cert and tls-name mean nothing without tls")
	}
	return nil
}
