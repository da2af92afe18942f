// Package presence knows who is there, and tells those who may know it.
//
// A user is online from the first connection until Debounce after the last one has gone; away, and
// hidden (offline while connected), when the person says so. Who may know: those who share a thread with
// the user, directly or in a group. To everybody else a user reads as offline and was never seen.
//
// # Whom a change reaches
//
// When a state changes, a single goroutine works out the people of the user's most recent threads (at
// most Threads of them, groups up to SmallGroup members) and tells those who are connected. In addition
// it tells the connections that watch the user explicitly, have shared a thread with them when they said
// so, and still do. So a watch serves for people of older threads and of large groups; one that began as
// a stranger's is served as soon as both have a direct thread. Nothing of this is on the path of a
// connect, which only puts the user into a bounded queue: it reads no store. In a storm the queue drops
// what it cannot hold and counts it; then watchers hear late, and who asks gets the truth, which is always
// computed from the table of connections.
//
// # Watches
//
// A watch is kept in both directions without a pointer: 8 bytes in a block of four that belongs to its
// connection, linked into the list of the watched person. With 8 watches a connection that is 19.6 bytes a
// watch, all included, at 15,000 connections, and 19.3 at a million. A closed connection's watches end at once; their memory comes back when a list is
// half dead, so that neither closing nor a change ever searches a long list. Lists are walked in steps of
// step, with the lock free in between: a loop never waits for more than one.
package presence
