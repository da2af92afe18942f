// Package client holds the load generator's connections: one epoll loop, on one thread, drives any number
// of them with raw system calls.
//
// A connection that does nothing costs its Conn and no buffer. What is written in one pass of the loop goes out in
// one write at its end, so that a generator which is behind merges messages instead of falling further behind. Reads
// take up to 256 KiB at once. Every connection is registered once, edge-triggered for both directions: no
// epoll_ctl follows for its whole life.
//
// Reads and writes never block, so they are made without telling the Go scheduler (RawSyscall): it saves about 100 ns each.
// Only waiting is announced to it. The loop's thread is locked.
//
// Everything of a Loop and its Conns belongs to the loop's thread, save Loop.Do, Loop.Call and Loop.Close.
package client
