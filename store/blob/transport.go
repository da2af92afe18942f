package blob

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// newTransport makes the way to the server: every step of a request is bounded in time.
func newTransport(cfg S3Config) (*http.Transport, error) {
	dialer := net.Dialer{Timeout: cfg.ConnectTimeout, KeepAlive: 15 * time.Second}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return idleConn{c, cfg.IdleTimeout}, nil
		},
		TLSHandshakeTimeout:   cfg.ConnectTimeout,
		ResponseHeaderTimeout: cfg.ResponseTimeout,
		IdleConnTimeout:       cfg.IdleTimeout * 3 / 4,
		MaxIdleConnsPerHost:   64,
		WriteBufferSize:       32 << 10,
		ReadBufferSize:        16 << 10,
		DisableCompression:    true, // a file is given as it is
	}
	if !cfg.Secure {
		return t, nil
	}
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.CAFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read the authorities to trust: %w", err)
	}
	t.TLSClientConfig.RootCAs = x509.NewCertPool()
	if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", cfg.CAFile)
	}
	return t, nil
}

// idleConn fails when nothing moves on it for so long while somebody reads or writes. A write is a sign
// of life for the reader too, which waits for the answer all the time that a body is sent.
type idleConn struct {
	net.Conn
	idle time.Duration
}

func (c idleConn) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c idleConn) Write(b []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// detaching takes the body away from a request that has ended. A transport may go on reading it in a
// goroutine of its own, when the answer came early or not at all, while its memory is sent again or is
// already another upload's.
type detaching struct{ base http.RoundTripper }

func (t detaching) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return t.base.RoundTrip(r)
	}
	body := &detachable{from: r.Body}
	clone := *r
	clone.Body, clone.GetBody = body, nil
	resp, err := t.base.RoundTrip(&clone)
	body.detach()
	return resp, err
}

type detachable struct {
	mu   sync.Mutex
	from io.ReadCloser // nil once detached
}

var errDetached = errors.New("blob: the request has ended")

func (d *detachable) Read(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.from == nil {
		return 0, errDetached
	}
	return d.from.Read(b)
}

func (d *detachable) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.from == nil {
		return nil
	}
	return d.from.Close()
}

func (d *detachable) detach() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.from = nil
}
