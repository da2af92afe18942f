// Package probe reads what the kernel says of a process and of the machine (Linux, /proc).
package probe

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ticksPerSecond is the kernel's USER_HZ, which is 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// CPU is the time that a process has used, user and system.
func CPU(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read process %d: %w", pid, err)
	}
	ticks, err := parseStat(b)
	return time.Duration(ticks) * time.Second / ticksPerSecond, err
}

// parseStat adds utime and stime, the 14th and 15th fields. The name before them may hold blanks and brackets.
func parseStat(b []byte) (ticks uint64, err error) {
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	const utime, stime = 11, 12 // counted from the state, which follows the name
	if len(fields) <= stime {
		return 0, errors.New("read a process's stat: too few fields")
	}
	u, err1 := strconv.ParseUint(fields[utime], 10, 64)
	s, err2 := strconv.ParseUint(fields[stime], 10, 64)
	return u + s, errors.Join(err1, err2)
}

// Descriptors is how many files and sockets a process has open.
func Descriptors(pid int) (int, error) {
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0, fmt.Errorf("read descriptors of process %d: %w", pid, err)
	}
	return len(list), nil
}

// Self is the CPU time of this process.
func Self() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// Memory is what smaps_rollup says of a process, in bytes.
type Memory struct {
	RSS       int64 `json:"rss"`
	PSS       int64 `json:"pss"`
	Anonymous int64 `json:"anonymous"`
}

// MemoryOf reads it. It walks all pages of the process, which takes milliseconds.
func MemoryOf(pid int) (Memory, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return Memory{}, fmt.Errorf("read memory of process %d: %w", pid, err)
	}
	return parseSmaps(b)
}

func parseSmaps(b []byte) (m Memory, err error) {
	found := 0
	for line := range strings.Lines(string(b)) {
		name, rest, _ := strings.Cut(line, ":")
		var into *int64
		switch name {
		case "Rss":
			into = &m.RSS
		case "Pss":
			into = &m.PSS
		case "Anonymous":
			into = &m.Anonymous
		default:
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return m, fmt.Errorf("read smaps_rollup: %w", err)
		}
		*into = kb << 10
		found++
	}
	if found < 3 {
		return m, errors.New("read smaps_rollup: not all of Rss, Pss and Anonymous are there")
	}
	return m, nil
}

// Machine is the CPU time of all cores since the machine started, in ticks.
type Machine struct{ Total, Idle uint64 }

// MachineNow reads it; the zero value when it cannot.
func MachineNow() Machine {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Machine{}
	}
	return parseMachine(b)
}

// parseMachine reads the line `cpu user nice system idle iowait irq softirq steal …`. Waiting for a disk is idle time.
func parseMachine(b []byte) (m Machine) {
	line, _, _ := strings.Cut(string(b), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return Machine{}
	}
	for i, f := range fields[1:9] {
		v, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return Machine{}
		}
		m.Total += v
		if i == 3 || i == 4 {
			m.Idle += v
		}
	}
	return m
}

// IdleSince is the part of the machine, 0 to 1, that was idle since before.
func (m Machine) IdleSince(before Machine) float64 {
	if m.Total <= before.Total {
		return 0
	}
	return float64(m.Idle-before.Idle) / float64(m.Total-before.Total)
}

// Cores is how many there are.
func Cores() int { return runtime.NumCPU() }
