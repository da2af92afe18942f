package threadlog

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// found is a seed that showed something wrong.
type found struct {
	seed uint64
	err  error
}

// rules is what a run leaves out of the design, and in which weather.
type rules struct {
	faults
	stampless bool // indexed is written by wall clock
	weather   func(seed uint64) int
}

func only(kind int) func(uint64) int { return func(uint64) int { return kind } }

func turns(seed uint64) int { return int(seed % weathers) }

// play runs seeds from 0 on, n at most, several beside each other, until one shows something wrong, and
// gives the lowest of those that did.
func play(n uint64, r rules) (first *found, all tally) {
	var mu sync.Mutex
	var next atomic.Uint64
	var over atomic.Bool
	var wait sync.WaitGroup
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
				t := &trial{metrics: m, faults: r.faults, stampless: r.stampless}
				err := t.run(s, seed, weatherOf(r.weather(seed)))
				mu.Lock()
				all.add(&t.tally)
				if err != nil {
					over.Store(true)
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

// seedsOf is how many seeds a run has: fewer under the race detector, which makes each some ten times as slow
// and has nothing to find where one goroutine runs at a time.
func seedsOf(n uint64) uint64 {
	if raceEnabled {
		return n / 20
	}
	return n
}

func TestPromises(t *testing.T) {
	n := seedsOf(4900)
	first, all := play(n, rules{weather: turns})
	if first != nil {
		t.Fatalf("seed %d in weather %d: %v", first.seed, turns(first.seed), first.err)
	}
	t.Logf("%+v", all)
	for name, count := range map[string]int{
		"acks": all.acks, "duplicates": all.duplicates, "conflicts": all.conflicts, "take-overs": all.takes, "kills": all.kills,
		"pauses": all.pauses, "closes": all.closes, "reads": all.reads, "marks": all.marks, "unknown outcomes": all.unknown,
		"refusals": all.refused,
	} {
		if count < int(n/50) {
			t.Errorf("only %d %s in %d seeds", count, name, n)
		}
	}
}

// Every rule is needed: without it some seed shows two people things that do not go together.
func TestEachRuleIsNeeded(t *testing.T) {
	if raceEnabled {
		t.Skip("its seeds take minutes under the race detector, and are the same without it")
	}
	for _, c := range []struct {
		name string
		rules
	}{
		{"no fence before an ack", rules{faults: faults{noFence: true}, weather: only(fair)}},
		{"no fence at activation", rules{faults: faults{noFenceActivating: true}, weather: only(pairs)}},
		{"a fence read that began before the write was in", rules{faults: faults{lateFence: true}, weather: only(fences)}},
		{"not written again", rules{faults: faults{noRewrite: true}, weather: only(torn)}},
		{"half of what is to be written again counts", rules{faults: faults{noStart: true}, weather: only(pairs)}},
		{"epochs may fall", rules{faults: faults{epochsMayFall: true}, weather: only(torn)}},
		{"rows above indexed only", rules{faults: faults{aboveIndexed: true}, weather: only(torn)}},
		{"another batch after an unknown outcome", rules{faults: faults{newBatch: true}, weather: only(fair)}},
		{"a refusal after an unknown outcome is one", rules{faults: faults{refusedIsFinal: true}, weather: only(fair)}},
		{"no look-up of ids", rules{faults: faults{noLookup: true}, weather: only(fair)}},
		{"ids leave memory early", rules{faults: faults{forgetEarly: true}, weather: only(noIDs)}},
		{"indexed moves before the ids are in", rules{faults: faults{indexedFirst: true}, weather: only(fair)}},
		{"indexed may go back", rules{stampless: true, weather: only(noIDs)}},
		{"a bucket opens early", rules{faults: faults{openEarly: true}, weather: only(fair)}},
		{"head goes far above indexed", rules{faults: faults{noLag: true}, weather: only(noIDs)}},
		{"readers see above head", rules{faults: faults{aboveHead: true}, weather: only(fair)}},
		{"a seq counts when one of its rows was read", rules{faults: faults{splitPage: true}, weather: only(torn)}},
		{"a take with unknown outcome is taken for done", rules{faults: faults{assumeTaken: true}, weather: only(fair)}},
		{"a direct thread's rows after the ack", rules{faults: faults{lateFirst: true}, weather: only(fair)}},
		{"nor for a seq 1 that was not acked", rules{faults: faults{noFirst: true}, weather: only(torn)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, all := play(5000, c.rules)
			if first == nil {
				t.Fatalf("nothing is wrong in %d seeds", all.seeds)
			}
			t.Logf("seed %d of %d: %v", first.seed, all.seeds, first.err)
		})
	}
}

// A seed that fails fails again, the same way.
func TestSeedsRepeat(t *testing.T) {
	one := func(seed uint64) (tally, error) {
		s := &sched{}
		defer s.close()
		t := &trial{metrics: newMetrics(), faults: faults{noFence: true}}
		err := t.run(s, seed, weatherOf(turns(seed)))
		return t.tally, err
	}
	for seed := range seedsOf(60) {
		a, errA := one(seed)
		b, errB := one(seed)
		if a != b || (errA == nil) != (errB == nil) || errA != nil && errA.Error() != errB.Error() {
			t.Fatalf("seed %d: first %+v, %v; then %+v, %v", seed, a, errA, b, errB)
		}
	}
}
