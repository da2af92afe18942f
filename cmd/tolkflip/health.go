package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// healthCommand asks a running server on this machine how it is: the health check of a container.
type healthCommand struct {
	Ready    bool          `help:"Ask whether it can serve now, not only whether it is alive."`
	Host     string        `default:"127.0.0.1" placeholder:"ADDRESS" help:"Address that the server listens on, as of serve."`
	PortBase int           `default:"3000" placeholder:"PORT" help:"Port of the gateway, as of serve."`
	Timeout  time.Duration `default:"3s" help:"How long to wait for the answer."`
}

// Run prints the answer and fails when it is not a good one.
func (c *healthCommand) Run(p *program) error {
	if c.PortBase == 0 {
		return usageError{errors.New("--port-base: with 0 nobody knows where the server listens")}
	}
	host := c.Host
	if a, err := netip.ParseAddr(host); err == nil && a.IsUnspecified() { // all addresses: this machine's is one of them
		host = "127.0.0.1"
		if a.Is6() {
			host = "::1"
		}
	}
	path := "/health"
	if c.Ready {
		path = "/ready"
	}
	ctx, cancel := context.WithTimeout(p.ctx, c.Timeout)
	defer cancel()
	url := "http://" + net.JoinHostPort(host, strconv.Itoa(c.PortBase)) + path
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return usageError{err}
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	reply, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("no server answers at %s: %w", url, err)
	}
	defer func() { _ = reply.Body.Close() }() // it was read to its end
	body, err := io.ReadAll(io.LimitReader(reply.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	if reply.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d: %s", url, reply.StatusCode, body)
	}
	_, err = fmt.Fprintln(p.stdout, string(body))
	return err
}
