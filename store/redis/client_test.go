package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/redis/rueidis"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// alone is a client without a server.
func alone(t testing.TB) *client {
	t.Helper()
	c, err := ParseURL("redis://h")
	must(t, err)
	c.Node = node()
	m, err := newMetrics(nil)
	must(t, err)
	return &client{cfg: c, metrics: m, room: make(chan struct{}, 2)}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	c := alone(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, k := range []struct {
		ctx   context.Context
		err   error
		why   reason
		text  string
		cause error
	}{
		{t.Context(), context.DeadlineExceeded, failedTimeout, "no answer in time", context.DeadlineExceeded},
		{t.Context(), os.ErrDeadlineExceeded, failedTimeout, "no answer in time", os.ErrDeadlineExceeded},
		{gone, context.Canceled, failedCaller, "canceled", context.Canceled},
		{t.Context(), errNotTried, failedShort, "not tried", nil},
		{t.Context(), errCrowded, failedShort, "too many", nil},
		{t.Context(), io.EOF, failedLost, "does it want TLS", io.EOF},
	} {
		err := c.fail(k.ctx, codeTry, k.err)
		var f *failure
		if !errors.Is(err, store.ErrBusy) || !errors.As(err, &f) || f.why != k.why {
			t.Errorf("%v became %v", k.err, err)
			continue
		}
		if k.cause != nil && !errors.Is(err, k.cause) {
			t.Errorf("%v lost its cause %v", err, k.cause)
		}
		for _, part := range []string{k.text, "try a code", "redis://h:6379"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%v does not say %q", err, part)
			}
		}
	}
	c.closed.Store(true)
	if err := c.fail(t.Context(), codeTry, io.EOF); !errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrBusy) {
		t.Errorf("a closed store fails with %v", err)
	}
	if s := withoutArguments("unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'u' 'hunter2'"); strings.Contains(s, "hunter2") {
		t.Errorf("a password is left: %s", s)
	}
}

// TestAdvice goes through what servers say.
func TestAdvice(t *testing.T) {
	t.Parallel()
	c, err := ParseURL("redis://ada@h")
	must(t, err)
	for text, advice := range map[string]string{
		"WRONGPASS invalid username-password pair": "check the password of user ada",
		"NOAUTH Authentication required.":          "wants a password",
		"NOPERM this user has no permissions":      "~tolkflip:* &tolkflip:*",
		"The user executing the script can't run":  "check the ACL rules of user ada",
		"DB index is out of range":                 "databases",
		"MOVED 1 127.0.0.1:1":                      "redis+cluster://",
		"READONLY You can't write":                 "redis+sentinel://",
		"CLUSTERDOWN The cluster is down":          "CLUSTER INFO",
		"MISCONF Redis is configured to save":      "disk",
		"OOM command not allowed":                  "maxmemory",
		"LOADING Redis is loading":                 "reading its data",
		"unknown command 'GETDEL'":                 "Redis 7",
		"something else":                           "",
	} {
		if got := c.advice(errors.New(text)); advice == "" && got != "" || !strings.Contains(got, advice) {
			t.Errorf("%s: %q, want %q", text, got, advice)
		}
	}
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_700_000_000_000)
	var b breaker
	for range breakAfter - 1 {
		b.silent(now)
	}
	if !b.pass(now) {
		t.Fatal("it broke too soon")
	}
	b.answered()
	for range breakAfter {
		if !b.pass(now) {
			t.Fatal("an answer did not count")
		}
		b.silent(now)
	}
	if b.pass(now) || b.pass(now.Add(breakFor-time.Millisecond)) {
		t.Fatal("it did not break")
	}
	if now = now.Add(breakFor); !b.pass(now) || b.pass(now) {
		t.Fatal("one call and no more goes through after the pause")
	}
	b.answered()
	for range 2 {
		if !b.pass(now) {
			t.Fatal("it stays broken")
		}
	}
}

// TestRoom takes all places: the next call waits, and is refused.
func TestRoom(t *testing.T) {
	t.Parallel()
	c := alone(t)
	c.cfg.Timeout = time.Millisecond
	var b breaker
	one, err := c.enter(t.Context(), &b)
	must(t, err)
	_, err = c.enter(t.Context(), &b)
	must(t, err)
	if _, err := c.enter(t.Context(), &b); !errors.Is(err, errCrowded) {
		t.Fatalf("a call too many: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	c.cfg.Timeout = time.Hour
	if _, err := c.enter(gone, &b); !errors.Is(err, context.Canceled) {
		t.Fatalf("a caller that is gone: %v", err)
	}
	one()
	_, err = c.enter(t.Context(), &b)
	must(t, err)
}

func TestSlots(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]uint16{"foo": 12182, "bar": 5061, "123456789": 12739, "": 0} {
		if n := slot(tag); n != want {
			t.Errorf("slot of %q is %d, want %d", tag, n, want)
		}
	}
	tags := spread(healthParts)
	for i, tag := range tags {
		if int(slot(tag))*healthParts/slots != i {
			t.Errorf("tag %q is not in part %d", tag, i)
		}
	}
}

// TestSealed looks for what must not be read in a key.
func TestSealed(t *testing.T) {
	t.Parallel()
	c := alone(t)
	c.cfg.Secret = []byte("one")
	a := c.sealedKey(codeKeys, "+15550001111")
	if !strings.HasPrefix(a, "tolkflip:code:") || strings.Contains(a, "1555") {
		t.Errorf("key %s", a)
	}
	if a != c.sealedKey(codeKeys, "+15550001111") || a == c.sealedKey(codeKeys, "+15550001112") {
		t.Error("keys of phones are not apart")
	}
	if c.sealedKey(grantKeys, "ab", "c") == c.sealedKey(grantKeys, "a", "bc") {
		t.Error("keys of grants are not apart")
	}
	c.cfg.Secret = []byte("two")
	if a == c.sealedKey(codeKeys, "+15550001111") {
		t.Error("the secret makes no difference")
	}
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	var count [leaseBuckets]int
	for i := range 100 * leaseBuckets {
		u := id.User{ID: id.ID{14: byte(i >> 8), 15: byte(i)}} // ids that are numbers, not random
		count[bucketOf(u)]++
	}
	if n := slices.Max(count[:]); n > 300 {
		t.Errorf("%d of %d users are in one bucket", n, 100*leaseBuckets)
	}
}

// TestNotices reads what another node sent, whole and broken.
func TestNotices(t *testing.T) {
	t.Parallel()
	other, self := newFanout(alone(t)), newFanout(alone(t))
	e := &ear{wake: make(chan struct{}, 1)}
	hear := func(n []byte) (told int, missed bool) {
		e.heard(self.self, rueidis.BinaryString(n))
		list, missed := e.take()
		return len(list), missed
	}
	r := revoked(other)
	if told, missed := hear(r); told != 1 || missed {
		t.Errorf("told of %d, missed %v", told, missed)
	}
	if told, missed := hear(revoked(self)); told != 0 || missed {
		t.Errorf("it hears itself: %d, %v", told, missed)
	}
	if told, missed := hear(other.notice(noticeEcho, noticeHead)); told != 0 || missed {
		t.Errorf("another's echo: %d, %v", told, missed)
	}
	for name, n := range map[string][]byte{
		"missed": other.notice(noticeMissed, noticeHead), "a kind of later versions": other.notice('z', noticeHead),
		"short": r[:len(r)-1], "long": append(bytes.Clone(r), 0), "nothing": {},
	} {
		if told, missed := hear(n); told != 0 || !missed {
			t.Errorf("%s: told of %d, missed %v", name, told, missed)
		}
	}
	for range noticesAtOnce + 1 {
		e.heard(self.self, string(r))
	}
	if list, missed := e.take(); len(list) != noticesAtOnce || !missed {
		t.Errorf("too many: told of %d, missed %v", len(list), missed)
	}
}

func revoked(f *fanout) []byte {
	return append(f.notice(noticeRevoked, revokedLength), make([]byte, revokedLength-noticeHead)...)
}

// TestMetrics has every series from the start.
func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m, err := newMetrics(reg)
	must(t, err)
	m.observe(codeTry, time.Millisecond, nil)
	m.observe(codeTry, time.Millisecond, &failure{why: failedTimeout, cause: io.EOF})
	m.observe(codeTry, time.Millisecond, store.ErrClosed)
	families, err := reg.Gather()
	must(t, err)
	series := map[string]int{}
	for _, f := range families {
		series[f.GetName()] = len(f.GetMetric())
		for _, s := range f.GetMetric() {
			if f.GetName() == "tolkflip_cache_errors_total" && label(s, "command") == "code_try" {
				want := 0.0
				if r := label(s, "reason"); r == "timeout" || r == "given_up" {
					want = 1
				}
				if s.GetCounter().GetValue() != want {
					t.Errorf("%v", s)
				}
			}
		}
	}
	if series["tolkflip_cache_seconds"] != int(commands) || series["tolkflip_cache_errors_total"] != int(commands)*int(reasons) {
		t.Errorf("series: %v", series)
	}
	for c := range commands {
		if c.String() == "" || c.doing() == "" {
			t.Errorf("command %d has no name", c)
		}
	}
	if _, err := newMetrics(reg); err == nil {
		t.Error("metrics were registered twice")
	}
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// TestClosed calls a store after its Close, which may be called twice.
func TestClosed(t *testing.T) {
	t.Parallel()
	s := begin(t)
	a, err := Open(t.Context(), quick(t, "redis://"+s.addr()), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	must(t, err)
	u := id.NewUser()
	must(t, a.Leases().Hold(t.Context(), u))
	must(t, a.Close())
	must(t, a.Close())
	_, err1 := a.Codes().Try(t.Context(), "p", "1")
	_, err2 := a.Limits().Take(t.Context(), "k", 1, time.Hour)
	_, _, err3 := a.Recency().Newest(t.Context(), u, store.Place{}, 1)
	_, err4 := a.Leases().Of(t.Context(), []id.User{u})
	_, err5 := a.Responses().Get(t.Context(), "k")
	for i, err := range []error{
		err1, err2, err3, err4, err5, a.Leases().Hold(t.Context(), u), a.Leases().Release(t.Context(), u),
		a.Fanout().Publish(t.Context(), store.Revocation{}), a.Responses().Drop(t.Context(), "k"),
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("call %d: %v", i+1, err)
		}
	}
	if left := s.ask("keys", "*"+leaseKeys+"*"); strings.TrimSpace(left) != "" {
		t.Errorf("leases are left: %s", left)
	}
}

// TestOpenGivesUp has a server that takes connections and says nothing.
func TestOpenGivesUp(t *testing.T) {
	t.Parallel()
	s := begin(t)
	c := quick(t, "redis://"+s.addr())
	pause, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(pause, c, slog.New(slog.DiscardHandler), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("opened with a context that is over: %v", err)
	}
	if _, err := Open(t.Context(), Config{}, slog.New(slog.DiscardHandler), nil); err == nil {
		t.Error("opened without a configuration")
	}
	if s := fmt.Sprint(Standalone, Sentinel, Cluster); s != "redis redis+sentinel redis+cluster" {
		t.Error(s)
	}
}
