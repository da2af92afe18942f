package cassandra

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store/cassandra/threadlog"
)

// pretender is a server that speaks just enough of the protocol to refuse a client.
func pretender(t *testing.T, answer func(op byte, body []byte) (byte, []byte)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wait.Go(func() { pretend(c, answer) })
		}
	})
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		wait.Wait()
	})
	return l.Addr().String()
}

func pretend(c net.Conn, answer func(op byte, body []byte) (byte, []byte)) {
	defer c.Close()
	head := make([]byte, 9)
	for {
		if _, err := io.ReadFull(c, head); err != nil || answer == nil {
			return
		}
		body := make([]byte, min(binary.BigEndian.Uint32(head[5:]), 1<<16))
		if _, err := io.ReadFull(c, body); err != nil {
			return
		}
		op, reply := answer(head[4], body)
		out := []byte{0x84, 0, head[2], head[3], op}
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(reply))), reply...)
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

// The protocol's opcodes, as far as a pretender needs them.
const (
	opError, opStartup, opAuthenticate, opOptions, opSupported, opAuthResponse = 0x00, 0x01, 0x03, 0x05, 0x06, 0x0f
)

func text(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }

// guarded wants a user, and takes none.
func guarded(op byte, _ []byte) (byte, []byte) {
	switch op {
	case opOptions:
		return opSupported, []byte{0, 0}
	case opStartup:
		return opAuthenticate, text("org.apache.cassandra.auth.PasswordAuthenticator")
	default:
		return opError, append([]byte{0, 0, 1, 0}, text("Provided username ada and/or password are incorrect")...)
	}
}

// TestOpenSaysWhy has each way to fail name the host, the reason and what to check.
func TestOpenSaysWhy(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, host string
		change     func(*Config)
		want       []string
	}{
		{"nobody listens", nobody, nil, []string{nobody, "refused", "does Cassandra run there"}},
		{"no such name", "no-such-host.invalid:9042", nil, []string{"no-such-host.invalid:9042", "check the host in the address"}},
		{"no user", pretender(t, guarded), nil, []string{"the server wants a user"}},
		{"a wrong password", pretender(t, guarded), func(c *Config) { c.User, c.Password = "ada", "s3cret" }, []string{"incorrect", "check the user in the address and the store's password"}},
		{"no TLS there", pretender(t, guarded), func(c *Config) { c.TLS = true }, []string{"TLS"}},
		{"TLS refused", pretender(t, nil), func(c *Config) { c.TLS = true }, []string{"TLS"}},
		{"something else listens", pretender(t, nil), nil, []string{"hung up"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := Default()
			cfg.Hosts, cfg.Keyspace, cfg.Node = []string{c.host}, "k", threadlog.Node(id.NewUser().ID)
			cfg.ConnectTimeout = time.Second
			if c.change != nil {
				c.change(&cfg)
			}
			_, err := Open(t.Context(), cfg, silent(), nil)
			if err == nil {
				t.Fatal("opened")
			}
			for _, w := range append(c.want, "cassandra: ") {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%v\ndoes not say %q", err, w)
				}
			}
			for _, w := range []string{"s3cret", "gocql"} {
				if strings.Contains(err.Error(), w) {
					t.Errorf("%v\nsays %q", err, w)
				}
			}
		})
	}
}

// TestOpenEnds has the context end while a server is silent.
func TestOpenEnds(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	var once sync.Once
	host := pretender(t, func(byte, []byte) (byte, []byte) {
		once.Do(func() { close(asked) })
		return opSupported, nil // to what never asked
	})
	ctx, cancel := context.WithCancel(t.Context())
	cfg := Default()
	cfg.Hosts, cfg.Keyspace, cfg.Node, cfg.ConnectTimeout = []string{host}, "k", threadlog.Node{1}, 100*time.Millisecond
	go func() {
		<-asked
		cancel()
	}()
	_, err := Open(ctx, cfg, silent(), nil)
	if err == nil {
		t.Fatal("opened")
	}
}

// openRefuses is what a real server is needed for.
func openRefuses(t *testing.T, s *shared) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{
			"no keyspace", func(c *Config) { c.Keyspace, c.MakeKeyspace, c.Migrate = "test_absent", false, false },
			[]string{"keyspace test_absent does not exist", "tolkflip migrate"},
		},
		{
			"no keyspace, with changes of the schema allowed", func(c *Config) { c.Keyspace, c.MakeKeyspace = "test_absent", false },
			[]string{"keyspace test_absent does not exist", "tolkflip migrate"},
		},
		{"no data centre", func(c *Config) { c.DC = "elsewhere" }, []string{`no data centre "elsewhere"`, "the cluster has"}},
		{"more replicas than nodes", func(c *Config) { c.Keyspace, c.RF = "test_absent", 99 }, []string{"99 replicas", "rf in the address"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := s.config()
			c.change(&cfg)
			_, err := Open(t.Context(), cfg, silent(), nil)
			if err == nil {
				t.Fatal("opened")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%v\ndoes not say %q", err, w)
				}
			}
		})
	}
}

// inUse has a second node come while the first lives, and after it went.
func inUse(t *testing.T, s *shared) {
	first := s.config()
	first.Address = "first:/var/lib/first"
	a, err := Open(t.Context(), first, silent(), nil)
	if err != nil {
		t.Fatal(err)
	}
	second := s.config()
	second.logName = first.logName
	_, err = Open(t.Context(), second, silent(), nil)
	var used *ErrInUse
	if !errors.As(err, &used) {
		t.Fatalf("a second node: %v", err)
	}
	if used.Address != first.Address || used.Node != first.Node.String() || used.PID != first.PID || used.Keyspace != s.keyspace {
		t.Fatalf("%+v", used)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, second) // it left
}
