package cassandra

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gocql/gocql"
)

// cluster is the driver's configuration, as far as all sessions share it.
func (c *Config) cluster(log *slog.Logger) (*gocql.ClusterConfig, error) {
	g := gocql.NewCluster()
	for _, s := range c.Hosts {
		host, port, err := hostPort(s)
		if err != nil {
			return nil, err
		}
		g.Hosts = append(g.Hosts, net.JoinHostPort(host, strconv.Itoa(port)))
		g.Port = port // of nodes that do not say their own
	}
	g.ProtoVersion = 4
	g.Timeout, g.WriteTimeout, g.ConnectTimeout = c.Timeout, c.Timeout, c.ConnectTimeout
	g.NumConns = c.Connections
	g.WriteCoalesceWaitTime = c.Coalesce
	g.Consistency, g.SerialConsistency = gocql.LocalQuorum, gocql.LocalSerial
	if c.Consistency == Global {
		g.Consistency, g.SerialConsistency = gocql.Quorum, gocql.Serial
	}
	g.PageSize = 1000
	g.ReconnectInterval = time.Second
	g.MaxWaitSchemaAgreement = 30 * time.Second
	g.Logger = driverLog{log}
	if c.User != "" {
		g.Authenticator = gocql.PasswordAuthenticator{Username: c.User, Password: c.Password}
	}
	d := dialer{timeout: c.ConnectTimeout, inner: c.dialer}
	if d.inner == nil {
		d.inner = &net.Dialer{Timeout: c.ConnectTimeout}
	}
	if c.TLS {
		d.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		if c.CA != "" {
			pem, err := os.ReadFile(c.CA)
			if err != nil {
				return nil, fmt.Errorf("cassandra: read the CA certificates: %w", err)
			}
			d.tls.RootCAs = x509.NewCertPool()
			if !d.tls.RootCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("cassandra: %s has no certificate in PEM form", c.CA)
			}
		}
	}
	g.HostDialer = d
	return g, nil
}

// dialer makes connections, the handshake of TLS included, within a time: the driver's own waits for a
// handshake without end.
type dialer struct {
	timeout time.Duration
	tls     *tls.Config // nil: none
	inner   gocql.Dialer
}

// DialHost is for the driver.
func (d dialer) DialHost(ctx context.Context, h *gocql.HostInfo) (*gocql.DialedHost, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	conn, err := d.inner.DialContext(ctx, "tcp", h.ConnectAddressAndPort())
	if err != nil {
		return nil, err
	}
	return gocql.WrapTLS(ctx, conn, h.HostnameAndPort(), d.tls)
}

// session connects. What fails is told host by host.
func (c *Config) session(ctx context.Context, g *gocql.ClusterConfig) (*gocql.Session, error) {
	seen := &dials{failed: map[string]error{}, inner: g.ConnectObserver}
	g.ConnectObserver = seen
	type outcome struct {
		s   *gocql.Session
		err error
	}
	done := make(chan outcome, 1)
	go func() { // the driver's own connecting knows no context; its time-outs bound it
		s, err := gocql.NewSession(*g)
		done <- outcome{s, err}
	}()
	select {
	case o := <-done:
		if o.err != nil {
			return nil, seen.explain(c, o.err)
		}
		return o.s, nil
	case <-ctx.Done():
		go func() {
			if o := <-done; o.s != nil {
				o.s.Close()
			}
		}()
		return nil, fmt.Errorf("cassandra: connect to %s: %w", strings.Join(c.Hosts, ", "), ctx.Err())
	}
}

// dials remembers why connections failed.
type dials struct {
	inner  gocql.ConnectObserver
	mu     sync.Mutex
	failed map[string]error // the last of each host; bounded by the cluster
}

// ObserveConnect is told of every new connection.
func (d *dials) ObserveConnect(o gocql.ObservedConnect) {
	if d.inner != nil {
		d.inner.ObserveConnect(o)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	at := o.Host.HostnameAndPort()
	if o.Err == nil {
		delete(d.failed, at)
		return
	}
	d.failed[at] = o.Err
}

// explain says which host failed, why, and what to look at.
func (d *dials) explain(c *Config, err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.failed) == 0 {
		return fmt.Errorf("cassandra: connect to %s: %s (%s)", strings.Join(c.Hosts, ", "), withoutPrefix(err), advice(c, err))
	}
	var lines []string
	for at, err := range d.failed {
		lines = append(lines, fmt.Sprintf("%s: %s (%s)", at, withoutPrefix(err), advice(c, err)))
	}
	slices.Sort(lines)
	return fmt.Errorf("cassandra: no host can be used: %s", strings.Join(lines, "; "))
}

// withoutPrefix is the text of an error without the driver's name and its advice to its own users.
func withoutPrefix(err error) string {
	s := explain(err)
	for _, p := range []string{"gocql: ", "unable to create session: ", "unable to discover protocol version: "} {
		s = strings.TrimPrefix(s, p)
	}
	return s
}

// advice is what to check for a failure to connect.
func advice(c *Config, err error) string {
	var dns *net.DNSError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	var server gocql.RequestError
	text := err.Error()
	switch {
	case errors.As(err, &dns), strings.Contains(text, "resolve any of the provided hostnames"):
		return "the name is not known: check the host in the address"
	case errors.As(err, &authority):
		return "the server's certificate is not signed by the CA in the address's tls"
	case errors.As(err, &name):
		return "the server's certificate is for another name"
	case errors.As(err, &record):
		return "the server does not speak TLS on this port"
	case errors.As(err, &server) && server.Code() == gocql.ErrCodeCredentials:
		return "check the user in the address and the store's password"
	case strings.Contains(text, "authentication required"):
		return "the server wants a user in the address and the store's password"
	case strings.Contains(text, "host was filtered"):
		return "the host is not in the data centre " + c.DC
	case strings.Contains(text, "refused"):
		return "does Cassandra run there, and does it listen on this address (rpc_address, native_transport_port)?"
	case causeOf(err) == causeTimeout, strings.Contains(text, "timeout"), strings.Contains(text, "timed out"):
		if c.TLS {
			return "is the host up, is it Cassandra's native port, and does it speak TLS there?"
		}
		return "is the host up, is it Cassandra's native port, is a firewall between?"
	case strings.Contains(text, "EOF"), strings.Contains(text, "reset"):
		if c.TLS {
			return "the server hung up: does it speak TLS on this port?"
		}
		return "the server hung up: does it want TLS?"
	case strings.Contains(text, "Keyspace"):
		return "check the keyspace in the address"
	default:
		return "check the address and the server's log"
	}
}

// driverLog passes what the driver says on, as details: what matters is said by this package.
type driverLog struct{ log *slog.Logger }

// Print is for the driver.
func (l driverLog) Print(v ...any) { l.say(fmt.Sprint(v...)) }

// Printf is for the driver.
func (l driverLog) Printf(format string, v ...any) { l.say(fmt.Sprintf(format, v...)) }

// Println is for the driver.
func (l driverLog) Println(v ...any) { l.say(fmt.Sprintln(v...)) }

func (l driverLog) say(s string) {
	l.log.Debug("cassandra driver", slog.String("says", strings.TrimSpace(s)))
}
