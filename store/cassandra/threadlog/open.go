package threadlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/store"
)

// Log is the threads' messages. It is a store.Log.
type Log struct {
	// Fixed after Open.
	cfg     Config
	q       Quorum
	log     *slog.Logger
	world   world
	shape   shape
	faults  faults
	metrics *metrics
	ctx     context.Context //nolint:containedctx // the life of the log, which all its statements share
	cancel  context.CancelFunc
	run     *runner

	epochs  [SlotCount]atomic.Uint32 // 0 = another's
	version atomic.Int64             // of the owners, when they were last read
	owning  sync.Mutex               // one change of epochs at a time

	health  atomic.Pointer[error] // what the last beat met
	closing atomic.Bool           // no more entries
	deposed atomic.Bool
	lives   atomic.Int64 // things under way that Close waits for
	still   chan struct{}
	calm    sync.Once
	closed  sync.Once
	closeOK error

	budget    budget
	unknown   atomic.Int64
	shards    [shardCount]shard
	ids       idTable
	hot       hot
	lookups   gather
	fences    gather
	index     indexer
	teller    teller
	turns     sync.Pool
	questions sync.Pool
	rounds    sync.Pool
}

var _ store.Log = (*Log)(nil)

// InUseError is Open's refusal: another node owns the log and seems to live.
type InUseError struct {
	Member
	Age time.Duration // since its last beat
}

// Error names the other node.
func (e *InUseError) Error() string {
	return fmt.Sprintf("threadlog: the log belongs to node %s (%s, process %d), which was alive %v ago",
		e.Node, e.Address, e.PID, e.Age.Round(time.Millisecond))
}

// Open takes all slots and starts a log. It is an *InUseError where another node seems to live and
// Config.TakeOver is not set. ctx bounds Open alone.
func Open(ctx context.Context, cfg Config, q Quorum, log *slog.Logger, reg prometheus.Registerer) (*Log, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	l := build(cfg, q, log, newMetrics())
	if err := l.hot.open(cfg.HotBytes); err != nil {
		return nil, err
	}
	l.metrics.register(reg, l)
	if err := l.start(ctx); err != nil {
		l.cancel()
		l.run.close()
		return nil, errors.Join(err, l.hot.release())
	}
	return l, nil
}

// build makes a log that owns nothing yet.
func build(cfg Config, q Quorum, log *slog.Logger, m *metrics) *Log {
	l := &Log{
		cfg: cfg, q: q, log: log, world: realWorld(), shape: defaultShape(), metrics: m,
		still:     make(chan struct{}),
		budget:    budget{maxItems: int64(cfg.QueueItems), maxBytes: int64(cfg.QueueBytes)},
		lookups:   gather{limit: cfg.LookupCalls},
		fences:    gather{limit: cfg.FenceCalls},
		index:     indexer{limit: cfg.IndexCalls},
		turns:     sync.Pool{New: func() any { return newTurn() }},
		questions: sync.Pool{New: func() any { return &question{} }},
		rounds:    sync.Pool{New: func() any { return &indexRound{} }},
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	for i := range l.shards {
		l.shards[i] = shard{l: l, limit: max(1, cfg.Threads/shardCount)}
	}
	l.run = newRunner(l, cfg.Workers, func(f func()) { l.world.spawn(f) })
	return l
}

// start takes the slots.
func (l *Log) start(ctx context.Context) error {
	if err := l.vacant(ctx); err != nil {
		return err
	}
	if err := l.q.Beat(ctx, l.member()); err != nil {
		return fmt.Errorf("threadlog: write the first beat: %w", err)
	}
	if err := l.take(ctx); err != nil {
		return errors.Join(err, l.q.Leave(ctx, l.cfg.Node)) // else the beat would be in the way of another
	}
	l.world.after(l.cfg.Beat, l.beatTick)
	return nil
}

// vacant is an *InUseError where another node is in the way.
func (l *Log) vacant(ctx context.Context) error {
	if l.cfg.TakeOver {
		return nil
	}
	nodes, err := l.q.Nodes(ctx)
	if err != nil {
		return fmt.Errorf("threadlog: list the nodes: %w", err)
	}
	for _, m := range nodes {
		age := l.cfg.Now().Sub(time.UnixMilli(m.Beat))
		if m.Node != l.cfg.Node && age < l.cfg.Stale {
			return &InUseError{Member: m, Age: age}
		}
	}
	return nil
}

// take makes all slots this node's. After an unknown outcome, or when another was faster, the version is
// read again and taken again: that it may have been ours already costs an epoch and nothing else.
func (l *Log) take(ctx context.Context) error {
	all := make([]int, SlotCount)
	for i := range all {
		all[i] = i
	}
	var cause error
	for try := range takeTries {
		if try > 1 {
			pause := make(chan struct{})
			l.world.after(l.pause(try), func() { close(pause) })
			if err := l.world.wait(ctx, pause); err != nil {
				return fmt.Errorf("threadlog: take the slots: %w", errors.Join(err, cause))
			}
		}
		var s Slots
		if err := l.q.Slots(ctx, try > 0, &s); err != nil {
			cause = err
			continue
		}
		if s.Version >= maxEpoch {
			return fmt.Errorf("threadlog: the owners' version %d leaves no epoch", s.Version)
		}
		ok, err := l.q.Take(ctx, s.Version, l.cfg.Node, all)
		if err != nil {
			cause = err
			if !l.faults.assumeTaken {
				continue
			}
			ok = true
		}
		if ok {
			l.version.Store(s.Version + 1)
			for i := range l.epochs {
				l.epochs[i].Store(uint32(s.Version + 1))
			}
			l.metrics.takes.Inc()
			return nil
		}
	}
	return fmt.Errorf("threadlog: take the slots: %w", errors.Join(errors.New("others kept on taking them, or the store does not answer"), cause))
}

const (
	takeTries = 12
	maxEpoch  = 1<<31 - 1 // epoch<<32 | seq is a timestamp
)

// beatTick says that this node lives, and looks whether it still owns anything where no send would tell.
func (l *Log) beatTick() { l.run.push(job{(*Log).beat, nil}) }

func (l *Log) beat(*thread) job {
	err := l.q.Beat(l.ctx, l.member())
	if err != nil {
		l.failed("write a beat", err)
	}
	if !l.deposed.Load() {
		err = errors.Join(err, l.look())
	}
	l.health.Store(&err)
	if l.ctx.Err() == nil && !l.deposed.Load() {
		l.world.after(l.cfg.Beat, l.beatTick)
	}
	return job{}
}

// Healthy is nil while sends may go well: the last beat was written, the owners could be read, this node is
// one of them, and writes come to an end.
func (l *Log) Healthy() error {
	if err := l.ended(); err != nil {
		return err
	}
	if n := l.unknown.Load(); n >= int64(l.cfg.UnknownThreads) {
		return fmt.Errorf("threadlog: the last write of %d threads has an unknown outcome: %w", n, store.ErrBusy)
	}
	if err := l.health.Load(); err != nil && *err != nil {
		return fmt.Errorf("threadlog: the store does not answer: %w", *err)
	}
	return nil
}

func (l *Log) member() Member {
	return Member{Node: l.cfg.Node, Address: l.cfg.Address, PID: l.cfg.PID, Beat: l.cfg.Now().UnixMilli()}
}

// depose ends it: another node has all slots. Nothing is acked any more.
func (l *Log) depose(s *Slots) {
	if l.deposed.Swap(true) {
		return
	}
	err := fmt.Errorf("threadlog: node %s has taken the log at version %d: %w", s.Owner[0], s.Version, store.ErrDeposed)
	l.metrics.deposed.Inc()
	if l.cfg.Deposed != nil {
		l.cfg.Deposed(err)
	}
}

// ended is why no entry is taken any more.
func (l *Log) ended() error {
	switch {
	case l.deposed.Load():
		return store.ErrDeposed
	case l.closing.Load():
		return store.ErrClosed
	}
	return nil
}

// over is why nothing more is to come of a thread's turn.
func (l *Log) over(th *thread) error {
	switch {
	case l.epochs[th.slot].Load() != th.epoch:
		return store.ErrDeposed
	case l.ctx.Err() != nil:
		return store.ErrClosed
	}
	return nil
}

// drop gives a thread up, and answers all that waits in it. The caller has its turn.
func (l *Log) drop(th *thread, err error) job {
	h := th.shard
	h.mu.Lock()
	h.forget(th)
	th.mu.Lock()
	h.mu.Unlock()
	th.gone, th.active = true, false
	list := make([]item, 0, th.queue.len())
	for th.queue.len() > 0 {
		list = append(list, th.queue.pop())
	}
	th.entries = 0
	readers := th.takeReaders()
	for i := range th.tail {
		l.ids.remove(&th.tail[i].Place)
	}
	th.mu.Unlock()
	l.sure(th)
	if t := th.turn; t != nil {
		l.budget.give(t.entries, t.bytes)
		for i := range t.items {
			l.refuseItem(t.items[i].item, err)
		}
		t.reset()
		l.turns.Put(t)
		th.turn = nil
	}
	th.act = nil
	for _, it := range list {
		if it.entry != nil {
			l.budget.give(1, costs(&it.entry.Message))
		}
		l.refuseItem(it, err)
	}
	endReaders(readers, err)
	l.alive(-1)
	return job{}
}

func (l *Log) refuseItem(it item, err error) {
	if it.mark != nil {
		it.mark(0)
		return
	}
	l.refuse(it.entry, err)
}

// alive counts what Close waits for.
func (l *Log) alive(n int64) {
	if l.lives.Add(n) == 0 && l.closing.Load() {
		l.calm.Do(func() { close(l.still) })
	}
}

// pause is how long a step waits before its n-th repetition.
func (l *Log) pause(n int) time.Duration {
	d := l.cfg.RetryFirst << min(max(n-2, 0), 20)
	if d > l.cfg.RetryMax || d <= 0 {
		d = l.cfg.RetryMax
	}
	return d/2 + time.Duration(l.world.jitter()*float64(d/2))
}

// failed notes a statement that did not go well: it is repeated, or its senders are told to come again.
func (l *Log) failed(doing string, err error) {
	if l.ctx.Err() != nil {
		return
	}
	l.metrics.failed.Inc()
	if errors.Is(err, errLost) {
		l.metrics.lost.Inc()
		l.log.Error("the store has lost data", "doing", doing, "error", err)
		return
	}
	l.log.Debug("the store did not answer well", "doing", doing, "error", err)
}

// Close writes what waits, calls its Done and refuses what comes later; it waits CloseTimeout for that at
// most, and for the ids and rows off the path. What is not settled then is answered ErrClosed.
func (l *Log) Close() error {
	l.closed.Do(func() { l.closeOK = l.close() })
	return l.closeOK
}

func (l *Log) close() error {
	l.closing.Store(true)
	if l.lives.Load() == 0 {
		l.calm.Do(func() { close(l.still) })
	}
	l.indexStart()
	l.tellStart()
	ctx, cancel := l.world.within(context.Background(), l.cfg.CloseTimeout)
	defer cancel()
	late := l.world.wait(ctx, l.still)
	l.cancel()
	l.run.close()
	_ = l.world.wait(context.Background(), l.run.ended) // statements end with their context
	for i := range l.shards {
		l.sweep(&l.shards[i])
	}
	leave, cancelLeave := l.world.within(context.Background(), l.cfg.CloseTimeout)
	defer cancelLeave()
	if err := l.q.Leave(leave, l.cfg.Node); err != nil {
		l.log.Warn("this node's row stays: it is in the way of another for a while", "error", err)
	}
	if late != nil {
		l.log.Warn("closed with work under way", "waited", l.cfg.CloseTimeout)
	}
	return l.hot.release()
}

// sweep answers what is left after the last statement.
func (l *Log) sweep(h *shard) {
	h.mu.Lock()
	list := append([]*thread(nil), h.order...)
	h.mu.Unlock()
	err := l.ended()
	for _, th := range list {
		l.alive(1)
		l.drop(th, err)
	}
}
