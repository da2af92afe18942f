// Package report writes what a run found: as JSON, with all that is needed to judge and to repeat it, and
// as tables to read. Both come from the same values; nothing is typed by hand.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Report is one run.
type Report struct {
	Scenario string    `json:"scenario"`
	Verdict  Verdict   `json:"verdict"`
	Reasons  []string  `json:"reasons,omitempty"` // why it is not ok
	Command  []string  `json:"command"`
	Began    time.Time `json:"began"`
	Seconds  float64   `json:"seconds"`
	Machine  Machine   `json:"machine"`
	Config   any       `json:"config"`
	Result   any       `json:"result"`
}

// Verdict says whether a result counts.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"
	Failed  Verdict = "failed"  // the server broke a promise, or the run could not be made
	Refused Verdict = "refused" // the generator was at fault: the figures must not be used
)

// Machine is what it ran on and with.
type Machine struct {
	Commit   string            `json:"commit"`
	Modified bool              `json:"modified,omitempty"` // the tree had changes that are not in the commit
	Go       string            `json:"go"`
	Kernel   string            `json:"kernel"`
	CPU      string            `json:"cpu"`
	Cores    int               `json:"cores"`
	MemoryMB int64             `json:"memory_mb"`
	Files    uint64            `json:"file_limit"`
	Load     string            `json:"load_average"` // before the run
	Sysctls  map[string]string `json:"sysctls"`
}

// ThisMachine reads it. What cannot be read is left out.
func ThisMachine() Machine {
	m := Machine{Go: runtime.Version(), Cores: runtime.NumCPU(), Sysctls: map[string]string{}}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				m.Commit = s.Value
			case "vcs.modified":
				m.Modified = s.Value == "true"
			}
		}
	}
	if m.Commit == "" {
		m.askGit()
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	m.CPU = field("/proc/cpuinfo", "model name")
	_, _ = fmt.Sscan(field("/proc/meminfo", "MemTotal"), &m.MemoryMB)
	m.MemoryMB >>= 10
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		m.Files = limit.Cur
	}
	m.Load = line("/proc/loadavg")
	for _, name := range []string{
		"net/core/somaxconn", "net/ipv4/ip_local_port_range", "net/ipv4/tcp_rmem", "net/ipv4/tcp_wmem",
		"net/ipv4/tcp_max_syn_backlog", "fs/file-max", "fs/nr_open", "vm/max_map_count",
	} {
		if v := line("/proc/sys/" + name); v != "" {
			m.Sysctls[strings.ReplaceAll(name, "/", ".")] = v
		}
	}
	return m
}

// askGit takes the commit of the working directory, for a program that was built without one.
func (m *Machine) askGit() {
	m.Commit = "unknown"
	out, err := exec.Command("git", "rev-parse", "HEAD").Output()
	if err != nil {
		return
	}
	m.Commit = strings.TrimSpace(string(out))
	out, err = exec.Command("git", "status", "--porcelain", "--untracked-files=no").Output()
	m.Modified = err != nil || len(out) > 0
}

func line(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(string(b)), " ")
}

func field(path, name string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for l := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// RefusedError is a result that must not count.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return "result refused: " + e.Reason }

// BrokenError is a promise that the server broke, such as a lost message.
type BrokenError struct{ Reason string }

func (e *BrokenError) Error() string { return e.Reason }

// Judge sets the verdict from what the scenario returned beside its result.
func (r *Report) Judge(err error) {
	r.Verdict = OK
	if err == nil {
		return
	}
	r.Verdict = Failed
	var refused *RefusedError
	if errors.As(err, &refused) {
		r.Verdict = Refused
	}
	r.Reasons = strings.Split(err.Error(), "\n")
}

// WriteFile writes the report as JSON.
func (r *Report) WriteFile(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append(b, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// Tables is what a result looks like to a reader.
type Tables interface{ Tables() []Table }

// Write prints the report to read.
func (r *Report) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s: %s\n", r.Scenario, r.Verdict)
	for _, reason := range r.Reasons {
		fmt.Fprintf(&b, "  %s\n", reason)
	}
	commit := r.Machine.Commit
	if len(commit) > 12 {
		commit = commit[:12]
	}
	if r.Machine.Modified {
		commit += "+changes"
	}
	fmt.Fprintf(&b, "  %s · Linux %s · %s, %d cores · %s · load %s\n", commit, r.Machine.Kernel, r.Machine.CPU, r.Machine.Cores, r.Machine.Go, r.Machine.Load)
	if t, ok := r.Result.(Tables); ok {
		for _, table := range t.Tables() {
			b.WriteByte('\n')
			table.append(&b)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
