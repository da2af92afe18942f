package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// place is where servers keep data for us: scheme://[user@]host[:port],host…/name?key=value.
type place struct {
	scheme  string
	user    string // may be empty
	hosts   []string
	name    string // keyspace or bucket; may be empty
	options map[string]string
}

// parsePlace takes a place apart. options are the keys that it may have. Its errors name the field and
// never show a password, which it refuses.
func parsePlace(u string, options ...string) (place, error) {
	scheme, rest, ok := strings.Cut(u, "://")
	if !ok {
		return place{}, errors.New("it has no ://")
	}
	p := place{scheme: scheme, options: map[string]string{}}
	if err := noPassword(u); err != nil {
		return place{}, err
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, name, _ := strings.Cut(rest, "/")
	var err error
	if user, hosts, ok := strings.Cut(authority, "@"); ok {
		if p.user, err = url.PathUnescape(user); err != nil || p.user == "" {
			return place{}, errors.New("user: what stands before @ is not a name")
		}
		authority = hosts
	}
	if authority == "" {
		return place{}, errors.New("host: none is named")
	}
	for h := range strings.SplitSeq(authority, ",") {
		if err := checkHostPort(h); err != nil {
			return place{}, fmt.Errorf("host %q: %w", h, err)
		}
		p.hosts = append(p.hosts, h)
	}
	if p.name, err = url.PathUnescape(name); err != nil || strings.Contains(p.name, "/") {
		return place{}, errors.New("what stands behind the hosts' / is not one name")
	}
	return p, p.readOptions(query, options)
}

func (p *place) readOptions(query string, known []string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the options behind ? are not key=value&key=value")
	}
	for key, value := range values {
		switch {
		case !slices.Contains(known, key):
			return fmt.Errorf("option %q is unknown; they are %s", key, strings.Join(known, ", "))
		case len(value) > 1:
			return fmt.Errorf("option %s is given twice", key)
		}
		p.options[key] = value[0]
	}
	return nil
}

// noPassword refuses user:password@: the command line shows in the process list. It shows nothing of what
// it refuses, also where a password has an @, / or ? in it.
func noPassword(u string) error {
	_, rest, _ := strings.Cut(u, "://")
	authority := rest
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority = rest[:i]
	}
	user, _, named := strings.Cut(authority, "@")
	if named && !strings.Contains(user, ":") || !strings.Contains(rest, "@") {
		return nil
	}
	if named {
		return errPassword
	}
	for h := range strings.SplitSeq(authority, ",") { // the @ stands in an option, or its / and ? in a password
		if checkHostPort(h) != nil {
			return errPassword
		}
	}
	return nil
}

var errPassword = errors.New("a password in a URL shows in the process list")

// checkHostPort takes host and host:port; IPv6 addresses stand in brackets.
func checkHostPort(h string) error {
	host, port := h, ""
	if strings.HasPrefix(h, "[") || strings.Contains(h, ":") {
		var err error
		if inner, ok := strings.CutSuffix(strings.TrimPrefix(h, "["), "]"); ok && strings.HasPrefix(h, "[") {
			host = inner
		} else if host, port, err = net.SplitHostPort(h); err != nil {
			return errors.New("host or host:port is wanted, an IPv6 address in brackets")
		} else if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return fmt.Errorf("%q is not a port", port)
		}
		if strings.Contains(host, ":") {
			if _, err := netip.ParseAddr(host); err != nil {
				return errors.New("it is not an IPv6 address")
			}
			return nil
		}
	}
	if host == "" || strings.ContainsFunc(host, func(r rune) bool {
		return r != '.' && r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return errors.New("it is not a host name or address")
	}
	return nil
}
