package media

import (
	"sync"

	"github.com/tolkflip/tolkflip/proto/id"
)

// places are the uploads at once: so many in all, and so many a user, so that one cannot hold all.
type places struct {
	most, perUser int // fixed

	mu    sync.Mutex // guards the below
	taken int
	users map[id.User]int // those above 0
}

func newPlaces(most, perUser int) *places {
	return &places{most: most, perUser: perUser, users: map[id.User]int{}}
}

// take reports whether there is one more place for u.
func (p *places) take(u id.User) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= p.most || p.users[u] >= p.perUser {
		return false
	}
	p.taken++
	p.users[u]++
	return true
}

func (p *places) free(u id.User) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.users[u]--; p.users[u] == 0 {
		delete(p.users, u)
	}
}
