package threadlog

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// found is a seed that showed something wrong.
type found struct {
	seed uint64
	err  error
}

// play runs seeds 0 to n-1, several beside each other, and gives the first that fails. Where stop is set it
// runs none that is far above one that failed.
func play(n uint64, stop bool, rules faults, stampless bool, of func(seed uint64) weather) (first *found, all tally) {
	var mu sync.Mutex
	var next atomic.Uint64
	var wait sync.WaitGroup
	var over atomic.Bool
	m := newMetrics()
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			s := &sched{}
			defer s.close()
			for !over.Load() {
				seed := next.Add(1) - 1
				if seed >= n {
					return
				}
				t := &trial{metrics: m, faults: rules, stampless: stampless}
				err := t.run(s, seed, of(seed))
				mu.Lock()
				all.add(&t.tally)
				if err != nil {
					over.Store(stop)
					if first == nil || seed < first.seed {
						first = &found{seed, err}
					}
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	return first, all
}
