package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAddresses takes every form of --store, --cache and --blob, and refuses the others with the reason.
func TestAddresses(t *testing.T) {
	t.Parallel()
	for flag, forms := range map[string]map[string]string{
		"--store": {
			"pebble:/x":       "",
			"memory:":         "",
			"cassandra://h/k": "",
			"cassandra://u@h1:9042,h2,[::1]:9043/k?dc=eu&rf=3&tls=/x/ca.pem": "",
			"cassandra://h/k?tls=system&consistency=global&timeout=1s":       "",

			"pebble:":                   "the name of a directory",
			"memory:x":                  "memory: stands alone",
			"mysql://h/d":               `"mysql:" is none of pebble:DIR, memory:, cassandra://`,
			"":                          "",
			"/x":                        "is none of pebble:DIR",
			"cassandra://h":             "cassandra://[user@]host",
			"cassandra:///k":            `"" is not a host`,
			"cassandra://h:x/k":         `"h:x" is not a host`,
			"cassandra://h/K-1":         "keyspace's name",
			"cassandra://h/k?dcs=eu":    `unknown parameter "dcs"`,
			"cassandra://h/k?rf=x":      "rf in the address",
			"cassandra://u:hidden@h/k":  "TOLKFLIP_STORE_PASSWORD",
			"cassandra://u:hid/den@h/k": "TOLKFLIP_STORE_PASSWORD",
			"cassandra://u:hid?den@h/k": "TOLKFLIP_STORE_PASSWORD",
			"cassandra://:hidden@h/k":   "TOLKFLIP_STORE_PASSWORD",
		},
		"--cache": {
			"memory:":                      "",
			"redis://h":                    "",
			"redis://u@h:6379/3?prefix=p:": "",
			"redis+sentinel://h1:26379,h2,h3/mymaster?tls=system": "",
			"redis+cluster://h1,h2:7001":                          "",

			"memory:x":               "memory: stands alone",
			"memcached://h":          `"memcached:" is none of memory:, redis://, redis+sentinel://, redis+cluster://`,
			"redis://h1,h2":          "redis: host: only one",
			"redis://h/x":            "redis: database",
			"redis+sentinel://h1,h2": "redis: master-name",
			"redis+cluster://h/1":    "redis: database",
			"redis://h?prefix=":      "redis: prefix",
			"redis://u:hidden@h":     "TOLKFLIP_CACHE_PASSWORD",
			"redis://:hidden@h":      "TOLKFLIP_CACHE_PASSWORD",
		},
		"--blob": {
			"dir:/x":                           "",
			"s3://h:9000/bucket":               "",
			"s3://h/bucket?tls=true&region=eu": "",

			"dir:":                     "the name of a directory",
			"ftp://h/x":                `"ftp:" is none of dir:DIR, s3://`,
			"s3://h":                   "s3://host:port/bucket is wanted",
			"s3://h/b":                 "bucket",
			"s3://h/bucket?x=1":        "unknown parameter x",
			"s3://key:hidden@h/bucket": "TOLKFLIP_BLOB_KEY and TOLKFLIP_BLOB_SECRET",
		},
	} {
		for address, want := range forms {
			t.Run(flag+" "+address, func(t *testing.T) {
				t.Parallel()
				code, _, errs := runProgram(t, []string{"serve", "--print-config", flag, address, "--data", filepath.Join(t.TempDir(), "d")},
					"TOLKFLIP_JWT_SECRET=0123456789abcdef0123456789abcdef", "TOLKFLIP_STORE_PASSWORD=p", "TOLKFLIP_CACHE_PASSWORD=p",
					"TOLKFLIP_BLOB_KEY=k", "TOLKFLIP_BLOB_SECRET=s")
				if want == "" && code != exitOK || want != "" && (code != exitUsage || !strings.Contains(errs, flag+": ") || !strings.Contains(errs, want)) {
					t.Errorf("exit %d, %q; want %q", code, errs, want)
				}
				if strings.Contains(errs, "hid") {
					t.Errorf("the password is in %q", errs)
				}
			})
		}
	}
}

// TestSecretsOfStores: they come as variables or in the file, are never shown, and their lack is told.
func TestSecretsOfStores(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("store-password: hidden1\nblob-key: hidden2\njwt-secret: hidden3-89abcdef0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := runProgram(t, []string{"serve", "--print-config", "--config", file, "--store", "cassandra://u@h/k", "--cache", "redis://u@h", "--blob", "s3://h/bucket"},
		"TOLKFLIP_CACHE_PASSWORD=hidden4", "TOLKFLIP_BLOB_SECRET=hidden5")
	if code != exitOK || strings.Contains(out+errs, "hidden") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	for _, want := range []string{
		"store = cassandra://u@h/k (--store)", "migrate = true (default)", "take-over = false (default)",
		"store-password = (set) (" + file + ")", "cache-password = (set) (TOLKFLIP_CACHE_PASSWORD)",
		"blob-key = (set) (" + file + ")", "blob-secret = (set) (TOLKFLIP_BLOB_SECRET)", "cache-sentinel-password = (not set) (default)",
	} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("no line %q in\n%s", want, out)
		}
	}
	for _, c := range []struct {
		name, want string
		args, env  []string
	}{
		{"a cluster without a token secret", "TOLKFLIP_JWT_SECRET, or --jwt-secret-file", []string{"--store", "cassandra://h/k"}, nil},
		{"a store's user without a password", "TOLKFLIP_STORE_PASSWORD", []string{"--store", "cassandra://u@h/k"}, []string{"TOLKFLIP_JWT_SECRET=0123456789abcdef0123456789abcdef"}},
		{"a cache's user without a password", "TOLKFLIP_CACHE_PASSWORD", []string{"--cache", "redis://u@h"}, nil},
		{"files without credentials", "TOLKFLIP_BLOB_KEY", []string{"--blob", "s3://h/bucket"}, []string{"TOLKFLIP_BLOB_SECRET=s"}},
		{"a public address of files on disk", "--blob-public-url: goes with --blob s3://", []string{"--blob-public-url", "https://f.example"}, nil},
		{"no public address", "--blob-public-url: ", []string{"--blob", "s3://h/bucket", "--blob-public-url", "f.example"}, []string{"TOLKFLIP_BLOB_KEY=k", "TOLKFLIP_BLOB_SECRET=s"}},
		{"a secret as a flag", "unknown flag --store-password", []string{"--store-password", "x"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			code, _, errs := runProgram(t, append([]string{"serve", "--data", filepath.Join(t.TempDir(), "d")}, c.args...), c.env...)
			if code != exitUsage || !strings.Contains(errs, c.want) {
				t.Errorf("exit %d, %q; want 2 and %q", code, errs, c.want)
			}
		})
	}
}

// TestNodeID: a data directory says who it is, always the same.
func TestNodeID(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	open := func() [16]byte {
		t.Helper()
		d := must[*dataDir](t, "open")(openDataDir(dir))
		defer d.close()
		return d.node
	}
	first := open()
	if first == ([16]byte{}) || open() != first {
		t.Errorf("node %x, then %x", first, open())
	}
	if err := os.WriteFile(filepath.Join(dir, "node-id"), []byte("me\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openDataDir(dir); err == nil || !strings.Contains(err.Error(), "does not hold a UUID") {
		t.Errorf("a node-id that is none: %v", err)
	}
}

// TestUnreachable starts on servers that are not there: which, why and what to check.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"--store cassandra://127.0.0.1:1/k": "--store cassandra://127.0.0.1:1/k: cassandra: no host can be used: 127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused (does Cassandra run there",
		"--cache redis://127.0.0.1:1":       "--cache redis://127.0.0.1:1: redis: ",
		"--blob s3://127.0.0.1:1/bucket":    "--blob s3://127.0.0.1:1/bucket: s3 at 127.0.0.1:1, bucket bucket: open: dial tcp 127.0.0.1:1: connect: connection refused; check that",
	} {
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"serve", "--port-base", "0", "--data", filepath.Join(t.TempDir(), "d")}, strings.Fields(address)...)
			code, _, errs := runProgram(t, args, "TOLKFLIP_JWT_SECRET=0123456789abcdef0123456789abcdef", "TOLKFLIP_BLOB_KEY=k", "TOLKFLIP_BLOB_SECRET=s")
			if code != exitFailed || !strings.Contains(errs, want) {
				t.Errorf("exit %d, %q; want 1 and %q", code, errs, want)
			}
		})
	}
}
