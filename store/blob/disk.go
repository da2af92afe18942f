package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/store"
)

// Disk keeps files in a directory. Several processes may have it open.
type Disk struct {
	// Fixed after OpenDisk.
	cfg     DiskConfig
	log     *slog.Logger
	metrics *metrics
	root    *os.Root // nothing outside of it is reached, whatever a name or a link says
	temp    tempDir  // of unfinished files
	buffers sync.Pool

	next   atomic.Uint64 // names temporary files
	closed atomic.Bool

	faults diskFaults
}

// diskFaults are failures of the file system for tests.
type diskFaults struct {
	write func() error            // of a write of a Put
	sync  func(name string) error // of a folder
	link  func() error            // of a file into a copy
}

const (
	copyBytes  = 64 << 10 // read and written at a time
	flushBytes = 1 << 20  // written before the system is asked to write it out
	lagBytes   = 8 << 20  // what may be in memory and not on its way to the disk, of one file
	spaceBytes = 16 << 20 // written between two looks at the free space
)

// OpenDisk opens a directory of files, makes it where there is none, and removes what uploads of dead
// processes left behind.
func OpenDisk(cfg DiskConfig, log *slog.Logger, reg prometheus.Registerer) (*Disk, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of files: %w", err)
	}
	root, err := os.OpenRoot(cfg.Dir)
	if err == nil {
		err = syncDir(filepath.Dir(filepath.Clean(cfg.Dir)))
	}
	if err != nil {
		return nil, fmt.Errorf("open the directory of files: %w", err)
	}
	d := &Disk{cfg: cfg, log: log, root: root}
	d.buffers.New = func() any { return new([copyBytes]byte) }
	if d.cfg.FreeBytes == nil {
		d.cfg.FreeBytes = func() (free, total uint64, err error) { return statfs(cfg.Dir) }
	}
	if err := d.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("open the directory of files: %w", err), root.Close())
	}
	d.metrics = newMetrics(reg)
	if n := d.temp.sweep(root); n > 0 {
		d.metrics.removed.Add(float64(n))
		log.Info("removed unfinished uploads of dead processes", slog.Int("uploads", n))
	}
	gauge(reg, "free_bytes", "Free space of the file system of files.", func() float64 {
		free, _, err := d.cfg.FreeBytes()
		if err != nil {
			return 0
		}
		return float64(free)
	})
	return d, nil
}

// prepare makes the folders that files are spread over, and that of unfinished ones.
func (d *Disk) prepare() error {
	names := []string{filesDir, tempRoot}
	for i := range folders {
		names = append(names, filesDir+"/"+folder(i))
	}
	for _, name := range names {
		if err := d.root.Mkdir(name, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	for _, name := range []string{filesDir, "."} { // also of what another process made and had no time to
		if err := d.sync(name); err != nil {
			return err
		}
	}
	var err error
	d.temp, err = newTempDir(d.root)
	return err
}

// Close removes what is unfinished. What comes later, and what is under way, fails.
func (d *Disk) Close() error {
	if d.closed.Swap(true) {
		return nil
	}
	return errors.Join(d.temp.close(d.root), d.root.Close())
}

// sync makes what happened in a directory durable.
func (d *Disk) sync(name string) error {
	if d.faults.sync != nil {
		if err := d.faults.sync(name); err != nil {
			return err
		}
	}
	f, err := d.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// failed turns a failure of the file system into one of ours. No key of a file is in it.
func (d *Disk) failed(doing string, err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		err = link.Err
	}
	switch {
	case d.closed.Load():
		return store.ErrClosed
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%s: the disk is full: %w", doing, store.ErrBusy)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%s: %w: %w", doing, store.ErrBusy, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// Put writes a temporary file, and gives it its name when it is whole and on the disk.
func (d *Disk) Put(ctx context.Context, key, mediaType string, r io.Reader, size int64) (n int64, err error) {
	defer func() {
		d.metrics.count(opPut, err)
		if err == nil {
			d.metrics.stored.Add(float64(n))
		}
	}()
	if err := store.CheckBlob(key, mediaType, size); err != nil {
		return 0, err
	}
	if d.closed.Load() {
		return 0, store.ErrClosed
	}
	if err := d.space(max(size, 0)); err != nil {
		return 0, err
	}
	temp := d.temp.name + "/" + strconv.FormatUint(d.next.Add(1), 16)
	f, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, d.failed("make a file", err)
	}
	defer func() {
		if f != nil {
			_ = f.Close()           // the first failure is reported
			_ = d.root.Remove(temp) // what stays goes with the folder
		}
	}()
	from := store.NewBlobSource(ctx, r, size)
	if err := d.write(f, from, mediaType); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, d.failed("write a file to the disk", err)
	}
	if err := f.Close(); err != nil {
		return 0, d.failed("write a file to the disk", err)
	}
	dir, name := place(key)
	if err := d.root.Rename(temp, dir+"/"+name); err != nil {
		return 0, d.failed("name a file", err)
	}
	f = nil
	if err := d.sync(dir); err != nil {
		return 0, d.failed("write a folder to the disk", err)
	}
	return from.Bytes(), nil
}

// write copies a file and its trailer. The system is asked to write it out as it comes, and the copy waits
// for what lies behind: else the sync at the end of a large file would hold up every other on the disk,
// those of the messages too.
func (d *Disk) write(f *os.File, from *store.BlobSource, mediaType string) error {
	buffer, _ := d.buffers.Get().(*[copyBytes]byte)
	defer d.buffers.Put(buffer)
	var flushed, looked int64
	for {
		n, err := from.Read(buffer[:])
		if err == io.EOF { //nolint:errorlint // a bare one is the end, a wrapped one a failure
			break
		}
		if err != nil {
			return err
		}
		if err := d.append(f, buffer[:n]); err != nil {
			return err
		}
		written := from.Bytes()
		if written-flushed >= flushBytes {
			flush(f, flushed, written)
			flushed = written
		}
		if written-looked >= spaceBytes {
			if err := d.space(0); err != nil {
				return err
			}
			looked = written
		}
	}
	return d.append(f, appendTrailer(buffer[:0], mediaType, from.Bytes()))
}

func (d *Disk) append(f *os.File, b []byte) error {
	if d.closed.Load() {
		return store.ErrClosed
	}
	if d.faults.write != nil {
		if err := d.faults.write(); err != nil {
			return d.failed("write a file", err)
		}
	}
	if _, err := f.Write(b); err != nil {
		return d.failed("write a file", err)
	}
	return nil
}

// space is ErrBusy where so many bytes more would leave too little free space. What cannot be measured
// refuses nothing.
func (d *Disk) space(wanted int64) error {
	free, total, err := d.cfg.FreeBytes()
	if err != nil {
		return nil //nolint:nilerr // as above
	}
	if least := max(d.cfg.MinFreeBytes, total/100*d.cfg.MinFreePercent); free < least+uint64(wanted) {
		return fmt.Errorf("the disk of files is nearly full: %d bytes are free, %d must stay: %w", free, least, store.ErrBusy)
	}
	return nil
}

// Open gives a part of a file. It stays readable when the file is deleted or replaced.
func (d *Disk) Open(_ context.Context, key string, offset, length int64) (r io.ReadCloser, o store.Object, err error) {
	defer func() { d.metrics.count(opOpen, err) }()
	if _, _, err := store.BlobRange(offset, length, 0); err != nil {
		return nil, o, err
	}
	f, o, err := d.open(key)
	if err != nil {
		return nil, o, err
	}
	from, n, err := store.BlobRange(offset, length, o.Size)
	if err != nil {
		return nil, o, errors.Join(err, f.Close())
	}
	return &section{io.NewSectionReader(f, from, n), f}, o, nil
}

// section is a part of a file that closes it.
type section struct {
	*io.SectionReader
	f *os.File
}

func (s *section) Close() error { return s.f.Close() }

// open opens a file and reads its trailer.
func (d *Disk) open(key string) (*os.File, store.Object, error) {
	if err := store.CheckBlobKey(key); err != nil {
		return nil, store.Object{}, err
	}
	if d.closed.Load() {
		return nil, store.Object{}, store.ErrClosed
	}
	dir, name := place(key)
	f, err := d.root.OpenFile(dir+"/"+name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would wait
	if errors.Is(err, os.ErrNotExist) {
		return nil, store.Object{}, store.ErrNotFound
	}
	if err != nil {
		return nil, store.Object{}, d.failed("open a file", err)
	}
	o, err := inspect(f)
	if err != nil {
		return nil, store.Object{}, errors.Join(d.failed("open a file", err), f.Close())
	}
	return f, o, nil
}

// Stat says what is known of a file.
func (d *Disk) Stat(_ context.Context, key string) (o store.Object, err error) {
	defer func() { d.metrics.count(opStat, err) }()
	f, o, err := d.open(key)
	if err != nil {
		return o, err
	}
	return o, f.Close()
}

// Delete removes a file.
func (d *Disk) Delete(_ context.Context, key string) (err error) {
	defer func() { d.metrics.count(opDelete, err) }()
	if err := store.CheckBlobKey(key); err != nil {
		return err
	}
	if d.closed.Load() {
		return store.ErrClosed
	}
	dir, name := place(key)
	err = d.root.Remove(dir + "/" + name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = d.sync(dir)
	}
	if err != nil {
		return d.failed("delete a file", err)
	}
	return nil
}

// Signed is "": a directory has no address of its own.
func (d *Disk) Signed(_ context.Context, key, _ string, _ time.Duration) (string, error) {
	return "", store.CheckBlobKey(key)
}

// Healthy looks at the free space, and makes and removes an empty file.
func (d *Disk) Healthy(context.Context) error {
	if d.closed.Load() {
		return store.ErrClosed
	}
	if err := d.space(0); err != nil {
		return err
	}
	temp := d.temp.name + "/" + strconv.FormatUint(d.next.Add(1), 16)
	f, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = errors.Join(f.Close(), d.root.Remove(temp))
	}
	if err != nil {
		return d.failed("make a file in "+filepath.Clean(d.cfg.Dir), err)
	}
	return nil
}

func statfs(dir string) (free, total uint64, err error) {
	var v syscall.Statfs_t
	if err := syscall.Statfs(dir, &v); err != nil {
		return 0, 0, err
	}
	return v.Bavail * uint64(v.Bsize), v.Blocks * uint64(v.Bsize), nil
}
