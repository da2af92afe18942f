package storetest

import (
	"bytes"
	"cmp"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// Threads is the contract of store.Threads.
func Threads(t *testing.T, open Open) {
	t.Helper()
	subtest(t, open, "a direct thread begins with its first message", threadsDirect)
	subtest(t, open, "a group's thread begins with the group", threadsGroup)
	subtest(t, open, "a thread with oneself", threadsSelf)
	subtest(t, open, "previews", threadsPreview)
	subtest(t, open, "settings", threadsSettings)
	subtest(t, open, "by user, most recent first, in pages", threadsModel)
	subtest(t, open, "peers", threadsPeers)
	subtest(t, open, "a position that was never given", func(t *testing.T, s Set) {
		if _, _, err := s.Threads.ByUser(t.Context(), id.NewUser(), []byte("nonsense"), 5); !errors.Is(err, store.ErrPosition) {
			t.Fatalf("error %v, want ErrPosition", err)
		}
	})
}

func threadsDirect(t *testing.T, s Set) {
	a, b := id.NewUser(), id.NewUser()
	thread := id.Direct(a, b)
	if _, err := s.Threads.Get(t.Context(), thread); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Get before a message: %v", err)
	}
	m := directMessage(a, b)
	send(t, s.Log, m) // the rows are there when Done is called
	r := got(s.Threads.Get(t.Context(), thread))(t)
	lo, hi := a, b
	if bytes.Compare(a.ID[:], b.ID[:]) > 0 {
		lo, hi = b, a
	}
	if r.ID != thread || r.Group || r.A != lo || r.B != hi || r.Created != m.Sent || r.Head != 1 {
		t.Fatalf("Get = %+v", r)
	}
	for u, peer := range map[id.User]id.User{a: b, b: a} {
		list, next, err := s.Threads.ByUser(t.Context(), u, nil, 10)
		must(t, err)
		if len(list) != 1 || next != nil || list[0].ID != thread || list[0].Peer != peer || list[0].Head != 1 {
			t.Fatalf("ByUser = %+v", list)
		}
	}
}

func threadsGroup(t *testing.T, s Set) {
	g := aGroup()
	must(t, s.Groups.Create(t.Context(), g, []store.Member{{Group: g.ID, User: g.CreatedBy}}))
	want := store.Thread{ID: g.ID, Group: true, Created: g.Created}
	if r := got(s.Threads.Get(t.Context(), g.ID))(t); r != want {
		t.Fatalf("Get = %+v, want %+v", r, want)
	}
	list, _, err := s.Threads.ByUser(t.Context(), g.CreatedBy, nil, 10)
	must(t, err)
	if !reflect.DeepEqual(list, []store.ThreadOf{{Thread: want}}) {
		t.Fatalf("ByUser = %+v", list)
	}
	send(t, s.Log, groupMessage(g.ID, g.CreatedBy))
	if r := got(s.Threads.Get(t.Context(), g.ID))(t); r.Head != 1 {
		t.Fatalf("head = %d", r.Head)
	}
}

func threadsSelf(t *testing.T, s Set) {
	a := id.NewUser()
	send(t, s.Log, directMessage(a, a))
	send(t, s.Log, directMessage(a, a))
	list, _, err := s.Threads.ByUser(t.Context(), a, nil, 10)
	must(t, err)
	if len(list) != 1 || list[0].Peer != a {
		t.Fatalf("ByUser = %+v", list)
	}
}

func threadsPreview(t *testing.T, s Set) {
	a, b := id.NewUser(), id.NewUser()
	thread := id.Direct(a, b)
	for i, c := range []struct {
		content, encrypted, want string
	}{
		{"short", "", "short"},
		{strings.Repeat("ü", 120), "", strings.Repeat("ü", 100)},
		{"in the clear", "c2VjcmV0", ""},
		{"", "", ""},
	} {
		m := directMessage(b, a)
		m.Type, m.Sent = proto.VoiceNote, m.Sent+int64(i)*1000
		m.Content, m.Encrypted = []byte(c.content), []byte(c.encrypted)
		send(t, s.Log, m)
		want := store.Preview{Seq: uint64(i) + 1, Sent: m.Sent, Sender: b, Type: proto.VoiceNote, Text: c.want}
		eventually(t, func() bool { return got(s.Threads.Get(t.Context(), thread))(t).Last == want })
		eventually(t, func() bool {
			list, _, err := s.Threads.ByUser(t.Context(), a, nil, 10)
			must(t, err)
			return list[0].Last == want
		})
	}
}

func threadsSettings(t *testing.T, s Set) {
	thread, u := id.NewGroup(), id.NewUser()
	want := store.ThreadSettings{ShowOriginal: true}
	if r := got(s.Threads.Settings(t.Context(), thread, u))(t); r != want {
		t.Fatalf("defaults = %+v", r)
	}
	language, yes, no := "de", true, false
	for _, c := range []struct {
		patch store.ThreadSettingsPatch
		want  func()
	}{
		{store.ThreadSettingsPatch{}, func() {}},
		{store.ThreadSettingsPatch{DetectEmotion: &yes}, func() { want.DetectEmotion = true }},
		{store.ThreadSettingsPatch{ShowOriginal: &no}, func() { want.ShowOriginal = false }},
		{store.ThreadSettingsPatch{PreferredLanguage: &language}, func() { want.PreferredLanguage = "de" }},
	} {
		c.want()
		if r := got(s.Threads.SetSettings(t.Context(), thread, u, c.patch))(t); r != want {
			t.Fatalf("SetSettings = %+v, want %+v", r, want)
		}
		if r := got(s.Threads.Settings(t.Context(), thread, u))(t); r != want {
			t.Fatalf("Settings = %+v, want %+v", r, want)
		}
	}
	if r := got(s.Threads.Settings(t.Context(), thread, id.NewUser()))(t); r != store.DefaultThreadSettings() {
		t.Fatalf("another member's settings = %+v", r)
	}
}

// threadsModel compares the pages of ByUser with a sorted list, over random direct and group threads
// with random times, some of which are equal: among these a backend may have any order, but one.
func threadsModel(t *testing.T, s Set) {
	rng := dice(t)
	u := id.NewUser()
	recent := map[id.Thread]int64{}
	var groups []id.Thread
	var peers []id.User
	for range 60 {
		switch {
		case rng.IntN(4) == 0:
			g := aGroup()
			g.Created = rng.Int64N(40)
			must(t, s.Groups.Create(t.Context(), g, []store.Member{{Group: g.ID, User: u}, {Group: g.ID, User: id.NewUser()}}))
			recent[g.ID] = g.Created
			groups = append(groups, g.ID)
		case rng.IntN(3) == 0 && len(groups) > 0:
			m := groupMessage(groups[rng.IntN(len(groups))], id.NewUser())
			m.Sent = rng.Int64N(40)
			send(t, s.Log, m)
			recent[m.Thread] = m.Sent
		default:
			if len(peers) == 0 || rng.IntN(2) == 0 {
				peers = append(peers, id.NewUser())
			}
			from, to := u, peers[rng.IntN(len(peers))]
			if rng.IntN(2) == 0 {
				from, to = to, from
			}
			m := directMessage(from, to)
			m.Sent = rng.Int64N(40)
			send(t, s.Log, m)
			recent[m.Thread] = m.Sent
		}
	}
	send(t, s.Log, directMessage(id.NewUser(), id.NewUser())) // of strangers
	var want []id.Thread
	for thread := range recent {
		want = append(want, thread)
	}
	byID := func(a, b id.Thread) int { return bytes.Compare(a.ID[:], b.ID[:]) }
	slices.SortFunc(want, byID)
	newestFirst := func(a, b id.Thread) int { return cmp.Compare(recent[b], recent[a]) }
	eventually(t, func() bool {
		all := pages(t, s.Threads, u, len(want)+1, len(want))
		for _, limit := range []int{1, 2, 7, len(want)} {
			if !slices.Equal(pages(t, s.Threads, u, limit, len(want)), all) {
				return false
			}
		}
		return slices.IsSortedFunc(all, newestFirst) && slices.Equal(slices.SortedFunc(slices.Values(all), byID), want)
	})
}

// pages follows ByUser to its end.
func pages(t *testing.T, threads store.Threads, u id.User, limit, most int) []id.Thread {
	t.Helper()
	var list []id.Thread
	var after []byte
	for len(list) <= most {
		page, next, err := threads.ByUser(t.Context(), u, after, limit)
		must(t, err)
		if len(page) > limit || next != nil && len(page) == 0 {
			t.Fatalf("a page of %d with limit %d, next %v", len(page), limit, next != nil)
		}
		for _, of := range page {
			list = append(list, of.ID)
		}
		if next == nil {
			return list
		}
		after = next
	}
	return list
}

func threadsPeers(t *testing.T, s Set) {
	u := id.NewUser()
	var want []id.User
	for i := range 8 {
		peer := id.NewUser()
		m := directMessage(peer, u)
		m.Sent = int64(1000 + i)
		send(t, s.Log, m)
		want = append(want, peer)
	}
	g := aGroup()
	must(t, s.Groups.Create(t.Context(), g, []store.Member{{Group: g.ID, User: u}, {Group: g.ID, User: id.NewUser()}}))
	again := directMessage(u, want[0])
	again.Sent = 5000
	send(t, s.Log, again)
	slices.Reverse(want[1:])
	eventually(t, func() bool { return slices.Equal(got(s.Threads.Peers(t.Context(), u, 100))(t), want) })
	if r := got(s.Threads.Peers(t.Context(), u, 3))(t); !slices.Equal(r, want[:3]) {
		t.Fatalf("Peers = %v", r)
	}
	if r := got(s.Threads.Peers(t.Context(), id.NewUser(), 3))(t); len(r) != 0 {
		t.Fatalf("peers of a stranger: %v", r)
	}
}
