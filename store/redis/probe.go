package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// probe finds out at the start whether the server is one that will do, and whether the user may do all that
// will be asked for.
func (s *Store) probe(ctx context.Context) error {
	if err := s.probeServer(ctx); err != nil {
		return err
	}
	if err := s.health.check(ctx); err != nil {
		return err
	}
	for _, f := range []func(context.Context) error{s.probeCodes, s.probeRecency, s.probeLeases, s.probeResponses, s.probeFanout} {
		if err := f(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) probeServer(ctx context.Context) error {
	about := map[string]string{}
	for _, section := range []string{"server", "replication", "cluster"} {
		m, err := s.client.do(ctx, healthCheck, s.client.build().Info().Section(section).Build())
		if err != nil {
			return err
		}
		text, err := m.ToString()
		if err != nil {
			return s.client.fail(ctx, healthCheck, errAnswer)
		}
		for line := range strings.SplitSeq(text, "\r\n") {
			if name, value, ok := strings.Cut(line, ":"); ok {
				about[name] = value
			}
		}
	}
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("redis: %s: %s", s.client.cfg.String(), fmt.Sprintf(format, args...))
	}
	major, _, _ := strings.Cut(about["redis_version"], ".")
	if n, err := strconv.Atoi(major); err != nil || n < 7 {
		return wrong("the server is version %q; it must be Redis 7 or later", about["redis_version"])
	}
	clustered := about["cluster_enabled"] == "1"
	switch mode := s.client.cfg.Mode; {
	case clustered && mode != Cluster:
		return wrong("the server is a member of a cluster; use redis+cluster://")
	case !clustered && mode == Cluster:
		return wrong("the server is no member of a cluster; use redis://")
	case mode == Standalone && about["role"] != "master":
		return wrong("the server is a replica of %s:%s; name that, or the sentinels with redis+sentinel://",
			about["master_host"], about["master_port"])
	}
	return nil
}

// probeName is under what the probe does its work: nobody else's, and gone in a moment.
func probeName() string { return "probe:" + id.NewGroup().String() }

func (s *Store) probeCodes(ctx context.Context) error {
	v, name := codes{s.client}, probeName()
	if err := v.Put(ctx, name, "1", time.Second, 1); err != nil {
		return err
	}
	if _, err := v.Try(ctx, name, "2"); err != nil {
		return err
	}
	if _, err := v.Try(ctx, name, "1"); err != nil { // that is one too many, and deletes it
		return err
	}
	if err := v.Grant(ctx, name, "", time.Second); err != nil {
		return err
	}
	for _, take := range []bool{false, true} {
		if _, err := v.Granted(ctx, name, "", take); err != nil {
			return err
		}
	}
	take := run{takeScript, []string{s.client.sealedKey(limitKeys, name)}, []string{"1", "1000"}}
	if _, err := s.client.do(ctx, limitTake, s.client.text(take)); err != nil { // by name it may be known already
		return err
	}
	_, err := s.client.eval(ctx, limitTake, take)
	return err
}

func (s *Store) probeRecency(ctx context.Context) error {
	u, t := id.NewUser(), id.NewGroup()
	if _, _, err := s.recency.Newest(ctx, u, store.Place{}, 1); err != nil {
		return err
	}
	if err := s.recency.Touch(ctx, t, 1, []id.User{u}); err != nil {
		return err
	}
	if err := s.recency.Fill(ctx, u, []store.Place{{At: 1, Thread: t}}); err != nil {
		return err
	}
	if _, _, err := s.recency.Newest(ctx, u, store.Place{At: 1, Thread: t}, 1); err != nil {
		return err
	}
	return s.recency.forget(ctx, []id.User{u})
}

// probeLeases writes and takes back a lease of a node that is none.
func (s *Store) probeLeases(ctx context.Context) error {
	v := newLeases(s.client, store.Node{ID: id.NewGroup().ID})
	u := id.NewUser()
	b, user := bucketOf(u), []string{string(u.ID[:])}
	if _, err := s.client.eval(ctx, leaseWrite, v.replaceRun(b, 1, "1", user)); err != nil {
		return err
	}
	if _, err := v.Of(ctx, []id.User{u}); err != nil {
		return err
	}
	for _, r := range []run{v.renewRun(b, 1), v.changeRun(b, 1, 2, nil, user), v.replaceRun(b, 3, "0", nil)} {
		if _, err := s.client.eval(ctx, leaseWrite, r); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) probeResponses(ctx context.Context) error {
	v, name := responses{s.client}, probeName()
	if err := v.Put(ctx, name, 0, nil, time.Second); err != nil {
		return err
	}
	if _, err := v.Get(ctx, name); err != nil {
		return err
	}
	return nil
}

func (s *Store) probeFanout(ctx context.Context) error {
	if err := s.fanout.send(ctx, s.fanout.notice(noticeEcho, noticeHead)); err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, s.client.cfg.Timeout)
	defer cancel()
	done := false
	err := s.client.driver.Receive(rueidis.WithOnSubscriptionHook(within, func(rueidis.PubSubSubscription) {
		done = true
		cancel()
	}), s.fanout.subscription(), func(rueidis.PubSubMessage) {})
	if done || err == nil {
		return nil
	}
	return s.client.fail(ctx, fanoutListen, err)
}
