package pebble

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// lockName is the file in a store's directory that its process locks and writes its id into. The lock
// is the kernel's, so it ends with the process; the id is only there to be named.
const lockName = "pid"

// ErrInUse says which process has the directory open.
type ErrInUse struct {
	Dir string
	PID int // 0 where it could not be read
}

// Error names the directory and the process.
func (e *ErrInUse) Error() string {
	return fmt.Sprintf("pebble: %s is in use by process %d", e.Dir, e.PID)
}

type dirLock struct{ file *os.File }

func lockDir(dir string) (*dirLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the store's directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the store's lock: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		text, _ := io.ReadAll(io.LimitReader(f, 32)) // who holds it is a courtesy
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		return nil, errors.Join(&ErrInUse{Dir: dir, PID: pid}, f.Close())
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteString(strconv.Itoa(os.Getpid()) + "\n")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock the store: %w", err), f.Close())
	}
	return &dirLock{f}, nil
}

// release gives the directory back. The file stays: to remove it would let two others lock two files.
func (l *dirLock) release() error {
	if l == nil {
		return nil
	}
	return l.file.Close()
}
