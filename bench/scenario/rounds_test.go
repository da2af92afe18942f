package scenario

import (
	"errors"
	"testing"

	"github.com/tolkflip/tolkflip/bench/report"
	"github.com/tolkflip/tolkflip/bench/target"
)

// A round's state that grows with those who came and went is noticed, whichever part of it grows.
func TestRoundsThatGrow(t *testing.T) {
	t.Parallel()
	state := func(objects, goroutines, descriptors int) Round {
		return Round{State: IdleLevel{Heap: target.Heap{Objects: uint64(objects), Goroutines: goroutines}}, Descriptors: descriptors}
	}
	for name, c := range map[string]struct {
		last  Round
		grows bool
	}{
		"the same":             {state(50_000, 70, 40), false},
		"less":                 {state(20_000, 30, 20), false},
		"a little more":        {state(59_000, 80, 50), false},
		"objects":              {state(50_000+2000*10, 70, 40), true},
		"goroutines":           {state(50_000, 70+100, 40), true},
		"descriptors":          {state(50_000, 70, 40+100), true},
		"a target that is mum": {Round{}, false},
	} {
		r := &RoundsResult{First: []Round{{}, state(50_000, 70, 40)}, Rounds: make([]Round, 10)}
		if name == "a target that is mum" {
			r.First[1] = Round{}
		}
		r.Rounds[9] = c.last
		var broken *report.BrokenError
		if err := r.judge(2000); errors.As(err, &broken) != c.grows {
			t.Errorf("%s: %v", name, err)
		}
	}
}
