package plan

// Search looks for the highest rate that passes. It climbs in coarse steps to the first failure, then from the last
// pass in fine steps to the next failure, so that every search ends with a level that failed. A level
// that fails is tried once more before it counts, since the machine's other work can fail any level once; both tries
// are in the result.
type Search struct {
	coarse, fine float64
	rate         float64
	pass, fail   float64 // highest pass, lowest failure above it; 0 = none yet
	retried      bool
	climbing     bool // in fine steps
	done         bool
	lowest       float64
}

// The steps. A fine step is the resolution of the answer.
const (
	coarseStep = 1.5
	fineStep   = 1.1
	slowest    = 1.0 / 64 // of the first rate: below it the search gives up
)

// NewSearch begins at rate.
func NewSearch(rate float64) *Search {
	return &Search{coarse: coarseStep, fine: fineStep, rate: rate, lowest: rate * slowest}
}

// Next is the rate to try; ok is false when the search is over.
func (s *Search) Next() (rate float64, ok bool) { return s.rate, !s.done }

// Report says how the last rate went.
func (s *Search) Report(passed bool) {
	if !passed && !s.retried {
		s.retried = true
		return
	}
	s.retried = false
	if passed {
		s.pass = s.rate
		s.step()
		return
	}
	s.fail = s.rate
	switch {
	case s.climbing:
		s.done = true
	case s.pass == 0:
		s.rate /= s.coarse
		s.done = s.rate < s.lowest
	default:
		s.climbing = true
		s.step()
	}
}

// step goes up from the last pass; a step that would come within half a fine step of a known failure ends the search.
func (s *Search) step() {
	if s.fail == 0 {
		s.rate = s.pass * s.coarse
		return
	}
	s.climbing = true
	s.rate = s.pass * s.fine
	s.done = s.rate > s.fail/(1+(s.fine-1)/2)
}

// Found gives the highest rate that passed and the lowest that failed above it; 0 = there was none.
func (s *Search) Found() (pass, fail float64) { return s.pass, s.fail }
