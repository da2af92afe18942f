package storetest

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// Media is the contract of store.MediaRecords.
func Media(t *testing.T, open func(testing.TB) store.MediaRecords) {
	t.Helper()
	subtest(t, open, "put, get and delete", mediaPutGetDelete)
	subtest(t, open, "an id is taken once", mediaConflict)
	subtest(t, open, "one of those who put an id at once", mediaPutRace)
	subtest(t, open, "deleted at once", mediaDeleteRace)
}

func upload() store.Media {
	m := id.NewMedia()
	return store.Media{
		ID: m, Owner: id.NewUser(), Thread: id.NewGroup(), Name: "Größe 世界/..\x00\"'.png", Type: "image/png", Size: 100 << 20,
		Width: 4000, Height: 3000, Key: m.String(), Thumbnail: m.String() + ".thumb", Created: 1_700_000_000_123,
	}
}

func mediaPutGetDelete(t *testing.T, media store.MediaRecords) {
	long, bare := upload(), store.Media{ID: id.NewMedia(), Owner: id.NewUser(), Key: "k"}
	long.Name = strings.Repeat("n", 64<<10)
	for _, m := range []store.Media{upload(), long, bare} {
		absent(t, media, m.ID)
		must(t, media.Put(t.Context(), m))
		if r := got(media.Get(t.Context(), m.ID))(t); r != m {
			t.Fatalf("Get = %+v, want %+v", r, m)
		}
		if r := got(media.Delete(t.Context(), m.ID))(t); r != m {
			t.Fatalf("Delete = %+v, want %+v", r, m)
		}
		absent(t, media, m.ID)
	}
	stays, goes := upload(), upload()
	must(t, media.Put(t.Context(), stays))
	must(t, media.Put(t.Context(), goes))
	got(media.Delete(t.Context(), goes.ID))(t)
	if r := got(media.Get(t.Context(), stays.ID))(t); r != stays {
		t.Fatalf("Get after another's Delete = %+v", r)
	}
}

func absent(t *testing.T, media store.MediaRecords, m id.Media) {
	t.Helper()
	if r, err := media.Get(t.Context(), m); !errors.Is(err, store.ErrNotFound) || r != (store.Media{}) {
		t.Fatalf("Get of what is not there: %+v, %v", r, err)
	}
	if r, err := media.Delete(t.Context(), m); !errors.Is(err, store.ErrNotFound) || r != (store.Media{}) {
		t.Fatalf("Delete of what is not there: %+v, %v", r, err)
	}
}

func mediaConflict(t *testing.T, media store.MediaRecords) {
	first := upload()
	must(t, media.Put(t.Context(), first))
	second := upload()
	second.ID = first.ID
	for _, m := range []store.Media{second, first} {
		if err := media.Put(t.Context(), m); !errors.Is(err, store.ErrConflict) {
			t.Fatalf("a second Put of an id: %v", err)
		}
	}
	if r := got(media.Get(t.Context(), first.ID))(t); r != first {
		t.Fatalf("Get = %+v, want the first, %+v", r, first)
	}
}

func mediaPutRace(t *testing.T, media store.MediaRecords) {
	const racers = 6
	for range 20 {
		same := id.NewMedia()
		tried := make([]store.Media, racers)
		for i := range tried {
			tried[i] = upload()
			tried[i].ID = same
		}
		var winners, winner atomic.Int64
		all(racers, func(i int) {
			switch err := media.Put(t.Context(), tried[i]); {
			case err == nil:
				winners.Add(1)
				winner.Store(int64(i))
			case !errors.Is(err, store.ErrConflict):
				t.Errorf("loser: %v", err)
			}
		})
		if winners.Load() != 1 {
			t.Fatalf("%d won", winners.Load())
		}
		if r := got(media.Get(t.Context(), same))(t); r != tried[winner.Load()] {
			t.Fatalf("Get = %+v, not the winner's", r)
		}
	}
}

func mediaDeleteRace(t *testing.T, media store.MediaRecords) {
	for range 20 {
		m := upload()
		must(t, media.Put(t.Context(), m))
		var given atomic.Int64
		all(4, func(int) {
			switch r, err := media.Delete(t.Context(), m.ID); {
			case err == nil && r == m:
				given.Add(1)
			case !errors.Is(err, store.ErrNotFound):
				t.Errorf("Delete = %+v, %v", r, err)
			}
		})
		if given.Load() < 1 {
			t.Fatal("nobody was given the record")
		}
		absent(t, media, m.ID)
	}
}
