package cassandra

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/gocql/gocql"

	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/cassandra/threadlog"
)

// serverError is an error that a server answered.
type serverError int

func (e serverError) Code() int       { return int(e) }
func (e serverError) Message() string { return fmt.Sprintf("server error %#x", int(e)) }
func (e serverError) Error() string   { return e.Message() }

func TestErrors(t *testing.T) {
	t.Parallel()
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for _, c := range []struct {
		err   error
		cause cause
		is    error // of the store
		never bool  // surely not written
	}{
		{gocql.ErrNotFound, causeNone, store.ErrNotFound, false},
		{gocql.ErrSessionClosed, causeClosed, store.ErrClosed, true},
		{gocql.ErrTimeoutNoResponse, causeTimeout, store.ErrBusy, false},
		{gocql.ErrConnectionClosed, causeConnection, store.ErrBusy, false},
		{gocql.ErrNoConnections, causeConnection, store.ErrBusy, true},
		{gocql.ErrNoStreams, causeOverload, store.ErrBusy, true},
		{context.DeadlineExceeded, causeTimeout, store.ErrBusy, false},
		{io.ErrUnexpectedEOF, causeConnection, store.ErrBusy, false},
		{refused, causeConnection, store.ErrBusy, false},
		{os.ErrDeadlineExceeded, causeTimeout, store.ErrBusy, false},
		{serverError(gocql.ErrCodeUnavailable), causeUnavailable, store.ErrBusy, true},
		{serverError(gocql.ErrCodeWriteTimeout), causeTimeout, store.ErrBusy, false},
		{serverError(gocql.ErrCodeReadTimeout), causeTimeout, store.ErrBusy, false},
		{serverError(gocql.ErrCodeWriteFailure), causeFailure, store.ErrBusy, false},
		{serverError(gocql.ErrCodeReadFailure), causeFailure, store.ErrBusy, false},
		{serverError(gocql.ErrCodeOverloaded), causeOverload, store.ErrBusy, false},
		{serverError(gocql.ErrCodeBootstrapping), causeOverload, store.ErrBusy, false},
		{serverError(gocql.ErrCodeCASWriteUnknown), causeContended, store.ErrBusy, false},
		{serverError(gocql.ErrCodeServer), causeFailure, store.ErrBusy, false},
		{serverError(gocql.ErrCodeUnprepared), causeFailure, store.ErrBusy, false},
		{serverError(gocql.ErrCodeInvalid), causeRefused, nil, true},
		{serverError(gocql.ErrCodeSyntax), causeRefused, nil, true},
		{serverError(gocql.ErrCodeUnauthorized), causeRefused, nil, true},
		{undecided{gocql.ErrTimeoutNoResponse}, causeTimeout, store.ErrBusy, false},
		{store.ErrConflict, causeNone, store.ErrConflict, false},
	} {
		if k := causeOf(c.err); k != c.cause {
			t.Errorf("%v: cause %v, want %v", c.err, k, c.cause)
		}
		if neverSent(c.err) != c.never {
			t.Errorf("%v: surely not written is %v", c.err, !c.never)
		}
		got := mapped(t.Context(), "do", c.err)
		if c.is != nil && !errors.Is(got, c.is) {
			t.Errorf("%v: %v, want %v", c.err, got, c.is)
		}
		if c.is == nil && isOurs(got) {
			t.Errorf("%v: %v is one of the store's", c.err, got)
		}
		var server gocql.RequestError
		if errors.As(got, &server) {
			t.Errorf("%v: the driver's error gets out", c.err)
		}
		if refused := errors.Is(wrote(c.err), threadlog.ErrRefused); refused != c.never {
			t.Errorf("%v: the log is told that it was refused: %v", c.err, refused)
		}
	}
	if mapped(t.Context(), "do", nil) != nil || wrote(nil) != nil || reads(nil) != nil {
		t.Error("an error of none")
	}
}

// TestErrorsOfCaller has the caller's own context end.
func TestErrorsOfCaller(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := mapped(ctx, "do", context.Canceled); !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrBusy) {
		t.Error(err)
	}
	if err := mapped(ctx, "do", store.ErrConflict); !errors.Is(err, store.ErrConflict) {
		t.Errorf("what was found out is lost: %v", err)
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	r := again{times: 2}
	for err, want := range map[error]gocql.RetryType{
		gocql.ErrTimeoutNoResponse:               gocql.RetryNextHost,
		serverError(gocql.ErrCodeUnavailable):    gocql.RetryNextHost,
		serverError(gocql.ErrCodeInvalid):        gocql.Rethrow,
		context.Canceled:                         gocql.Rethrow,
		gocql.ErrSessionClosed:                   gocql.Rethrow,
		serverError(gocql.ErrCodeAlreadyExists):  gocql.Rethrow,
		serverError(gocql.ErrCodeOverloaded):     gocql.RetryNextHost,
		fmt.Errorf("x: %w", io.ErrUnexpectedEOF): gocql.RetryNextHost,
	} {
		if got := r.GetRetryType(err); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want string
	}{
		{&gocql.RequestErrUnavailable{Consistency: gocql.LocalQuorum, Required: 2, Alive: 1}, "1 of 2 needed replicas live (LOCAL_QUORUM)"},
		{&gocql.RequestErrWriteTimeout{Consistency: gocql.LocalQuorum, Received: 1, BlockFor: 2}, "1 of 2 needed replicas answered a write"},
		{&gocql.RequestErrReadTimeout{Consistency: gocql.Consistency(gocql.LocalSerial), Received: 1, BlockFor: 2}, "a read in time (LOCAL_SERIAL)"},
		{gocql.ErrTimeoutNoResponse, "no answer in time"},
		{gocql.ErrNoConnections, "no host can be reached"},
	} {
		if got := explain(c.err); !strings.Contains(got, c.want) {
			t.Errorf("%T: %q, want %q", c.err, got, c.want)
		}
	}
}
