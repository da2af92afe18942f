package memory

import "time"

// expiring is a map of at most limit live values that end at a time. It has no goroutine: the dead are
// swept when the map has doubled since the last sweep, or is full, so that a put costs O(1) over time. The
// owner locks.
type expiring[K comparable, V any] struct {
	limit   int
	sweepAt int
	entries map[K]expiringEntry[V]
}

type expiringEntry[V any] struct {
	value V
	ends  time.Time
}

const smallestSweep = 1024

func newExpiring[K comparable, V any](limit int) expiring[K, V] {
	return expiring[K, V]{limit: limit, sweepAt: min(limit, smallestSweep), entries: map[K]expiringEntry[V]{}}
}

func (e *expiring[K, V]) get(k K, now time.Time) (v V, ends time.Time, ok bool) {
	r, ok := e.entries[k]
	if !ok || !now.Before(r.ends) {
		return v, ends, false
	}
	return r.value, r.ends, true
}

// put stores v until ends, and reports false where no room is left for a new key.
func (e *expiring[K, V]) put(k K, v V, now, ends time.Time) bool {
	if _, known := e.entries[k]; !known && len(e.entries) >= e.sweepAt {
		e.sweep(now)
		if len(e.entries) >= e.limit {
			return false
		}
	}
	e.entries[k] = expiringEntry[V]{v, ends}
	return true
}

func (e *expiring[K, V]) replace(k K, v V, ends time.Time) { e.entries[k] = expiringEntry[V]{v, ends} }

func (e *expiring[K, V]) remove(k K) { delete(e.entries, k) }

func (e *expiring[K, V]) sweep(now time.Time) {
	for k, r := range e.entries {
		if !now.Before(r.ends) {
			delete(e.entries, k)
		}
	}
	e.sweepAt = min(e.limit, max(smallestSweep, 2*len(e.entries)))
}

// evict drops the one of a few entries that ends first.
func (e *expiring[K, V]) evict() {
	var worst K
	var ends time.Time
	n := 0
	for k, r := range e.entries { // Go starts at a random place
		if n == 0 || r.ends.Before(ends) {
			worst, ends = k, r.ends
		}
		if n++; n == 8 {
			break
		}
	}
	delete(e.entries, worst)
}
