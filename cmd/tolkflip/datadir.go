package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// dataDir is a data directory that this process holds: nobody else can open it until close.
type dataDir struct {
	path string
	pid  *os.File // locked
	node [16]byte // of node-id
}

// openDataDir makes the directory where needed and takes it. One in use is an inUseError that names the
// process which holds it.
func openDataDir(path string) (*dataDir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(path, "pid"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		b, _ := os.ReadFile(f.Name()) // only for the message
		if closed := f.Close(); !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock data directory: %w", errors.Join(err, closed))
		}
		return nil, inUseError{fmt.Sprintf("the data directory %s is in use by process %s; stop it, or give another --data", path, strings.TrimSpace(string(b)))}
	}
	if err := errors.Join(f.Truncate(0), second(f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0))); err != nil {
		return nil, fmt.Errorf("write %s: %w", f.Name(), errors.Join(err, f.Close()))
	}
	d := &dataDir{path: path, pid: f}
	if err := d.readNode(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return d, nil
}

// readNode reads the directory's node id, which is made once and never changes: it is who this
// installation is to the other nodes of a keyspace.
func (d *dataDir) readNode() error {
	path := d.in("node-id")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		made := uuid.New()
		d.node = made
		return writeDurably(path, []byte(made.String()+"\n"), 0o600)
	}
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	v, err := uuid.Parse(strings.TrimSpace(string(b)))
	if err != nil || v == uuid.Nil {
		return fmt.Errorf("%s does not hold a UUID; remove it, and another is made", path)
	}
	d.node = v
	return nil
}

// in gives the path of a file in the directory.
func (d *dataDir) in(name string) string { return filepath.Join(d.path, name) }

// close gives the directory up. The pid file stays, empty: removing it would let two processes lock
// different files of the same name.
func (d *dataDir) close() error {
	return errors.Join(d.pid.Truncate(0), d.pid.Close())
}
