package redis

import (
	"strconv"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// Benchmarks of calls against a real server: go test -bench . with TOLKFLIP_TEST_REDIS set. Times are
// round trips of one caller; of many at once with -cpu.

func benchmark(b *testing.B, f func(s *Store, i int) error) {
	s := begin(b)
	st := openStore(b, configOf(b, "redis://"+s.addr()))
	must(b, f(st, 0))
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for i := 1; p.Next(); i++ {
			if err := f(st, i); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkLimit(b *testing.B) {
	benchmark(b, func(s *Store, i int) error {
		_, err := s.Limits().Take(b.Context(), strconv.Itoa(i%1000), 1<<30, time.Hour)
		return err
	})
}

func BenchmarkCode(b *testing.B) {
	benchmark(b, func(s *Store, i int) error {
		phone := strconv.Itoa(i)
		if err := s.Codes().Put(b.Context(), phone, "123456", time.Hour, 3); err != nil {
			return err
		}
		_, err := s.Codes().Try(b.Context(), phone, "123456")
		return err
	})
}

// BenchmarkTouch moves a thread of two people, of whom none, or both, have their list in the cache.
func BenchmarkTouch(b *testing.B) {
	for name, held := range map[string]bool{"none held": false, "both held": true} {
		b.Run(name, func(b *testing.B) {
			users := []id.User{id.NewUser(), id.NewUser()}
			benchmark(b, func(s *Store, i int) error {
				if i == 0 && held {
					for _, u := range users {
						if _, _, err := s.recency.Newest(b.Context(), u, store.Place{}, 1); err != nil {
							return err
						}
						if err := s.recency.Fill(b.Context(), u, nil); err != nil {
							return err
						}
					}
				}
				return s.recency.Touch(b.Context(), id.Thread{ID: id.ID{0: byte(i)}}, int64(i), users)
			})
		})
	}
}

// BenchmarkNewest reads the newest 50 of 5000 threads.
func BenchmarkNewest(b *testing.B) {
	u := id.NewUser()
	places := make([]store.Place, 5000)
	for i := range places {
		places[i] = store.Place{At: int64(i), Thread: id.NewGroup()}
	}
	benchmark(b, func(s *Store, i int) error {
		list, known, err := s.recency.Newest(b.Context(), u, store.Place{}, 50)
		if i > 0 && err == nil && (!known || len(list) != 50) {
			b.Errorf("known %v, %d places", known, len(list))
		}
		if i == 0 {
			return s.recency.Fill(b.Context(), u, places)
		}
		return err
	})
}

// BenchmarkHold connects and disconnects a user, with a million others held.
func BenchmarkHold(b *testing.B) {
	users := make([]id.User, 1_000_000)
	for i := range users {
		users[i] = id.NewUser()
	}
	benchmark(b, func(s *Store, i int) error {
		if i == 0 {
			start := time.Now()
			if err := s.leases.Hold(b.Context(), users...); err != nil {
				return err
			}
			b.Logf("a million leases were written in %v", time.Since(start))
			start = time.Now()
			if !s.leases.renew(b.Context()) {
				b.Error("not renewed")
			}
			b.Logf("and renewed in %v", time.Since(start))
			b.ResetTimer()
			return nil
		}
		u := id.NewUser()
		if err := s.leases.Hold(b.Context(), u); err != nil {
			return err
		}
		return s.leases.Release(b.Context(), u)
	})
}

// BenchmarkOf asks for the nodes of a group of a thousand.
func BenchmarkOf(b *testing.B) {
	users := make([]id.User, 1000)
	for i := range users {
		users[i] = id.NewUser()
	}
	benchmark(b, func(s *Store, i int) error {
		if i == 0 {
			return s.leases.Hold(b.Context(), users...)
		}
		list, err := s.leases.Of(b.Context(), users)
		if err == nil && len(list[999]) != 1 {
			b.Error("not seen")
		}
		return err
	})
}

func BenchmarkResponse(b *testing.B) {
	value := make([]byte, 1000)
	benchmark(b, func(s *Store, i int) error {
		if i == 0 {
			return s.Responses().Put(b.Context(), "k", 0, value, time.Hour)
		}
		_, err := s.Responses().Get(b.Context(), "k")
		return err
	})
}
