package scenario

import (
	"errors"
	"fmt"
	"time"

	"github.com/tolkflip/tolkflip/bench/plan"
	"github.com/tolkflip/tolkflip/bench/report"
)

// achievedLeast is the part of the offered rate that must arrive for a level to pass.
const achievedLeast = 0.98

// judge decides whether the level passed, and if not why.
func (l *Level) judge(c ChatConfig) {
	p99 := time.Duration(l.Receive.P99 * float64(time.Millisecond))
	switch {
	case l.Refused > 0 || l.Gone > 0:
		if l.Why == "" {
			l.Why = "refused or disconnected"
		}
	case l.Lost > 0 || l.Unacked > 0:
		l.Why = "lost"
	case p99 >= c.Limit:
		l.Why = fmt.Sprintf("p99 %.0f ms", l.Receive.P99)
	case l.Achieved < achievedLeast*l.Offered:
		l.Why = "less arrived than was offered"
	default:
		l.Passed = true
	}
}

// broken is an error when a promise was broken that holds under any load.
func (l *Level) broken() error {
	var err error
	for _, b := range []struct {
		count int64
		what  string
	}{
		{l.Lost, "messages lost"},
		{l.Doubled, "acks or messages doubled"},
		{l.Disordered, "acks or messages out of order"},
		{l.Gaps, "seqs missing on a connection"},
	} {
		if b.count > 0 && l.Gone == 0 { // what a connection that ended did not get is not lost
			err = errors.Join(err, &report.BrokenError{Reason: fmt.Sprintf("at %s/s: %s %s", report.Count(int64(l.Offered)), report.Count(b.count), b.what)})
		}
	}
	return err
}

// discarded is an error when the generator was at fault.
func (l *Level) discarded() error {
	if !l.Discarded {
		return nil
	}
	return &report.RefusedError{Reason: fmt.Sprintf("at %s/s %s of the sends left over 10 ms late while %s of the machine was idle",
		report.Count(int64(l.Offered)), report.Percent(l.Late), report.Percent(l.CPU.Idle))}
}

// verdict is for a level that stands alone.
func (l *Level) verdict() error { return errors.Join(l.broken(), l.discarded()) }

// Tables shows the levels, a table for each target.
func (r *ChatResult) Tables() []report.Table {
	var all []report.Table
	for i := range r.Sides {
		t := r.Sides[i].table()
		if v, ok := r.Ratios[r.Sides[i].Target]; ok {
			t.Notes = append(t.Notes, fmt.Sprintf("%s reaches %s of its highest rate", r.Sides[0].Target, report.Percent(v)))
		}
		all = append(all, t)
	}
	return all
}

func (r *ChatSide) table() report.Table {
	t := report.Table{
		Title: r.Target + ": 1:1 messages, latency from the intended time, ms",
		Head: []string{
			"offered/s", "achieved/s", "ack p50", "p99", "receive p50", "p99", "p99.9", "max", "lost", "twice", "order", "late",
			"server us/msg", "cores s+g", "idle", "full", "RSS MB", "",
		},
	}
	for i := range r.Levels {
		t.Rows = append(t.Rows, r.Levels[i].row())
	}
	if r.Half != nil {
		t.Rows = append(t.Rows, r.Half.row())
		t.Notes = append(t.Notes, "the last row is at half of the first target's highest rate")
	}
	if r.Highest > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("highest rate that passed %s/s, lowest that failed %s/s", report.Count(int64(r.Highest)), report.Count(int64(r.Failing))))
	}
	for i := range r.Levels {
		if side := r.Levels[i].Full; !r.Levels[i].Passed && side != plan.NoSide {
			t.Notes = append(t.Notes, fmt.Sprintf("at %s/s full was: %s", report.Count(int64(r.Levels[i].Offered)), side))
			break
		}
	}
	return t
}

func (l *Level) row() []string {
	end := "pass"
	switch {
	case l.Discarded:
		end = "REFUSED: the generator was late"
	case !l.Passed:
		end = "FAIL: " + l.Why
	}
	return []string{
		report.Count(int64(l.Offered)), report.Count(int64(l.Achieved)),
		report.Number(l.Ack.P50), report.Number(l.Ack.P99), report.Number(l.Receive.P50), report.Number(l.Receive.P99),
		report.Number(l.Receive.P999), report.Number(l.Receive.Max),
		report.Count(l.Lost), report.Count(l.Doubled), report.Count(l.Disordered + l.Gaps), report.Percent(l.Late),
		report.Number(l.ServerPer), fmt.Sprintf("%.2f+%.2f", l.CPU.Server, l.CPU.Generator), report.Percent(l.CPU.Idle),
		string(l.Full), report.Number(float64(l.RSS) / (1 << 20)), end,
	}
}
