// Package bench holds the load generator, which measures the server (and the servers that it is held
// against) from outside, over the wire alone. The command is cmd/tolkbench.
//
//	plan       when each message is due, which rate is tried next, when a result does not count
//	histogram  latencies: HDR, 1 us to 60 s, three digits, merged and never averaged
//	dialect    the few frames of the action protocol that load consists of, appended and scanned by hand
//	client     the epoll loop that holds the connections
//	users      accounts and tokens
//	target     the server under test: started or given, asked for its memory and its metrics
//	probe      what the kernel says of a process and of the machine
//	floor      what the server is held against: plain epoll, gnet.Run, a gorilla hub
//	scenario   idle, connect, chat, fanout, rest, abuse, floor
//	report     the result as JSON and as a table
//
// # How it measures
//
// Open loop: every message has a time at which it is due, whatever the server does, and a latency is counted from
// that time. A generator that waits for answers before it sends again hides every stall of the server.
// What could not be sent in time is counted: when more than 1 % of the sends left over 10 ms late while the machine had
// more than 10 % idle CPU, the generator was at fault and the result is refused.
//
// Sender and receiver are in one process, so one clock stamps both ends.
//
// Server and generator share the machine. So the connections are driven by raw system calls on one epoll
// thread, frames are appended and scanned by hand, and ratios are taken against servers that the very same
// client drives, alternating in one run. The CPU of both sides is in every result.
package bench
