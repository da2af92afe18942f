package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tolkflip/tolkflip/bench/floor"
	"github.com/tolkflip/tolkflip/bench/report"
	"go.uber.org/goleak"
)

// TestMain is also the program that starts itself again as a baseline.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == floor.ChildCommand {
		run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
		return
	}
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"))
}

func tolkbench(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	code = run(t.Context(), args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func TestExitCodes(t *testing.T) {
	refused := &report.RefusedError{Reason: "late"}
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, exitOK},
		{errors.New("x"), exitFailed},
		{&report.BrokenError{Reason: "lost"}, exitFailed},
		{usageError{errors.New("x")}, exitUsage},
		{refused, exitRefused},
		{fmt.Errorf("hub: %w", errors.Join(errors.New("x"), refused)), exitRefused},
	} {
		var errs strings.Builder
		if got := exitCode(c.err, &errs); got != c.want || (c.err == nil) != (errs.Len() == 0) {
			t.Errorf("%v exits with %d and %q, want %d", c.err, got, errs.String(), c.want)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"nothing"},
		{"chat", "--unknown"},
		{"chat"},
		{"chat", "--target", "x"},
		{"chat", "--target", "hub", "--content", "3"},
		{"idle", "--url", "http://127.0.0.1:1"},
		{"fanout"},
		{"rounds"},
		{"rest"},
		{"abuse"},
		{"connect"},
		{"connect", "--against", "x"},
		{"users"},
		{"floor", "--rounds", "0"},
	} {
		if code, _, errs := tolkbench(t, args...); code != exitUsage || errs == "" {
			t.Errorf("%q exits with %d: %s", args, code, errs)
		}
	}
	for _, args := range [][]string{{"--help"}, {"idle", "--help"}, {"fanout", "--help"}} {
		if code, out, _ := tolkbench(t, args...); code != exitOK || !strings.Contains(out, "tolkbench") {
			t.Errorf("%q exits with %d: %s", args, code, out)
		}
	}
}

func TestServerThatIsNotThere(t *testing.T) {
	for _, args := range [][]string{
		{"rest", "--url", "http://127.0.0.1:1"},
		{"chat", "--spawn", filepath.Join(t.TempDir(), "none"), "--data", filepath.Join(t.TempDir(), "data"), "--pairs", "1", "--rate", "1"},
	} {
		if code, out, errs := tolkbench(t, args...); code != exitFailed || !strings.Contains(out, "failed") || errs == "" {
			t.Errorf("%q exits with %d: %s%s", args, code, out, errs)
		}
	}
}

func TestChatOfTheHub(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.json")
	code, out, errs := tolkbench(t, "chat", "--target", "hub", "--pairs", "5", "--rate", "500", "--warm-up", "0s", "--duration", "100ms", "--json", path)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Scenario, Verdict string
		Command           []string
		Config            struct{ Pairs int }
		Result            struct {
			Sides []struct {
				Levels []struct{ Sent, Received int }
			}
		}
	}
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	// On a machine that is full of other work the result may be refused; both say so alike.
	if want := map[string]int{"ok": exitOK, "refused": exitRefused}; code != want[r.Verdict] {
		t.Errorf("exit %d with verdict %s: %s", code, r.Verdict, errs)
	}
	if r.Scenario != "chat" || len(r.Command) == 0 || r.Config.Pairs != 5 || len(r.Result.Sides) != 1 || len(r.Result.Sides[0].Levels) != 1 || r.Result.Sides[0].Levels[0].Sent != r.Result.Sides[0].Levels[0].Received {
		t.Errorf("%s", b)
	}
	if !strings.Contains(out, "hub: 1:1 messages") {
		t.Errorf("the table is missing:\n%s", out)
	}
}

func TestTargets(t *testing.T) {
	if got := targets("tolkflip", []string{"floor", "hub"}); !slices.Equal(got, []string{"tolkflip", "epoll", "hub"}) {
		t.Errorf("%q", got)
	}
}
