// Package cassandra keeps everything in a keyspace of Cassandra 4.1 or 5, or ScyllaDB: for more than one
// machine's disk holds, and to lose none of it with a machine.
//
// # The log
//
// Package threadlog has the rules; here are its statements (quorum). None of them is ever repeated by the
// driver or sent to two hosts at once: only the log knows what may be repeated. An error is a refusal only
// where a coordinator found before it asked a replica that it cannot (Unavailable, Invalid), or where nothing
// left this process; every other one leaves the outcome open.
//
// # Conditions
//
// What must hold also when two do it at once (a phone has one user, a device one session, a token one
// owner, a group a number of members) is one partition that is changed by conditional batches alone: read
// it, decide, and write on the condition that its version is still the one that was read. The outcome of a
// condition can be lost like any other answer: then the call looks at what stands, at serial consistency,
// until it knows. Tests run the contract with half of all conditions failing, before or after they were
// applied. Callers of one process that would meet in a condition wait for each other in memory (stripes),
// which costs less than to lose on the servers: 200 joins of a group, tried by four at once, 3.9 s.
//
// What is outside of that partition is written so that late and repeated writes do no harm: with a version
// as its timestamp (see schema.go), and in an order in which whatever a crash leaves undone is in nobody's way:
// a row that no phone leads to, a group in no list, a revocation of a session that stays.
//
// No write of a message or of a cursor is conditional, and none deletes.
//
// # Lists
//
// The order of a user's direct threads changes with every message, so it is not stored: threads_by_user
// has a time in each row, written at most once a second, and Config.Recency holds the order of lists that were
// asked for lately. What it does not know is read whole, sorted and given to it. A cache that did not hear of a
// move is not asked again before it was filled again. So with a warm cache a page is two statements however
// many threads there are: the user's groups, and the rows of the threads in question (IN, one round trip).
//
// # Failures
//
// Unavailable, a time-out, no connection: the caller is told store.ErrBusy and in its text the cause, and may
// come again. Single reads, and writes that may be done twice, are tried on up to two more hosts first. A host
// that lets statements time out is asked last for 1 to 8 s (hosts): a stopped process keeps its connections, and
// the other nodes take some 20 s to notice it. Healthy turns red after two probes in a row that no quorum
// answered, and green with the first that one did.
//
// # Decisions
//
// Messages are rows of columns, not of one blob: 11.2K to 11.9K rows/s against 9.8K to 13.9K, batches of four from
// 32 goroutines, is no difference. Columns without a value are left unset, so that no tombstones are written.
//
// Coalescing of writes by the driver is off: its 200 us cost a lone statement more (0.55 ms without, 1.8 ms with)
// than they save many (3.4 ms against 4.5 ms at 32 in flight).
//
// Keys are uuid columns, which sort by version and then by bytes. Ids of one kind have one version, so that
// members and groups come in the order of their bytes.
//
// Tables are made with ids that are hashed from their names: two nodes that are asked at once to make a table
// would otherwise give it two ids, which Cassandra does not heal.
package cassandra
