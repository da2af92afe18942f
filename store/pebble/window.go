package pebble

import (
	"encoding/binary"
	"fmt"
	"syscall"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// window keeps the newest messages of a committer's threads, whichever threads they are of, in one ring
// of bytes that the garbage collector has nothing to look at in. A record names the place of the one
// before it of the same thread, so that a thread's tail is read backwards from the place that the thread
// remembers, and no index is kept.
//
//	place of the previous record (8)  seq (8)  length (4)  value
//
// A place is an offset from the beginning of time plus one; 0 is none. Records do not cross chunks, and
// a chunk is given up as a whole. The memory takes room as it is written. The owner locks.
type window struct {
	ring []byte
	head uint64 // where the next record goes
	tail uint64 // what is below was overwritten
}

const (
	windowChunk  = 256 << 10
	windowHeader = 8 + 8 + 4
	// windowHops bounds how far back a reader walks while it holds the lock.
	windowHops = 4096
)

// newWindow makes one of so many bytes, or none where that is less than two chunks.
func newWindow(bytes int) (window, error) {
	chunks := bytes / windowChunk
	if chunks < 2 {
		return window{}, nil
	}
	ring, err := mapMemory(chunks * windowChunk)
	if err != nil {
		return window{}, fmt.Errorf("make the window of newest messages: %w", err)
	}
	return window{ring: ring}, nil
}

func (w *window) release() error {
	if w.ring == nil {
		return nil
	}
	if err := syscall.Munmap(w.ring); err != nil {
		return fmt.Errorf("release the window of newest messages: %w", err)
	}
	*w = window{}
	return nil
}

// add stores a record and gives its place, or 0 where it is too large or there is no window.
func (w *window) add(previous, seq uint64, value []byte) uint64 {
	n := uint64(windowHeader + len(value))
	if n > windowChunk || w.ring == nil {
		return 0
	}
	if left := windowChunk - w.head%windowChunk; left < n {
		w.head += left
	}
	size := uint64(len(w.ring))
	if w.head%windowChunk == 0 && w.head >= size {
		w.tail = w.head - size + windowChunk
	}
	b := w.ring[w.head%size:]
	binary.LittleEndian.PutUint64(b, previous)
	binary.LittleEndian.PutUint64(b[8:], seq)
	binary.LittleEndian.PutUint32(b[16:], uint32(len(value)))
	copy(b[windowHeader:], value)
	place := w.head + 1
	w.head += n
	return place
}

// at reads the record at a place, if it is still there.
func (w *window) at(place uint64) (previous, seq uint64, value []byte, ok bool) {
	if place == 0 || place-1 < w.tail {
		return 0, 0, nil, false
	}
	b := w.ring[(place-1)%uint64(len(w.ring)):]
	n := binary.LittleEndian.Uint32(b[16:])
	return binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]), b[windowHeader:][:n], true
}

// page collects values and makes messages of them: one allocation for all their bytes.
type page struct {
	limit  int
	bytes  []byte
	places []pagePlace
}

type pagePlace struct {
	seq    uint64
	offset int
}

// pageBytes is about how much a page holds at most.
const pageBytes = 256 << 10

// add copies a value, and reports whether it fit; the first always does.
func (p *page) add(seq uint64, value []byte) bool {
	if len(p.places) >= p.limit || len(p.places) > 0 && len(p.bytes)+len(value) > pageBytes {
		return false
	}
	p.places = append(p.places, pagePlace{seq, len(p.bytes)})
	p.bytes = append(p.bytes, value...)
	return true
}

// append adds what another page holds, as far as it fits.
func (p *page) append(other *page) {
	for i, at := range other.places {
		end := len(other.bytes)
		if i+1 < len(other.places) {
			end = other.places[i+1].offset
		}
		if !p.add(at.seq, other.bytes[at.offset:end]) {
			return
		}
	}
}

// read is messages for a page that came from the store.
func (p *page) read(t id.Thread) ([]store.Message, error) {
	list, err := p.messages(t)
	if err != nil {
		return nil, fmt.Errorf("read a page of a thread: %w", err)
	}
	return list, nil
}

// messages decodes the page in rising order of seq.
func (p *page) messages(t id.Thread) ([]store.Message, error) {
	n := len(p.places)
	if n == 0 {
		return nil, nil
	}
	list := make([]store.Message, n)
	falling := n > 1 && p.places[0].seq > p.places[1].seq
	for i, at := range p.places {
		end := len(p.bytes)
		if i+1 < n {
			end = p.places[i+1].offset
		}
		to := &list[i]
		if falling {
			to = &list[n-1-i]
		}
		if err := decodeMessage(to, t, at.seq, p.bytes[at.offset:end:end]); err != nil {
			return nil, err
		}
	}
	return list, nil
}
