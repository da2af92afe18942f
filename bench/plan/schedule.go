// Package plan decides when each message is due, which rate is tried next, and whether a result counts.
// It knows no clock and no socket.
package plan

import (
	"math"
	"math/rand/v2"
)

// Schedule is an open-loop plan: messages at a constant rate from all senders together, each sender at a
// phase of its own that is drawn once. Times are nanoseconds on the caller's clock.
type Schedule struct {
	start    float64
	interval float64
	order    []int32
	next     int
	count    int
}

// Due is one message of a Schedule.
type Due struct {
	Sender int   // 0 to senders-1
	Turn   int   // the sender's how-manieth message, from 0
	At     int64 // when it is due
}

// Share is the part of a plan that one of several loops carries: the messages Index, Index+Of, … of the
// whole, so that the parts together are the constant rate again.
type Share struct{ Index, Of int }

// NewSchedule plans rate messages a second for the duration (ns) from start on, round over senders in an order
// that seed decides. rate is that of all shares together.
func NewSchedule(start int64, rate float64, duration int64, senders int, s Share, seed uint64) *Schedule {
	whole := 1e9 / rate
	p := &Schedule{
		start:    float64(start) + whole*float64(s.Index),
		interval: whole * float64(s.Of),
		order:    make([]int32, senders),
	}
	p.count = int(math.Ceil((float64(duration) - whole*float64(s.Index)) / p.interval))
	p.count = max(p.count, 0)
	for i := range p.order {
		p.order[i] = int32(i)
	}
	r := rand.New(rand.NewPCG(seed, uint64(s.Index)))
	r.Shuffle(len(p.order), func(i, j int) { p.order[i], p.order[j] = p.order[j], p.order[i] })
	return p
}

// Count is how many messages the whole plan has.
func (p *Schedule) Count() int { return p.count }

// NextAt is when the next message is due; ok is false when none is left.
func (p *Schedule) NextAt() (at int64, ok bool) {
	if p.next >= p.count {
		return 0, false
	}
	return int64(p.start + p.interval*float64(p.next)), true
}

// Take gives the next message if it is due by now.
func (p *Schedule) Take(now int64) (Due, bool) {
	at, ok := p.NextAt()
	if !ok || at > now {
		return Due{}, false
	}
	d := Due{Sender: int(p.order[p.next%len(p.order)]), Turn: p.next / len(p.order), At: at}
	p.next++
	return d, true
}
