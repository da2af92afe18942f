package scenario

import "testing"

func TestReceipts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in                   []int
		count, doubled, late int64
	}{
		{[]int{0, 1, 2}, 3, 0, 0},
		{[]int{0, 1, 1, 2, 0}, 3, 2, 0},
		{[]int{0, 2, 1}, 3, 0, 1},
		{[]int{5}, 1, 0, 0},
		{[]int{200, 64, 63, 64}, 3, 1, 2},
	} {
		var r receipts
		for range 2 { // a level does not see what came in the one before
			r.reset()
			for _, n := range c.in {
				r.add(n)
			}
			if r.Count != c.count || r.Doubled != c.doubled || r.Late != c.late {
				t.Errorf("%v: %d, %d doubled, %d late, want %d, %d, %d", c.in, r.Count, r.Doubled, r.Late, c.count, c.doubled, c.late)
			}
		}
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in            []uint64
		gaps, rewound int64
	}{
		{[]uint64{41, 42, 43}, 0, 0}, // the first that is seen is where it begins
		{[]uint64{1, 2, 5, 6}, 2, 0},
		{[]uint64{1, 2, 2, 3}, 0, 1},
		{[]uint64{1, 3, 2, 4}, 1, 1},
		{[]uint64{0, 0}, 0, 0}, // a server that numbers nothing
	} {
		var l line
		for _, s := range c.in {
			l.add(s)
		}
		if l.Gaps != c.gaps || l.Rewound != c.rewound {
			t.Errorf("%v: %d gaps, %d rewound, want %d, %d", c.in, l.Gaps, l.Rewound, c.gaps, c.rewound)
		}
	}
}

func TestLevelJudge(t *testing.T) {
	t.Parallel()
	config := DefaultChat()
	good := Level{Offered: 100, Achieved: 99}
	good.Receive.P99 = 99.9
	for _, c := range []struct {
		name   string
		change func(*Level)
		pass   bool
	}{
		{"good", func(*Level) {}, true},
		{"slow", func(l *Level) { l.Receive.P99 = 100 }, false},
		{"lost", func(l *Level) { l.Lost = 1 }, false},
		{"not acknowledged", func(l *Level) { l.Unacked = 1 }, false},
		{"refused", func(l *Level) { l.Refused = 1 }, false},
		{"disconnected", func(l *Level) { l.Gone = 1 }, false},
		{"too little", func(l *Level) { l.Achieved = 97 }, false},
	} {
		l := good
		c.change(&l)
		if l.judge(config); l.Passed != c.pass || c.pass != (l.Why == "") {
			t.Errorf("%s: passed %v because %q", c.name, l.Passed, l.Why)
		}
	}
	for _, change := range []func(*Level){
		func(l *Level) { l.Lost = 1 }, func(l *Level) { l.Doubled = 1 }, func(l *Level) { l.Disordered = 1 }, func(l *Level) { l.Gaps = 1 },
		func(l *Level) { l.Discarded = true },
	} {
		l := good
		if err := l.verdict(); err != nil {
			t.Errorf("a good level is an error: %v", err)
		}
		if change(&l); l.verdict() == nil {
			t.Errorf("%+v is no error", l)
		}
	}
}
