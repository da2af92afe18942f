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
	for {
		due = due && !v.renew(ctx)
		if !v.write(ctx) || due {
			retry.Reset(leaseRetry)
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

// work is what a round does to one bucket.
type work struct {
	bucket int
	runs   []run
	users  int // that the bucket has after it
}

// write brings Redis up to what is held, and reports whether it is.
func (v *leases) write(ctx context.Context) bool {
	v.mu.Lock()
	r := v.mu.next
	v.mu.next = newRound()
	v.mu.Unlock()
	err := errVersions
	for range leasePasses {
		todo := v.collect()
		if len(todo) == 0 {
			err = nil
			break
		}
		var again bool
		if again, err = v.settle(ctx, todo, v.send(ctx, leaseWrite, todo)); err != nil || !again {
			break
		}
		err = errVersions
	}
	if errors.Is(err, errVersions) {
		err = v.c.fail(ctx, leaseWrite, err)
	}
	r.err = err
	close(r.done)
	return err == nil
}

// collect takes what is to be written. A bucket counts as not synced until its answer is here.
func (v *leases) collect() []work {
	v.mu.Lock()
	defer v.mu.Unlock()
	var todo []work
	for i := range v.mu.buckets {
		b := &v.mu.buckets[i]
		if b.synced && len(b.changed) == 0 {
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

// settle notes what came of works; again says that Redis had another version of some.
func (v *leases) settle(ctx context.Context, todo []work, answers []answer) (again bool, first error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, w := range todo {
		b := &v.mu.buckets[w.bucket]
		ok := true
		for _, a := range answers[:len(w.runs)] {
			n, err := int64(0), a.err
			if err == nil {
				if n, err = a.message.AsInt64(); err != nil {
					err = v.c.fail(ctx, leaseWrite, errAnswer)
				}
			}
			switch {
			case err != nil:
				ok = false
				if first == nil {
					first = err
				}
			case n != 0:
				ok, again = false, true
				b.version = max(b.version, n)
				v.c.metrics.rewrites.Inc()
			}
		}
		answers = answers[len(w.runs):]
		b.synced, b.empty = ok, w.users == 0
	}
	return again, first
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
		n, err := a.message.AsInt64()
		switch {
		case a.err != nil:
			ok = false
		case err != nil || n != 0:
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
	r := v.mu.next
	v.mu.Unlock()
	todo := v.collect()
	v.send(context.Background(), leaseWrite, todo)
	r.err = store.ErrClosed
	close(r.done)
}
