package plan

// The rule for results that do not count.
const (
	LateAfter    = 10e6 // ns after the intended time at which a send counts as late
	latePart     = 0.01 // of the sends that may be late
	idleEnough   = 0.10 // of the machine: with more of it idle, lateness is the generator's own fault
	busyLoop     = 0.85 // of a core: a loop that uses more has no room
	machineIsOut = 0.10 // idle part of the machine below which it counts as full
)

// Refused reports whether a result must not count: the generator was late although the machine had room.
// idle is the part of the machine's CPU, all cores, that was idle.
func Refused(sent, late int64, idle float64) bool {
	return sent > 0 && float64(late) > latePart*float64(sent) && idle > idleEnough
}

// Side says what stood in the way of more.
type Side string

// The sides.
const (
	NoSide        Side = "none"      // there was room
	GeneratorSide Side = "generator" // its loops had no room: the server may be able to do more
	ServerSide    Side = "server"
	BothSides     Side = "both"   // the machine was full, and the two used it
	OtherSide     Side = "others" // the machine was full of other processes
)

// Usage is CPU time in cores over an interval.
type Usage struct {
	Generator float64
	Server    float64
	Cores     float64
	Idle      float64 // part of the machine, 0 to 1
	Loops     int     // of the generator
}

// Full says which side was full.
func Full(u Usage) Side {
	generator := u.Loops > 0 && u.Generator >= busyLoop*float64(u.Loops)
	full := u.Idle < machineIsOut
	switch {
	case full && u.Generator+u.Server < 0.7*u.Cores:
		return OtherSide
	case full && generator:
		return BothSides
	case full:
		return ServerSide
	case generator:
		return GeneratorSide
	case u.Server >= busyLoop*u.Cores:
		return ServerSide
	default:
		return NoSide
	}
}
