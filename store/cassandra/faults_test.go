package cassandra

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// fault is what the network does.
type fault uint8

const (
	fine   fault = iota
	mute         // what servers answer is lost: they do what they are asked, and nobody hears of it
	broken       // connections break, and none can be made
)

// network makes connections that fail on demand.
type network struct {
	mu    sync.Mutex
	fault fault
	conns map[*wire]struct{}
}

func newNetwork() *network { return &network{conns: map[*wire]struct{}{}} }

// become sets what the network does. Connections that lost something break when it is fine again.
func (n *network) become(f fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fault = f
	for c := range n.conns {
		if f == broken || f == fine && c.lost {
			delete(n.conns, c)
			_ = c.Conn.Close()
		}
	}
}

var errBroken = errors.New("the network is down")

// DialContext is for the driver.
func (n *network) DialContext(ctx context.Context, kind, address string) (net.Conn, error) {
	n.mu.Lock()
	f := n.fault
	n.mu.Unlock()
	if f == broken {
		return nil, &net.OpError{Op: "dial", Net: kind, Err: errBroken}
	}
	c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, kind, address)
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: c, n: n}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[w] = struct{}{}
	return w, nil
}

type wire struct {
	net.Conn
	n    *network
	lost bool // guarded by n.mu
}

// Read loses what comes while the network is mute.
func (w *wire) Read(p []byte) (int, error) {
	for {
		k, err := w.Conn.Read(p)
		if err != nil {
			return k, err
		}
		w.n.mu.Lock()
		lost := w.n.fault == mute || w.lost
		w.lost = lost
		w.n.mu.Unlock()
		if !lost {
			return k, nil
		}
	}
}

// Close forgets the connection.
func (w *wire) Close() error {
	w.n.mu.Lock()
	delete(w.n.conns, w)
	w.n.mu.Unlock()
	return w.Conn.Close()
}
