package main

import (
	"reflect"
	"strings"
	"testing"
)

func TestPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url  string
		want place
	}{
		{"cassandra://h/k", place{scheme: "cassandra", hosts: []string{"h"}, name: "k"}},
		{"cassandra://u@h1:9042,h2/k?dc=eu&rf=3&tls=/etc/ca.pem", place{
			scheme: "cassandra", user: "u", hosts: []string{"h1:9042", "h2"}, name: "k",
			options: map[string]string{"dc": "eu", "rf": "3", "tls": "/etc/ca.pem"},
		}},
		{"cassandra://[::1]:9042,[fe80::2],10.0.0.1/k", place{scheme: "cassandra", hosts: []string{"[::1]:9042", "[fe80::2]", "10.0.0.1"}, name: "k"}},
		{"s3://a%40b@h/b?tls=a@b", place{scheme: "s3", user: "a@b", hosts: []string{"h"}, name: "b", options: map[string]string{"tls": "a@b"}}},
		{"s3://h:1/b?tls=a@b", place{scheme: "s3", hosts: []string{"h:1"}, name: "b", options: map[string]string{"tls": "a@b"}}},
	} {
		if c.want.options == nil {
			c.want.options = map[string]string{}
		}
		if got, err := parsePlace(c.url, "dc", "rf", "tls"); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v %v", c.url, got, err)
		}
	}
	for url, want := range map[string]string{
		"cassandra:h/k":                 "it has no ://",
		"cassandra:///k":                "host: none is named",
		"cassandra://@h/k":              "user: ",
		"cassandra://h,/k":              `host "": it is not a host name or address`,
		"cassandra://h:0/k":             `host "h:0": "0" is not a port`,
		"cassandra://h:x/k":             `host "h:x": "x" is not a port`,
		"cassandra://::1/k":             `host "::1": host or host:port is wanted`,
		"cassandra://[::g]/k":           `host "[::g]": it is not an IPv6 address`,
		"cassandra://h h/k":             `host "h h": it is not a host name or address`,
		"cassandra://h/k/l":             "is not one name",
		"cassandra://h/k?dcs=x":         `option "dcs" is unknown; they are dc, rf, tls`,
		"cassandra://h/k?dc=x&dc=y":     "option dc is given twice",
		"cassandra://h/k?dc=%":          "the options behind ? are not",
		"cassandra://u:hidden@h/k":      errPassword.Error(),
		"cassandra://u:hid/den@h/k":     errPassword.Error(),
		"cassandra://u:hid?den@h/k":     errPassword.Error(),
		"cassandra://u:hid@den@h/k":     errPassword.Error(),
		"cassandra://:hidden@h/k?dc=eu": errPassword.Error(),
		"cassandra://u:1234/hid@h/k":    "is not one name", // a port and a keyspace: nobody can tell
	} {
		_, err := parsePlace(url, "dc", "rf", "tls")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", url, err, want)
		} else if strings.Contains(err.Error(), "hid") {
			t.Errorf("%s: the password is in %q", url, err)
		}
	}
}
