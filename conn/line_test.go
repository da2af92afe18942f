package conn

import (
	"testing"

	"github.com/tolkflip/tolkflip/router"
)

// TestLinesStayShort gives many connections a broadcast and an answer each before every flush, so that all
// are written to out of their turn in the line behind. That line must not grow with it, nor keep somebody
// waiting who has only a broadcast.
func TestLinesStayShort(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *Config) { c.Loops = 1 }, nil)
	const n = copiesAPass + copiesAtLeast
	var names []router.Conn
	for i := range byte(n + 1) {
		_, c := r.login(i + 1)
		names = append(names, c)
	}
	ev := newMessage(thread(1), 1, "x")
	r.look(names[0], func(l *loop, _ *slot) {
		put := func(c router.Conn, bulk bool) {
			f := r.frames.event(actionJSON{}, ev)
			f.bulk = bulk
			l.enqueue(int(c.Slot()), l.find(c), f, false)
		}
		last, begun, behind := names[n], 50, (n+1)/copiesAtLeast+1
		for pass := range 100 {
			for _, c := range names[:n] {
				put(c, true)
				put(c, false)
			}
			if pass == begun {
				put(last, true)
			}
			l.flushDirty()
			if s := l.find(last); pass == begun+behind && s.side != 0 && l.sides.all[s.side].marked() {
				t.Errorf("the broadcast still waits after %d turns", behind)
			}
			if waiting := len(l.dirty.fds) - l.dirty.head; waiting > n+1 {
				t.Errorf("pass %d: %d places for %d connections", pass, waiting, n+1)
				break
			}
		}
	})
}
