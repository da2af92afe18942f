package cassandra

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/gocql/gocql"

	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/cassandra/threadlog"
)

// Consistency says how far a quorum reaches.
type Consistency uint8

// The consistencies.
const (
	// Local is LOCAL_QUORUM, and LOCAL_SERIAL for conditions: one data centre writes.
	Local Consistency = iota
	// Global is QUORUM and SERIAL: several data centres write.
	Global
)

// Config is how a Store is opened.
type Config struct {
	Hosts    []string // contact points, each with or without a port (9042)
	Keyspace string

	User, Password string // empty: no authentication
	TLS            bool
	CA             string // file with the certificates that the servers' are checked against; empty: the system's

	DC          string // whose nodes are spoken to; empty: that of the contact point that answers first
	Consistency Consistency

	MakeKeyspace bool // make the keyspace where it is not there
	RF           int  // replicas in DC of a keyspace that is made; 0: three, or as many as there are nodes
	Migrate      bool // bring the schema up to date at Open; otherwise Open fails where it is not

	Node     threadlog.Node // who this is, across restarts
	Address  string         // what other nodes' operators are told of it: host and data directory
	PID      int
	TakeOver bool        // take the log from a node that seems to live
	Deposed  func(error) // called once when another node has taken the log; must not block. nil: only Healthy tells

	Recency store.Recency    // order of users' lists; nil: every list is read whole
	Log     threadlog.Config // budgets of the log; who and when are set by the fields above

	Timeout        time.Duration // one statement; keep it above what the servers need when they are busy
	ConnectTimeout time.Duration // each host at Open, and each new connection
	Budget         time.Duration // one call with all its statements and repetitions
	Coalesce       time.Duration // how long a connection gathers statements for one write to the network; 0: not at all
	Connections    int           // a host
	InFlight       int           // statements at once of one call that needs many (a large group, Seen, cursors)

	CursorsEvery time.Duration // how much movement of cursors a crash may lose
	CursorsFresh time.Duration // after which a cursor in memory is read again: another node may have moved it
	Cursors      int           // cursors in memory
	ProbeEvery   time.Duration // between two looks at whether a quorum answers

	// Now is what expiry is measured by.
	Now func() time.Time

	observe func(statement string, err error) // of tests: told of every statement that was tried, batches as one
	decided func() (before, after error)      // of tests: errors of a condition, instead of it and although it was applied
	dialer  gocql.Dialer                      // of tests: makes the connections
	logName string                            // of tests: several logs in one keyspace, each with owners and threads of its own
}

// Default is the configuration of a server, but for Hosts, Keyspace and Node.
func Default() Config {
	return Config{
		MakeKeyspace: true,
		Migrate:      true,
		Log:          threadlog.Default(),

		Timeout:        2 * time.Second,
		ConnectTimeout: 5 * time.Second,
		Budget:         6 * time.Second,
		Coalesce:       0,
		Connections:    2,
		InFlight:       32,

		CursorsEvery: time.Second,
		CursorsFresh: 10 * time.Second,
		Cursors:      64 << 10,
		ProbeEvery:   time.Second,

		Now: time.Now,
	}
}

// keyspaceName is what needs no quotes in CQL, in any case.
var keyspaceName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,47}$`)

// Validate names what is wrong with c.
func (c Config) Validate() error {
	switch {
	case len(c.Hosts) == 0:
		return errors.New("cassandra: no host")
	case !keyspaceName.MatchString(c.Keyspace):
		return errors.New("cassandra: a keyspace's name is a letter and then letters, digits and _, in lower case, at most 48")
	case c.Consistency > Global:
		return errors.New("cassandra: unknown Consistency")
	case c.RF < 0:
		return errors.New("cassandra: RF must not be negative")
	case c.Password != "" && c.User == "":
		return errors.New("cassandra: a password without a user")
	case c.CA != "" && !c.TLS:
		return errors.New("cassandra: a CA without TLS")
	case c.Now == nil:
		return errors.New("cassandra: no clock")
	case c.Coalesce < 0:
		return errors.New("cassandra: Coalesce must not be negative")
	}
	for _, n := range []struct {
		name string
		is   int64
	}{
		{"Timeout", int64(c.Timeout)},
		{"ConnectTimeout", int64(c.ConnectTimeout)},
		{"Budget", int64(c.Budget)},
		{"Connections", int64(c.Connections)},
		{"InFlight", int64(c.InFlight)},
		{"CursorsEvery", int64(c.CursorsEvery)},
		{"CursorsFresh", int64(c.CursorsFresh)},
		{"Cursors", int64(c.Cursors)},
		{"ProbeEvery", int64(c.ProbeEvery)},
	} {
		if n.is < 1 {
			return fmt.Errorf("cassandra: %s must be positive", n.name)
		}
	}
	return nil
}
