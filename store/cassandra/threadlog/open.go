package threadlog

import (
	"fmt"
	"time"
)

// InUseError is Open's refusal: another node owns the log and seems to live.
type InUseError struct {
	Member
	Age time.Duration // since its last beat
}

// Error names the other node.
func (e *InUseError) Error() string {
	return fmt.Sprintf("threadlog: the log belongs to node %s (%s, process %d), which was alive %v ago",
		e.Node, e.Address, e.PID, e.Age.Round(time.Millisecond))
}
