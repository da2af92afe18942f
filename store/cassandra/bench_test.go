package cassandra

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// report gives the times' median and percentiles.
func report(b *testing.B, times []time.Duration) {
	b.Helper()
	slices.Sort(times)
	at := func(p float64) float64 { return times[int(p*float64(len(times)-1))].Seconds() * 1000 }
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkByUser reads the newest 50 of many threads.
func BenchmarkByUser(b *testing.B) {
	s := share(b)
	warm := s.config()
	warm.Recency = newFrail(b)
	for _, c := range []struct {
		name string
		cfg  Config
	}{{"scan", s.config()}, {"cache", warm}} {
		b.Run(c.name, func(b *testing.B) {
			st := open(b, c.cfg)
			u := id.NewUser()
			befriend(b, st, u, manyThreads)
			list := func() {
				if _, _, err := st.Threads().ByUser(b.Context(), u, nil, 50); err != nil {
					b.Fatal(err)
				}
			}
			list()
			var times []time.Duration
			for b.Loop() {
				start := time.Now()
				list()
				times = append(times, time.Since(start))
			}
			report(b, times)
		})
	}
}

// BenchmarkMessages sends messages of 200 bytes in 1000 direct threads, so many at once.
func BenchmarkMessages(b *testing.B) {
	s := share(b)
	for _, inFlight := range []int{1, 64, 512, 4096} {
		b.Run(strconv.Itoa(inFlight), func(b *testing.B) {
			var seen statements
			cfg := s.config()
			cfg.observe, cfg.Connections = seen.observe, 2
			cfg.Log.RecentEvery, cfg.CursorsEvery = time.Second, time.Second
			st := open(b, cfg)
			people := make([]id.User, 1000)
			for i := range people {
				people[i] = id.NewUser()
			}
			content := make([]byte, 200)
			var mu sync.Mutex
			var times []time.Duration
			busy := 0
			slots := make(chan struct{}, inFlight)
			run := func(n int) {
				for i := range n {
					slots <- struct{}{}
					start := time.Now()
					m := direct(people[i%1000], people[(i+1)%1000], i)
					m.ID, m.Content = id.Message{ID: id.NewUser().ID}, content
					st.Log().Append(&store.Entry{Message: m, Done: func(e *store.Entry) {
						mu.Lock()
						times = append(times, time.Since(start))
						if e.Err != nil {
							busy++
						}
						mu.Unlock()
						<-slots
					}})
				}
				for range inFlight {
					slots <- struct{}{}
				}
				for range inFlight {
					<-slots
				}
			}
			run(2000) // the threads become active
			times, busy = times[:0], 0
			seen.take()
			start, n := time.Now(), 0
			for b.Loop() {
				run(max(100, inFlight))
				n += max(100, inFlight)
			}
			took := time.Since(start)
			b.ReportMetric(float64(n)/took.Seconds(), "messages/s")
			b.ReportMetric(float64(len(seen.take()))/float64(n), "statements/message")
			b.ReportMetric(float64(busy), "refused")
			report(b, times)
		})
	}
}

// BenchmarkUsers registers people, 64 at once.
func BenchmarkUsers(b *testing.B) {
	s := share(b)
	st := open(b, s.config())
	b.SetParallelism(32)
	start := time.Now()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			u := store.User{ID: id.NewUser(), Phone: fmt.Sprintf("+1%s", id.NewUser()), Name: "Ada", Created: 1}
			if err := st.Users().Create(b.Context(), u); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "users/s")
}
