// Package conn is the connections of a node: it owns the listening sockets of all ports, speaks WebSocket on
// them with no goroutine and no heap object for an idle client, calls the rules, and delivers what the rules
// send. What is not for a socket it hands to the HTTP servers. [Server] is a router.Sink and a
// router.Replayer.
//
// # Who owns what
//
//   - A loop (loop.go) is a goroutine in epoll_wait on gnet's exported poller, one a core. A connection
//     belongs to one loop for life; its slot, output, input and deadlines are touched there and nowhere
//     else. A loop never waits: not for a store, not for a lock that is held across a system call of others.
//   - A slot (slot.go) is 96 B without pointers, mapped outside the Go heap, found by the file descriptor.
//     router.Conn names it with a generation, which is checked whenever a name comes from outside: what is
//     sent to a closed connection never reaches the next one with its descriptor.
//   - A side (side.go) is what only a busy connection has: output that waits, incomplete input, a mailbox,
//     the holds of a resume. It goes back to a pool when nothing waits any more.
//   - Workers (worker.go) decode messages and call the rules. A mailbox (mailbox.go) is drained by one of
//     them at a time, so a client's actions start in order.
//   - Everything that others want of a loop comes through its inbox (inbox.go) in one order: deliveries,
//     closes, holds, and the ends of sends. The doorbell is an eventfd that is rung by the first only.
//
// A message goes: loop reads, ws.State.Next finds the frame and unmasks it in place, one copy into the
// mailbox, worker decodes, rule; then Sink encodes once per dialect into a counted frame (frame.go), items
// into inboxes, references into outbound lists, one write a connection and turn. Nothing is allocated.
//
// # Budgets
//
//	what                         budget                       when it is full
//	connections                  Config.MaxConnections        503 from the acceptor
//	connections of an address    Config.PerAddress            503
//	descriptors                  RLIMIT_NOFILE                503 by a spare descriptor; pause 5 ms to 1 s
//	HTTP connections             Config.HTTPConnections       503 with Retry-After
//	head of a request            8 KiB, HeaderTimeout         431, 408
//	time to authenticate         AuthTimeout                  close 4408
//	message                      MessageBytes, as declared    close 1009
//	incomplete and waiting input InputBytes, all together     close 4503 of the one that grows
//	mailbox, sends in flight     Mailbox..., SendsInFlight    reading pauses until half is free
//	messages a second            MessagesPerSecond            close 4429
//	output of a connection       OutboundBytes                one try to write, then close 4413
//	inbox of a loop              InboxItems, InboxBytes       events are dropped; answers and operations pass
//	hold of a thread             256 events, 256 KiB          emptied; the resume takes another round
//	holds of a connection        OutboundBytes, 4096 threads  as above; further threads are not held
//
// Each has a counter; see metrics.go. Deadlines have a resolution of a second and may come up to one early.
//
// # Decisions
//
//   - gnet's poller, not its engine: an accept error ends gnet.Run, its task queue starves sockets, it has
//     no read pause, no limit on output, and 374 B and 4 objects a connection. The poller has no hook
//     between two turns and no time-out, so the flush happens in the doorbell's callback and the clock is
//     a timerfd. Poller.Trigger is never used: its queue is run until it is empty, before any socket.
//   - The doorbell is edge-triggered: each ring is an event, and the counter needs no read.
//   - A turn writes to 256 connections with an answer and 64 others, or 256 KiB, then sockets are looked at
//     again. With 64 answers a turn the loops stood idle while answers waited: each turn ends in a yield, and
//     at 37K messages a second (one to one, two cores) the p99 was 105 to 190 ms; with 256 it is 82 to 93.
//     With 1 MiB a turn, messages among bystanders of a saturated fan-out had a p99 of 20 ms, with 512 KiB 13,
//     with 256 KiB 11, at the same 3.1M deliveries a second. There are two lines: what goes to more than 16 connections (and replay) waits in the one behind, and
//     gets 16 places of each turn in any case. With one line an answer queued behind all copies of a broadcast: with 5,000
//     receivers saturated, ping to pong had a p99 of 281 ms, with two lines and the yield 9.5 ms (an idle
//     server's in the same runs: 5.6 and 2.4 ms).
//   - After a turn that leaves work the loop yields: epoll_wait with a zero time-out never gives the
//     processor up by itself, and the workers would wait for the scheduler's 10 ms.
//   - Workers are woken one at a time, and the woken one wakes the next if there is more.
//   - Small frames to one connection are copied behind each other and written at once, up to 64 KiB: a
//     memmove of 16 frames is far cheaper than writev's iovecs, and than 15 more writes.
//   - References are counted with one atomic add a multicast and loop, and one a delivery when it was sent.
//   - The side is found by an index in the slot, not by a map or a pointer, so that slots stay free of
//     pointers.
//   - An idle mailbox is given back with the loop's next turn, not by a wake-up of its own.
//   - A connection over its output budget is tried once before it counts as slow: a burst of replay may be
//     larger than the budget while the client reads well.
//   - Silence while we do not read is ours; a client that takes output is not silent, even if it says
//     nothing.
//   - A close by us keeps reading until the peer has answered or CloseTimeout is over: closing a socket with
//     unread input makes the kernel send a reset, which can overtake the close frame.
//   - The acceptor parks in the runtime's poller on an epoll instance of its own: no thread is blocked.
//   - Accepted sockets inherit TCP_NODELAY from their listener. Without it, an answer of two frames took
//     25 ms on loopback.
//   - A token is checked again after Table.Attach: a revocation in between found nobody to close.
//   - The hand-over to HTTP deletes the epoll registration first: a descriptor that is closed after it was
//     duplicated stays registered for ever. Duplicating is left to Accept, off the loop.
//
// # Measured
//
// On 2 cores of an AMD EPYC with Linux 6.18 and Go 1.26, clients and other work on the same cores; figures
// move by a factor of two with what else runs:
//
//	idle connection, 5K to 15K      98 B RSS, 0 heap objects, 0 goroutines (7 in all)
//	fan-out to 5,000, BenchmarkFanout with 16 under way   0.8 to 0.95M deliveries/s, 1.1 us of CPU each with the
//	                                client's, 0.06 writes each; 87 % of the CPU is in system calls
//	fan-out through the whole server, durable   4.9M deliveries/s against 2.4M of plain epoll with 16 a
//	                                write, in turns (the depth of merging follows the load)
//	one to one, BenchmarkDeliver    107K messages/s, 5.5 us of CPU each with the client's
//	send, ack and message, BenchmarkEcho   57K sends/s, 20 us of CPU each with the clients'
//	connect with token, BenchmarkConnect   13K/s, 96 us of CPU each with the client's and the close
//	ping to pong, one client        37 us p50 back to back
package conn
