package cassandra

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/gocql/gocql"

	"github.com/tolkflip/tolkflip/store"
)

// cause is why a statement failed.
type cause uint8

const (
	causeNone        cause = iota
	causeTimeout           // neither side heard from the other, or the replicas did not answer in time
	causeUnavailable       // too few replicas live; nothing was tried
	causeConnection        // no connection, or it broke
	causeOverload          // the coordinator takes no more, or is not up yet
	causeFailure           // replicas answered that they failed
	causeContended         // a condition met others too often
	causeCancelled         // the caller's context ended
	causeClosed            // the store was closed
	causeRefused           // the server does not take it: syntax, schema, permission
	causes
)

func (c cause) String() string {
	return [causes]string{
		"none", "timeout", "unavailable", "connection", "overload", "failure", "contended", "cancelled", "closed", "refused",
	}[c]
}

// retryable reports whether the same call may succeed later.
func (c cause) retryable() bool {
	switch c {
	case causeTimeout, causeUnavailable, causeConnection, causeOverload, causeFailure, causeContended:
		return true
	default:
		return false
	}
}

// causeOf tells a driver's error.
func causeOf(err error) cause {
	if err == nil || errors.Is(err, gocql.ErrNotFound) || isOurs(err) {
		return causeNone
	}
	for _, k := range []struct {
		err error
		is  cause
	}{
		{gocql.ErrSessionClosed, causeClosed},
		{gocql.ErrTimeoutNoResponse, causeTimeout},
		{gocql.ErrTooManyTimeouts, causeTimeout},
		{gocql.ErrUnavailable, causeUnavailable},
		{gocql.ErrConnectionClosed, causeConnection},
		{gocql.ErrNoConnections, causeConnection},
		{gocql.ErrNoConnectionsStarted, causeConnection},
		{gocql.ErrNoStreams, causeOverload},
		{context.DeadlineExceeded, causeTimeout},
		{context.Canceled, causeCancelled},
	} {
		if errors.Is(err, k.err) {
			return k.is
		}
	}
	var server gocql.RequestError
	if errors.As(err, &server) {
		switch server.Code() {
		case gocql.ErrCodeUnavailable:
			return causeUnavailable
		case gocql.ErrCodeWriteTimeout, gocql.ErrCodeReadTimeout:
			return causeTimeout
		case gocql.ErrCodeOverloaded, gocql.ErrCodeBootstrapping:
			return causeOverload
		case gocql.ErrCodeCASWriteUnknown:
			return causeContended
		case gocql.ErrCodeServer, gocql.ErrCodeTruncate, gocql.ErrCodeReadFailure, gocql.ErrCodeWriteFailure,
			gocql.ErrCodeCDCWriteFailure, gocql.ErrCodeUnprepared:
			return causeFailure
		default:
			return causeRefused
		}
	}
	var network net.Error
	if errors.As(err, &network) {
		if network.Timeout() {
			return causeTimeout
		}
		return causeConnection
	}
	// The driver has errors of its own without a type, all of connections: "no connection available" and such.
	return causeConnection
}

// neverSent reports whether surely nothing of a write was done and nothing will be. It is so only of what a
// coordinator checks before it asks a replica, and of what never left.
func neverSent(err error) bool {
	var server gocql.RequestError
	if errors.As(err, &server) {
		switch server.Code() {
		case gocql.ErrCodeUnavailable, gocql.ErrCodeSyntax, gocql.ErrCodeUnauthorized, gocql.ErrCodeInvalid, gocql.ErrCodeConfig:
			return true
		default:
			return false
		}
	}
	for _, k := range []error{gocql.ErrSessionClosed, gocql.ErrNoConnections, gocql.ErrNoStreams} {
		if errors.Is(err, k) {
			return true
		}
	}
	return false
}

// explain says what a driver's error means, in words that need no knowledge of the driver. The error itself
// stays here: only its text goes on.
func explain(err error) string {
	var unavailable *gocql.RequestErrUnavailable
	var write *gocql.RequestErrWriteTimeout
	var read *gocql.RequestErrReadTimeout
	switch {
	case errors.As(err, &unavailable):
		return fmt.Sprintf("%d of %d needed replicas live (%s)", unavailable.Alive, unavailable.Required, level(unavailable.Consistency))
	case errors.As(err, &write):
		return fmt.Sprintf("%d of %d needed replicas answered a write in time (%s)", write.Received, write.BlockFor, level(write.Consistency))
	case errors.As(err, &read):
		return fmt.Sprintf("%d of %d needed replicas answered a read in time (%s)", read.Received, read.BlockFor, level(read.Consistency))
	case errors.Is(err, gocql.ErrTimeoutNoResponse), errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, gocql.ErrNoConnections):
		return "no host can be reached"
	case errors.Is(err, gocql.ErrConnectionClosed):
		return "the connection broke"
	}
	return err.Error()
}

// level names a consistency. The driver has no names for those of conditions.
func level(c gocql.Consistency) string {
	switch gocql.SerialConsistency(c) {
	case gocql.Serial:
		return "SERIAL"
	case gocql.LocalSerial:
		return "LOCAL_SERIAL"
	default:
		return c.String()
	}
}

// mapped makes the store's error of a driver's. ctx is the caller's, without what this package limits.
func mapped(ctx context.Context, what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, gocql.ErrNotFound):
		return store.ErrNotFound
	case isOurs(err):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
	switch c := causeOf(err); {
	case c == causeClosed:
		return store.ErrClosed
	case c.retryable():
		return fmt.Errorf("%s: %w: cassandra %s: %s", what, store.ErrBusy, c, explain(err))
	default:
		return fmt.Errorf("%s: cassandra %s: %s", what, c, explain(err))
	}
}

// isOurs reports whether an error is one of the store's already.
func isOurs(err error) bool {
	for _, ours := range []error{store.ErrNotFound, store.ErrConflict, store.ErrBusy, store.ErrClosed, store.ErrDeposed, store.ErrPosition} {
		if errors.Is(err, ours) {
			return true
		}
	}
	return false
}

// again repeats a read, or a write that may be done twice, on the next host. It is set on single statements
// only, never for the log and never for conditions.
type again struct{ times int }

// Attempt is asked after each failure; Attempts counts those before.
func (r again) Attempt(q gocql.RetryableQuery) bool { return q.Attempts() <= r.times }

// GetRetryType moves on to the next host where another try may help.
func (r again) GetRetryType(err error) gocql.RetryType {
	if causeOf(err).retryable() {
		return gocql.RetryNextHost
	}
	return gocql.Rethrow
}
