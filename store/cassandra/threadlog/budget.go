package threadlog

import "sync/atomic"

// budget bounds what waits or is on its way.
type budget struct {
	maxItems, maxBytes int64
	items, bytes       atomic.Int64
}

// take counts so much, and reports false, counting nothing, where that is too much. One entry of any size
// fits into an empty budget.
func (b *budget) take(items, bytes int) bool {
	n := b.items.Add(int64(items))
	size := b.bytes.Add(int64(bytes))
	if n > b.maxItems || size > b.maxBytes && n > int64(items) {
		b.give(items, bytes)
		return false
	}
	return true
}

func (b *budget) give(items, bytes int) {
	b.items.Add(-int64(items))
	b.bytes.Add(-int64(bytes))
}
