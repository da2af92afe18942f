package conn

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/tolkflip/tolkflip/proto"
)

// Config is what an operator may set. Take Default and change fields; a zero Config is not valid.
type Config struct {
	Loops   int // event loops, 1 to 250; each is a goroutine that blocks in epoll_wait
	Workers int // goroutines that decode and call the rules

	MaxConnections  int // sockets of all ports together, those of the HTTP servers excepted; more get 503
	PerAddress      int // of those, sockets of one client address; 0 = no cap
	HTTPConnections int // sockets that are with the HTTP servers at once; more get 503

	MessageBytes    int   // one WebSocket message, all fragments; longer is closed with 1009
	OutboundBytes   int   // bytes that may wait for one connection; more closes it with 4413
	InputBytes      int64 // incomplete frames, messages and requests of all connections together; over it the one that grows is closed with 4503
	MailboxMessages int   // messages of one connection that wait for a worker before reading pauses
	MailboxBytes    int   // bytes of those messages
	SendsInFlight   int   // sends of one connection that are not finished before reading pauses
	InboxItems      int   // deliveries that may wait for one loop; further events are dropped, and counted
	InboxBytes      int   // bytes of those deliveries

	MessagesPerSecond int // of one connection, on average; 0 = no limit; over it the connection is closed with 4429
	MessageBurst      int // messages that may come at once before MessagesPerSecond counts

	HeaderTimeout time.Duration // from accept to the end of the request's head
	AuthTimeout   time.Duration // from the upgrade to an accepted token; then 4408
	PingAfter     time.Duration // silence before a ping
	PongTimeout   time.Duration // further silence before 4408
	CloseTimeout  time.Duration // wait for the peer's half of a close handshake
	DrainWindow   time.Duration // Shutdown spreads its 1001 closes over this time at most; a few connections take 5 ms each

	Now func() time.Time // wall clock, for the expiry of tokens

	tick   time.Duration // resolution of the deadlines
	manual bool          // the clock of the deadlines moves by Server.advance alone
}

// Default is the configuration of a server with a loop a core.
func Default() Config {
	cores := runtime.GOMAXPROCS(0)
	return Config{
		Loops:   min(cores, maxLoops),
		Workers: 2 * cores,

		MaxConnections:  1 << 22,
		HTTPConnections: 10_000,

		MessageBytes:    proto.MaxFrame,
		OutboundBytes:   1 << 20,
		InputBytes:      256 << 20,
		MailboxMessages: 64,
		MailboxBytes:    256 << 10,
		SendsInFlight:   64,
		InboxItems:      1 << 18,
		InboxBytes:      128 << 20,

		MessageBurst: 200,

		HeaderTimeout: 10 * time.Second,
		AuthTimeout:   10 * time.Second,
		PingAfter:     25 * time.Second,
		PongTimeout:   20 * time.Second,
		CloseTimeout:  5 * time.Second,
		DrainWindow:   5 * time.Second,

		Now:  time.Now,
		tick: time.Second,
	}
}

// Validate reports the first field that is out of its range.
func (c Config) Validate() error {
	for _, f := range []struct {
		name       string
		value, low int64
		high       int64
	}{
		{"Loops", int64(c.Loops), 1, maxLoops},
		{"Workers", int64(c.Workers), 1, 1 << 14},
		{"MaxConnections", int64(c.MaxConnections), 1, 1 << 28},
		{"PerAddress", int64(c.PerAddress), 0, 1 << 28},
		{"HTTPConnections", int64(c.HTTPConnections), 1, 1 << 28},
		{"MessageBytes", int64(c.MessageBytes), 125, 16 << 20},
		{"OutboundBytes", int64(c.OutboundBytes), 4 << 10, 1 << 30},
		{"InputBytes", c.InputBytes, int64(c.MessageBytes), 1 << 40},
		{"MailboxMessages", int64(c.MailboxMessages), 1, 1 << 16},
		{"MailboxBytes", int64(c.MailboxBytes), 1 << 10, 1 << 30},
		{"SendsInFlight", int64(c.SendsInFlight), 1, 1 << 16},
		{"InboxItems", int64(c.InboxItems), 1 << 10, 1 << 30},
		{"InboxBytes", int64(c.InboxBytes), 1 << 20, 1 << 40},
		{"MessagesPerSecond", int64(c.MessagesPerSecond), 0, 1 << 14},
		{"MessageBurst", int64(c.MessageBurst), 1, 1 << 14},
	} {
		if f.value < f.low || f.value > f.high {
			return fmt.Errorf("conn: %s is %d, must be %d to %d", f.name, f.value, f.low, f.high)
		}
	}
	for _, f := range []struct {
		name      string
		value     time.Duration
		low, high time.Duration
	}{
		{"HeaderTimeout", c.HeaderTimeout, c.tick, time.Hour},
		{"AuthTimeout", c.AuthTimeout, c.tick, time.Hour},
		{"PingAfter", c.PingAfter, c.tick, 24 * time.Hour},
		{"PongTimeout", c.PongTimeout, c.tick, time.Hour},
		{"CloseTimeout", c.CloseTimeout, c.tick, time.Minute},
		{"DrainWindow", c.DrainWindow, 0, time.Hour},
	} {
		if f.value < f.low || f.value > f.high {
			return fmt.Errorf("conn: %s is %s, must be %s to %s", f.name, f.value, f.low, f.high)
		}
	}
	if c.Now == nil || c.tick <= 0 {
		return errors.New("conn: Config was not made by Default")
	}
	return nil
}

// ticks is d in ticks, rounded up.
func (c *Config) ticks(d time.Duration) uint32 {
	return uint32((d + c.tick - 1) / c.tick)
}
