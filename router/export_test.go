package router

// RoomFootprint is the number of connections, here and gone, that a room has memory for in use.
func RoomFootprint(r Room) (n int) {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	for l := range r.m.mu.lists {
		n += len(r.m.mu.lists[l]) + cap(r.m.mu.gone[l])
	}
	return n
}
