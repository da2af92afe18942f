// Tolkbench puts load on a tolkflip server, and on the servers that it is held against, and reports what it measured.
//
// With --spawn it starts the server itself, on free ports and a data directory of its own, so that a command is all there is to a
// measurement:
//
//	tolkbench idle    --spawn bin/tolkflip                          memory, heap objects and goroutines of idle connections
//	tolkbench fanout  --spawn bin/tolkflip --against floor          saturated deliveries, and echoes of bystanders meanwhile
//	tolkbench fanout  --spawn bin/tolkflip --against floor --light  one broadcast at a time
//	tolkbench chat    --spawn bin/tolkflip --against hub            highest rate of durable 1:1 messages, and half of it
//	tolkbench connect --spawn bin/tolkflip --against floor,hub      connect and authenticate
//	tolkbench rest    --spawn bin/tolkflip                          cached profiles
//	tolkbench abuse   --spawn bin/tolkflip                          bystanders of clients that behave badly
//	tolkbench floor                                                 the baselines alone
//
// A million connections need no accounts: idle --strangers --levels 500000,1000000 --pings 0, where the limits of open files allow it
// or with --each for several generator processes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/tolkflip/tolkflip/bench/floor"
	"github.com/tolkflip/tolkflip/bench/report"
	"github.com/tolkflip/tolkflip/bench/scenario"
)

// The exit codes.
const (
	exitOK      = 0
	exitFailed  = 1 // the run could not be made, or the server broke a promise
	exitUsage   = 2
	exitRefused = 3 // the generator was at fault: the figures do not count
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// program is what a command needs of its surroundings.
type program struct {
	ctx            context.Context
	args           []string
	stdout, stderr io.Writer
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 1 && args[0] == floor.ChildCommand { // it runs as Go programs do, without tuning
		return exitCode(floor.RunChild(ctx, stdin, stdout), stderr)
	}
	tune()
	if len(args) == 1 && args[0] == scenario.HolderCommand {
		return exitCode(scenario.RunHolder(ctx, stdin, stdout), stderr)
	}
	var cli commands
	helped := false
	parser, err := kong.New(&cli, kong.Name("tolkbench"), kong.Description(description), kong.Writers(stdout, stderr),
		kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.Exit(func(int) { helped = true }))
	if err != nil {
		return exitCode(err, stderr)
	}
	parsed, err := parser.Parse(args)
	switch {
	case helped:
		return exitOK
	case err != nil:
		return exitCode(usageError{err}, stderr)
	}
	return exitCode(parsed.Run(&program{ctx: ctx, args: args, stdout: stdout, stderr: stderr}), stderr)
}

const description = `Puts load on a tolkflip server and on what it is held against, and reports what it measured.

Exit codes: 0 done, 1 failed or the server broke a promise, 2 usage, 3 the result is refused since the generator was at fault.`

// tune gives the epoll threads processors of their own beside those that run other goroutines, and makes
// collections rare: the generator holds little.
func tune() {
	const spare = 4
	runtime.GOMAXPROCS(runtime.NumCPU() + spare)
	debug.SetGCPercent(800)
}

func exitCode(err error, stderr io.Writer) int {
	var usage usageError
	var refused *report.RefusedError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		_, _ = fmt.Fprintln(stderr, "tolkbench:", err)
		return exitUsage
	case errors.As(err, &refused):
		_, _ = fmt.Fprintln(stderr, "tolkbench:", err)
		return exitRefused
	default:
		_, _ = fmt.Fprintln(stderr, "tolkbench:", err)
		return exitFailed
	}
}

// report prints and writes what a scenario found, also when it ended with an error, which it gives back.
func (p *program) report(scenario, file string, config any, began time.Time, machine report.Machine, result any, err error) error {
	r := report.Report{
		Scenario: scenario, Command: p.args, Began: began, Seconds: time.Since(began).Seconds(),
		Machine: machine, Config: config, Result: result,
	}
	r.Judge(err)
	if e := r.Write(p.stdout); e != nil {
		err = errors.Join(err, e)
	}
	if file != "" {
		err = errors.Join(err, r.WriteFile(file))
	}
	return err
}
