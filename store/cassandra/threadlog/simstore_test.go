package threadlog

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// cluster is a store of three replicas, as Cassandra is one: a write goes to all of them and is done when
// two have it; it may reach any of them late, twice, or never. A read asks all and takes the first two
// answers, the newest timestamp of each cell, and repairs those two first where they differ. Owners are
// taken by a linearizable statement, whose answer may be lost, and which may happen after it was given up.
type cluster struct {
	*sched
	weather
	bits        int // of a bucket
	stampless   bool
	replicas    [3]replica
	slots       *Slots // of the last take
	limbo       []*taking
	unknown     int
	refused     int
	statements  int
	calm        bool // no more faults
	threads     []id.Thread
	memberships map[Node]Member
}

// weather is how often what goes wrong, and for how long a trial lasts.
type weather struct {
	torn       float64 // writes that only one replica gets at first
	lost       float64 // writes that none gets at first
	rowsTorn   float64 // the same of messages
	rowsLost   float64
	still      float64 // callers that stand still before they see an answer
	stillMost  int64   // ticks
	fenceStill float64 // the same for those who read the version
	late       float64 // messages that take very long
	calmLeast  int64   // ticks between two troubles
	calmMost   int64
	open       float64 // troubles that are take-overs
	together   float64 // take-overs at which another node takes over too
	end        int64   // of the troubles
	messages   int     // a sender
}

// taking is a take whose outcome is open.
type taking struct {
	apply func()
	over  bool
}

type replica struct {
	rows    [simThreads][][]cell // by seq, rising by epoch
	indexed [simThreads][]static // by bucket
	hints   [simThreads]static   // last_bucket
	firsts  [simThreads]bool
	ids     map[id.Message]Place
	slots   *Slots
}

// cell is a row: its columns are always written together.
type cell struct {
	epoch   uint32
	start   uint64
	stamp   int64
	message *store.Message
}

type static struct {
	stamp int64
	value uint64
}

const simThreads = 2

func newCluster(s *sched, w weather, threads []id.Thread) *cluster {
	c := &cluster{sched: s, weather: w, threads: threads, slots: &Slots{}, memberships: map[Node]Member{}}
	for i := range c.replicas {
		c.replicas[i] = replica{ids: map[id.Message]Place{}, slots: c.slots}
	}
	return c
}

func (c *cluster) index(t id.Thread) int { return slices.Index(c.threads, t) }

var errTimeout = errors.New("no answer in time")

// latency is how long a message takes, or that it takes very long.
func (c *cluster) latency() int64 {
	x := c.rng.Float64()
	switch {
	case x < 0.80 || c.calm:
		return c.between(1, 5)
	case x < 1-c.late:
		return c.between(5, 60)
	default:
		return c.between(60, 1500)
	}
}

const (
	writeTimeout = 50
	readTimeout  = 80
)

// client is a process's way to the cluster. It is a Quorum.
type client struct {
	c *cluster
	p *process
}

// back lets the caller wait for an answer that comes after d, and now and then stand still before it sees it.
func (q *client) back(d int64) {
	c := q.c
	if !c.calm && c.chance(c.still) {
		d += c.between(40, c.stillMost)
	}
	co, turn := c.waiting()
	c.at(d, func() { c.wake(co, turn) })
	co.park()
}

// write sends apply to all replicas.
func (q *client) write(apply func(*replica)) error { return q.send(q.c.torn, q.c.lost, apply) }

func (q *client) send(torn, lost float64, apply func(*replica)) error {
	c := q.c
	c.statements++
	if !c.calm && c.chance(0.015) {
		c.refused++
		q.back(c.between(1, 10))
		return ErrRefused
	}
	acks := make([]int64, 0, 3)
	only := -1
	switch x := c.rng.Float64(); {
	case c.calm:
	case x < torn: // only one replica gets it now
		only = c.rng.IntN(3)
	case x < torn+lost: // none does
		only = 3
	}
	for i := range c.replicas {
		r := &c.replicas[i]
		if only >= 0 && i != only || !c.calm && c.chance(0.06) { // a hint brings it much later, or nothing does
			if c.chance(0.6) {
				c.at(c.between(200, 2500), func() { apply(r) })
			}
			continue
		}
		d := c.latency()
		c.at(d, func() { apply(r) })
		acks = append(acks, d+c.latency())
		if !c.calm && c.chance(0.05) { // sent again by whoever saw no answer
			c.at(d+c.between(10, 2000), func() { apply(r) })
		}
	}
	slices.Sort(acks)
	if len(acks) >= 2 && acks[1] <= writeTimeout {
		q.back(acks[1])
		return nil
	}
	c.unknown++
	d := int64(writeTimeout)
	if c.chance(0.3) {
		d = c.between(1, writeTimeout)
	}
	q.back(d)
	return errTimeout
}

// read lets get look at two replicas, each at a moment of its own, and then gives the result. Where differ
// says that the two were not alike, both are given the newest by repair first.
func (q *client) read(get func(k int, r *replica), differ func() bool, repair func(r *replica)) error {
	c := q.c
	c.statements++
	type ask struct {
		replica   int
		seen, ack int64
	}
	asks := make([]ask, 0, 3)
	for i := range c.replicas {
		if !c.calm && c.chance(0.05) {
			continue
		}
		d := c.latency()
		asks = append(asks, ask{i, d, d + c.latency()})
	}
	slices.SortFunc(asks, func(a, b ask) int { return int(a.ack - b.ack) })
	if len(asks) < 2 || asks[1].ack > readTimeout {
		q.back(readTimeout)
		return errTimeout
	}
	for k := range 2 {
		c.at(asks[k].seen, func() { get(k, &c.replicas[asks[k].replica]) })
	}
	q.back(asks[1].ack)
	if differ == nil || !differ() {
		return nil
	}
	var last int64
	for k := range 2 {
		d := c.latency()
		c.at(d, func() { repair(&c.replicas[asks[k].replica]) })
		last = max(last, d+c.latency())
	}
	if last > readTimeout {
		q.back(readTimeout)
		return errTimeout
	}
	q.back(last)
	return nil
}

// put stores a row where it is newer than what is there.
func (r *replica) put(t int, seq uint64, v cell) {
	for uint64(len(r.rows[t])) <= seq {
		r.rows[t] = append(r.rows[t], nil)
	}
	list := r.rows[t][seq]
	for i := range list {
		if list[i].epoch == v.epoch {
			if newer(&v, &list[i]) {
				list[i] = v
			}
			return
		}
	}
	i := len(list)
	for i > 0 && list[i-1].epoch > v.epoch {
		i--
	}
	r.rows[t][seq] = slices.Insert(list, i, v)
}

func newer(a, b *cell) bool {
	return a.stamp > b.stamp || a.stamp == b.stamp && string(a.message.ID.ID[:]) > string(b.message.ID.ID[:])
}

// set stores a static where it is newer.
func (s *static) set(v static) {
	if v.stamp > s.stamp || v.stamp == s.stamp && v.value > s.value {
		*s = v
	}
}

func (r *replica) bucket(t int, bucket uint64) *static {
	for uint64(len(r.indexed[t])) <= bucket {
		r.indexed[t] = append(r.indexed[t], static{})
	}
	return &r.indexed[t][bucket]
}

// static reads one static cell.
func (q *client) static(of func(r *replica) *static) (uint64, error) {
	var got [2]static
	var is static
	err := q.read(
		func(k int, r *replica) { got[k] = *of(r) },
		func() bool {
			is = got[0]
			is.set(got[1])
			return got[0] != got[1]
		},
		func(r *replica) { of(r).set(is) })
	return is.value, err
}

func (q *client) Indexed(_ context.Context, t id.Thread, bucket uint64) (uint64, error) {
	i := q.c.index(t)
	return q.static(func(r *replica) *static { return r.bucket(i, bucket) })
}

func (q *client) SetIndexed(_ context.Context, t id.Thread, bucket uint64, seq uint64) error {
	i := q.c.index(t)
	v := static{stamp: int64(seq), value: seq}
	if q.c.stampless {
		v.stamp = q.c.now + q.c.between(-1500, 1500) // the clock of whichever coordinator
	}
	return q.write(func(r *replica) { r.bucket(i, bucket).set(v) })
}

// simRow is a row with its cell's timestamp.
type simRow struct {
	seq uint64
	cell
}

func (q *client) Rows(_ context.Context, r Range, page []byte, into []Row) ([]Row, []byte, error) {
	t := q.c.index(r.Thread)
	seq, epoch := r.From, uint32(0)
	if page != nil {
		seq, epoch = binary.BigEndian.Uint64(page), binary.BigEndian.Uint32(page[8:])+1
	}
	end := min(r.To, (r.Bucket+1)<<q.c.bits)
	var got [2][]simRow
	var is []simRow
	err := q.read(
		func(k int, r *replica) {
			for s := seq; s <= end && s < uint64(len(r.rows[t])); s++ {
				for _, v := range r.rows[t][s] {
					if s > seq || v.epoch >= epoch {
						got[k] = append(got[k], simRow{s, v})
					}
				}
			}
		},
		func() bool {
			is = mergeRows(got[0], got[1])
			return !slices.Equal(is, got[0]) || !slices.Equal(is, got[1])
		},
		func(r *replica) {
			for _, v := range is {
				r.put(t, v.seq, v.cell)
			}
		})
	if err != nil {
		return into, nil, err
	}
	n := min(len(is), r.Limit)
	for _, v := range is[:n] {
		into = append(into, Row{Term{v.epoch, v.start}, *v.message})
	}
	if n == len(is) {
		return into, nil, nil
	}
	next := binary.BigEndian.AppendUint64(nil, is[n-1].seq)
	return into, binary.BigEndian.AppendUint32(next, is[n-1].epoch), nil
}

func mergeRows(a, b []simRow) []simRow {
	is := make([]simRow, 0, max(len(a), len(b)))
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && (a[0].seq < b[0].seq || a[0].seq == b[0].seq && a[0].epoch < b[0].epoch):
			is, a = append(is, a[0]), a[1:]
		case len(a) == 0 || a[0].seq != b[0].seq || a[0].epoch != b[0].epoch:
			is, b = append(is, b[0]), b[1:]
		default:
			v := a[0]
			if newer(&b[0].cell, &v.cell) {
				v = b[0]
			}
			is, a, b = append(is, v), a[1:], b[1:]
		}
	}
	return is
}

func (q *client) Write(_ context.Context, t id.Thread, bucket uint64, under Term, messages []store.Message) error {
	i := q.c.index(t)
	list := make([]simRow, len(messages))
	for k := range messages {
		m := messages[k]
		own(&m)
		list[k] = simRow{m.Seq, cell{under.Epoch, under.Start, int64(under.Epoch)<<32 | int64(m.Seq), &m}}
		if (m.Seq-1)>>q.c.bits != bucket {
			panic("a message outside of its bucket")
		}
	}
	return q.send(q.c.rowsTorn, q.c.rowsLost, func(r *replica) {
		for _, v := range list {
			r.put(i, v.seq, v.cell)
		}
	})
}

func (q *client) Lookup(_ context.Context, ids []id.Message, places []Place) error {
	list := slices.Clone(ids)
	var got [2][]Place
	return q.read(
		func(k int, r *replica) {
			for _, m := range list {
				got[k] = append(got[k], r.ids[m])
			}
		},
		func() bool {
			for i := range places {
				places[i] = got[0][i]
				if places[i].Seq == 0 {
					places[i] = got[1][i]
				}
			}
			return !slices.Equal(got[0], got[1])
		},
		func(r *replica) {
			for i := range list {
				if p := got[0][i]; p.Seq > 0 {
					r.ids[p.Message] = p
				}
				if p := got[1][i]; p.Seq > 0 {
					r.ids[p.Message] = p
				}
			}
		})
}

func (q *client) Index(_ context.Context, places []Place) error {
	list := slices.Clone(places)
	return q.write(func(r *replica) {
		for _, p := range list {
			r.ids[p.Message] = p
		}
	})
}

func (q *client) Hint(_ context.Context, t id.Thread) (Hint, error) {
	i := q.c.index(t)
	bucket, err := q.static(func(r *replica) *static { return &r.hints[i] })
	return Hint{Bucket: bucket}, err
}

func (q *client) SetBucket(_ context.Context, t id.Thread, bucket uint64) error {
	i := q.c.index(t)
	return q.write(func(r *replica) { r.hints[i].set(static{int64(bucket), bucket}) })
}

func (q *client) First(_ context.Context, f First) error {
	i := q.c.index(f.Thread)
	return q.write(func(r *replica) { r.firsts[i] = true })
}

// owners reads the newest owners at two replicas.
func (q *client) owners() (*Slots, error) {
	var got [2]*Slots
	err := q.read(func(k int, r *replica) { got[k] = r.slots }, nil, nil)
	if err != nil {
		return nil, err
	}
	if got[1].Version > got[0].Version {
		return got[1], nil
	}
	return got[0], nil
}

func (q *client) Version(context.Context) (int64, error) {
	s, err := q.owners()
	if err != nil {
		return 0, err
	}
	if c := q.c; !c.calm && c.chance(c.fenceStill) {
		q.back(c.between(40, 300))
	}
	return s.Version, nil
}

func (q *client) Slots(_ context.Context, serial bool, into *Slots) error {
	if serial {
		if err := q.serial(func() {}); err != nil {
			return err
		}
		*into = *q.c.slots
		return nil
	}
	s, err := q.owners()
	if err != nil {
		return err
	}
	*into = *s
	return nil
}

// serial runs f at one moment, after those that are in limbo have happened or never will.
func (q *client) serial(f func()) error {
	c := q.c
	c.statements++
	d := c.latency()
	if d > readTimeout {
		q.back(readTimeout)
		return errTimeout
	}
	q.back(d)
	c.settle()
	f()
	q.back(c.between(1, 5))
	return nil
}

func (c *cluster) settle() {
	for _, l := range c.limbo {
		if !l.over && c.chance(0.5) {
			l.apply()
		}
		l.over = true
	}
	c.limbo = c.limbo[:0]
}

func (q *client) Take(_ context.Context, have int64, owner Node, list []int) (bool, error) {
	c := q.c
	done := false
	apply := func() {
		if c.slots.Version != have {
			return
		}
		done = true
		s := *c.slots
		s.Version++
		for _, i := range list {
			s.Owner[i], s.Epoch[i] = owner, uint32(s.Version)
		}
		c.commit(&s)
	}
	if !c.calm && c.chance(0.2) { // its outcome is open
		c.statements++
		l := &taking{apply: apply}
		c.limbo = append(c.limbo, l)
		if c.chance(0.3) {
			c.at(c.between(1, 1500), func() {
				if !l.over {
					l.over = true
					l.apply()
				}
			})
		}
		q.back(writeTimeout)
		return false, errTimeout
	}
	if err := q.serial(apply); err != nil {
		return false, err
	}
	return done, nil
}

// commit gives the owners to two replicas now and to the third later.
func (c *cluster) commit(s *Slots) {
	c.slots = s
	first := c.rng.IntN(3)
	for k := range 3 {
		r := &c.replicas[(first+k)%3]
		if k < 2 {
			r.slots = s
			continue
		}
		c.at(c.latency(), func() {
			if r.slots.Version < s.Version {
				r.slots = s
			}
		})
	}
}

func (q *client) Nodes(context.Context) ([]Member, error) {
	q.back(q.c.latency())
	return nil, nil
}

func (q *client) Beat(context.Context, Member) error {
	q.back(q.c.latency())
	return nil
}

func (q *client) Leave(context.Context, Node) error {
	q.back(q.c.latency())
	return nil
}
