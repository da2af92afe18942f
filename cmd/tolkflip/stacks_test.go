package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gocql/gocql"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/redis/rueidis"
)

// stack is what a server under test keeps its data in.
type stack struct {
	name    string
	store   string // "" = as the test says
	cache   string
	blob    string
	secrets map[string]string
}

// embedded is what a server uses that is told nothing.
func embedded() stack { return stack{name: "embedded"} }

// onStacks runs a test on the embedded stores, and on real ones where the variables name them.
func onStacks(t *testing.T, test func(t *testing.T, on stack)) {
	t.Helper()
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, embedded())
	})
	t.Run("real", func(t *testing.T) {
		t.Parallel()
		test(t, realStack(t))
	})
}

// edit makes a configuration one of the stack.
func (s stack) edit(c *Config) {
	for _, v := range []struct {
		is string
		to *string
	}{{s.store, &c.Store}, {s.cache, &c.Cache}, {s.blob, &c.Blob}} {
		if v.is != "" {
			*v.to = v.is
		}
	}
}

// args are the flags and variables of a process on the stack.
func (s stack) args() (args, env []string) {
	for _, v := range []struct{ flag, is string }{{"--store", s.store}, {"--cache", s.cache}, {"--blob", s.blob}} {
		if v.is != "" {
			args = append(args, v.flag, v.is)
		}
	}
	for name, secret := range s.secrets {
		env = append(env, envName(name)+"="+secret)
	}
	return args, env
}

// shared is the one keyspace, prefix and bucket of this test run. Making a keyspace takes a cluster many
// seconds, so all tests use this one, one after the other: a keyspace belongs to one server at a time.
var shared = realStores{name: fmt.Sprintf("tf_%08x", rand.Uint32())} //nolint:gochecknoglobals // see above

type realStores struct {
	name string
	turn sync.Mutex
	used sync.Map // variables that named a server which was used
}

// realStack gives the test the real stores for itself, or skips it where there are none.
func realStack(t *testing.T) stack {
	t.Helper()
	s := stack{name: "real", secrets: map[string]string{"jwt-secret": "of-all-nodes-of-this-test-0123456789"}}
	s.store = realAddress(t, "TOLKFLIP_TEST_CASSANDRA", func(v string) string { return "cassandra://" + v + "/" + shared.name + "?timeout=10s" })
	s.cache = realAddress(t, "TOLKFLIP_TEST_REDIS", func(v string) string { return "redis://" + v + "?prefix=" + shared.name + ":" })
	s.blob = realAddress(t, "TOLKFLIP_TEST_S3", func(v string) string {
		u, key, secret := s3Of(t, v)
		s.secrets["blob-key"], s.secrets["blob-secret"] = key, secret
		return "s3://" + u.Host + "/" + shared.bucket()
	})
	shared.turn.Lock()
	t.Cleanup(shared.turn.Unlock)
	return s
}

func (r *realStores) bucket() string { return strings.ReplaceAll(r.name, "_", "-") }

func realAddress(t *testing.T, variable string, address func(string) string) string {
	t.Helper()
	v := os.Getenv(variable)
	if v == "" {
		t.Skipf("skipped: %s names no server", variable)
	}
	shared.used.Store(variable, v)
	return address(v)
}

func s3Of(t *testing.T, v string) (u *url.URL, key, secret string) {
	t.Helper()
	u, err := url.Parse(v)
	if err != nil || u.User == nil {
		t.Fatal("TOLKFLIP_TEST_S3 is not http://key:secret@host:port")
	}
	secret, _ = u.User.Password()
	return u, u.User.Username(), secret
}

// remove takes away what the run has left in the real stores.
func (r *realStores) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var all error
	for variable, part := range map[string]func(context.Context, string) error{
		"TOLKFLIP_TEST_CASSANDRA": func(context.Context, string) error { return dropKeyspace(r.name) },
		"TOLKFLIP_TEST_REDIS":     r.removeKeys,
		"TOLKFLIP_TEST_S3":        r.removeBucket,
	} { // what Sentinel and the cluster were given ends by itself
		if v, ok := r.used.Load(variable); ok {
			all = errors.Join(all, part(ctx, fmt.Sprint(v)))
		}
	}
	return all
}

func dropKeyspace(name string) error {
	c := gocql.NewCluster(strings.Split(os.Getenv("TOLKFLIP_TEST_CASSANDRA"), ",")...)
	c.Timeout, c.ConnectTimeout = 30*time.Second, 10*time.Second
	s, err := c.CreateSession()
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Query("DROP KEYSPACE IF EXISTS " + name).Exec()
}

func (r *realStores) removeKeys(ctx context.Context, address string) error {
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{address}, DisableCache: true})
	if err != nil {
		return err
	}
	defer c.Close()
	for cursor := uint64(0); ; {
		page, err := c.Do(ctx, c.B().Scan().Cursor(cursor).Match(r.name+":*").Count(1000).Build()).AsScanEntry()
		if err != nil {
			return err
		}
		for _, key := range page.Elements {
			if err := c.Do(ctx, c.B().Unlink().Key(key).Build()).Error(); err != nil {
				return err
			}
		}
		if cursor = page.Cursor; cursor == 0 {
			return nil
		}
	}
}

func (r *realStores) removeBucket(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	secret, _ := u.User.Password()
	c, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(u.User.Username(), secret, "")})
	if err != nil {
		return err
	}
	if there, err := c.BucketExists(ctx, r.bucket()); err != nil || !there {
		return err
	}
	return c.RemoveBucketWithOptions(ctx, r.bucket(), minio.RemoveBucketOptions{ForceDelete: true})
}
