// Tolkflip is a chat and presence server: `tolkflip serve` runs all of it. See `tolkflip --help`.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes that scripts and supervisors rely on.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitInUse   = 4 // the data directory or the keyspace is another process's
	exitDeposed = 5 // another node owns the log now
)

// usageError is a mistake in flags, variables or the config file.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// inUseError says who holds what we need.
type inUseError struct{ message string }

func (e inUseError) Error() string { return e.message }

// program is what a command may touch of the world around it, so that whole commands run in tests.
type program struct {
	ctx    context.Context
	stdout io.Writer
	stderr io.Writer
}

// commands is the command line as kong reads it.
type commands struct {
	Serve  serveCommand  `cmd:"" help:"Run the server: all twelve services, or those named by --services."`
	Health healthCommand `cmd:"" help:"Ask a running server how it is; fails unless it is well."`
	Token  tokenCommand  `cmd:"" help:"Print an access token for a user id."`
	User   userCommands  `cmd:"" help:"Act on a user of the running server."`
	Backup backupCommand `cmd:"" help:"Write a consistent copy of the running server's data directory."`

	Migrate migrateCommand `cmd:"" help:"Make the keyspace of --store cassandra:// ready, or move a stopped installation into one."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program without its globals. environ has the form of os.Environ.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) (code int) {
	p := program{ctx: ctx, stdout: stdout, stderr: stderr}
	err := p.run(args, environ)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errHelp):
		return exitOK
	default:
		_, _ = fmt.Fprintln(stderr, "tolkflip:", err) // nobody is left to tell
	}
	var usage usageError
	var inUse inUseError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &inUse):
		return exitInUse
	case errors.Is(err, errDeposed):
		return exitDeposed
	default:
		return exitFailed
	}
}

var (
	errHelp    = errors.New("help was printed")
	errDeposed = errors.New("another node owns the log now")
)

func (p *program) run(args, environ []string) error {
	var cli commands
	settings, err := readSettings(args, environ)
	if err != nil {
		return usageError{err}
	}
	helped := false
	parser, err := newParser(&cli, settings, p.stdout, p.stderr, func(int) { helped = true })
	if err != nil {
		return fmt.Errorf("command line: %w", err)
	}
	if err := settings.check(parser.Model); err != nil {
		return usageError{err}
	}
	parsed, err := parser.Parse(args)
	if helped {
		return errHelp
	}
	if err != nil {
		return usageError{fmt.Errorf("%w (see tolkflip --help)", err)}
	}
	settings.note(parsed)
	return parsed.Run(p, settings)
}

func newParser(cli *commands, settings *settings, stdout, stderr io.Writer, exit func(int)) (*kong.Kong, error) {
	return kong.New(
		cli,
		kong.Name("tolkflip"),
		kong.Description("A chat and presence server. Every flag of serve is also the variable TOLKFLIP_<FLAG> (capitals, _ for -) and a key of the YAML file; a flag beats a variable beats the file."),
		kong.Vars{"services": strings.Join(serviceNames(), ", ")},
		kong.Writers(stdout, stderr),
		kong.Exit(exit),
		kong.Resolvers(settings),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}),
	)
}
