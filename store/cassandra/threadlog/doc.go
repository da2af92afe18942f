// Package threadlog is the log of threads on a store of quorums (Cassandra, Scylla): one owner a thread,
// found by epoch; plain quorum writes; a fence read before every ack. It knows no driver: Quorum is the
// dozen of statements that it needs.
package threadlog
