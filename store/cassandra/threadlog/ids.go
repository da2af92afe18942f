package threadlog

import (
	"sync"

	"github.com/tolkflip/tolkflip/proto/id"
)

// idTable has the places of the messages that are acked and whose ids may not be in message_ids yet, of
// all threads: what a retry finds before the store is asked, and what Find gives of the newest.
type idTable struct {
	parts [64]struct {
		mu     sync.Mutex
		places map[id.Message]Place
	}
}

func (t *idTable) get(m id.Message) (Place, bool) {
	p := &t.parts[m.ID[15]%64]
	p.mu.Lock()
	defer p.mu.Unlock()
	v, ok := p.places[m]
	return v, ok
}

func (t *idTable) add(v *Place) {
	p := &t.parts[v.Message.ID[15]%64]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.places == nil {
		p.places = map[id.Message]Place{}
	}
	p.places[v.Message] = *v
}

// remove forgets v, unless another thread's message has taken the id since.
func (t *idTable) remove(v *Place) {
	p := &t.parts[v.Message.ID[15]%64]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.places[v.Message].Thread == v.Thread {
		delete(p.places, v.Message)
	}
}

func (t *idTable) len() int {
	n := 0
	for i := range t.parts {
		p := &t.parts[i]
		p.mu.Lock()
		n += len(p.places)
		p.mu.Unlock()
	}
	return n
}
