// Package pebble keeps everything in one embedded Pebble store: the default of a server.
//
// # The log
//
// A thread belongs to one committer by its id. The committer takes what waits in its bounded queue, answers
// retries with the first result, gives out seq and applies a group of messages as one batch: a row of the
// journal and, at seq 1 of a direct thread, the thread's rows. Its syncer waits until the batch is
// durable, then moves the durable head and calls Done, in order: nothing leaves from anywhere else, and
// nothing is acked of a batch whose sync failed, or after it (Config.Fatal). Readers never see what is above
// the durable head, although Pebble shows a batch before it is synced. A thread that memory knows nothing of
// has nothing on its way, so the last key that an iterator sees then is its durable head.
//
// The journal is where a message is durable first. A filer moves what is durable to the tables of messages and of
// ids, every four seconds or 64K messages; until then memory answers for it, and a committer that is a whole
// generation ahead waits. Open files what a crash left in the journal, a second time where it was filed and
// still in it.
//
// What a crash leaves is a prefix of each thread, without holes. What was synced and not acked answers its
// retry as a duplicate. Tests clone a crashable file system at random instants, with none to all of what was
// not synced, and see that their checker notices a store without syncs, without look-ups or with holes.
//
// # Decisions
//
// Measured on two cores of an AMD EPYC that other jobs used too, messages of 200 bytes in 1000 direct
// threads, fdatasync 0.2 to 0.3 ms. Take figures of different paragraphs as an order of magnitude.
//
// A filter in front of the id look-up. Nearly every message is new, and Pebble's Get of an id that is not
// there was 55 % of the CPU of a message even with bloom filters (memtables, then a filter of every level,
// then their checksums where the block cache has lost them). An in-memory Bloom filter of all ids, 1.5 bytes
// each and at most 64 MiB, proves nearly all of them new. Six runs, taking turns, 512 in flight: 22 to 26 us of
// CPU a message and 48K to 56K messages/s without it, 7 to 9 us and 165K to 218K/s with it. It is filled by a
// scan in the background after Open, 0.15 s a million ids; until then, and for what it cannot prove, Get
// decides. It may take a new id for a known one, never a known one for new.
//
// No hash of bodies. A retry is told from a conflict by comparing it with the first message itself, which is
// read only then. That costs nothing on the way of a new message, leaves the id's row at 18 bytes and more,
// and there is nothing that a sender could make collide. (A hash would have to hold against the sender
// alone: ids are hashed from the sender, so nobody else can send under one.)
//
// One committer for four cores. Groups of one committer are twice as large as those of two, and a group
// costs a sync, three wake-ups and a write whatever its size: with 64 in flight, 8 to 9 us a message with
// one, 12 to 16 with two, 12 with four; with 512 in flight 6.0, 6.7 and 6.8. Two groups in flight are as
// good as three, and better than one (101K/s against 56K/s with 64 in flight). Single runs beside other jobs.
//
// A journal. Two rows a message, in random places of the memtable, were 13 % of the server's CPU at 25K messages a
// second, and flushing them 4 %, in bursts that everybody waited for. A row a group and sorted tables that Pebble
// takes in as they are cost 3 and 4 %. The whole server, in turns, 42K messages a second one to one: 28 to 29.5 us
// a message and a p99 of 55 to 200 ms with rows, 26.3 us and 35 to 44 ms with the journal; at 22K 46.4 us and 42.7.
// A second between filings, not four, costs 2 us more, and its syncs of the disk a p99 of 20 ms in place of 9.
//
// Sixteen sublevels of L0 before a compaction, not four: each compaction rewrites the level below, so a quarter as
// many are 1.5 us a message less. A page that is not in memory looks into so many tables more.
//
// Flushes, compactions and filings rest three times as long as they worked, a millisecond at a time, unless they
// fall behind (calm.go): at 42K a second the p99 went from 131 and 142 ms to 77 and 88.
//
// Paced batches. Messages that come one by one would each be synced alone, at some 60 to 100 us of CPU. A
// committer that applied a batch less than Pace ago lets what comes wait for the rest of it, which Go's
// timers make about a millisecond. At 5000 messages a second, evenly spaced, that is 21 us a message in place
// of 55. The first message after a pause is not held up, and neither is a queue that is a quarter of a
// group long.
//
//	evenly timed bursts    cpu/message   p50       p99
//	1000 a second          134-165 us    1.9 ms    8.3 ms
//	5000                   34-39 us      1.2 ms    8.3 ms
//	10,000                 23 us         1.3 ms    8.6 ms
//	20,000                 14 us         1.4 ms    16 ms
//	30,000                 11-14 us      1.3 ms    5-12 ms
//	60,000                 6 us          1.5 ms    24 ms
//	in flight              messages/s    p50       p99      cpu/message
//	64                     72K           0.6 ms    3.9 ms   13 us
//	512                    207K-264K     1.8 ms    5-8 ms   5-7 us
//	4096                   185K-205K     16-19 ms  49 ms    6-8 us
//
// (The upper half has the generator's own CPU in it, about 50 us a millisecond. Half of the waiting there
// is the generator's too: it sends what is due once a millisecond.) These are from
// before the journal, when a third of the CPU at full speed was the memtable's skip list. No allocation a message.
//
// Memtables of 64 MiB. What was filed by the time of a flush is not written a second time, and that is most of a
// large one. They grow from 256 KiB as they are written; an open and idle store is 1 MiB of memory. A server that
// takes 40K messages a second is at 240 MB, of which up to 48 are what is to be filed.
//
// The newest messages of all threads are in one ring of 16 MiB outside the heap, each with the place of the
// one before it in its thread: a resume inside it reads no store, and no index is kept. Iterating a thread's
// keys is what is left, for older ones.
//
// No stored previews. Head needs the last message of a thread anyway, and it says what a preview says. What
// is coalesced is the order of a user's list, see recency.go. The newest 50 of 5000 direct threads are 0.17
// ms; each group that the user is in adds a look-up of its row, some 2 us. After a crash the threads whose
// place lags are known by name and moved at Open.
//
// Users, sessions, groups and the rest are read and changed under a striped lock and synced after it is
// given back, so that Pebble syncs all who wait at once: 33K registrations a second from 128 goroutines.
// Cursors move in memory and are written once a second.
package pebble
