package threadlog

import (
	"encoding/binary"
	"fmt"
	"sync"
	"syscall"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// hot has the newest messages of all threads in one ring of bytes outside the heap: what a resume of someone
// who was away for a moment reads. A record names the place of the one before it in its thread, so a
// thread's newest are read backwards from the place that the thread remembers, and there is no index.
//
//	place before (8) | seq (8) | length (4) | record
//
// A place is a position on an endless line, plus one; the ring holds the line's last bytes. A record does
// not go round the ring's end: the rest there is left out.
type hot struct {
	mu   sync.Mutex
	ring []byte
	at   uint64 // where the next record goes
	lost uint64 // what begins below was overwritten
}

const (
	hotHeader = 8 + 8 + 4
	hotLeast  = 1 << 20
	// hotHops bounds how far back a reader walks while it holds the lock.
	hotHops = 2048
	// pageBytes is about how much a page of messages holds at most.
	pageBytes = 256 << 10
)

// open makes the ring, or none where that is too small to be of use.
func (h *hot) open(size int) (err error) {
	if size < hotLeast {
		return nil
	}
	h.ring, err = syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("threadlog: make the ring of newest messages: %w", err)
	}
	return nil
}

func (h *hot) release() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ring == nil {
		return nil
	}
	ring := h.ring
	h.ring = nil
	if err := syscall.Munmap(ring); err != nil {
		return fmt.Errorf("threadlog: release the ring of newest messages: %w", err)
	}
	return nil
}

// add stores m and gives its place, or 0 where it is not kept.
func (h *hot) add(before uint64, m *store.Message) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	size := uint64(len(h.ring))
	n := uint64(hotHeader + recordLen(m))
	if n > size/4 {
		return 0
	}
	if rest := size - h.at%size; rest < n {
		h.at += rest
	}
	if end := h.at + n; end > size {
		h.lost = max(h.lost, end-size)
	}
	b := h.ring[h.at%size:][:0:n]
	b = binary.LittleEndian.AppendUint64(b, before)
	b = binary.LittleEndian.AppendUint64(b, m.Seq)
	b = binary.LittleEndian.AppendUint32(b, uint32(n-hotHeader))
	appendRecord(b, m)
	place := h.at + 1
	h.at += n
	return place
}

// look gives the record at a place, if it is still there. mu is held.
func (h *hot) look(place uint64) (before, seq uint64, record []byte, ok bool) {
	if place == 0 || h.ring == nil || place-1 < h.lost {
		return 0, 0, nil, false
	}
	b := h.ring[(place-1)%uint64(len(h.ring)):]
	n := binary.LittleEndian.Uint32(b[16:])
	return binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]), b[hotHeader:][:n], true
}

// page is messages on their way to a reader: one allocation for all their bytes.
type page struct {
	limit int
	bytes []byte
	cuts  []cut
}

type cut struct {
	seq        uint64
	start, end int
}

// full reports whether another n bytes do not fit; the first always do.
func (p *page) full(n int) bool {
	return len(p.cuts) >= p.limit || len(p.cuts) > 0 && len(p.bytes)+n > pageBytes
}

func (p *page) add(seq uint64, record []byte) {
	start := len(p.bytes)
	p.bytes = append(p.bytes, record...)
	p.cuts = append(p.cuts, cut{seq, start, len(p.bytes)})
}

// messages gives what was collected, rising.
func (p *page) messages(t id.Thread) ([]store.Message, error) {
	list := make([]store.Message, len(p.cuts))
	for i, c := range p.cuts {
		to := &list[i]
		if p.cuts[0].seq > p.cuts[len(p.cuts)-1].seq {
			to = &list[len(list)-1-i]
		}
		to.Thread, to.Seq = t, c.seq
		if err := decodeRecord(to, p.bytes[c.start:c.end:c.end]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// after collects what stands above after and not above head, rising, and reports false where the ring does
// not hold all of it that fits into the page. newest is the place of head.
func (h *hot) after(p *page, newest, head, after uint64) bool {
	if head-after > hotHops {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	places := make([]uint64, 0, 64)
	for place := newest; ; {
		before, seq, _, ok := h.look(place)
		if !ok {
			return false
		}
		places = append(places, place)
		if seq == after+1 {
			break
		}
		place = before
	}
	for i := len(places) - 1; i >= 0; i-- {
		_, seq, record, _ := h.look(places[i])
		if p.full(len(record)) {
			break
		}
		p.add(seq, record)
	}
	return true
}

// before collects the newest below a seq, falling, and reports false where the ring does not hold all of
// them that fit.
func (h *hot) before(p *page, newest, below uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	place := newest
	for range hotHops {
		before, seq, record, ok := h.look(place)
		if !ok {
			return false
		}
		if seq < below {
			if p.full(len(record)) {
				return true
			}
			p.add(seq, record)
			if seq == 1 || len(p.cuts) == p.limit {
				return true
			}
		}
		place = before
	}
	return false
}
