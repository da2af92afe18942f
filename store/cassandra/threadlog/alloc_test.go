//go:build !race

package threadlog

import "testing"

// A message on its way through a turn allocates nothing that stays in proportion to messages: what is left
// are goroutines that start, and memory that grows to its working size.
func TestAllocations(t *testing.T) {
	v := newLoad(open(t, testConfig(), &sink{}), 8, 64)
	v.run(20_000)
	const n = 20_000
	if per := testing.AllocsPerRun(1, func() { v.run(n) }) / n; per > 0.2 {
		t.Errorf("%.3f allocations a message", per)
	}
}
