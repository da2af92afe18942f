package presence

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/tolkflip/tolkflip/proto/id"
)

// pairs remembers direct threads that exist: 64 Ki of them by 8 bytes of their hashed id, the newest of
// each place. Half a megabyte without a lock spares a storm of returning watchers most of its reads. Two
// threads of one place and the same 8 bytes do not happen by chance, and nobody chooses user ids freely.
type pairs struct{ slots []atomic.Uint64 }

func newPairs() *pairs { return &pairs{slots: make([]atomic.Uint64, 64<<10)} }

func (p *pairs) place(t id.Thread) (*atomic.Uint64, uint64) {
	return &p.slots[binary.LittleEndian.Uint16(t.ID[:])], binary.LittleEndian.Uint64(t.ID[8:])
}

func (p *pairs) has(t id.Thread) bool {
	slot, tag := p.place(t)
	return slot.Load() == tag
}

func (p *pairs) add(t id.Thread) {
	slot, tag := p.place(t)
	slot.Store(tag)
}
