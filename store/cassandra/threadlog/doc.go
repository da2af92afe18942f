// Package threadlog is the log of threads on a store of quorums (Cassandra, Scylla): one owner a thread,
// found by epoch; plain quorum writes; a fence read before every ack. No clock, no lease, no lock. It knows
// no driver: Quorum is the dozen of statements that it needs.
//
// # Why an ack is safe
//
// A node takes slots in one conditional batch, which makes the version of the owners its epoch; every thread
// belongs to a slot. What it writes carries its epoch in the row's key, so that no owner overwrites another.
// Then, before anyone is told, it reads the version: the fence. An ack therefore follows a quorum write that
// was in before a quorum read began that still saw the old version. Whoever takes the slot changes the version
// before it reads the thread; so its read begins after the write was in, and it finds the row.
//
// What it finds above indexed may be final or not. It makes all of it final by writing it again under its own
// epoch, before it says anything; so the log above indexed is always one owner's. Whose? The last one's that
// got so far. One that was deposed before it had written all again may have left any part of that, and a read
// may see any part of it, since pages and repairs take rows one by one. So each row says where the log ended
// when its owner began (Term.Start): an owner of which a row from indexed to there is missing has said
// nothing, and none of its rows counts. Of the others the highest epoch counts, from indexed+1 on until a row
// is missing; unless the row at indexed has a higher one, for then that one's owner came later and saw nothing
// above. (To take each seq's highest epoch, and to let the log end where epochs fall, is not enough: the rows
// of two owners that never said anything can be read as a log that neither had, with a message twice in it,
// and a half seen batch as one that ends before what was acked. Simulation found both.) At and below head the
// highest epoch of a seq does count: whoever wrote a final seq later had read it.
//
// indexed is written with itself as the timestamp, so it only moves forward whoever writes it, and what it
// says stays true: no owner finds it lower than one before it did.
//
// A write whose outcome is unknown is written again, the same, and nothing else of its thread is until it is
// in: so a (seq, epoch) never has two contents. That its senders have been told "busy" by then costs a retry,
// which finds the message by its id.
//
// An id is in memory from the ack on until its row in message_ids is in; indexed says up to which seq they
// are, and moves after them. The next owner reads the rows from indexed on and has the ids above in memory
// before it takes a message. A bucket (one partition) opens when all ids of the one before are in, so an owner
// has one bucket's end to settle. And since head stays within 1024 messages and 2 MiB of indexed, give or take
// a turn, that is all that an activation reads and writes again.
//
// Tests play all of it under a scheduler of their own on three replicas with late, lost, torn and repeated
// writes, owners that stand still, die and are deposed alive; and see that each rule switched off is noticed.
//
// # How a message goes through
//
// Append puts it into its thread's queue. A thread with something to do is a job; jobs run on goroutines that
// there are only while something waits (Config.Workers at most, which is also the number of statements in
// flight). A turn takes up to 64 messages of a thread through three steps: ids that memory does not know are
// looked up, several threads' together; the new messages are one batch on one partition; one fence read
// serves every thread whose batch is in by then. Between the steps a thread waits in a list, not on a
// goroutine. Then head moves and Done is called, in order. Ids, indexed, last_bucket and the newest messages
// of lists are written off that path.
//
//	statements to the ack   a look-up, a batch, a fence: the first and the last shared between threads
//	off the path            an index row a message, in calls of up to 10; indexed once in 256 messages
//	                        or 200 ms; last_bucket once in 16,384 messages
//	first use of a thread   hint, indexed, a page of rows, a fence; batches where an owner died
//
// # Decisions
//
// The fence reads the version alone. It changes with every take, so while it is the one that is known, all
// slots are whose they were; only when it is not are the 256 owners read. They are one partition that each
// replica changes at once, so both reads see the same.
//
// Memory is asked before message_ids: an id leaves memory after its row is in, so one that memory does not
// have is there or nowhere. message_ids has the time of sending too: a retry is answered from it alone, and a
// storm of retries after an outage reads no messages.
//
// A first unknown outcome is repeated at once, before its senders are told: most often one coordinator has
// died and the next one answers. From the second on they are told to come again, and the turn owns its bytes.
//
// The newest messages of all threads are in one ring outside the heap, so that a resume of someone who was
// away for a moment reads nothing.
//
// Find knows the ids in memory and those in message_ids. What a dead owner had acked and not indexed, 200 ms'
// worth at most unless the store was failing, is found by its id after its thread was used again; retries are
// not concerned, they use it.
package threadlog
