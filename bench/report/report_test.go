package report_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tolkflip/tolkflip/bench/report"
)

type result struct {
	Rate float64 `json:"rate"`
}

func (r *result) Tables() []report.Table {
	return []report.Table{{
		Title: "a table", Head: []string{"target", "rate"},
		Rows:  [][]string{{"plain epoll", report.Count(1234567)}, {"é", report.Number(12.34)}},
		Notes: []string{"a note"},
	}}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	refused, broken := &report.RefusedError{Reason: "late"}, &report.BrokenError{Reason: "3 lost"}
	for _, c := range []struct {
		err  error
		want report.Verdict
	}{
		{nil, report.OK},
		{broken, report.Failed},
		{errors.New("x"), report.Failed},
		{fmt.Errorf("at 5/s: %w", refused), report.Refused},
		{errors.Join(broken, refused), report.Refused},
	} {
		var r report.Report
		r.Judge(c.err)
		if r.Verdict != c.want || (c.err == nil) != (len(r.Reasons) == 0) {
			t.Errorf("%v is judged %s with %q", c.err, r.Verdict, r.Reasons)
		}
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	r := report.Report{Scenario: "chat", Verdict: report.Failed, Reasons: []string{"3 lost"}, Machine: report.Machine{Commit: "0123456789abcdef", Modified: true}, Result: &result{}}
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"chat: failed\n", "  3 lost\n", "0123456789ab+changes", "a table\n",
		"  target            rate\n", "  plain epoll  1,234,567\n", "  é                 12.3\n", "  a note\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}

func TestWriteFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "r.json")
	in := report.Report{Scenario: "chat", Verdict: report.OK, Machine: report.ThisMachine(), Config: map[string]int{"pairs": 5}, Result: &result{Rate: 7}}
	if err := in.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out struct {
		Verdict string
		Machine report.Machine
		Config  map[string]int
		Result  result
	}
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	if out.Verdict != "ok" || out.Config["pairs"] != 5 || out.Result.Rate != 7 || out.Machine.Kernel == "" || out.Machine.Cores < 1 || out.Machine.MemoryMB < 1 {
		t.Errorf("%s", b)
	}
	if in.WriteFile(filepath.Join(path, "none")) == nil {
		t.Error("a file below a file was written")
	}
}

func TestFigures(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0", 0.1234: "0.123", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234567.5: "1,234,568", -0.978: "-0.978"} {
		if got := report.Number(v); got != want {
			t.Errorf("Number(%v) = %s, want %s", v, got, want)
		}
	}
	for v, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -12345: "-12,345", 1234567: "1,234,567"} {
		if got := report.Count(v); got != want {
			t.Errorf("Count(%d) = %s, want %s", v, got, want)
		}
	}
	if got := report.Percent(0.5); got != "50.0 %" {
		t.Errorf("Percent is %s", got)
	}
}
