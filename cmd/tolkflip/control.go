package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
)

// controlServer answers the commands that act on a running server, over <data>/control.sock, which only
// the server's own user can open (0600).
type controlServer struct {
	path     string
	http     http.Server
	listener net.Listener
	done     chan struct{}
}

// controlActions are what the commands may do.
type controlActions interface {
	actOnUser(ctx context.Context, do, who string) (string, error)
	blocked(who string) (bool, error)
	backup(ctx context.Context, dir string) error
}

type userRequest struct{ Do, Who string }

type blockedRequest struct{ Who string }

type blockedReply struct {
	Blocked bool `json:"blocked"`
}

type backupRequest struct{ Dir string }

type controlReply struct {
	Message string `json:"message,omitempty"`
	Error   string `json:"error,omitempty"`
}

// heapState is what is left after a collection, for load tools that measure idle memory.
type heapState struct {
	HeapObjects uint64 `json:"heapObjects"`
	HeapAlloc   uint64 `json:"heapAlloc"`
	Goroutines  int    `json:"goroutines"`
}

// serveControl listens at path, in place of a socket that a killed process left there. The caller holds
// the data directory, so nobody else listens.
func serveControl(path string, a controlActions) (*controlServer, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /user", func(w http.ResponseWriter, r *http.Request) {
		var in userRequest
		controlled(w, r, &in, func() (any, error) {
			message, err := a.actOnUser(r.Context(), in.Do, in.Who)
			return controlReply{Message: message}, err
		})
	})
	mux.HandleFunc("POST /blocked", func(w http.ResponseWriter, r *http.Request) {
		var in blockedRequest
		controlled(w, r, &in, func() (any, error) {
			blocked, err := a.blocked(in.Who)
			return blockedReply{blocked}, err
		})
	})
	mux.HandleFunc("POST /backup", func(w http.ResponseWriter, r *http.Request) {
		var in backupRequest
		controlled(w, r, &in, func() (any, error) {
			return controlReply{Message: "written to " + in.Dir}, a.backup(r.Context(), in.Dir)
		})
	})
	mux.HandleFunc("POST /gc", func(w http.ResponseWriter, r *http.Request) {
		var in struct{}
		controlled(w, r, &in, func() (any, error) {
			debug.FreeOSMemory()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return heapState{HeapObjects: m.HeapObjects, HeapAlloc: m.HeapAlloc, Goroutines: runtime.NumGoroutine()}, nil
		})
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	c := &controlServer{path: path, listener: l, done: make(chan struct{}), http: http.Server{Handler: mux, ReadTimeout: 10 * time.Second}}
	go func() {
		defer close(c.done)
		_ = c.http.Serve(l) // ends with close; there is nobody to tell
	}()
	return c, nil
}

func (c *controlServer) close() {
	_ = c.http.Close() // closes the listener, which removes the socket
	<-c.done
}

func controlled(w http.ResponseWriter, r *http.Request, in any, act func() (any, error)) {
	w.Header().Set("Content-Type", "application/json")
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(in)
	if err != nil && !errors.Is(err, io.EOF) {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(controlReply{Error: err.Error()}) // the command is gone when this fails
		return
	}
	out, err := act()
	if err != nil {
		w.WriteHeader(http.StatusUnprocessableEntity)
		out = controlReply{Error: err.Error()}
	}
	_ = json.NewEncoder(w).Encode(out) // as above
}

// errNoServer says that nobody listens on a data directory's socket.
var errNoServer = errors.New("no server answers")

// askServer has the server on a data directory do something.
func askServer(ctx context.Context, data, path string, in, out any) error {
	socket := filepath.Join(data, "control.sock")
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://tolkflip"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	reply, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("%w on %s; is one running with --data %s? (%w)", errNoServer, socket, data, err)
	}
	defer func() { _ = reply.Body.Close() }() // it was read to its end
	b, err := io.ReadAll(io.LimitReader(reply.Body, 1<<20))
	if err != nil {
		return err
	}
	if reply.StatusCode != http.StatusOK {
		var refused controlReply
		if json.Unmarshal(b, &refused) != nil || refused.Error == "" {
			return fmt.Errorf("the server answered %s", reply.Status)
		}
		return errors.New(refused.Error)
	}
	return json.Unmarshal(b, out)
}
