// Package scenario holds what the load generator can do: idle, rounds, connect, chat, fanout, rest, abuse and floor. Each is a
// config, a run that returns a result with tables, and the loop's side of it.
package scenario

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/tolkflip/tolkflip/bench/floor"
	"github.com/tolkflip/tolkflip/bench/target"
	"github.com/tolkflip/tolkflip/bench/users"
)

// Ours is the name of the server under test among the subjects; the others are the kinds of floor.
const Ours = "tolkflip"

// Options is where the server is and how its users are made: what all scenarios share.
type Options struct {
	URL        string   // of a running server's gateway
	PID        int      // of that server; 0 = its CPU and memory are not read
	Control    string   // path of that server's control socket
	Spawn      string   // or the program to start as a server, on free ports
	Data       string   // its data directory; empty = a new one, removed afterwards
	Args       []string // more arguments for it
	Users      string   // file that keeps the users; empty = none is kept
	SecretFile string   // the server's token secret; empty = tokens come from registering
	Path       string   // of the WebSocket
	Loops      int      // epoll threads of the generator
	Progress   io.Writer
}

// Validate checks what can be checked without a server.
func (o Options) Validate(needsServer bool) error {
	switch {
	case needsServer && o.URL == "" && o.Spawn == "":
		return errors.New("which server? --url of a running one, or --spawn with the program to start")
	case o.URL != "" && o.Spawn != "":
		return errors.New("--url and --spawn exclude each other")
	case o.Loops < 1:
		return errors.New("--loops must be at least 1")
	}
	return nil
}

func (o Options) say(format string, args ...any) {
	if o.Progress != nil {
		_, _ = fmt.Fprintf(o.Progress, format+"\n", args...)
	}
}

// Subject is a server that load is put on.
type Subject struct {
	Name   string
	Addr   netip.AddrPort
	Path   string
	PID    int
	Server *target.Server // of ours; nil for a baseline
	Mint   *users.Mint    // nil when the secret is not known

	options Options
	stop    func() error
}

// Close ends what Open started.
func (s *Subject) Close() error {
	if s.stop == nil {
		return nil
	}
	return s.stop()
}

// Open gives the server called name: ours, as the options say, or a baseline in a process of its own.
func (o Options) Open(ctx context.Context, name string, baseline floor.Config) (*Subject, error) {
	if name == Ours {
		return o.openOurs(ctx)
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	baseline.Kind, baseline.Secret = floor.Kind(name), secret
	child, err := floor.Start(ctx, baseline)
	if err != nil {
		return nil, err
	}
	return &Subject{
		Name: name, Addr: child.Addr, Path: "/ws", PID: child.PID, Mint: users.NewMint(secret),
		options: o, stop: child.Stop,
	}, nil
}

func (o Options) openOurs(ctx context.Context) (*Subject, error) {
	s := &Subject{Name: Ours, Path: o.Path, options: o}
	var err error
	if o.Spawn != "" {
		err = s.spawn(ctx)
	} else {
		s.Server, err = target.Given(o.URL, o.PID, o.Control)
	}
	if err != nil {
		return nil, err
	}
	s.Addr, s.PID = s.Server.Addr, s.Server.PID
	secret := o.SecretFile
	if secret == "" && s.Server.Data != "" {
		secret = filepath.Join(s.Server.Data, "jwt-secret")
	}
	if secret != "" {
		if s.Mint, err = users.ReadMint(secret); err != nil && o.SecretFile != "" {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

func (s *Subject) spawn(ctx context.Context) error {
	data, remove := s.options.Data, func() error { return nil }
	if data == "" {
		dir, err := os.MkdirTemp("", "tolkbench-")
		if err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
		data = filepath.Join(dir, "data")
		remove = func() error { return os.RemoveAll(dir) }
	}
	server, err := target.Spawn(ctx, s.options.Spawn, data, s.options.Args)
	if err != nil {
		if info, e := os.Stat(data + ".log"); e != nil || info.Size() == 0 {
			err = errors.Join(err, remove())
		}
		return err // with a log, the directory stays
	}
	s.options.say("started %s, pid %d, at %s", s.options.Spawn, server.PID, server.URL)
	s.Server = server
	s.stop = func() error { return errors.Join(server.Stop(), remove()) }
	return nil
}

// People gives n users that exist, in the order of the file: those of the file, and more that are registered now. Where the
// secret is known they get fresh tokens. A baseline knows no accounts and gets made-up ones.
func (s *Subject) People(ctx context.Context, n int) ([]users.User, error) {
	if s.Server == nil {
		return s.Mint.Nobody(n)
	}
	var all []users.User
	if s.options.Users != "" {
		var err error
		if all, err = users.Load(s.options.Users); err != nil {
			return nil, err
		}
	}
	if have := len(all); have < n {
		began := time.Now()
		rest := users.NewREST(s.Server.URL)
		defer rest.Close()
		var err error
		if all, err = rest.Extend(ctx, all, n); err != nil {
			return nil, err
		}
		s.options.say("registered %d users in %.1f s", n-have, time.Since(began).Seconds())
		if s.options.Users != "" {
			if err := users.Save(s.options.Users, all); err != nil {
				return nil, err
			}
		}
	}
	all = all[:n]
	if s.Mint != nil {
		return all, s.Mint.Renew(all)
	}
	return all, nil
}

// Strangers gives n users that need not exist: enough to connect with. Without the secret they are registered.
func (s *Subject) Strangers(ctx context.Context, n int) ([]users.User, error) {
	if s.Mint != nil {
		return s.Mint.Nobody(n)
	}
	return s.People(ctx, n)
}
