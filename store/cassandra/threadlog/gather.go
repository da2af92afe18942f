package threadlog

import "sync"

// gather collects threads that one call of the store can serve together. The first to come makes a call
// at once; who comes while limit calls are in flight waits for the next one, and shares it.
type gather struct {
	limit int

	mu      sync.Mutex
	waiting []*thread
	calls   int
	spare   [][]*thread
}

// join adds th and reports whether the caller is to make a call.
func (g *gather) join(th *thread) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, th)
	if g.calls >= g.limit {
		return false
	}
	g.calls++
	return true
}

// take gives those that wait, at most as many as have a total weight of most, or one.
func (g *gather) take(most int, weight func(*thread) int) []*thread {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, total := 0, 0
	for n < len(g.waiting) {
		w := weight(g.waiting[n])
		if n > 0 && total+w > most {
			break
		}
		total += w
		n++
	}
	var list []*thread
	if k := len(g.spare); k > 0 {
		list = g.spare[k-1]
		g.spare = g.spare[:k-1]
	}
	list = append(list, g.waiting[:n]...)
	left := copy(g.waiting, g.waiting[n:])
	clear(g.waiting[left:])
	g.waiting = g.waiting[:left]
	return list
}

// next ends a call, and reports whether another one is to take its place.
func (g *gather) next() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) > 0 {
		return true
	}
	g.calls--
	return false
}

// recycle takes a list back that take gave.
func (g *gather) recycle(list []*thread) {
	clear(list)
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.spare) < g.limit {
		g.spare = append(g.spare, list[:0])
	}
}

func (g *gather) load() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}
