package conn

import "testing"

// TestFeedWhileNextEnds asks for more while Next, which has already seen that there is nothing, still
// runs: it must be called again.
func TestFeedWhileNextEnds(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil)
	_, c := r.login(1)
	f := newFeeder(t, nil)
	calls := make(chan int, 8)
	n := 0
	f.next = func() bool {
		n++
		calls <- n
		if n == 1 {
			r.Feed(c, f) // another goroutine's, a moment before this returns
		}
		return false
	}
	r.Feed(c, f)
	for want := 1; want <= 2; want++ {
		if got := <-calls; got != want {
			t.Fatalf("call %d, want %d", got, want)
		}
	}
}
