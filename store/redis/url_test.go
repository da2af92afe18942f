package redis

import (
	"slices"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]Config{
		"redis://h":                        {Addresses: []string{"h:6379"}},
		"redis://h:1":                      {Addresses: []string{"h:1"}},
		"redis://ada@h:1/3?prefix=x-":      {Addresses: []string{"h:1"}, User: "ada", Database: 3, Prefix: "x-"},
		"redis://a%40b@[::1]/0":            {Addresses: []string{"[::1]:6379"}, User: "a@b"},
		"redis://[::1]:7?tls=system":       {Addresses: []string{"[::1]:7"}, TLSCA: "system"},
		"redis+sentinel://a,b:5/main":      {Mode: Sentinel, Addresses: []string{"a:26379", "b:5"}, Master: "main"},
		"redis+sentinel://u@a/m%20n/2":     {Mode: Sentinel, Addresses: []string{"a:26379"}, Master: "m n", Database: 2, User: "u"},
		"redis+sentinel://a/m/?tls=ca":     {Mode: Sentinel, Addresses: []string{"a:26379"}, Master: "m", TLSCA: "ca"},
		"redis+cluster://a,b:1,c?prefix=p": {Mode: Cluster, Addresses: []string{"a:6379", "b:1", "c:6379"}, Prefix: "p"},
		"redis+cluster://a/0?tls=c.pem&tls-name=n&tls-cert=d.pem&tls-key=d%20k": {
			Mode: Cluster, Addresses: []string{"a:6379"}, TLSCA: "c.pem", TLSName: "n", TLSCert: "d.pem", TLSKey: "d k",
		},
		"redis+sentinel://a/m?sentinel-user=s": {Mode: Sentinel, Addresses: []string{"a:26379"}, Master: "m", SentinelUser: "s"},
	} {
		c, err := ParseURL(raw)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		if want.Prefix == "" {
			want.Prefix = Default().Prefix
		}
		got := Config{
			Mode: c.Mode, Addresses: c.Addresses, Master: c.Master, User: c.User, Database: c.Database, Prefix: c.Prefix,
			TLSCA: c.TLSCA, TLSCert: c.TLSCert, TLSKey: c.TLSKey, TLSName: c.TLSName, SentinelUser: c.SentinelUser,
		}
		if !slices.Equal(got.Addresses, want.Addresses) || summary(got) != summary(want) {
			t.Errorf("%s: %s, want %s", raw, summary(got), summary(want))
		}
		c.Node, c.Password, c.SentinelPassword = node(), "p", ""
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func summary(c Config) string {
	return strings.Join([]string{
		c.String(), c.User, string(rune('0' + c.Database)), c.Prefix, c.TLSCA, c.TLSCert, c.TLSKey, c.TLSName, c.SentinelUser,
	}, "|")
}

func TestParseURLRefuses(t *testing.T) {
	t.Parallel()
	for raw, names := range map[string]string{
		"":                                 "not a URL",
		"127.0.0.1:6379":                   "not a URL",
		"rediss://h":                       "scheme",
		"redis://":                         "host",
		"redis://h,":                       "host",
		"redis://a,b":                      "host",
		"redis://h:0":                      "port",
		"redis://h:99999":                  "port",
		"redis://h:x":                      "port",
		"redis://:1":                       "host:port",
		"redis://@h":                       "user",
		"redis://%zz@h":                    "user",
		"redis://ada:hunter2@h":            "password",
		"redis://:hunter2@h":               "password",
		"redis://h?password=hunter2":       "password",
		"redis://h/one":                    "database",
		"redis://h/-1":                     "database",
		"redis://h/1/2":                    "database",
		"redis://h#0":                      "#",
		"redis://h?tsl=x":                  "tsl",
		"redis://h?tls=":                   "tls: empty",
		"redis://h?tls=a&tls=b":            "twice",
		"redis://h?tls-name=x":             "tls-name",
		"redis://h?tls=c&tls-cert=x":       "tls-key",
		"redis://h?prefix=a{b}":            "prefix",
		"redis://h?prefix=a*":              "prefix",
		"redis://h?sentinel-user=x":        "sentinel-user",
		"redis://h?%zz":                    "?",
		"redis+sentinel://a":               "master-name",
		"redis+sentinel://a/":              "master-name",
		"redis+sentinel://a/m/x":           "database",
		"redis+sentinel://a,a/m":           "twice",
		"redis+cluster://a/1":              "database",
		"redis+cluster://a?sentinel-user=": "sentinel-user",
	} {
		if _, err := ParseURL(raw); err == nil || !strings.Contains(err.Error(), names) {
			t.Errorf("%s: %v, want an error that names %q", raw, err, names)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v has the password in it", raw, err)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{
		"redis://u@h:1/2?prefix=p&tls=c", "redis+sentinel://a:1,b/m/3", "redis+cluster://[::1]:4,b?tls=system", "redis://:p@h",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := ParseURL(raw)
		if err != nil {
			return
		}
		c.Node, c.Password = node(), "p"
		if err := c.Validate(); err != nil {
			t.Fatalf("%q was read, and is not valid: %v", raw, err)
		}
	})
}

func TestValidate(t *testing.T) {
	t.Parallel()
	good, err := ParseURL("redis://h")
	must(t, err)
	good.Node = node()
	must(t, good.Validate())
	if good.LeaseLife > 30e9 || good.LeaseBeat*3 > good.LeaseLife {
		t.Errorf("leases live %v and are renewed every %v", good.LeaseLife, good.LeaseBeat)
	}
	for names, edit := range map[string]func(*Config){
		"no address":    func(c *Config) { c.Addresses = nil },
		"address":       func(c *Config) { c.Addresses = []string{"h"} },
		"mode":          func(c *Config) { c.Mode = 9 },
		"one address":   func(c *Config) { c.Addresses = append(c.Addresses, "i:1") },
		"name of the":   func(c *Config) { c.Mode = Sentinel },
		"sentinels":     func(c *Config) { c.SentinelPassword = "x" },
		"negative":      func(c *Config) { c.Database = -1 },
		"cluster":       func(c *Config) { c.Mode, c.Database = Cluster, 1 },
		"password":      func(c *Config) { c.User = "u" },
		"together":      func(c *Config) { c.TLSCA, c.TLSCert = "a", "b" },
		"TLS authority": func(c *Config) { c.TLSName = "n" },
		"node":          func(c *Config) { c.Node.ID = [16]byte{} },
		"clock":         func(c *Config) { c.Now = nil },
		"InFlight":      func(c *Config) { c.InFlight = 0 },
		"prefix":        func(c *Config) { c.Prefix = "" },
		"Timeout":       func(c *Config) { c.Timeout = 0 },
		"LeaseBeat":     func(c *Config) { c.LeaseBeat = c.LeaseLife },
	} {
		c := good
		edit(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), names) {
			t.Errorf("%v, want an error that names %q", err, names)
		}
	}
}
