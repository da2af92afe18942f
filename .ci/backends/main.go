// Backends runs the tests of every backend on real servers and fails unless each ran what it should: a
// backend whose tests were skipped, or are not there, has not passed. It is called by .ci/integration,
// with the TOLKFLIP_TEST_* variables of the stack.
//
//	go run ./.ci/backends [name...]
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, table(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "backends:", err)
		os.Exit(1)
	}
}

// run goes through the rows, or those that are named, and prints what each ran. It tries all of them, so
// that one report has every fault.
func run(ctx context.Context, rows []row, only []string, w io.Writer) error {
	for _, name := range only {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.name == name }) {
			return fmt.Errorf("there is no backend %q", name)
		}
	}
	var summary strings.Builder
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) } // a closed report stops nothing
	bad := 0
	for _, r := range rows {
		if len(only) > 0 && !slices.Contains(only, r.name) {
			continue
		}
		began := time.Now()
		c, err := goTest(ctx, r, w)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		verdict := "ok"
		if faults := r.faults(c, err); len(faults) > 0 {
			bad++
			verdict = "FAILED: " + strings.Join(faults, "; ")
		}
		line := fmt.Sprintf("%-28s %4d of %4d subtests %6.1f s  %s\n", r.name, c.passed, r.want, time.Since(began).Seconds(), verdict)
		summary.WriteString(line)
		say("%s", line)
	}
	say("\nsubtests by backend:\n%s", summary.String())
	if bad > 0 {
		return fmt.Errorf("%d of the backends did not pass", bad)
	}
	return nil
}

// goTest runs one row's tests and counts them.
func goTest(ctx context.Context, r row, w io.Writer) (counts, error) {
	args := append([]string{"test", "-json", "-count=1", "-timeout=20m"}, r.args...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Env = append(os.Environ(), r.env...)
	cmd.Stderr = w
	out, err := cmd.StdoutPipe()
	if err != nil {
		return counts{}, err
	}
	if err := cmd.Start(); err != nil {
		return counts{}, err
	}
	c, err := count(out, r.only, w)
	return c, errors.Join(err, cmd.Wait())
}

// faults says why a row has not passed.
func (r *row) faults(c counts, err error) []string {
	var all []string
	if len(c.skipped) > 0 {
		all = append(all, fmt.Sprintf("skipped %s", strings.Join(c.skipped, ", ")))
	}
	if len(c.failed) > 0 {
		all = append(all, fmt.Sprintf("failed %s", strings.Join(c.failed, ", ")))
	}
	if c.passed != r.want && len(all) == 0 {
		all = append(all, fmt.Sprintf("%d ran; where tests were added or removed, say so in .ci/backends/table.go", c.passed))
	}
	if err != nil && len(all) == 0 {
		all = append(all, err.Error())
	}
	return all
}
