package blob

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

const (
	tempRoot   = "tmp"
	lockSuffix = ".lock"
	sweepLimit = 1 << 10 // folders of dead processes that one OpenDisk removes
)

// tempDir is the folder of this process's unfinished files. The lock beside it is held for as long as the
// process lives, and the kernel gives it back when it dies, however it dies.
type tempDir struct {
	name string // below the root
	lock *os.File
}

func newTempDir(root *os.Root) (tempDir, error) {
	for {
		name := tempRoot + "/" + strings.ToLower(rand.Text())
		lock, err := root.OpenFile(name+lockSuffix, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return tempDir{}, err
		}
		if !takeLock(lock) || !current(root, name+lockSuffix, lock) {
			_ = lock.Close() // another process swept it before the lock was taken
			continue
		}
		if err := root.Mkdir(name, 0o700); err != nil {
			return tempDir{}, errors.Join(err, lock.Close())
		}
		return tempDir{name, lock}, nil
	}
}

func takeLock(f *os.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// current reports whether name still is the file that was opened.
func current(root *os.Root, name string, f *os.File) bool {
	there, err := root.Lstat(name)
	if err != nil {
		return false
	}
	opened, err := f.Stat()
	return err == nil && os.SameFile(there, opened)
}

// close removes the folder, then the lock.
func (t tempDir) close(root *os.Root) error {
	return errors.Join(root.RemoveAll(t.name), root.Remove(t.name+lockSuffix), t.lock.Close())
}

// sweep removes the folders of processes that died, and gives how many files were in them. What it cannot
// remove is left to the next one.
func (t tempDir) sweep(root *os.Root) (files int) {
	list, err := fs.ReadDir(root.FS(), tempRoot)
	if err != nil {
		return 0
	}
	removed := 0
	for _, e := range list {
		name, isLock := strings.CutSuffix(e.Name(), lockSuffix)
		dir := tempRoot + "/" + name
		if !isLock || dir == t.name {
			continue
		}
		lock, err := root.OpenFile(dir+lockSuffix, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		if takeLock(lock) && current(root, dir+lockSuffix, lock) {
			left, _ := fs.ReadDir(root.FS(), dir) // none where it died before it made the folder
			files += len(left)
			_ = tempDir{dir, lock}.close(root) // as above
			if removed++; removed == sweepLimit {
				return files
			}
			continue
		}
		_ = lock.Close() // of a living process
	}
	return files
}
