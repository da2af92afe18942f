// Package proto says what may be asked and what may be told, in plain values that no transport and no
// store shapes: requests, events, messages and the one error type. It imports nothing of ours; the
// sub-packages turn these values into bytes and back: ws (RFC 6455 framing), action (the JSON dialect),
// token (JWTs), id (identifiers).
package proto
