package cassandra

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// TestImport takes users wherever an earlier attempt stopped, and a thread with its seqs, beside one of
// everything else; then all of it is counted.
func TestImport(t *testing.T) {
	cfg := share(t).config()
	cfg.Log.Import = true
	s := open(t, cfg)
	ctx := t.Context()
	now := time.Now().UnixMilli()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	u := store.User{ID: id.NewUser(), Phone: "+15550000001", Name: "n", Created: now, LastActive: now}
	put := func(u store.User, wants bool) {
		t.Helper()
		if wrote, err := s.PutUser(ctx, u); err != nil || wrote != wants {
			t.Errorf("put %+v: wrote %v, %v; want %v", u, wrote, err, wants)
		}
		if got, err := s.Users().ByPhone(ctx, u.Phone); err != nil || fmt.Sprint(got) != fmt.Sprint(u) {
			t.Errorf("by phone: %+v %v, want %+v", got, err, u)
		}
	}
	put(u, true)
	put(u, false)
	u.Name, u.Blocked, u.Languages, u.LastActive = "m", true, []string{"de"}, now+1
	put(u, true)
	half := store.User{ID: id.NewUser(), Phone: "+15550000002", Name: "half", Created: now}
	ok(s.session.Query(insertUser, nil).Bind(half.Phone, half.Name, "", "", "", nil, now, false, [16]byte(half.ID.ID)).Exec())
	put(half, true) // its phone was not claimed
	if _, err := s.PutUser(ctx, store.User{ID: id.NewUser(), Phone: u.Phone}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a phone of another: %v", err)
	}
	if _, err := s.PutUser(ctx, store.User{ID: u.ID, Phone: "+15550000003"}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("another phone: %v", err)
	}

	thread := id.Direct(u.ID, half.ID)
	done := make(chan *store.Entry, 3)
	for seq := range uint64(3) {
		m := store.Message{ID: id.Message{ID: id.NewGroup().ID}, Thread: thread, Seq: seq + 1, Sender: u.ID, Receiver: half.ID, Sent: now}
		s.Log().Append(&store.Entry{Message: m, Done: func(e *store.Entry) { done <- e }})
	}
	for range 3 {
		ok((<-done).Err)
	}
	g := id.NewGroup()
	ok(s.Groups().Create(ctx, store.Group{ID: g, Created: now}, []store.Member{{User: u.ID}, {User: half.ID}}))
	gone := id.NewGroup()
	ok(s.Groups().Create(ctx, store.Group{ID: gone, Created: now}, []store.Member{{User: u.ID}}))
	ok(s.Groups().Delete(ctx, gone))
	for _, lives := range []time.Duration{time.Minute, time.Hour} {
		expires := time.Now().Add(lives).UnixMilli()
		_, err := s.Sessions().Open(ctx, store.Session{ID: id.NewSession(), User: u.ID, Device: lives.String(), Created: now, Expires: expires}, 9)
		ok(err)
		ok(s.Sessions().Revoke(ctx, store.Revocation{User: half.ID, Session: id.NewSession(), At: now, Expires: expires}))
	}
	ok(s.Devices().Put(ctx, store.Device{User: u.ID, Token: "t", Platform: "ios"}))
	yes := true
	_, err := s.Threads().SetSettings(ctx, thread, u.ID, store.ThreadSettingsPatch{DetectEmotion: &yes})
	ok(err)
	ok(s.Media().Put(ctx, store.Media{ID: id.Media{ID: id.NewGroup().ID}, Owner: u.ID}))
	_, _, err = s.Cursors().Advance(ctx, thread, u.ID, store.Cursor{Read: 2})
	ok(err)
	ok(s.Close())

	got, err := Count(ctx, cfg, time.Now().Add(10*time.Minute).UnixMilli(), silent())
	ok(err)
	want := map[string]int64{
		"users": 2, "phones": 2, "sessions": 1, "revocations": 1, "devices": 1, "groups": 1, "members": 2, "thread settings": 1,
		"media": 1, "threads": 1, "messages": 3, "message ids": 3, "cursors": 1,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

// TestRingParts: every token is in one part.
func TestRingParts(t *testing.T) {
	t.Parallel()
	last := int64(-1 << 63)
	for part := range countParts {
		from, to := ringPart(part)
		if from != last || to <= from {
			t.Errorf("part %d is from %d to %d, after %d", part, from, to, last)
		}
		last = to
	}
	if last != 1<<63-1 {
		t.Errorf("the last part ends at %d", last)
	}
}
