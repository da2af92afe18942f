package presence

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"

	"github.com/tolkflip/tolkflip/router"
)

// BenchmarkWatchMemory reports the memory of 8 watches a connection by watch, heap and mapped together, as the
// growth of the process's resident set, and what is left when all have gone.
func BenchmarkWatchMemory(b *testing.B) {
	for _, conns := range []int{15_000, 1_000_000} {
		b.Run(fmt.Sprint(conns), func(b *testing.B) {
			for b.Loop() {
				rnd := rand.New(rand.NewPCG(1, 2))
				g := newGraph()
				before := resident(b)
				for i := range conns {
					var list []wanted
					for at := rnd.IntN(conns); len(list) < 8; at += 1 + rnd.IntN(conns/8-1) {
						list = append(list, wanted{userAt(at % conns), true})
					}
					g.add(router.Caller{Conn: connAt(i+1, 1), User: userAt(i)}, list, 1000)
				}
				b.ReportMetric(float64(resident(b)-before)/float64(8*conns), "B/watch")
				for i := range conns {
					g.closed(connAt(i+1, 1))
				}
				g.sweepAll()
				b.ReportMetric(float64(resident(b)-before)/float64(8*conns), "B/watch-after")
				runtime.KeepAlive(g)
			}
		})
	}
}

// BenchmarkWatch is one connection that watches eight and closes.
func BenchmarkWatch(b *testing.B) {
	g := newGraph()
	var list []wanted
	for i := range 8 {
		list = append(list, wanted{userAt(i), true})
	}
	for i := 0; b.Loop(); i++ {
		c := connAt(1+i%1000, 1)
		g.add(router.Caller{Conn: c, User: userAt(1)}, list, 1000)
		g.closed(c)
		if i%100 == 0 {
			g.sweepAll()
		}
	}
}

// resident is the process's resident set in bytes, after a collection.
func resident(b *testing.B) int {
	b.Helper()
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip("no /proc")
	}
	pages, err := strconv.Atoi(string(bytes.Fields(text)[1]))
	if err != nil {
		b.Fatal(err)
	}
	return pages * os.Getpagesize()
}
