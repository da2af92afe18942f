// Package presence is the REST side of presence: a person says online, away or offline and that he
// writes, and asks for the state of people he knows. Whom he knows is decided by the rules of
// router/presence: everybody else reads as offline, and never seen.
//
// The list of everybody who is online is for monitoring, and no role for that exists: every token is
// refused there. The number of people online is a metric.
//
// A device id and metadata, which the clients may send along, are accepted and not kept: nobody reads
// them, and what a client calls status or lastSeen in its metadata must not become either.
package presence
