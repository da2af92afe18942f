// Package store says what is kept and which promises its keepers make: a record type and an interface
// an aggregate, with at most six methods each. store/storetest is the same text as a test that every
// backend passes. Backends map their own failures to the errors here; no driver type leaves a backend.
//
// Every method may be called from many goroutines at once. Records and slices that a method returns
// belong to the caller; those that it takes stay the caller's, and are not kept after it returns, save
// where the comment says otherwise. A method that returns nil has made its write durable, save where
// the comment says otherwise. Times are Unix milliseconds.
package store

import "errors"

// The failures that a caller can act on. Anything else is unexpected.
var (
	ErrNotFound = errors.New("store: not found")
	ErrConflict = errors.New("store: conflict")        // contradicts what is stored
	ErrBusy     = errors.New("store: busy")            // over a budget, or the disk is nearly full: retryable
	ErrClosed   = errors.New("store: closed")          // the store was closed
	ErrDeposed  = errors.New("store: no longer owner") // another node owns the log now
	ErrPosition = errors.New("store: not a position")  // a list was asked for from a place that it never gave
)
