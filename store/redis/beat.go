package redis

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/tolkflip/tolkflip/store"
)

const (
	// leaseRetry is how long after a failure the next try is, if nobody asks for one before.
	leaseRetry = 500 * time.Millisecond
	// leasePasses is how often one round writes a bucket of which Redis had another version than expected.
	leasePasses = 3
	// leaseRuns is how many steps go to Redis in one call.
	leaseRuns = 64
)

// errVersions says that Redis went on having other versions: another process writes under the same name.
var errVersions = errors.New("the leases are written by another process too; every node must have a name of its own")

// run writes changes when there are some, and renews at every beat.
func (v *leases) run() {
	defer close(v.done)
	beat := time.NewTicker(v.c.cfg.LeaseBeat)
	defer beat.Stop()
	retry := time.NewTimer(leaseRetry)
	defer retry.Stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // so that a call in flight does not hold up Close
		<-v.stop
		cancel()
	}()
	due := false
	var quiet time.Time // nothing is tried before
	for {
		if now := v.c.cfg.Now(); now.Before(quiet) {
			v.refuse()
		} else {
			due = due && !v.renew(ctx)
			if !v.write(ctx) || due {
				quiet = v.c.cfg.Now().Add(leaseRetry)
				retry.Reset(leaseRetry)
			}
		}
		select {
		case <-v.stop:
			return
		case <-v.wake:
		case <-retry.C:
		case <-beat.C:
			due = true
		}
	}
}

// next ends the collecting of waiters for a round.
func (v *leases) next() *round {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.mu.next
	v.mu.next = newRound()
	v.mu.round++
	return r
}

// refuse tells who waits that the last round failed a moment ago: what is held may be millions of users, and
// is not put together again for each of them.
func (v *leases) refuse() {
	r := v.next()
	r.err = v.c.fail(context.Background(), leaseWrite, errNotTried)
	close(r.done)
}

// work is what a round does to one bucket.
type work struct {
	bucket int
	runs   []run
	users  int // that the bucket has after it
}

// write brings Redis up to what is held, some buckets at a time, and reports whether it is.
func (v *leases) write(ctx context.Context) bool {
	r := v.next()
	for ctx.Err() == nil {
		todo := v.collect()
		if len(todo) == 0 {
			break
		}
		none, err := v.settle(ctx, todo, v.send(ctx, leaseWrite, todo))
		if err != nil && r.err == nil {
			r.err = err
		}
		if none && v.c.cfg.Mode != Cluster { // there is no other server that might answer
			break
		}
	}
	if ctx.Err() != nil {
		r.err = store.ErrClosed
	}
	close(r.done)
	return r.err == nil
}

// collect takes some of what this round has yet to write. A bucket counts as not synced until its answer is
// here.
func (v *leases) collect() []work {
	v.mu.Lock()
	defer v.mu.Unlock()
	var todo []work
	runs := 0
	for i := range v.mu.buckets {
		b := &v.mu.buckets[i]
		if b.done == v.mu.round || b.synced && len(b.changed) == 0 {
			continue
		}
		w := work{bucket: i, users: len(b.users)}
		if b.synced && !b.empty {
			w.runs = v.changes(i, b)
		} else {
			w.runs = v.replacement(i, b)
		}
		b.synced = false
		clear(b.changed)
		todo = append(todo, w)
		if runs += len(w.runs); runs >= leaseRuns {
			break
		}
	}
	return todo
}

// changes are steps that each build on the version before.
func (v *leases) changes(i int, b *bucket) (runs []run) {
	var adds, removes []string
	for u := range b.changed {
		if _, held := b.users[u]; held {
			adds = append(adds, string(u.ID[:]))
		} else {
			removes = append(removes, string(u.ID[:]))
		}
	}
	for len(adds)+len(removes) > 0 {
		a := adds[:min(len(adds), leaseStep)]
		r := removes[:min(len(removes), leaseStep-len(a))]
		adds, removes = adds[len(a):], removes[len(r):]
		runs = append(runs, v.changeRun(i, b.version, b.version+1, a, r))
		b.version++
	}
	return runs
}

// replacement is the whole bucket, under one new version.
func (v *leases) replacement(i int, b *bucket) (runs []run) {
	b.version++
	users := make([]string, 0, len(b.users))
	for u := range b.users {
		users = append(users, string(u.ID[:]))
	}
	for len(users) > leaseStep {
		runs = append(runs, v.replaceRun(i, b.version, "", users[:leaseStep]))
		users = users[leaseStep:]
	}
	return append(runs, v.replaceRun(i, b.version, strconv.Itoa(len(b.users)), users))
}

// send makes the runs of all works, in order.
func (v *leases) send(ctx context.Context, k command, todo []work) (answers []answer) {
	var runs []run
	for _, w := range todo {
		runs = append(runs, w.runs...)
	}
	for part := range slices.Chunk(runs, leaseRuns) {
		list, _ := v.c.evalAll(ctx, k, part) // each answer has its own error
		answers = append(answers, list...)
	}
	return answers
}

// settle notes what came of works, and gives the first error; none says that nothing was answered. A bucket
// of which Redis had another version stays to be done, for a few passes.
func (v *leases) settle(ctx context.Context, todo []work, answers []answer) (none bool, first error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	none = true
	for _, w := range todo {
		b := &v.mu.buckets[w.bucket]
		have, err := int64(0), error(nil)
		for _, a := range answers[:len(w.runs)] {
			n, failed := a.version(ctx, v.c)
			if failed != nil {
				err = failed
			} else if n != 0 {
				have = max(have, max(n, 1))
			}
		}
		answers = answers[len(w.runs):]
		none = none && err != nil
		if err == nil && have != 0 {
			v.c.metrics.rewrites.Inc()
			b.version = max(b.version, have)
			if b.passes++; b.passes < leasePasses {
				continue
			}
			err = v.c.fail(ctx, leaseWrite, errVersions)
		}
		b.passes, b.done = 0, v.mu.round
		b.synced, b.empty = err == nil, w.users == 0
		if first == nil {
			first = err
		}
	}
	return none, first
}

// version reads what a script answers: 0, -1, or a version.
func (a answer) version(ctx context.Context, c *client) (int64, error) {
	if a.err != nil {
		return 0, a.err
	}
	n, err := a.message.AsInt64()
	if err != nil {
		return 0, c.fail(ctx, leaseWrite, errAnswer)
	}
	return n, nil
}

// renew lengthens the life of what is held, marks what Redis has lost, and reports whether it could.
func (v *leases) renew(ctx context.Context) bool {
	v.mu.Lock()
	var todo []work
	for i := range v.mu.buckets {
		if b := &v.mu.buckets[i]; b.synced && !b.empty {
			todo = append(todo, work{bucket: i, runs: []run{v.renewRun(i, b.version)}})
		}
	}
	v.mu.Unlock()
	ok := true
	for i, a := range v.send(ctx, leaseRenew, todo) {
		if n, err := a.version(ctx, v.c); err != nil {
			ok = false
		} else if n != 0 {
			v.lost(todo[i].bucket)
		}
	}
	return ok
}

// lost marks a bucket for writing anew.
func (v *leases) lost(bucket int) {
	v.c.metrics.rewrites.Inc()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.buckets[bucket].synced = false
}

// close gives all leases back, if Redis answers.
func (v *leases) close() {
	v.mu.Lock()
	v.mu.closed = true
	v.mu.Unlock()
	close(v.stop)
	v.start.Do(func() { close(v.done) }) // it never ran
	<-v.done
	v.mu.Lock()
	for i := range v.mu.buckets {
		b := &v.mu.buckets[i]
		b.synced = b.synced && b.empty || b.version == v.first
		clear(b.users)
		clear(b.changed)
	}
	v.mu.Unlock()
	r := v.next()
	r.err = store.ErrClosed
	close(r.done)
	v.write(context.Background())
}
