package scenario

import (
	"testing"

	"github.com/tolkflip/tolkflip/bench/histogram"
)

func TestFanoutRatiosArePairwise(t *testing.T) {
	t.Parallel()
	legs := func(rates ...float64) (all []FanoutLeg) {
		for _, r := range rates {
			all = append(all, FanoutLeg{Deliveries: r})
		}
		return all
	}
	r := FanoutResult{Ratios: map[string]float64{}, Sides: []FanoutSide{
		{Target: "ours", Legs: legs(100, 200, 900)},
		{Target: "epoll", Legs: legs(200, 200, 300)}, // 0.5, 1 and 3: not 200/200
		{Target: "gnet", Legs: legs(100, 0)},         // a leg without deliveries has no ratio
	}}
	r.sum()
	if r.Sides[0].Deliveries != 200 || r.Ratios["epoll"] != 1 || r.Ratios["gnet"] != 1 || len(r.Ratios) != 2 {
		t.Errorf("%+v", r)
	}
	r = FanoutResult{Ratios: map[string]float64{}, Sides: []FanoutSide{{Target: "ours", Legs: []FanoutLeg{{
		Deliveries: 1,
		Echo:       &Probes{Pong: histogram.Summary{P99: 5}, Pairs: Level{Receive: histogram.Summary{P99: 7}}},
		Control:    &Probes{Pong: histogram.Summary{P99: 2}},
	}}}}}
	r.sum()
	if s := r.Sides[0]; s.EchoP99 != 5 || s.PairsP99 != 7 || s.ControlP99 != 2 {
		t.Errorf("%+v", s)
	}
}

func TestConnectRatiosArePairwise(t *testing.T) {
	t.Parallel()
	rounds := func(rates ...float64) (all []ConnectRound) {
		for _, r := range rates {
			all = append(all, ConnectRound{Rate: r})
		}
		return all
	}
	r := ConnectResult{Ratios: map[string]float64{}, Sides: []ConnectSide{
		{Target: "ours", Rounds: rounds(10, 30, 20)}, {Target: "epoll", Rounds: rounds(20, 20, 20)},
	}}
	r.sum(1)
	if r.Sides[0].Rate != 20 || r.Ratios["epoll"] != 1 || len(r.Ratios) != 1 {
		t.Errorf("%+v", r)
	}
}

func TestFanoutLegBroken(t *testing.T) {
	t.Parallel()
	good := FanoutLeg{Messages: 5, Refused: 1}
	if err := good.broken("ours"); err != nil {
		t.Error(err)
	}
	for _, l := range []FanoutLeg{{Lost: 1}, {Lost: -1}, {Doubled: 1}, {Disordered: 1}, {Gaps: 1}, {Gone: 1}} {
		if l.broken("ours") == nil {
			t.Errorf("%+v is no error", l)
		}
	}
}
