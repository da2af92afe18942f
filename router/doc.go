// Package router knows who is connected where. It holds the table from users to their connections, the
// rooms (a group's connected members, ready to be sent to), and the gate that says whether a token is good.
// It reads no store on the path of a connect or of a direct message. The rules that a client can trigger
// stand on it, one package each: chat and presence.
//
// # The table
//
// 256 shards by a seeded hash of the user id, each a mutex and an open-addressed map of 24-byte entries
// (user, connection) without a pointer: a user with several devices has several entries in one probe run.
// Load stays between a half and three quarters, growth is by a half, and a shard shrinks when it is a
// quarter full, so a connection costs 32 to 48 bytes (resident, measured: 50 at 15,000, 44 at a million).
// Shards of 16 KiB and more live outside the Go heap: the collector neither scans them nor counts them into
// its next target.
//
// # Rooms
//
// Sending to a group of thousands must not look each of them up. A room holds the connections of its
// members, split by loop, as slices whose visible part never changes: an attach appends behind what readers
// see, a detach is noted, and the next send sweeps all that was noted in one pass. So a storm of n attaches
// costs n appends, and a send without churn allocates nothing (5,000 members, 2 shared cores: 24 ns to
// publish a quiet room, 18 us after somebody came or went, 250 us to look all of them up in the table).
// Attach and the building of a room meet under the lock of the user's shard, where both the connection and
// the note "is in this room" are kept; each connection is therefore added exactly once, whoever comes
// first.
//
// Locks are taken in this order: a room's turn, the rooms' list, a user's shard, a room's lists. None is
// held while a Sink is called or, save a room's turn, while a store is read.
package router
