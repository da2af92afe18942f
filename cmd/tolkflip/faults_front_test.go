package main

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// front stands between clients and a Cassandra node. It can lose answers to what the node has done, and
// hold requests up until the client has given up on them.
type front struct {
	t       *testing.T
	address string // that clients use
	node    string

	lose atomic.Int32 // answers lost, in 1000
	late atomic.Int32 // requests held up, in 1000
	by   atomic.Int64 // how long, in ns

	lost, held atomic.Int64

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]struct{} // both ends
	relays   sync.WaitGroup
}

// open lets clients in.
func (f *front) open() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listener != nil {
		return
	}
	l, err := net.Listen("tcp", f.address)
	if err != nil {
		f.t.Errorf("front of %s: %v", f.node, err)
		return
	}
	f.listener, f.conns = l, map[net.Conn]struct{}{}
	f.relays.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			f.relays.Go(func() { f.serve(l, c) })
		}
	})
}

// close is the end of a node as clients see it: connections are reset, and no new ones are taken.
func (f *front) close() {
	f.mu.Lock()
	if f.listener != nil {
		f.listener.Close()
		f.listener = nil
		for c := range f.conns {
			reset(c)
		}
	}
	f.mu.Unlock()
	f.relays.Wait()
}

func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // it is closed either way
	}
	c.Close()
}

// spoil sets what is done to traffic, in 1000 frames.
func (f *front) spoil(lose, late int32, by time.Duration) {
	f.lose.Store(lose)
	f.late.Store(late)
	f.by.Store(int64(by))
}

func (f *front) serve(of net.Listener, client net.Conn) {
	node, err := net.Dial("tcp", f.node)
	if err != nil {
		reset(client)
		return
	}
	f.mu.Lock()
	if f.listener != of { // closed meanwhile
		f.mu.Unlock()
		reset(client)
		reset(node)
		return
	}
	f.conns[client], f.conns[node] = struct{}{}, struct{}{}
	f.mu.Unlock()
	over := make(chan struct{})
	end := sync.OnceFunc(func() {
		close(over)
		client.Close()
		node.Close()
	})
	var both sync.WaitGroup
	both.Go(func() { f.relay(client, node, over, end, f.request) })
	both.Go(func() { f.relay(node, client, over, end, f.answer) })
	both.Wait()
	f.mu.Lock()
	delete(f.conns, client)
	delete(f.conns, node)
	f.mu.Unlock()
}

// fate is what becomes of a frame.
type fate struct {
	lost bool
	late time.Duration
}

// relay passes frames on until one side ends, which ends the other. A late frame comes after others.
func (f *front) relay(from, to net.Conn, over <-chan struct{}, end func(), decide func(opcode byte, body []byte) fate) {
	var mu sync.Mutex // one frame is written at a time
	var late sync.WaitGroup
	write := func(frame []byte) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = to.Write(frame) // the other relay sees a broken connection
	}
	for {
		frame, err := readFrame(from)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && errors.Is(err, errFrame) {
				f.t.Errorf("front of %s: %v", f.node, err)
			}
			break
		}
		d := decide(frame[4], frame[headerSize:])
		switch {
		case d.lost:
			f.lost.Add(1)
		case d.late > 0:
			f.held.Add(1)
			late.Go(func() {
				timer := time.NewTimer(d.late)
				defer timer.Stop()
				select {
				case <-timer.C:
					write(frame)
				case <-over:
				}
			})
		default:
			write(frame)
		}
	}
	end()
	late.Wait()
}

// Frames of the native protocol, version 4: version, flags, stream (2), opcode, length (4), body.
const (
	headerSize = 9
	maxFrame   = 256 << 20

	opError   = 0x00
	opQuery   = 0x07
	opResult  = 0x08
	opExecute = 0x0A
	opBatch   = 0x0D
)

var errFrame = errors.New("not a frame of the native protocol, version 4 or older")

func readFrame(r io.Reader) ([]byte, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(header[5:])
	if header[0]&0x7F > 4 || size > maxFrame {
		return nil, errFrame
	}
	frame := make([]byte, headerSize+int(size))
	copy(frame, header[:])
	_, err := io.ReadFull(r, frame[headerSize:])
	return frame, err
}

// request is the fate of what a client asks.
func (f *front) request(opcode byte, _ []byte) fate {
	switch opcode {
	case opQuery, opExecute, opBatch:
		if hit(&f.late) {
			return fate{late: time.Duration(f.by.Load())}
		}
	}
	return fate{}
}

// answer is the fate of what the node says: the result of a statement may be lost, and so may the news
// that it failed.
func (f *front) answer(opcode byte, body []byte) fate {
	const void, rows = 1, 2
	if opcode == opResult && len(body) >= 4 {
		if kind := binary.BigEndian.Uint32(body); kind != void && kind != rows {
			return fate{} // of preparing, or of a change of the schema
		}
	} else if opcode != opError {
		return fate{}
	}
	return fate{lost: hit(&f.lose)}
}

func hit(in1000 *atomic.Int32) bool {
	n := in1000.Load()
	return n > 0 && rand.Int32N(1000) < n
}
