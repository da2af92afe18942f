// Package user is the service of people: profiles, search by phone, contacts, languages and push tokens.
//
// Decisions.
//
// A profile may be read by anybody who is logged in, a phone number only by its owner and by those who
// share a thread with the owner; others read an empty one. Search needs the whole number, and is limited
// by user, since each search tells whether a number has an account.
//
// Profiles are read far more often than written, so they are kept in a bounded cache, dropped when this
// node writes them and believed for Config.CacheLife at most, because other nodes write too. Whether two
// people share a thread is kept the same way. A read that began before a write never fills the cache
// after it. Such a read costs 12 us and 32 allocations in the whole server (BenchmarkProfile); through
// the gateway, over TCP with real tokens and counted limits, 5,000 a second on 50 connections took 0.6 ms
// at the median and 1.9 ms at the 99th percentile, on two busy cores that the client shared.
package user
