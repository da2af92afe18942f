package cassandra

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gocql/gocql"
	"github.com/scylladb/gocqlx/v2"

	"github.com/tolkflip/tolkflip/store"
)

// call is one call of a method of an aggregate: the context of its statements, which ends with the caller's
// or when the budget is spent, and the way to make them.
type call struct {
	context.Context
	caller context.Context
	cancel context.CancelFunc
	s      *Store
}

// begin starts a call; end must follow. rows is what it writes beyond a handful, which lengthens the budget.
func (s *Store) begin(ctx context.Context, rows int) (*call, error) {
	s.life.RLock()
	if s.closed {
		s.life.RUnlock()
		return nil, store.ErrClosed
	}
	c := &call{caller: ctx, s: s}
	c.Context, c.cancel = context.WithTimeout(ctx, s.cfg.Budget+time.Duration(rows)*5*time.Millisecond)
	return c, nil
}

func (c *call) end() {
	c.cancel()
	c.s.life.RUnlock()
}

// failed maps what went wrong while doing what.
func (c *call) failed(what string, err error) error { return mapped(c.caller, what, err) }

// read makes a statement that reads: it is tried on the next host where one fails.
func (c *call) read(stmt string, args ...any) *gocqlx.Queryx { return c.s.repeated(c, stmt, args) }

// write makes a statement that may be done twice.
func (c *call) write(stmt string, args ...any) *gocqlx.Queryx { return c.s.repeated(c, stmt, args) }

func (s *Store) repeated(ctx context.Context, stmt string, args []any) *gocqlx.Queryx {
	q := s.session.ContextQuery(ctx, stmt, nil)
	q.Query.Idempotent(true).RetryPolicy(s.again)
	return q.Bind(args...)
}

// serial makes a statement that reads what conditions have decided: it finishes what one left half done.
func (c *call) serial(stmt string, args ...any) *gocqlx.Queryx {
	q := c.read(stmt, args...)
	q.Query.Consistency(gocql.Consistency(c.s.serialConsistency()))
	return q
}

// undecided is a condition's error after which nobody knows whether it was applied, now or later.
type undecided struct{ error }

// Unwrap gives the driver's error.
func (u undecided) Unwrap() error { return u.error }

// decide does a condition and makes its error undecided, unless it surely was not applied.
func (c *call) decide(do func() (applied bool, err error)) (applied bool, err error) {
	var before, after error
	if c.s.cfg.decided != nil {
		before, after = c.s.cfg.decided()
	}
	if err = before; err == nil {
		applied, err = do()
	}
	if after != nil {
		err = after
	}
	if err != nil && !neverSent(err) {
		return false, undecided{err}
	}
	return applied, err
}

// cas does one conditional statement, once.
func (c *call) cas(stmt string, args ...any) (applied bool, err error) {
	applied, _, err = c.casRow(stmt, args...)
	return applied, err
}

// casRow is cas, and gives what stood in the way of a condition that did not hold.
func (c *call) casRow(stmt string, args ...any) (applied bool, row map[string]any, err error) {
	row = map[string]any{}
	applied, err = c.decide(func() (bool, error) {
		q := c.s.session.Session.Query(stmt, args...).WithContext(c).RetryPolicy(nil).NoSkipMetadata()
		defer q.Release()
		it := q.Iter()
		it.MapScan(row)
		if err := it.Close(); err != nil {
			return false, err
		}
		applied, ok := row["[applied]"].(bool)
		if !ok {
			return false, errors.New("a condition was answered without an outcome")
		}
		return applied, nil
	})
	return applied, row, err
}

// casBatch does one conditional batch on one partition, once.
func (c *call) casBatch(fill func(*gocql.Batch)) (applied bool, err error) {
	b := c.s.session.NewBatch(gocql.LoggedBatch).WithContext(c).RetryPolicy(nil)
	fill(b)
	return c.decide(func() (bool, error) {
		applied, iter, err := c.s.session.MapExecuteBatchCAS(b, map[string]any{})
		if iter != nil {
			if e := iter.Close(); err == nil {
				err = e
			}
		}
		return applied, err
	})
}

// batch does an unlogged batch of statements that may be done twice.
func (c *call) batch(fill func(*gocql.Batch)) error {
	b := c.s.session.NewBatch(gocql.UnloggedBatch).WithContext(c).RetryPolicy(c.s.again)
	fill(b)
	for i := range b.Entries {
		b.Entries[i].Idempotent = true
	}
	return c.s.session.ExecuteBatch(b)
}

// until repeats try, with growing pauses of random length, until it is done, fails, or the call's budget is
// spent. A try that loses its condition returns false and no error. Once a condition's outcome is undecided,
// failures are no longer final, and unsure tells the tries that follow to look first, at serial consistency,
// whether it was applied after all.
func (c *call) until(try func(unsure bool) (done bool, err error)) error {
	unsure := false
	pause := 2 * time.Millisecond
	var last error
	for {
		done, err := try(unsure)
		if done {
			return err
		}
		if err != nil {
			last = err
			var u undecided
			unsure = unsure || errors.As(err, &u)
			if !unsure || !causeOf(err).retryable() {
				return err
			}
		}
		c.s.metrics.conditionsAgain.Inc()
		t := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-t.C:
		case <-c.Done():
			t.Stop()
			if last == nil {
				last = c.Err()
			}
			return last
		}
		pause = min(2*pause, 100*time.Millisecond)
	}
}

// each does f for 0 to n-1, at most the store's InFlight at once, and gives the first error. After one, what
// was not begun is not begun.
func (c *call) each(n int, f func(i int) error) error {
	if n == 1 {
		return f(0)
	}
	var wait sync.WaitGroup
	var mu sync.Mutex
	var first error
	next := 0
	take := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		if first != nil || next >= n {
			return 0, false
		}
		next++
		return next - 1, true
	}
	for range min(n, c.s.cfg.InFlight) {
		wait.Go(func() {
			for {
				i, ok := take()
				if !ok {
					return
				}
				if err := f(i); err != nil {
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
					return
				}
			}
		})
	}
	wait.Wait()
	return first
}
