// Package chat holds the rules of conversations: who may write where, what follows from a message, how
// far a member has read, and how a client that comes back gets what it missed. A socket and a REST
// handler call the same functions; nothing here knows a transport.
//
// # Sending
//
// Send checks a message on the caller's worker, copies it into a pooled sending and hands that to the
// log. No goroutine waits: when the message is durable the log calls back, in seq order within the
// thread, and from there the ack leaves first and the message after it, to the receiver (or the group's
// room) and to the sender's other connections. A retry of a message that the log holds already is acked
// with the first result and delivered to nobody. Whoever's thread it is, the room of a group is in memory
// before the message goes to the log and stays there until the message has left, so that delivery never
// reads a store.
//
// A message that names no language is stored with its sender's own, as the log's readers and translators
// need it. That costs no read: sending looks at the sender's row anyway, to refuse one who is blocked, and
// the cache of people that answers for it holds the language too.
//
// A person cannot write to themselves, nor to somebody who has no row or is blocked: not_found. A
// threadId that does not belong to the receiverId beside it is invalid. A stranger to a direct thread
// reads what a thread that does not exist reads: not_found. Who is no member of a group that exists reads
// forbidden.
//
// # Resuming
//
// See resumption: hold live messages back, read the durable head, send what the client lacks up to it,
// let the held ones through. Threads that the client names and that are not its user's are left out of
// the answer, without a word about whether they exist.
package chat
