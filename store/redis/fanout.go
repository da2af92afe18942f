package redis

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// fanout is one channel: a sharded one in a cluster, where the others are sent to every server. Redis
// promises nothing of what it publishes, so a listener makes sure that it listens: it publishes an echo every
// few seconds and expects to hear it. When it does not, it takes itself for deaf, whatever the connection
// says, subscribes again and is told that it missed some.
type fanout struct {
	c    *client
	self [16]byte // of this process, which does not hear what it publishes
	owes atomic.Bool
}

// A notice is its kind, whom it is from, and what it says.
const (
	noticeRevoked = 'r' // user, session, at, expires
	noticeMissed  = 'm' // something could not be published
	noticeEcho    = 'e' // number

	noticeHead    = 1 + 16
	revokedLength = noticeHead + 16 + 16 + 8 + 8
)

// subscribeRetry is how long after a subscription that ended the next is tried.
const subscribeRetry = 200 * time.Millisecond

// noticesAtOnce may wait for a listener; beyond, it is told that it missed some.
const noticesAtOnce = 4096

func newFanout(c *client) *fanout { return &fanout{c: c, self: uuid.New()} }

func (v *fanout) channel() string { return v.c.cfg.Prefix + fanoutName }

func (v *fanout) notice(kind byte, size int) []byte {
	return append(append(make([]byte, 0, size), kind), v.self[:]...)
}

func (v *fanout) send(ctx context.Context, notice []byte) error {
	text := rueidis.BinaryString(notice)
	var cmd rueidis.Completed
	if v.c.cfg.Mode == Cluster {
		cmd = v.c.build().Spublish().Channel(v.channel()).Message(text).Build()
	} else {
		cmd = v.c.build().Publish().Channel(v.channel()).Message(text).Build()
	}
	_, err := v.c.do(ctx, fanoutPublish, cmd)
	return err
}

func (v *fanout) subscription() rueidis.Completed {
	if v.c.cfg.Mode == Cluster {
		return v.c.build().Ssubscribe().Channel(v.channel()).Build()
	}
	return v.c.build().Subscribe().Channel(v.channel()).Build()
}

// Publish tells the other nodes, or remembers to tell them that they missed something.
func (v *fanout) Publish(ctx context.Context, r store.Revocation) error {
	n := v.notice(noticeRevoked, revokedLength)
	n = append(append(n, r.User.ID[:]...), r.Session.ID[:]...)
	n = binary.BigEndian.AppendUint64(n, uint64(r.At))
	n = binary.BigEndian.AppendUint64(n, uint64(r.Expires))
	err := v.send(ctx, n)
	if err != nil {
		v.owes.Store(true)
	}
	return err
}

// pay tells the others that they missed something, where that is owed.
func (v *fanout) pay(ctx context.Context) error {
	if !v.owes.Swap(false) {
		return nil
	}
	err := v.send(ctx, v.notice(noticeMissed, noticeHead))
	if err != nil {
		v.owes.Store(true)
	}
	return err
}

// revocation reads what Publish wrote.
func revocation(n []byte) (r store.Revocation, ok bool) {
	if len(n) != revokedLength {
		return r, false
	}
	n = n[noticeHead:]
	r.User = id.User{ID: id.ID(n[:16])}
	r.Session = id.Session{ID: id.ID(n[16:32])}
	r.At, r.Expires = int64(binary.BigEndian.Uint64(n[32:])), int64(binary.BigEndian.Uint64(n[40:]))
	return r, true
}

// ear is what a listener's connection writes and its goroutine reads.
type ear struct {
	wake chan struct{}

	mu      sync.Mutex
	told    []store.Revocation
	missed  bool
	hearing bool   // subscribed
	since   int    // how often it was
	echo    uint64 // the newest of our own that came back
}

func (e *ear) poke() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// subscribed is called by the connection each time that Redis says so; whatever was published before may
// have been missed.
func (e *ear) subscribed(s rueidis.PubSubSubscription) {
	e.mu.Lock()
	e.hearing = s.Kind == "subscribe" || s.Kind == "ssubscribe"
	e.since++
	e.missed = true
	e.mu.Unlock()
	e.poke()
}

func (e *ear) deaf() {
	e.mu.Lock()
	e.hearing, e.missed = false, true
	e.mu.Unlock()
}

// heard takes a notice. It must not block: the connection is shared.
func (e *ear) heard(self [16]byte, text string) {
	n := []byte(text)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case len(n) < noticeHead:
		e.missed = true
	case [16]byte(n[1:noticeHead]) == self:
		if n[0] == noticeEcho && len(n) == noticeHead+8 {
			e.echo = max(e.echo, binary.BigEndian.Uint64(n[noticeHead:]))
		}
		return
	case n[0] == noticeEcho:
		return
	default:
		r, ok := revocation(n)
		if n[0] != noticeRevoked || !ok || len(e.told) == noticesAtOnce { // of a newer version, or too many
			e.missed = true
		} else {
			e.told = append(e.told, r)
		}
	}
	e.poke()
}

// take gives what waits. What was told before something was missed comes first.
func (e *ear) take() (told []store.Revocation, missed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	told, missed = e.told, e.missed
	e.told, e.missed = nil, false
	return told, missed
}

func (e *ear) state() (hearing bool, since int, echo uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.hearing, e.since, e.echo
}

// Listen subscribes, again and again, until ctx ends.
func (v *fanout) Listen(ctx context.Context, told func(store.Revocation), missed func(context.Context) error) {
	e := &ear{wake: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	again := make(chan struct{}, 1)
	var wait sync.WaitGroup
	defer wait.Wait()
	wait.Add(1)
	go func() {
		defer wait.Done()
		v.subscribe(ctx, e, again)
	}()
	l := listener{fanout: v, ear: e, told: told, missed: missed, again: again}
	echo, deaf, all := time.NewTicker(v.c.cfg.EchoEvery), time.NewTicker(v.c.cfg.ReloadDeaf), time.NewTicker(v.c.cfg.ReloadEvery)
	defer echo.Stop()
	defer deaf.Stop()
	defer all.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
			l.pass(ctx, false)
		case <-echo.C:
			l.listen(ctx)
		case <-deaf.C:
			hearing, _, _ := e.state()
			l.pass(ctx, !hearing || l.unsure || l.failed)
		case <-all.C:
			l.pass(ctx, true)
		}
	}
}

// listener is what Listen's goroutine knows.
type listener struct {
	fanout *fanout
	ear    *ear
	told   func(store.Revocation)
	missed func(context.Context) error
	again  chan<- struct{}
	failed bool // the last call of missed

	sent   uint64 // the newest echo
	since  int    // the subscription that it must come back by; 0 = it was not sent
	unsure bool   // it could not be sent
}

// pass hands on what waits.
func (l *listener) pass(ctx context.Context, missed bool) {
	told, some := l.ear.take()
	for _, r := range told {
		l.told(r)
	}
	if missed || some {
		l.fanout.c.metrics.missed.Inc()
		l.failed = l.missed(ctx) != nil && ctx.Err() == nil
	}
}

// listen makes sure that the last echo came back, and sends the next.
func (l *listener) listen(ctx context.Context) {
	hearing, since, echo := l.ear.state()
	if hearing && since == l.since && echo < l.sent {
		l.ear.deaf()
		l.pass(ctx, false)
		select {
		case l.again <- struct{}{}:
		default:
		}
		hearing = false
	}
	l.since = 0
	if !hearing {
		return
	}
	l.sent++
	n := binary.BigEndian.AppendUint64(l.fanout.notice(noticeEcho, noticeHead+8), l.sent)
	if l.unsure = l.fanout.send(ctx, n) != nil; !l.unsure {
		l.since = since
	}
}

// subscribe keeps a subscription. The driver makes some of them anew by itself, and says so each time.
func (v *fanout) subscribe(ctx context.Context, e *ear, again <-chan struct{}) {
	for ctx.Err() == nil {
		within, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			select {
			case <-again:
				cancel()
			case <-within.Done():
			}
		}()
		start := v.c.cfg.Now()
		err := v.c.driver.Receive(rueidis.WithOnSubscriptionHook(within, e.subscribed), v.subscription(), func(m rueidis.PubSubMessage) {
			e.heard(v.self, m.Message)
		})
		e.deaf()
		if err != nil && within.Err() == nil {
			_ = v.c.ended(ctx, fanoutListen, start, err) // counted; the health check names what is wrong
		}
		cancel()
		<-ended
		select {
		case <-ctx.Done():
		case <-time.After(subscribeRetry):
		}
	}
}
