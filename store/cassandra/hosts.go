package cassandra

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gocql/gocql"
)

// hosts is the driver's token-aware policy with a memory for hosts that do not answer. A stopped process
// keeps its connections, and its peers take some 20 s to notice; until then every third statement of a
// cluster of three would wait for its time-out. So a host that let a statement time out comes last for a
// while, save for one statement in that while that tries it again.
type hosts struct {
	gocql.HostSelectionPolicy
	now func() time.Time

	any      atomic.Bool // some host is suspected
	mu       sync.Mutex
	suspects map[string]*suspicion // by host id; bounded by the cluster
}

type suspicion struct {
	since time.Time     // when it was last found silent
	until time.Time     // when a statement may try it
	pause time.Duration // doubles while the host stays silent
}

// How long a silent host is passed over.
const (
	firstPause = time.Second
	longPause  = 8 * time.Second
)

func newHosts(inner gocql.HostSelectionPolicy, now func() time.Time) *hosts {
	return &hosts{HostSelectionPolicy: inner, now: now, suspects: map[string]*suspicion{}}
}

// AddHosts gives the inner policy all hosts at once, so that it computes the ring once.
func (p *hosts) AddHosts(list []*gocql.HostInfo) {
	if inner, ok := p.HostSelectionPolicy.(interface{ AddHosts([]*gocql.HostInfo) }); ok {
		inner.AddHosts(list)
		return
	}
	for _, h := range list {
		p.AddHost(h)
	}
}

// Pick gives the replicas of a statement's partition in random order, then the other hosts; suspected ones
// after all others.
func (p *hosts) Pick(q gocql.ExecutableQuery) gocql.NextHost {
	next := p.HostSelectionPolicy.Pick(q)
	var late []gocql.SelectedHost
	passing := p.any.Load()
	return func() gocql.SelectedHost {
		for {
			h := next()
			if h == nil {
				break
			}
			if passing && !p.good(h.Info()) {
				late = append(late, h)
				continue
			}
			return &watched{h, p}
		}
		if len(late) == 0 {
			return nil
		}
		h := late[0]
		late = late[1:]
		return &watched{h, p}
	}
}

// good reports whether a host is not suspected, or it is time for a statement to try it.
func (p *hosts) good(h *gocql.HostInfo) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.suspects[h.HostID()]
	if s == nil {
		return true
	}
	now := p.now()
	if now.Before(s.until) {
		return false
	}
	s.until = now.Add(s.pause) // the others wait for what this one finds
	return true
}

func (p *hosts) mark(h *gocql.HostInfo, err error) {
	silent := isSilence(err)
	if !silent && !p.any.Load() || h == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !silent {
		delete(p.suspects, h.HostID())
		p.any.Store(len(p.suspects) > 0)
		return
	}
	s := p.suspects[h.HostID()]
	switch now := p.now(); {
	case s == nil:
		p.suspects[h.HostID()] = &suspicion{since: now, until: now.Add(firstPause), pause: firstPause}
		p.any.Store(true)
	case now.Sub(s.since) >= s.pause: // not one of many that were on their way together
		s.pause = min(2*s.pause, longPause)
		s.since, s.until = now, now.Add(s.pause)
	}
}

// isSilence tells failures of the coordinator itself from those that it reports.
func isSilence(err error) bool {
	var network net.Error
	return errors.Is(err, gocql.ErrTimeoutNoResponse) || errors.Is(err, gocql.ErrConnectionClosed) || errors.As(err, &network)
}

// watched tells the policy what came of a statement.
type watched struct {
	gocql.SelectedHost
	p *hosts
}

// Mark is called by the driver after each try.
func (w *watched) Mark(err error) {
	w.SelectedHost.Mark(err)
	w.p.mark(w.Info(), err)
}

// suspected counts the hosts that are passed over.
func (p *hosts) suspected() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.suspects)
}
