package pebble

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tolkflip/tolkflip/proto/id"
)

// idFilter proves that a message id was never written, so that a new message, which is nearly every one,
// costs no look-up in the store: Get is half of the price of a message without it (see doc.go). It is a
// split block Bloom filter in layers: when one is as full as it should be a larger one is added, until the
// memory that is allowed is spent; from then on the last one fills up and proves less. What it cannot
// prove is looked up.
//
// It holds all ids once a scan of those that were there at Open is through; until then it proves
// nothing. Ids are hashes or random, so their own bits choose the bits.
type idFilter struct {
	max    int // bytes of all layers
	ready  atomic.Bool
	layers atomic.Pointer[[]*filterLayer] // replaced under mu

	mu   sync.Mutex
	size int
}

type filterLayer struct {
	blocks   []filterBlock
	room     int64 // ids that it should hold
	ids      atomic.Int64
	released []byte // the mapping
}

// filterBlock is half a cache line: each id sets one bit in each of its 32-bit lanes.
type filterBlock [4]uint64

const (
	filterFirst   = 256 << 10 // bytes of the first layer
	filterBitsPer = 12        // one in some 300 looks up in vain
)

func newIDFilter(max int) *idFilter {
	f := &idFilter{max: max}
	f.layers.Store(&[]*filterLayer{})
	return f
}

// grow adds a layer, twice as large as all before, where full is still the last one.
func (f *idFilter) grow(full *filterLayer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	layers := *f.layers.Load()
	if n := len(layers); n > 0 && layers[n-1] != full {
		return nil
	}
	size := max(filterFirst, f.size)
	if f.size+size > f.max {
		if full != nil {
			full.room = 1<<63 - 1
		}
		return nil
	}
	mem, err := mapMemory(size)
	if err != nil {
		return fmt.Errorf("grow the filter of ids: %w", err)
	}
	f.size += size
	layer := &filterLayer{
		blocks:   unsafe.Slice((*filterBlock)(unsafe.Pointer(&mem[0])), size/32),
		room:     int64(size) * 8 / filterBitsPer,
		released: mem,
	}
	grown := append(append([]*filterLayer(nil), layers...), layer)
	f.layers.Store(&grown)
	return nil
}

// add notes an id.
func (f *idFilter) add(m id.Message) error {
	if f.max < filterFirst {
		return nil
	}
	layers := *f.layers.Load()
	if len(layers) == 0 || layers[len(layers)-1].ids.Load() >= layers[len(layers)-1].room {
		var last *filterLayer
		if len(layers) > 0 {
			last = layers[len(layers)-1]
		}
		if err := f.grow(last); err != nil {
			return err
		}
		layers = *f.layers.Load()
	}
	l := layers[len(layers)-1]
	l.ids.Add(1)
	block, mask := l.find(m)
	for i, bits := range mask {
		if atomic.LoadUint64(&block[i])&bits != bits {
			atomic.OrUint64(&block[i], bits)
		}
	}
	return nil
}

// absent reports whether m was certainly never added.
func (f *idFilter) absent(m id.Message) bool {
	if !f.ready.Load() {
		return false
	}
next:
	for _, l := range *f.layers.Load() {
		block, mask := l.find(m)
		for i, bits := range mask {
			if atomic.LoadUint64(&block[i])&bits != bits {
				continue next
			}
		}
		return false
	}
	return true
}

// find gives the block of an id, and its bits there.
func (l *filterLayer) find(m id.Message) (*filterBlock, filterBlock) {
	hi, lo := binary.LittleEndian.Uint64(m.ID[:]), binary.LittleEndian.Uint64(m.ID[8:])
	// The version and the variant of a UUID are the same in all: spread the bits that differ over both.
	lo ^= lo >> 32
	h := (hi ^ lo*0x9e3779b97f4a7c15) * 0xff51afd7ed558ccd
	block := &l.blocks[(h>>32)*uint64(len(l.blocks))>>32]
	bits := (lo ^ hi>>29) * 0xc4ceb9fe1a85ec53
	var mask filterBlock
	for i := range mask {
		mask[i] = 1<<(bits>>(10*i+24)&31) | 1<<(32+bits>>(10*i+19)&31)
	}
	return block, mask
}

func (f *idFilter) release() error {
	for _, l := range *f.layers.Load() {
		if err := syscall.Munmap(l.released); err != nil {
			return fmt.Errorf("release the filter of ids: %w", err)
		}
	}
	f.layers.Store(&[]*filterLayer{})
	f.ready.Store(false)
	return nil
}

// fill adds the ids that it, made at Open, sees, and then lets the filter prove. A store that holds more
// ids than the filter has memory for is scanned all the same: in vain at worst.
func (s *Store) fillFilter(it *pebble.Iterator) {
	defer it.Close() //nolint:errcheck // an error stops the scan, see below
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if k := it.Key(); len(k) == idKeyLen {
			var m id.Message
			copy(m.ID[:], k[1:])
			if err := s.filter.add(m); err != nil {
				s.log.Error("message ids are looked up one by one", "error", err)
				return
			}
		}
		if n++; n%1024 == 0 {
			select {
			case <-s.stop:
				return
			default:
			}
		}
	}
	if err := it.Error(); err != nil {
		s.log.Error("message ids are looked up one by one", "error", err)
		return
	}
	s.filter.ready.Store(true)
}

// mapMemory gives zeroed memory that the garbage collector does not count: what is live there would
// double what the heap may grow to. It takes room as it is written.
func mapMemory(n int) ([]byte, error) {
	return syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
}
