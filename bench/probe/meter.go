package probe

import (
	"time"

	"github.com/tolkflip/tolkflip/bench/plan"
)

// Meter takes the CPU of both sides over an interval.
type Meter struct {
	pid     int
	began   time.Time
	self    time.Duration
	server  time.Duration
	machine Machine
}

// Reading is what a Meter saw, in cores.
type Reading struct {
	Seconds   float64 `json:"seconds"`
	Generator float64 `json:"generator_cores"`
	Server    float64 `json:"server_cores,omitempty"` // 0 when its pid is not known
	Idle      float64 `json:"machine_idle"`           // part of the machine
}

// Start begins an interval. pid is the server's, 0 when it is not known.
func Start(pid int) *Meter {
	m := &Meter{pid: pid, began: time.Now(), self: Self(), machine: MachineNow()}
	if pid != 0 {
		m.server, _ = CPU(pid) // a server that is gone shows in the scenario
	}
	return m
}

// Read gives the interval up to now.
func (m *Meter) Read() Reading {
	took := time.Since(m.began)
	r := Reading{Seconds: took.Seconds(), Idle: MachineNow().IdleSince(m.machine)}
	if took <= 0 {
		return r
	}
	r.Generator = float64(Self()-m.self) / float64(took)
	if m.pid != 0 {
		if cpu, err := CPU(m.pid); err == nil {
			r.Server = float64(cpu-m.server) / float64(took)
		}
	}
	return r
}

// Usage puts a reading into the terms of the verdict.
func (r Reading) Usage(loops int) plan.Usage {
	return plan.Usage{Generator: r.Generator, Server: r.Server, Cores: float64(Cores()), Idle: r.Idle, Loops: loops}
}

// ServerPer is the server's CPU time for each of n operations, in microseconds.
func (r Reading) ServerPer(n int64) float64 {
	if n == 0 {
		return 0
	}
	return r.Server * r.Seconds * 1e6 / float64(n)
}
