package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// HolderCommand is the argument with which the program starts itself to hold connections; it then calls RunHolder.
const HolderCommand = "holder"

// reservedFiles is what a process needs beside its connections.
const reservedFiles = 500

// holders is connections in one process or in several: as many as the limit of open files asks for.
type holders struct {
	all  []anyHolder
	each int // connections of each but the last
}

type anyHolder interface {
	open(ctx context.Context, n int) error
	state() (Holding, error)
	close() error
}

// perProcess is how many connections a process can hold.
func perProcess() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 1000
	}
	return int(min(limit.Cur, 1<<30)) - reservedFiles
}

// hold makes holders for all of c; each is the most connections of a process.
func hold(ctx context.Context, c HolderConfig, each int) (*holders, error) {
	if each < 1 {
		return nil, errors.New("the limit of open files is too low to hold connections")
	}
	h := &holders{each: each}
	if c.count() <= each {
		one, err := newHolder(c)
		if err != nil {
			return nil, err
		}
		h.all = []anyHolder{one}
		return h, nil
	}
	for first := 0; first < c.count(); first += each {
		mine := c
		mine.First = c.First + first
		if c.Nobody > 0 {
			mine.Nobody = min(each, c.Nobody-first)
		} else {
			mine.People = c.People[first:min(first+each, len(c.People))]
		}
		child, err := startHolder(ctx, mine)
		if err != nil {
			return nil, errors.Join(err, h.close())
		}
		h.all = append(h.all, child)
	}
	return h, nil
}

// open brings the number of connections over all processes to n. One process after the other connects.
func (h *holders) open(ctx context.Context, n int) error {
	for i, one := range h.all {
		if mine := min(n-i*h.each, h.each); mine > 0 {
			if err := one.open(ctx, mine); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *holders) state() (Holding, error) {
	var all Holding
	for _, one := range h.all {
		s, err := one.state()
		if err != nil {
			return all, err
		}
		all.add(s)
	}
	return all, nil
}

func (h *holders) close() error {
	var err error
	for _, one := range h.all {
		err = errors.Join(err, one.close())
	}
	return err
}

// holderAsk is a line to a holder process; it answers each with a holderAnswer. Open 0 asks for the state alone.
type holderAsk struct {
	Open int `json:"open"`
}

type holderAnswer struct {
	Holding Holding `json:"holding"`
	Error   string  `json:"error,omitempty"`
}

// childHolder is a holder in a process of its own.
type childHolder struct {
	cmd   *exec.Cmd
	stdin io.Closer
	out   *json.Encoder
	in    *json.Decoder
}

func startHolder(ctx context.Context, c HolderConfig) (*childHolder, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, HolderCommand)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("start a holder: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a holder: %w", err)
	}
	h := &childHolder{cmd: cmd, stdin: stdin, out: json.NewEncoder(stdin), in: json.NewDecoder(stdout)}
	if err := h.out.Encode(c); err != nil {
		return nil, errors.Join(fmt.Errorf("configure a holder: %w", err), h.close())
	}
	return h, nil
}

func (h *childHolder) ask(q holderAsk) (Holding, error) {
	var a holderAnswer
	err := h.out.Encode(q)
	if err == nil {
		err = h.in.Decode(&a)
	}
	if err != nil {
		return a.Holding, fmt.Errorf("ask a holder: %w", err)
	}
	if a.Error != "" {
		return a.Holding, errors.New(a.Error)
	}
	return a.Holding, nil
}

func (h *childHolder) open(_ context.Context, n int) error {
	_, err := h.ask(holderAsk{Open: n})
	return err
}

func (h *childHolder) state() (Holding, error) { return h.ask(holderAsk{}) }

func (h *childHolder) close() error {
	_ = h.stdin.Close()
	return h.cmd.Wait()
}

// RunHolder is the process's side: a config and then asks from stdin, answers to stdout, until stdin ends.
func RunHolder(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	in, out := json.NewDecoder(stdin), json.NewEncoder(stdout)
	var c HolderConfig
	if err := in.Decode(&c); err != nil {
		return fmt.Errorf("read the config: %w", err)
	}
	h, err := newHolder(c)
	if err != nil {
		return err
	}
	for {
		var q holderAsk
		if err := in.Decode(&q); errors.Is(err, io.EOF) {
			return h.close()
		} else if err != nil {
			return errors.Join(fmt.Errorf("read an ask: %w", err), h.close())
		}
		var a holderAnswer
		if q.Open > 0 {
			err = h.open(ctx, q.Open)
		}
		if err != nil {
			a.Error = err.Error()
		}
		a.Holding, _ = h.state() // of this process: it cannot fail
		if err := out.Encode(a); err != nil {
			return errors.Join(err, h.close())
		}
	}
}
