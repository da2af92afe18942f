package pebble

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// maxGroup bounds Config.GroupMessages, so that a group's table of ids is never more than half full.
const maxGroup = idSlots / 2

// idSlots is the size of a group's table of ids; a power of two.
const idSlots = 1024

// group is what goes into one write. It belongs to the committer while it is filled, then to the syncer,
// then to the committer again: nothing of it is allocated a second time.
type group struct {
	batch   *pebble.Batch
	journal []byte // its row
	items   []groupItem
	ids     idTable
	written int       // messages in the batch
	lagging []*thread // threads that this group marks as lagging
	number  uint64    // of the lagging row, 0 = none
	row     uint64    // of the journal, 0 = none
}

// groupItem is an entry or a mark, in the order of the queue.
type groupItem struct {
	entry  *store.Entry
	thread *thread
	mark   func(uint64)
	seq    uint64 // of a written one; 0 = nothing was written
	value  []byte // its value, in the journal row
	listed bool   // its write put the thread in its place of recency
}

func newGroup(db *pebble.DB) *group {
	return &group{batch: db.NewBatchWithSize(64 << 10), ids: idTable{use: 1}}
}

// keepJournal is how many bytes a group keeps for its next row.
const keepJournal = 256 << 10

func (g *group) reset() {
	g.batch.Reset()
	clear(g.items)
	g.items = g.items[:0]
	clear(g.lagging)
	g.lagging = g.lagging[:0]
	g.ids.use++
	g.written, g.number, g.row = 0, 0, 0
	if g.journal = g.journal[:0]; cap(g.journal) > keepJournal {
		g.journal = nil
	}
}

// idTable finds which item of a group wrote a message id. Ids are looked up by their last bytes: they
// are hashed or random there. Clearing is a new number of use.
type idTable struct {
	use   uint32
	slots [idSlots]idSlot
}

type idSlot struct {
	use  uint32
	item int32
	id   id.Message
}

// find gives the item that wrote m, or the slot to note it in.
func (t *idTable) find(m id.Message) (item int, slot *idSlot) {
	i := binary.LittleEndian.Uint32(m.ID[12:])
	for {
		slot := &t.slots[i%idSlots]
		if slot.use != t.use {
			return -1, slot
		}
		if slot.id == m {
			return int(slot.item), slot
		}
		i++
	}
}

// note remembers that item wrote m.
func (t *idTable) note(slot *idSlot, m id.Message, item int) {
	*slot = idSlot{use: t.use, item: int32(item), id: m}
}
