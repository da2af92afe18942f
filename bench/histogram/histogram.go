// Package histogram records latencies from 1 us to 60 s with three significant digits, and merges them.
package histogram

import (
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

const (
	lowest  = 1                       // us
	highest = 60 * 1000 * 1000        // us
	digits  = 3                       // significant
	perUnit = int64(time.Microsecond) // ns
)

// Histogram holds latencies. It belongs to one goroutine.
type Histogram struct {
	h    *hdr.Histogram
	over int64
}

// New makes an empty one, of about 200 KB.
func New() *Histogram { return &Histogram{h: hdr.New(lowest, highest, digits)} }

// Record adds a latency in nanoseconds. One below 1 us counts as 1 us, one over 60 s as 60 s and in Over.
func (h *Histogram) Record(ns int64) {
	us := max((ns+perUnit/2)/perUnit, lowest)
	if us > highest {
		us, h.over = highest, h.over+1
	}
	_ = h.h.RecordValue(us) // fails outside of lowest to highest only
}

// Merge adds all of other.
func (h *Histogram) Merge(other *Histogram) {
	h.h.Merge(other.h)
	h.over += other.over
}

// Reset empties it.
func (h *Histogram) Reset() { h.h.Reset(); h.over = 0 }

// Count is how many latencies were recorded.
func (h *Histogram) Count() int64 { return h.h.TotalCount() }

// Summary is what a result shows of a histogram, in milliseconds.
type Summary struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean_ms"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`
	Over  int64   `json:"over_60s,omitempty"`
}

// Summary reads it.
func (h *Histogram) Summary() Summary {
	ms := func(us int64) float64 { return float64(us) / 1000 }
	return Summary{
		Count: h.Count(),
		Mean:  h.mean(),
		P50:   ms(h.h.ValueAtQuantile(50)),
		P90:   ms(h.h.ValueAtQuantile(90)),
		P99:   ms(h.h.ValueAtQuantile(99)),
		P999:  ms(h.h.ValueAtQuantile(99.9)),
		Max:   ms(h.h.Max()),
		Over:  h.over,
	}
}

// mean is 0 for an empty histogram, where the library divides by zero.
func (h *Histogram) mean() float64 {
	if h.Count() == 0 {
		return 0
	}
	return float64(int64(h.h.Mean())) / 1000
}
