package presence

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/router/internal/fake"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/memory"
)

// world is a running Service in a synctest bubble.
type world struct {
	*Service
	t     *testing.T
	loops *fake.Loops
	mem   *memory.Store
	slot  uint32
	names map[id.User]string
	start time.Time
	stop  func()
}

// inWorld runs a test in a bubble of its own.
func inWorld(t *testing.T, edit func(*Config), test func(w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem, err := memory.New(memory.Default())
		if err != nil {
			t.Fatal(err)
		}
		l := fake.New(2)
		l.Start()
		r := router.New(l, prometheus.NewRegistry())
		cfg := Default()
		if edit != nil {
			edit(&cfg)
		}
		s, err := New(cfg, r, Stores{Users: mem.Users(), Threads: mem.Threads(), Members: mem.Members()},
			slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		w := &world{Service: s, t: t, loops: l, mem: mem, names: make(map[id.User]string), start: time.Now()}
		w.stop = func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			w.stop = func() {}
		}
		defer func() { w.stop(); l.Stop(); mem.Close() }()
		test(w)
	})
}

func (w *world) user(name string) id.User {
	w.t.Helper()
	u := id.NewUser()
	if err := w.mem.Users().Create(context.Background(), store.User{ID: u, Phone: u.String()}); err != nil {
		w.t.Fatal(err)
	}
	w.names[u] = name
	return u
}

// befriend makes a direct thread of two.
func (w *world) befriend(a, b id.User) {
	done := make(chan struct{})
	m, _ := id.NewMessage()
	w.mem.Log().Append(&store.Entry{
		Message: store.Message{ID: m, Thread: id.Direct(a, b), Sender: a, Receiver: b, Sent: time.Now().UnixMilli(), Content: []byte("x")},
		Done:    func(*store.Entry) { close(done) },
	})
	<-done
}

func (w *world) group(users ...id.User) {
	w.t.Helper()
	g := id.NewGroup()
	var list []store.Member
	for _, u := range users {
		list = append(list, store.Member{Group: g, User: u})
	}
	if err := w.mem.Groups().Create(context.Background(), store.Group{ID: g}, list); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) connect(u id.User) router.Caller {
	w.slot++
	c := w.loops.Caller(w.slot, u)
	w.router.Attach(c)
	return c
}

// wait lets time pass.
func (w *world) wait(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // synctest's clock
	synctest.Wait()
}

// told gives what a connection was told, as text; last seen in seconds since the start.
func (w *world) told(c router.Caller) string {
	synctest.Wait()
	var list []string
	for _, f := range w.loops.Take(c.Conn) {
		switch e := f.Event.(type) {
		case *proto.PresenceOf:
			list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Ref, w.names[e.User], w.text(e))))
		case *proto.Failure:
			list = append(list, fmt.Sprintf("%s %v", e.Ref, e.Err.Code))
		default:
			list = append(list, fmt.Sprintf("%+v", e))
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func (w *world) text(p *proto.PresenceOf) string {
	if p.LastSeen == 0 {
		return p.Status.String() + " never"
	}
	return fmt.Sprintf("%v %d", p.Status, (p.LastSeen-w.start.UnixMilli())/1000)
}

// of is what asker reads about users over REST.
func (w *world) of(asker id.User, users ...id.User) string {
	w.t.Helper()
	list, err := w.Of(context.Background(), asker, users)
	if err != nil {
		w.t.Fatal(err)
	}
	var text []string
	for i := range list {
		if list[i].User != users[i] {
			w.t.Error("not in the same order")
		}
		text = append(text, w.text(&list[i]))
	}
	return strings.Join(text, ", ")
}

func (w *world) want(what, got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func (w *world) dropped(d drop) int {
	w.t.Helper()
	var m dto.Metric
	if err := w.metrics.dropped[d].Write(&m); err != nil {
		w.t.Fatal(err)
	}
	return int(m.GetCounter().GetValue())
}

func (w *world) set(u id.User, st proto.Status) {
	w.t.Helper()
	if err := w.Set(context.Background(), u, st); err != nil {
		w.t.Fatal(err)
	}
}

// TestComesAndGoes: online with the first connection, offline 15 s after the last, nothing in between.
func TestComesAndGoes(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		ann, bob, eve := w.user("ann"), w.user("bob"), w.user("eve")
		w.befriend(ann, bob)
		b, e := w.connect(bob), w.connect(eve)
		w.wait(time.Second)
		w.told(b)
		a := w.connect(ann)
		w.want("first", w.told(b), "ann online 1")
		a2 := w.connect(ann)
		w.router.Detach(a)
		w.wait(time.Minute)
		w.want("second and first gone", w.told(b), "")
		w.router.Detach(a2) // at 61 s
		w.wait(10 * time.Second)
		w.want("during debounce", w.told(b)+w.of(bob, ann), "online 71")
		a = w.connect(ann)
		w.wait(time.Minute)
		w.want("came back", w.told(b), "")
		w.router.Detach(a) // at 131 s
		w.wait(14900 * time.Millisecond)
		w.want("before the end of debounce", w.told(b), "")
		w.wait(1100 * time.Millisecond)
		w.want("gone", w.told(b), "ann offline 131")
		w.want("asked", w.of(bob, ann), "offline 131")
		w.want("a stranger", w.told(e)+w.of(eve, ann), "offline never")
		w.want("oneself", w.of(ann, ann, bob), "offline 131, online 147")
		if n := w.OnlineCount(); n != 2 {
			w.t.Errorf("%d online, want 2", n)
		}
	})
}

// TestGroupsAreTold: the people of small groups are told, those of large ones are not, but may ask.
func TestGroupsAreTold(t *testing.T) {
	inWorld(t, func(c *Config) { c.SmallGroup = 3 }, func(w *world) {
		ann, bob, eve := w.user("ann"), w.user("bob"), w.user("eve")
		w.group(ann, bob)
		w.group(ann, eve, w.user("x"), w.user("y"))
		b, e := w.connect(bob), w.connect(eve)
		w.wait(time.Second)
		w.told(b)
		w.connect(ann)
		w.want("small", w.told(b), "ann online 1")
		w.want("large", w.told(e), "")
		w.want("asked", w.of(eve, ann), "online 1")
	})
}

func TestWatch(t *testing.T) {
	inWorld(t, func(c *Config) { c.Threads = 1; c.Watches = 4 }, func(w *world) {
		ann, bob, eve, zoe := w.user("ann"), w.user("bob"), w.user("eve"), w.user("zoe")
		w.befriend(ann, bob)
		w.wait(time.Second)
		w.befriend(ann, zoe) // more recent: the only one of the people told unasked
		b, e := w.connect(bob), w.connect(eve)
		a := w.connect(ann)
		w.wait(time.Second)
		w.told(b)

		w.Watch(b, &proto.Request{Ref: []byte("1"), Users: []id.User{ann, zoe, ann}})
		w.want("watch", w.told(b), "1 ann online 2, 1 zoe offline never")
		w.Watch(e, &proto.Request{Ref: []byte("2"), Users: []id.User{ann}})
		w.want("a stranger's watch", w.told(e), "2 ann offline never")
		w.router.Detach(a)
		w.wait(20 * time.Second)
		w.want("change", w.told(b), "ann offline 2")
		w.want("a stranger's change", w.told(e), "")

		w.befriend(eve, ann)
		w.connect(ann)
		w.want("no stranger any more", w.told(e), "ann online 22")
		w.want("still", w.told(b), "ann online 22")
		w.Unwatch(b, &proto.Request{Users: []id.User{ann, zoe}})
		w.set(ann, proto.Away)
		w.want("unwatched", w.told(b), "")
		w.want("watched", w.told(e), "ann away 22")

		w.Watch(b, &proto.Request{Ref: []byte("3"), Users: []id.User{ann, bob, eve, zoe, id.NewUser()}})
		w.want("too many", w.told(b), "3 too_many")
		w.Watch(b, &proto.Request{Ref: []byte("4"), Users: []id.User{ann, bob, eve, zoe}})
		w.want("as many as may be", w.told(b), "4 ann away 22, 4 bob online 22, 4 eve offline never, 4 zoe offline never")

		// A closed connection's watches go, and one that was closed before it could watch leaves none.
		w.router.Detach(b)
		w.router.Detach(e)
		w.wait(time.Second)
		w.Watch(e, &proto.Request{Users: []id.User{ann}})
		w.wait(time.Second)
		w.graph.mu.Lock()
		defer w.graph.mu.Unlock()
		if n := w.graph.mu.live + w.graph.mu.blocks.Len() + w.graph.mu.people.Len() + w.graph.mu.watchers.Len(); n != 0 {
			w.t.Errorf("%d things left of the watches", n)
		}
	})
}

// TestStates: away and hidden hold over a short absence and end with a long one.
func TestStates(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		ann, bob := w.user("ann"), w.user("bob")
		w.befriend(ann, bob)
		b, a := w.connect(bob), w.connect(ann)
		w.wait(time.Second)
		w.told(b)
		w.set(ann, proto.Away)
		w.set(ann, proto.Away)
		w.want("away", w.told(b), "ann away 1")
		w.router.Detach(a)
		w.wait(5 * time.Second)
		a = w.connect(ann)
		w.want("still away", w.told(b)+w.of(bob, ann), "away 6")
		w.set(ann, proto.Online)
		w.want("back", w.told(b), "ann online 6")
		w.set(ann, proto.Offline)
		w.want("hidden", w.told(b), "ann offline 6")
		w.wait(time.Second)
		w.want("hidden, asked", w.of(bob, ann), "offline 6")
		w.router.Detach(a)
		w.wait(time.Minute)
		w.want("hidden and gone", w.told(b), "")
		w.connect(ann)
		w.want("new", w.told(b), "ann online 67")
	})
}

// TestLease: one who says online over REST without a connection is shown for five minutes.
func TestLease(t *testing.T) {
	inWorld(t, func(c *Config) { c.Leases = 20 }, func(w *world) {
		ann, bob, eve := w.user("ann"), w.user("bob"), w.user("eve")
		w.befriend(ann, bob)
		b := w.connect(bob)
		w.set(ann, proto.Online)
		w.want("online", w.told(b), "ann online 0")
		w.wait(4 * time.Minute)
		w.set(ann, proto.Away)
		w.want("renewed", w.told(b), "ann away 240")
		w.wait(4 * time.Minute)
		w.want("still", w.told(b)+w.of(bob, ann), "away 480")
		w.wait(61 * time.Second)
		w.want("over", w.told(b), "ann offline 240")
		w.set(ann, proto.Online)
		w.set(ann, proto.Offline)
		w.told(b)
		w.wait(time.Second)
		w.want("taken back", w.of(bob, ann), "offline 541")

		// One person cannot use up what is there for all.
		for range 100 {
			w.set(ann, proto.Online)
			w.set(ann, proto.Offline)
		}
		w.set(eve, proto.Online)
		for range 30 {
			if err := w.Set(context.Background(), id.NewUser(), proto.Online); err != nil {
				return
			}
		}
		w.t.Error("leases without a bound")
	})
}

// TestStorm: more changes than the queue and the rate take: what is dropped is counted, what is told is told
// at the rate, and who asks reads the truth.
func TestStorm(t *testing.T) {
	inWorld(t, func(c *Config) { c.Queue = 50; c.Rate = 10; c.Lingering = 100 }, func(w *world) {
		hub := w.user("hub")
		h := w.connect(hub)
		w.wait(time.Second)
		var list []router.Caller
		var users []id.User
		for i := range 200 {
			u := w.user(fmt.Sprint(i))
			w.befriend(hub, u)
			users = append(users, u)
		}
		w.wait(time.Second)
		w.told(h)
		for _, u := range users {
			list = append(list, w.connect(u))
		}
		count := func() (n int) {
			if s := w.told(h); s != "" {
				n = strings.Count(s, ",") + 1
			}
			return n
		}
		n := count()
		for range 4 {
			w.wait(time.Second)
			if got := count(); got > 11 {
				w.t.Errorf("%d changes told in a second, want 10", got)
			} else {
				n += got
			}
		}
		w.wait(time.Minute)
		n += count()
		if dropped := w.dropped(dropChange); n+dropped != 200 || n < 50 || dropped == 0 {
			w.t.Errorf("%d told and %d dropped of 200", n, dropped)
		}
		if got := w.of(hub, users...); strings.Count(got, "online") != 200 {
			w.t.Error("who asks does not read the truth")
		}
		for _, c := range list {
			w.router.Detach(c)
		}
		w.wait(time.Minute)
		if got := w.of(hub, users...); strings.Count(got, "offline") != 200 {
			w.t.Error("who asks does not read the truth")
		}
		if dropped := w.dropped(dropLinger); dropped != 100 {
			w.t.Errorf("%d without debounce, want 100", dropped)
		}
		if n := w.in.linger.len() + w.in.changes.len() + len(w.in.wishes); n != 0 {
			w.t.Errorf("%d things left", n)
		}
	})
}

// TestSeen: last seen reaches the store with the next flush, and at the end.
func TestSeen(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		ann := w.user("ann")
		read := func() int64 {
			u, err := w.mem.Users().Get(context.Background(), ann)
			if err != nil {
				w.t.Fatal(err)
			}
			return (u.LastActive - w.start.UnixMilli()) / 1000
		}
		w.wait(11 * time.Second)
		a := w.connect(ann)
		w.wait(5 * time.Second)
		w.router.Detach(a)
		w.wait(11 * time.Second)
		if got := read(); got != 16 {
			w.t.Errorf("last seen %d, want 16", got)
		}
		a = w.connect(ann)
		w.wait(2 * time.Second)
		w.router.Detach(a)
		w.stop()
		if got := read(); got != 29 {
			w.t.Errorf("last seen %d, want 29", got)
		}
	})
}
