package cassandra

import (
	"fmt"
	"time"
)

// ErrInUse is Open's failure where another node owns the keyspace's log and seems to live.
type ErrInUse struct {
	Keyspace string
	Node     string // its UUID
	Address  string // where it runs
	PID      int
	Age      time.Duration // since it was last seen alive
}

// Error names the other node.
func (e *ErrInUse) Error() string {
	return fmt.Sprintf("cassandra: the keyspace %s is in use by node %s (%s, process %d), alive %v ago",
		e.Keyspace, e.Node, e.Address, e.PID, e.Age.Round(time.Millisecond))
}
