package blob

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tolkflip/tolkflip/store"
)

// Checkpoint writes a copy of the directory to dir, which must not exist, while files come and go. Every
// file that was there at the call and is not deleted meanwhile is in it, whole, and what is in it is
// durable. Files never change, so they are linked where the file system can, and copied where it cannot.
//
// A copy of the records is to be taken before: then it names no file that was stored after the files were
// copied.
func (d *Disk) Checkpoint(dir string) (err error) {
	if d.closed.Load() {
		return store.ErrClosed
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("copy files: %w", err)
	}
	if err := os.Mkdir(filepath.Join(dir, filesDir), 0o700); err != nil {
		return fmt.Errorf("copy files: %w", err)
	}
	for i := range folders {
		if err := d.copyFolder(folder(i), filepath.Join(dir, filesDir)); err != nil {
			return fmt.Errorf("copy files: %w", err)
		}
	}
	for _, made := range []string{filepath.Join(dir, filesDir), dir} {
		if err := syncDir(made); err != nil {
			return fmt.Errorf("copy files: %w", err)
		}
	}
	return nil
}

// listed is how many names of a folder are read at a time.
const listed = 1024

func (d *Disk) copyFolder(name, to string) (err error) {
	from, err := d.root.Open(filesDir + "/" + name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to = filepath.Join(to, name)
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	for {
		list, err := from.ReadDir(listed)
		for _, e := range list {
			if !e.Type().IsRegular() {
				continue // none of ours
			}
			if err := d.copyFile(filesDir+"/"+name+"/"+e.Name(), filepath.Join(to, e.Name())); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return syncDir(to)
		}
		if err != nil {
			return err
		}
	}
}

// copyFile links a file, or copies it. One that was deleted since the folder was read is left out.
func (d *Disk) copyFile(from, to string) (err error) {
	if err := d.link(from, to); err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	source, err := d.root.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	if err == nil {
		err = target.Sync()
	}
	if err = errors.Join(err, target.Close()); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}

func (d *Disk) link(from, to string) error {
	if d.faults.link != nil {
		return d.faults.link()
	}
	return os.Link(filepath.Join(d.cfg.Dir, from), to)
}

func syncDir(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
