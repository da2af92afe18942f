package threadlog

import "github.com/tolkflip/tolkflip/proto/id"

// Known is a thread's durable head where memory has it. It asks nobody.
func (l *Log) Known(t id.Thread) (head uint64, ok bool) {
	h := &l.shards[t.ID[14]%shardCount]
	h.mu.Lock()
	th := h.threads[t]
	h.mu.Unlock()
	if th == nil {
		return 0, false
	}
	th.mu.Lock()
	defer th.mu.Unlock()
	return th.head, th.active
}
