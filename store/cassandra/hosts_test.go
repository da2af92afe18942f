package cassandra

import (
	"slices"
	"testing"
	"time"

	"github.com/gocql/gocql"
)

// inTurn offers its hosts in their order.
type inTurn struct {
	gocql.HostSelectionPolicy
	hosts []*gocql.HostInfo
}

type offered struct{ h *gocql.HostInfo }

func (o offered) Info() *gocql.HostInfo { return o.h }
func (o offered) Mark(error)            {}

func (p inTurn) Pick(gocql.ExecutableQuery) gocql.NextHost {
	rest := p.hosts
	return func() gocql.SelectedHost {
		if len(rest) == 0 {
			return nil
		}
		h := rest[0]
		rest = rest[1:]
		return offered{h}
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	var list []*gocql.HostInfo
	for _, name := range []string{"a", "b", "c"} {
		h := &gocql.HostInfo{}
		h.SetHostID(name)
		list = append(list, h)
	}
	p := newHosts(inTurn{hosts: list}, func() time.Time { return now })
	order := func() []string {
		var names []string
		for next, h := p.Pick(nil), gocql.SelectedHost(nil); ; names = append(names, h.Info().HostID()) {
			if h = next(); h == nil {
				return names
			}
		}
	}
	want := func(names ...string) {
		t.Helper()
		if got := order(); !slices.Equal(got, names) {
			t.Fatalf("order %v, want %v", got, names)
		}
	}
	fail := func(err error) { p.Pick(nil)().Mark(err) } // of the first
	want("a", "b", "c")
	fail(serverError(gocql.ErrCodeReadTimeout)) // the coordinator answered: it is not silent
	want("a", "b", "c")
	fail(gocql.ErrTimeoutNoResponse)
	want("b", "c", "a")
	want("b", "c", "a")
	now = now.Add(firstPause)
	want("a", "b", "c") // one statement tries it
	want("b", "c", "a") // the others do not
	if p.suspected() != 1 {
		t.Fatalf("%d suspected", p.suspected())
	}
	now = now.Add(firstPause)
	fail(gocql.ErrConnectionClosed) // still silent: for twice as long
	now = now.Add(firstPause)
	want("b", "c", "a")
	now = now.Add(firstPause)
	fail(nil) // it answers
	want("a", "b", "c")
	if p.suspected() != 0 {
		t.Fatalf("%d suspected", p.suspected())
	}
}

// TestHostsTogether has many statements time out at once: that is one silence.
func TestHostsTogether(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	h := &gocql.HostInfo{}
	h.SetHostID("a")
	p := newHosts(inTurn{hosts: []*gocql.HostInfo{h}}, func() time.Time { return now })
	for range 100 {
		p.mark(h, gocql.ErrTimeoutNoResponse)
	}
	if s := p.suspects["a"]; s.pause != firstPause {
		t.Fatalf("passed over for %v", s.pause)
	}
	for range 100 {
		now = now.Add(longPause)
		p.mark(h, gocql.ErrTimeoutNoResponse)
	}
	if s := p.suspects["a"]; s.pause != longPause {
		t.Fatalf("passed over for %v, want %v", s.pause, longPause)
	}
	if got := p.Pick(nil)(); got == nil {
		t.Fatal("the only host is not offered")
	}
}
