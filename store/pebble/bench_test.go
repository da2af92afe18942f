package pebble

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// shot is one message of a benchmark, used again when it is done.
type shot struct {
	entry store.Entry
	at    time.Time
}

// gun sends messages of 200 bytes to direct threads and measures from the intended time of each to Done.
type gun struct {
	b       *testing.B
	log     store.Log
	threads []store.Message
	rng     *rand.Rand
	free    chan *shot
	done    atomic.Int64
	took    []time.Duration // by order of Append
	next    int
}

func newGun(b *testing.B, cfg Config, threads, window int) *gun {
	cfg.Fatal = nil
	s := open(b, cfg)
	g := &gun{b: b, log: s.Log(), rng: rand.New(rand.NewPCG(1, 2)), free: make(chan *shot, window), took: make([]time.Duration, b.N)}
	for range threads {
		x, y := id.NewUser(), id.NewUser()
		g.threads = append(g.threads, store.Message{Thread: id.Direct(x, y), Sender: x, Receiver: y})
	}
	for range window {
		v := &shot{}
		v.entry.Content = make([]byte, 200)
		v.entry.ClientID = make([]byte, 36)
		v.entry.Language = []byte("en")
		for i := range v.entry.Content {
			v.entry.Content[i] = "abcdefghijklmnopqrstuvwxyz      "[g.rng.IntN(32)]
		}
		v.entry.Done = func(e *store.Entry) {
			if e.Err != nil || e.Duplicate {
				b.Errorf("append: %v", e.Err)
			}
			i := binary.LittleEndian.Uint64(e.ClientID)
			g.took[i] = time.Since(v.at)
			g.done.Add(1)
			g.free <- v
		}
		g.free <- v
	}
	return g
}

// fire sends the next message, which was due at a time.
func (g *gun) fire(v *shot, due time.Time) {
	t := &g.threads[g.rng.IntN(len(g.threads))]
	e := &v.entry
	e.Thread, e.Sender, e.Receiver = t.Thread, t.Sender, t.Receiver
	binary.LittleEndian.PutUint64(e.ID.ID[:], g.rng.Uint64())
	binary.LittleEndian.PutUint64(e.ID.ID[8:], g.rng.Uint64())
	binary.LittleEndian.PutUint64(e.ClientID, uint64(g.next))
	g.next++
	e.Seq, e.Sent = 0, due.UnixMilli()
	v.at = due
	g.log.Append(e)
}

func (g *gun) finish() {
	for range cap(g.free) {
		<-g.free
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (g *gun) report(began time.Time, spent time.Duration) {
	b := g.b
	took := time.Since(began)
	slices.Sort(g.took)
	ms := func(q float64) float64 { return float64(g.took[int(float64(len(g.took)-1)*q)]) / 1e6 }
	b.ReportMetric(float64(b.N)/took.Seconds(), "msgs/s")
	b.ReportMetric(float64((cpu()-spent).Microseconds())/float64(b.N), "cpu-us/msg")
	b.ReportMetric(ms(0.5), "p50-ms")
	b.ReportMetric(ms(0.99), "p99-ms")
	b.ReportMetric(ms(1), "max-ms")
}

// BenchmarkAppend keeps a window of messages in flight: the highest rate.
func BenchmarkAppend(b *testing.B) {
	for _, window := range []int{64, 512, 4096} {
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) {
			cfg := Default()
			cfg.Dir = b.TempDir()
			g := newGun(b, cfg, 1000, window)
			b.ReportAllocs()
			b.ResetTimer()
			began, spent := time.Now(), cpu()
			for range b.N {
				v := <-g.free
				g.fire(v, time.Now())
			}
			g.finish()
			b.StopTimer()
			g.report(began, spent)
		})
	}
}

// BenchmarkAppendRate sends at a rate, whatever comes back.
func BenchmarkAppendRate(b *testing.B) {
	for _, rate := range []int{1000, 5000, 10_000, 20_000, 30_000, 60_000} {
		b.Run(fmt.Sprintf("rate=%d", rate), func(b *testing.B) {
			cfg := Default()
			cfg.Dir = b.TempDir()
			g := newGun(b, cfg, 1000, 16<<10)
			b.ReportAllocs()
			b.ResetTimer()
			began, spent := time.Now(), cpu()
			for i := 0; i < b.N; {
				due := int(time.Since(began).Seconds() * float64(rate))
				for ; i < min(due, b.N); i++ {
					g.fire(<-g.free, began.Add(time.Duration(i)*time.Second/time.Duration(rate)))
				}
				<-time.After(500 * time.Microsecond)
			}
			g.finish()
			b.StopTimer()
			g.report(began, spent)
		})
	}
}
