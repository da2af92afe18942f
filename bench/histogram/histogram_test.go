package histogram_test

import (
	"math/rand/v2"
	"testing"

	"github.com/tolkflip/tolkflip/bench/histogram"
)

func TestMergeEqualsRecordingAll(t *testing.T) {
	t.Parallel()
	whole, parts := histogram.New(), []*histogram.Histogram{histogram.New(), histogram.New(), histogram.New()}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 30_000 {
		ns := r.Int64N(80e9)
		whole.Record(ns)
		parts[i%3].Record(ns)
	}
	merged := histogram.New()
	for _, p := range parts {
		merged.Merge(p)
	}
	if got, want := merged.Summary(), whole.Summary(); got != want {
		t.Errorf("merged %+v\nwhole  %+v", got, want)
	}
	if merged.Summary().Over == 0 {
		t.Error("nothing counted as over 60 s")
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	h := histogram.New()
	if got := h.Summary(); got != (histogram.Summary{}) {
		t.Errorf("an empty one says %+v", got)
	}
	for i := range int64(1000) {
		h.Record((i + 1) * 1e6) // 1 ms to 1 s
	}
	s := h.Summary()
	near := func(name string, got, want float64) {
		if got < want*0.998 || got > want*1.002 {
			t.Errorf("%s is %v ms, want about %v", name, got, want)
		}
	}
	near("p50", s.P50, 500)
	near("p90", s.P90, 900)
	near("p99", s.P99, 990)
	near("max", s.Max, 1000)
	if s.Count != 1000 {
		t.Errorf("%d were recorded", s.Count)
	}
	h.Reset()
	h.Record(0)
	if s := h.Summary(); s.Count != 1 || s.Max != 0.001 {
		t.Errorf("0 ns is recorded as %+v, want 1 us", s)
	}
}
