package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/storetest"
)

// TestDeaf has a listener that takes itself for subscribed and is not: its echo does not come back.
func TestDeaf(t *testing.T) {
	t.Parallel()
	s := begin(t)
	a := openStore(t, quick(t, "redis://"+s.addr()))
	again, missed := make(chan struct{}, 1), 0
	l := listener{
		fanout: a.fanout, ear: &ear{wake: make(chan struct{}, 1), hearing: true, since: 1}, again: again,
		missed: func(context.Context) error { missed++; return nil },
	}
	l.listen(t.Context())
	if missed != 0 || l.sent != 1 {
		t.Fatalf("missed %d before an echo was sent", missed)
	}
	l.ear.heard(a.fanout.self, string(echo(a.fanout, 1)))
	l.listen(t.Context())
	if missed != 0 || l.sent != 2 {
		t.Fatalf("missed %d though it heard itself", missed)
	}
	l.listen(t.Context())
	if hearing, _, _ := l.ear.state(); missed != 1 || hearing || len(again) != 1 {
		t.Fatalf("missed %d, hearing %v", missed, hearing)
	}
	l.listen(t.Context())
	if missed != 1 || l.sent != 2 {
		t.Fatal("a deaf listener sends echoes")
	}
}

func echo(f *fanout, n byte) []byte {
	return append(f.notice(noticeEcho, noticeHead+8), 0, 0, 0, 0, 0, 0, 0, n)
}

// TestSubscribesAgain asks for a new subscription of a connection that is well.
func TestSubscribesAgain(t *testing.T) {
	t.Parallel()
	s := begin(t)
	a := openStore(t, quick(t, "redis://"+s.addr()))
	e, again, done := &ear{wake: make(chan struct{}, 1)}, make(chan struct{}, 1), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(done)
		a.fanout.subscribe(ctx, e, again)
	}()
	for want := 1; want <= 3; want++ {
		waitFor(t, func() bool {
			hearing, since, _ := e.state()
			return hearing && since == want
		})
		if _, missed := e.take(); !missed {
			t.Fatal("a new subscription is not told that it missed some")
		}
		again <- struct{}{}
	}
	cancel()
	<-done
}

// TestReload is told again and again that it may have missed some, for a publisher that died.
func TestReload(t *testing.T) {
	t.Parallel()
	s := begin(t)
	c := quick(t, "redis://"+s.addr())
	c.ReloadEvery = 50 * time.Millisecond
	storetest.Hear(t, openStore(t, c).Fanout(), nil).Missed(5)
}

// TestMovedSlot moves the channel's slot to another primary of a cluster while it is listened to.
func TestMovedSlot(t *testing.T) {
	t.Parallel()
	list := beginCluster(t)
	c := quick(t, clusterURL(list))
	a := openStore(t, c)
	of := c
	of.Node = node()
	heard := storetest.Hear(t, openStore(t, of).Fanout(), nil)
	heard.Missed(1)
	hears(t, a, heard)
	before := heard.Count()

	number := int(slot(a.fanout.channel()))
	from := list[number*3/slots]
	to := list[(number*3/slots+1)%3]
	if !strings.Contains(from.ask("cluster", "nodes"), "myself,master") {
		t.Fatal("the cluster is not laid out as expected")
	}
	n, fromID, toID := strconv.Itoa(number), strings.TrimSpace(from.ask("cluster", "myid")), strings.TrimSpace(to.ask("cluster", "myid"))
	to.ask("cluster", "setslot", n, "importing", fromID)
	from.ask("cluster", "setslot", n, "migrating", toID)
	for _, key := range strings.Fields(from.ask("cluster", "getkeysinslot", n, "1000")) {
		from.ask("migrate", "127.0.0.1", strconv.Itoa(to.port), key, "0", "5000")
	}
	for _, s := range []*server{to, from} {
		if out := s.ask("cluster", "setslot", n, "node", toID); !strings.HasPrefix(out, "OK") {
			t.Fatal(out)
		}
	}
	heard.Missed(before + 1)
	r := store.Revocation{User: id.NewUser(), At: 1, Expires: 2}
	waitFor(t, func() bool {
		_ = a.Fanout().Publish(t.Context(), r) // may fail yet
		return heard.ToldOf(r)
	})
}

// TestSentinelHandover and TestClusterHandover let a replica take over from a primary that lives on.

func TestSentinelHandover(t *testing.T) {
	t.Parallel()
	e := beginSentinels(t)
	survives(t, e.url(), func() {
		e.sentinels[0].ask("sentinel", "failover", "mymaster")
		waitFor(t, func() bool { return strings.Contains(e.servers[0].ask("role"), "slave") })
	})
}

func TestClusterHandover(t *testing.T) {
	t.Parallel()
	list := beginCluster(t)
	survives(t, clusterURL(list), func() {
		for _, s := range list[3:] {
			if out := s.ask("cluster", "failover"); !strings.HasPrefix(out, "OK") {
				t.Error(fmt.Errorf("cluster failover: %s", out))
			}
		}
		for _, s := range list[:3] {
			waitFor(t, func() bool { return strings.Contains(s.ask("role"), "slave") })
		}
	})
}
