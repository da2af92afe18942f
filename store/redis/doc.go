// Package redis keeps what may be forgotten in Redis 7: verification codes, rate limits, the order of
// users' threads, presence leases, the fan-out of revocations, cached responses.
package redis
