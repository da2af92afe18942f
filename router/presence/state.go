package presence

import (
	"bytes"
	"context"
	"errors"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/store"
)

// wish is the state that a person has set: away, or hidden.
type wish struct {
	status proto.Status // Away or Offline
	at     int64        // Unix milliseconds
}

// Connected implements router.Observer.
func (s *Service) Connected(u id.User, first bool) {
	if !first {
		return
	}
	s.in.Lock()
	if !s.in.linger.has(u) && !s.in.leases.has(u) { // else nobody was told that u had gone
		s.change(u)
	}
	s.note(u)
	s.in.Unlock()
	s.wake()
}

// Disconnected implements router.Observer. Whether u has come back meanwhile is asked when the time is up,
// so it does not matter in which order the two are told.
func (s *Service) Disconnected(c router.Caller, last bool) {
	s.in.Lock()
	s.in.closed.push(c.Conn)
	if last {
		s.note(c.User)
		if !s.in.linger.push(c.User, s.now()) {
			s.metrics.dropped[dropLinger].Inc()
			delete(s.in.wishes, c.User)
			s.change(c.User)
		}
	}
	s.in.Unlock()
	s.wake()
}

// wake makes Run look. It never blocks.
func (s *Service) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// change queues u to be told about. s.in is held.
func (s *Service) change(u id.User) {
	if !s.in.changes.push(u) {
		s.metrics.dropped[dropChange].Inc()
	}
}

// note remembers that u was seen just now. s.in is held.
func (s *Service) note(u id.User) {
	if _, in := s.in.seen[u]; !in && len(s.in.seen) >= s.cfg.Seen {
		s.metrics.dropped[dropSeen].Inc()
		return
	}
	s.in.seen[u] = s.now().UnixMilli()
}

// status is how u is shown to those who may know. at is when a state of u's own making began, if known.
func (s *Service) status(u id.User) (st proto.Status, at int64) {
	there := s.router.Online(u)
	s.in.Lock()
	defer s.in.Unlock()
	if !there && !s.in.linger.has(u) && !s.in.leases.has(u) {
		return proto.Offline, max(s.in.seen[u], s.in.writing[u])
	}
	if w, ok := s.in.wishes[u]; ok {
		return w.status, w.at
	}
	return proto.Online, 0
}

// of is the state of u as an event, for one who may know it. Of one who is there, last seen is now.
func (s *Service) of(ctx context.Context, u id.User) (proto.PresenceOf, error) {
	st, at := s.status(u)
	p := proto.PresenceOf{User: u, Status: st, LastSeen: at}
	if st != proto.Offline {
		p.LastSeen = s.now().UnixMilli()
		return p, nil
	}
	if at != 0 {
		return p, nil
	}
	row, err := s.store.Users.Get(ctx, u)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return p, store.Failure(err)
	}
	p.LastSeen = row.LastActive
	return p, nil
}

// Of gives the states of users, in the same order, as asker may know them: one who shares no thread with
// the asker is offline and was never seen. At most MaxWatch at once.
func (s *Service) Of(ctx context.Context, asker id.User, users []id.User) ([]proto.PresenceOf, error) {
	if len(users) > proto.MaxWatch {
		return nil, proto.BadField("userIds", "userIds has too many entries")
	}
	list := make([]proto.PresenceOf, len(users))
	ask := s.asking(asker)
	for i, u := range users {
		list[i] = proto.PresenceOf{User: u}
		ok, err := ask.shares(ctx, u)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if list[i], err = s.of(ctx, u); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Set is a person's own word about their state. Away and Offline (hidden) hold until they say Online or
// have been gone for Debounce. One who is not connected is shown as Online or Away for the Lease.
func (s *Service) Set(_ context.Context, u id.User, st proto.Status) error {
	before, _ := s.status(u)
	there := s.router.Online(u)
	s.in.Lock()
	there = there || s.in.linger.has(u)
	s.note(u)
	full := false
	switch {
	case st != proto.Offline && !there:
		full = !s.in.leases.push(u, s.now())
	case st == proto.Offline:
		s.in.leases.drop(u)
	}
	_, had := s.in.wishes[u]
	switch {
	case full:
	case st == proto.Online || st == proto.Offline && !there:
		delete(s.in.wishes, u)
	case !had && len(s.in.wishes) >= s.cfg.Wishes:
		full = true
	default:
		s.in.wishes[u] = wish{st, s.now().UnixMilli()}
	}
	s.in.Unlock()
	if full {
		s.metrics.dropped[dropWish].Inc()
		return proto.Fail(proto.Busy, "too many people set their state, try again")
	}
	if after, _ := s.status(u); after != before {
		s.in.Lock()
		s.change(u)
		s.in.Unlock()
		s.wake()
	}
	return nil
}

// OnlineCount is the number of users who are connected.
func (s *Service) OnlineCount() int {
	users, _ := s.router.Counts()
	return users
}

// asking finds out with whom one user shares a thread.
type asking struct {
	service *Service
	user    id.User
	groups  []id.Thread // read at the first need
	read    bool
}

func (s *Service) asking(u id.User) *asking { return &asking{service: s, user: u} }

// maxGroups bounds the groups of a user that are compared.
const maxGroups = 1000

// shares reports whether both are in a thread. A direct thread is for ever, so it is remembered.
func (a *asking) shares(ctx context.Context, u id.User) (bool, error) {
	s := a.service
	if u == a.user {
		return true, nil
	}
	t := id.Direct(a.user, u)
	if s.shared.has(t) {
		return true, nil
	}
	_, err := s.store.Threads.Get(ctx, t)
	if err == nil {
		s.shared.add(t)
		return true, nil
	}
	if !errors.Is(err, store.ErrNotFound) {
		return false, store.Failure(err)
	}
	if !a.read {
		if a.groups, err = s.store.Members.GroupsOf(ctx, a.user, id.Thread{}, maxGroups); err != nil {
			return false, store.Failure(err)
		}
		a.read = true
	}
	if len(a.groups) == 0 {
		return false, nil
	}
	theirs, err := s.store.Members.GroupsOf(ctx, u, id.Thread{}, maxGroups)
	if err != nil {
		return false, store.Failure(err)
	}
	return meet(a.groups, theirs), nil
}

// meet reports whether two lists in the order of their ids have a thread in common.
func meet(a, b []id.Thread) bool {
	for len(a) > 0 && len(b) > 0 {
		switch c := bytes.Compare(a[0].ID[:], b[0].ID[:]); {
		case c == 0:
			return true
		case c < 0:
			a = a[1:]
		default:
			b = b[1:]
		}
	}
	return false
}
