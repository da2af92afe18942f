package cassandra

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url  string
		want func(*Config)
	}{
		{"cassandra://h1/tolkflip", func(c *Config) { c.Hosts, c.Keyspace = []string{"h1"}, "tolkflip" }},
		{"cassandra://ada@h1:9142,h2,[::1]:9043/k?dc=dc1&rf=3&tls=ca.pem", func(c *Config) {
			c.User, c.Hosts, c.Keyspace = "ada", []string{"h1:9142", "h2", "[::1]:9043"}, "k"
			c.DC, c.RF, c.TLS, c.CA = "dc1", 3, true, "ca.pem"
		}},
		{"cassandra://a%40b@h1/k?tls=system&consistency=global&timeout=600ms&migrate=no", func(c *Config) {
			c.User, c.Hosts, c.Keyspace, c.TLS = "a@b", []string{"h1"}, "k", true
			c.Consistency, c.Timeout, c.Budget = Global, 600*time.Millisecond, 1800*time.Millisecond
			c.Migrate, c.MakeKeyspace = false, false
		}},
	} {
		got, err := ParseURL(c.url)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		want := Default()
		c.want(&want)
		got.Now, want.Now, got.Log.Now, want.Log.Now = nil, nil, nil, nil // functions do not compare
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", c.url, got, want)
		}
	}
}

func TestParseURLRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "cassandra:", "cassandra://h1", "redis://h1/k", "cassandra:///k", "cassandra://h1/", "cassandra://h1,/k",
		"cassandra://h1/k/l", "cassandra://h1/K", "cassandra://h1/k;drop", "cassandra://h1:0/k", "cassandra://h1:70000/k",
		"cassandra://h1:x/k", "cassandra://@h1/k", "cassandra://ada:s3cret@h1/k", "cassandra://h1/k?dcs=1", "cassandra://h1/k?dc=a&dc=b",
		"cassandra://h1/k?rf=0", "cassandra://h1/k?rf=x", "cassandra://h1/k?tls=", "cassandra://h1/k?consistency=one",
		"cassandra://h1/k?timeout=5", "cassandra://h1/k?migrate=maybe", "cassandra://h1/k?%zz", "cassandra://h 1/k",
	} {
		_, err := ParseURL(s)
		if err == nil {
			t.Errorf("%q was taken", s)
			continue
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the error repeats the password: %v", err)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	good := Default()
	good.Hosts, good.Keyspace = []string{"h"}, "k"
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Config){
		"hosts":    func(c *Config) { c.Hosts = nil },
		"keyspace": func(c *Config) { c.Keyspace = "a-b" },
		"password": func(c *Config) { c.Password = "x" },
		"ca":       func(c *Config) { c.CA = "x" },
		"clock":    func(c *Config) { c.Now = nil },
		"timeout":  func(c *Config) { c.Timeout = 0 },
		"rf":       func(c *Config) { c.RF = -1 },
		"inflight": func(c *Config) { c.InFlight = 0 },
	} {
		c := good
		spoil(&c)
		if c.Validate() == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
