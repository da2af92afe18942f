// Package redis keeps what may be forgotten in Redis 7: verification codes and grants, rate limits, the
// order of users' direct threads, presence leases, the fan-out of revocations, and cached responses. One
// server, a primary that sentinels watch, or a cluster; see ParseURL for how each is named.
//
// Losing all of Redis costs no message, no order, no session and no revocation, since none of them is here.
// Everything has an expiry, every key and channel begins with the configured prefix, and in a cluster all
// keys of one step have one hash tag. A call ends within Config.Timeout; its error is store.ErrBusy with the
// cause, whatever it was, and says what to check where that can be said. Open tries every kind of call once,
// so that a missing permission is an error at the start and names itself.
//
// # Without Redis
//
// Codes fail: a code that cannot be counted is a code that can be guessed, and without a code the person
// asks again in a minute. Limits do not fail: they are counted in this process (Config.Fallback), since the
// alternative is that nobody can log in because a cache is away; a limit is as many times as high then as
// there are nodes. Recency and Responses answer nothing, and the main store is asked. Leases are remembered
// and written when Redis is back; until then Of fails, and whoever asked must tell every node. Revocations
// are read from the main store every Config.ReloadDeaf by each node that cannot listen.
//
// After three calls in a row that were not answered the next ones fail at once, for half a second, then one
// goes through to see. In a cluster that is so for each 256th of the slots by itself. The connections come
// back by themselves; a check writes a key each second (one in each 32nd of a cluster's slots), which is what
// Healthy reports.
//
// # Decisions
//
// What a script compares and what keys are named by is hashed under Config.Secret (HMAC-SHA256): MONITOR, the
// slow log and a dump show no phone number, no address and no code. Every node must have the same secret.
//
// A list of threads is valid under one reign, Redis's master_replid, which is new when a server starts and
// when a replica is promoted. Replication is asynchronous: a promoted replica, or a server that read an old
// dump, may have a list and lack the newest change of it, and that would be a thread missing from someone's
// list for hours. INFO replication inside the script is what tells; that costs the server some 8 us, of which
// 3.3 are INFO, and is only asked where a list is there at all. Its other enemy is a Touch that fails: the
// user is remembered (at most 64K of them) and the list deleted as soon as Redis can be reached, and before
// this node reads it. A list is built anew after six hours in any case.
//
// Leases are kept in 256 sets a node, with a version each that every write checks and raises. So a node's
// beat is at most 256 small steps whatever it holds: 4 to 50 ms for a million users, most of them on a
// machine that had seven jobs a core. A key for each user would be a million writes every few seconds. A version that is not the
// expected one (Redis was emptied, a replica lacked the last writes, an unknown outcome, another process
// before this one) makes the bucket be written anew, in steps of 200 users into a set of its own that is
// renamed at the end, so that nobody sees half of it. All of a million users: 3 to 13 s on that machine. With
// beats of 200 ms in place of 6 s and 700 users in nearly all buckets, every lease was seen again 0.1 to 0.4
// s after FLUSHALL, 0.3 to 0.9 s after a kill and a restart, 2.7 to 3.2 s after the kill of a primary under
// sentinels (down-after 1 s) and 3.9 to 4.5 s in a cluster (node-timeout 1.5 s).
//
// Pub/sub promises nothing, so a listener checks: each new subscription counts as something missed, and it
// must hear its own echo every few seconds, which also finds a connection that lives on at a server that is
// no longer the one that is published at. What could not be published is owed: when Redis answers again the
// others are told that they missed something. Slots of a cluster may move; the channel's does so in a test.
//
// Round trips of one caller on that busy machine: a limit 0.5 ms, a code put and tried 1.1 ms, a Touch of
// two lists 0.4 to 0.6 ms, the newest 50 of 5000 threads 1.5 ms, a response of 1000 bytes 0.5 ms; with 64
// callers 12K limits, 9K codes, 13K responses a second. The nodes of a thousand users, in 256 buckets: 7 to
// 13 ms. They bound nothing but the order of magnitude.
package redis
