package threadlog

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func seeds(t *testing.T, from, to uint64, parallel int, f faults, stampless bool) (first uint64, err error, all tally, bad int) {
	var mu sync.Mutex
	var next atomic.Uint64
	next.Store(from)
	m := newMetrics()
	var odds [5]int
	var wg sync.WaitGroup
	for range parallel {
		wg.Add(1)
		go func() {
			defer wg.Done()
			s := &sched{}
			defer s.close()
			for {
				seed := next.Add(1) - 1
				if seed >= to {
					return
				}
				tr := &trial{metrics: m, faults: f, stampless: stampless}
				e := tr.run(s, seed)
				mu.Lock()
				all.add(&tr.tally)
				if e != nil {
					bad++
					odds[seed%5]++
					if err == nil || seed < first {
						first, err = seed, e
					}
				}
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	all.odds = odds
	return first, err, all, bad
}

func TestSim(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("N"))
	seed, err, all, bad := seeds(t, 0, uint64(n), 2, faults{}, false)
	t.Logf("seed %d: %v; bad %d %+v", seed, err, bad, all)
}

func TestFaults(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("N"))
	for name, f := range map[string]faults{
		"noFence":           {noFence: true},
		"noFenceActivating": {noFenceActivating: true},
		"lateFence":         {lateFence: true},
		"noRewrite":         {noRewrite: true},
		"rewriteUp":         {rewriteUp: true},
		"epochsMayFall":     {epochsMayFall: true},
		"aboveIndexed":      {aboveIndexed: true},
		"newBatch":          {newBatch: true},
		"refusedIsFinal":    {refusedIsFinal: true},
		"noLookup":          {noLookup: true},
		"forgetEarly":       {forgetEarly: true},
		"indexedFirst":      {indexedFirst: true},
		"openEarly":         {openEarly: true},
		"noLag":             {noLag: true},
		"aboveHead":         {aboveHead: true},
		"splitPage":         {splitPage: true},
		"assumeTaken":       {assumeTaken: true},
		"noFirst":           {noFirst: true},
		"lateFirst":         {lateFirst: true},
		"stampless":         {},
	} {
		if w := os.Getenv("W"); w != "" && !strings.Contains(w, name) {
			continue
		}
		seed, err, all, bad := seeds(t, 0, uint64(n), 2, f, name == "stampless")
		odd := all.odds
		t.Logf("%20s: bad %d %v of %d; %d: %v", name, bad, odd, n, seed, err)
	}
}
