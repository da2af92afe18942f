package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/tolkflip/tolkflip/bench/client"
	"github.com/tolkflip/tolkflip/bench/dialect"
	"github.com/tolkflip/tolkflip/bench/users"
	"github.com/tolkflip/tolkflip/proto/id"
)

// Holding is connections that are held and do nothing but answer pings and watch people.
type Holding struct {
	Open     int    `json:"open"`
	Answered int    `json:"answered"` // that were pinged and answered as often as was asked
	Pongs    int64  `json:"pongs"`    // of all; each counts 255 at most
	Presence int64  `json:"presence"` // frames about people who are watched
	Gone     int64  `json:"gone"`
	Why      string `json:"why,omitempty"` // the first of them ended
}

func (h *Holding) add(o Holding) {
	h.Open += o.Open
	h.Answered += o.Answered
	h.Pongs += o.Pongs
	h.Presence += o.Presence
	h.Gone += o.Gone
	if h.Why == "" {
		h.Why = o.Why
	}
}

// HolderConfig is what a process holds: one connection for each of its users.
type HolderConfig struct {
	Addr     netip.AddrPort `json:"addr"`
	Path     string         `json:"path"`
	Loops    int            `json:"loops"`
	InFlight int            `json:"in_flight"`
	First    int            `json:"first"` // number of the first connection over all processes
	Watches  int            `json:"watches"`
	Pings    int            `json:"pings"`            // a connection counts as answered from so many on
	People   []users.User   `json:"people,omitempty"` // with tokens; or
	Nobody   int            `json:"nobody,omitempty"` // so many users who need not exist, with
	Secret   []byte         `json:"secret,omitempty"` // this secret, signed as they connect
}

func (c HolderConfig) count() int { return max(len(c.People), c.Nobody) }

// holder holds connections in this process.
type holder struct {
	config HolderConfig
	crowd  *crowd
	parts  []*idlePart
}

func newHolder(c HolderConfig) (*holder, error) {
	h := &holder{config: c}
	var mint *users.Mint
	if c.Nobody > 0 {
		mint = users.NewMint(c.Secret)
	}
	token := func(id int) []byte {
		if mint == nil {
			return []byte(c.People[id-c.First].Token)
		}
		return mint.Stranger()
	}
	var err error
	h.crowd, err = newCrowd(crowdConfig{
		to: c.Addr, path: c.Path, inFlight: c.InFlight, zero: time.Now(), token: token,
		loopOf: func(id int) int { return id % c.Loops },
		events: func(p *part) frames {
			i := &idlePart{part: p, config: c}
			h.parts = append(h.parts, i)
			return i
		},
	}, c.Loops)
	if err != nil {
		return nil, err
	}
	h.crowd.total = c.First
	return h, nil
}

func (h *holder) open(ctx context.Context, n int) error {
	_, err := h.crowd.open(ctx, h.config.First+n)
	return err
}

func (h *holder) state() (Holding, error) {
	var all Holding
	h.crowd.each(func(p *part) { all.add(h.parts[p.index].state()) })
	return all, nil
}

func (h *holder) close() error {
	h.crowd.close()
	return nil
}

// idlePart is the connections of one loop.
type idlePart struct {
	part     *part
	config   HolderConfig
	presence int64
	gone     int64
	why      string
	ids      []id.User
	scratch  []byte
}

// Ready asks to watch the next few people.
func (i *idlePart) Ready(c *client.Conn) {
	people := i.config.People
	if i.config.Watches == 0 || len(people) <= i.config.Watches {
		return
	}
	i.ids = i.ids[:0]
	for k := range i.config.Watches {
		i.ids = append(i.ids, people[(c.ID-i.config.First+1+k)%len(people)].ID)
	}
	i.scratch = dialect.AppendWatch(i.scratch[:0], i.ids)
	i.part.ws.Send(c, i.scratch)
}

// Frame counts what is told of people.
func (i *idlePart) Frame(_ *client.Conn, payload []byte) {
	if dialect.KindOf(payload) == dialect.Presence {
		i.presence++
	}
}

// Gone counts a connection that ended.
func (i *idlePart) Gone(_ *client.Conn, err error) {
	i.gone++
	if i.why == "" {
		i.why = err.Error()
	}
}

func (i *idlePart) state() Holding {
	h := Holding{Presence: i.presence, Gone: i.gone, Why: i.why}
	for _, c := range i.part.conns {
		if c.Gone() {
			continue
		}
		h.Open++
		h.Pongs += int64(c.Pongs)
		if int(c.Pongs) >= i.config.Pings {
			h.Answered++
		}
	}
	return h
}

// befriend makes direct threads between neighbours in the list, so that each person has so many: everybody writes one message to
// each of the next threads/2. Done again, it changes nothing: the messages are the same.
func befriend(ctx context.Context, s *Subject, people []users.User, threads, loops int) error {
	if threads == 0 || len(people) <= threads {
		return nil
	}
	done := make(chan error, loops)
	w, err := newCrowd(crowdConfig{
		to: s.Addr, path: s.Path, inFlight: connectInFlight, zero: time.Now(),
		token:  func(id int) []byte { return []byte(people[id].Token) },
		loopOf: func(id int) int { return id % loops },
		events: func(p *part) frames { return &friendPart{part: p, people: people, each: threads / 2, done: done} },
	}, loops)
	if err != nil {
		return err
	}
	defer w.close()
	if _, err := w.open(ctx, len(people)); err != nil {
		return err
	}
	w.each(func(p *part) {
		if f, ok := p.on.(*friendPart); ok {
			f.begin()
		}
	})
	for range loops {
		select {
		case e := <-done:
			err = errors.Join(err, e)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

const friendsInFlight = 1000

// friendPart writes the first messages of threads.
type friendPart struct {
	part    *part
	people  []users.User
	each    int
	next    int // of len(conns)*each
	flying  int
	done    chan error
	ended   bool
	retry   []int
	scratch []byte
}

const friendRun = 0xf12e4d5 // the same for ever: a message that was sent before is a retry

func (f *friendPart) begin() {
	f.fill()
	if len(f.part.conns) == 0 {
		f.end(nil)
	}
}

func (f *friendPart) fill() {
	total := len(f.part.conns) * f.each
	for f.flying < friendsInFlight {
		n := f.next
		switch {
		case len(f.retry) > 0:
			n, f.retry = f.retry[0], f.retry[1:]
		case f.next < total:
			f.next++
		default:
			if f.flying == 0 {
				f.end(nil)
			}
			return
		}
		c := f.part.conns[n%len(f.part.conns)]
		to := f.people[(c.ID+1+n/len(f.part.conns))%len(f.people)]
		stamp := dialect.Stamp{Run: friendRun, Sender: c.ID, N: n / len(f.part.conns)}
		f.scratch = dialect.AppendDirect(f.scratch[:0], to.ID, stamp, minContent)
		f.part.ws.Send(c, f.scratch)
		f.flying++
	}
}

// Frame is an ack, or an error: busy is tried again.
func (f *friendPart) Frame(c *client.Conn, payload []byte) {
	switch dialect.KindOf(payload) {
	case dialect.MessageSent:
		f.flying--
		f.fill()
	case dialect.MessageError:
		code, _ := dialect.Text(payload, `"code":"`)
		s, ok := dialect.AckStamp(payload)
		if string(code) != "busy" || !ok {
			f.end(fmt.Errorf("make threads: the server refused a message as %s", code))
			return
		}
		f.flying--
		for at, conn := range f.part.conns {
			if conn == c {
				f.retry = append(f.retry, s.N*len(f.part.conns)+at)
				break
			}
		}
		f.fill()
	default:
	}
}

// Gone fails it.
func (f *friendPart) Gone(_ *client.Conn, err error) { f.end(fmt.Errorf("make threads: %w", err)) }

func (f *friendPart) end(err error) {
	if !f.ended {
		f.ended = true
		f.done <- err
	}
}
