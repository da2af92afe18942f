package pebble

import (
	"errors"
	"hash/maphash"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// get appends the value of key to buf, and reports whether there is one.
func (s *Store) get(buf, key []byte) (value []byte, found bool, err error) {
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	buf = append(buf, v...)
	return buf, true, closer.Close()
}

// has reports whether there is a key.
func (s *Store) has(key []byte) (bool, error) {
	_, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, closer.Close()
}

// scan calls each with the keys in [from, to) and their values, which are valid only within the call,
// until it returns false.
func (s *Store) scan(from, to []byte, each func(key, value []byte) (more bool, err error)) (err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if more, err := each(it.Key(), value); err != nil || !more {
			return err
		}
	}
	return it.Error()
}

// change is a write that is made under a lock and made durable after the lock is given back, so that
// those who wait for the same lock do not wait for the disk, and Pebble syncs all of them at once. Others
// may see it in between.
type change struct {
	s *Store
	b *pebble.Batch
}

func (s *Store) change() change { return change{s, s.db.NewBatch()} }

func (c change) set(key, value []byte) { _ = c.b.Set(key, value, nil) } // a plain batch cannot fail

func (c change) delete(key []byte) { _ = c.b.Delete(key, nil) } // a plain batch cannot fail

// apply makes the change visible.
func (c change) apply() error {
	if c.b.Empty() {
		return nil
	}
	return c.s.db.ApplyNoSyncWait(c.b, pebble.Sync)
}

// wait makes it durable and frees it. It passes an earlier failure through.
func (c change) wait(err error) error {
	if err == nil && !c.b.Empty() {
		if err = c.b.SyncWait(); err != nil {
			c.s.fail(err)
			return err
		}
	}
	return errors.Join(err, c.b.Close())
}

// update lets f read and change rows under the lock of key, and returns when the change is durable.
func (s *Store) update(key []byte, f func(change) error) error {
	return s.updateLocked(s.locks.lock(key), f)
}

// updateTwo is update under the locks of two keys.
func (s *Store) updateTwo(a, b []byte, f func(change) error) error {
	return s.updateLocked(s.locks.lockTwo(a, b), f)
}

func (s *Store) updateLocked(unlock func(), f func(change) error) error {
	c := s.change()
	err := f(c)
	if err == nil {
		err = c.apply()
	}
	unlock()
	return c.wait(err)
}

// stripes are the locks of read-modify-write on the rows of one user, phone, group or token.
type stripes struct {
	seed  maphash.Seed
	locks [256]sync.Mutex
}

func (l *stripes) of(key []byte) *sync.Mutex {
	return &l.locks[maphash.Bytes(l.seed, key)%uint64(len(l.locks))]
}

// lock takes the lock of key, and gives the way to give it back.
func (l *stripes) lock(key []byte) func() {
	m := l.of(key)
	m.Lock()
	return m.Unlock
}

// lockTwo takes the locks of two keys in an order that cannot deadlock.
func (l *stripes) lockTwo(a, b []byte) func() {
	i, j := maphash.Bytes(l.seed, a)%uint64(len(l.locks)), maphash.Bytes(l.seed, b)%uint64(len(l.locks))
	if i == j {
		l.locks[i].Lock()
		return l.locks[i].Unlock
	}
	i, j = min(i, j), max(i, j)
	l.locks[i].Lock()
	l.locks[j].Lock()
	return func() {
		l.locks[j].Unlock()
		l.locks[i].Unlock()
	}
}
