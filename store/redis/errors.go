package redis

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/redis/rueidis"

	"github.com/tolkflip/tolkflip/store"
)

// failure is a call that failed. It is store.ErrBusy whatever the cause: nothing that is kept here is
// needed, so nobody need tell causes apart, save the one who reads the log.
type failure struct {
	doing  string
	server string
	why    reason
	cause  error  // never one of the driver's types
	advice string // what to check, where that can be said
}

func (f *failure) Error() string {
	s := "redis: " + f.doing
	if f.server != "" {
		s += " at " + f.server
	}
	s += ": " + f.cause.Error()
	if f.advice != "" {
		s += " (" + f.advice + ")"
	}
	return s
}

// Unwrap gives what errors.Is finds.
func (f *failure) Unwrap() []error { return []error{store.ErrBusy, f.cause} }

var (
	errNotTried = errors.New("not tried, as it has just failed to answer")
	errCrowded  = errors.New("too many calls wait already")
	errAnswer   = errors.New("an answer that makes no sense")
)

// fail makes a failure of what the driver says. ctx is the caller's.
func (c *client) fail(ctx context.Context, k command, err error) error {
	if c.closed.Load() {
		return store.ErrClosed
	}
	f := &failure{doing: k.doing(), server: c.cfg.String(), why: failedLost, cause: err}
	var answer *rueidis.RedisError
	var network net.Error
	switch {
	case errors.As(err, &answer):
		f.why, f.cause = failedRefused, errors.New(withoutArguments(answer.Error()))
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		f.why = failedCaller
	case errors.Is(err, errNotTried), errors.Is(err, errCrowded):
		f.why = failedShort
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		f.why, f.cause = failedTimeout, errNoAnswer{err}
	case errors.As(err, &network) && network.Timeout():
		f.why = failedTimeout
	}
	f.advice = c.cfg.advice(f.cause)
	return f
}

// errNoAnswer reads better than "context deadline exceeded", and is it.
type errNoAnswer struct{ error }

func (e errNoAnswer) Error() string { return "no answer in time" }
func (e errNoAnswer) Unwrap() error { return e.error }

// withoutArguments cuts what Redis repeats of a command that it does not know: it may hold a password.
func withoutArguments(s string) string {
	s, _, _ = strings.Cut(s, ", with args beginning with")
	return s
}

const noTLS = "does the server speak TLS on this port? if not, leave tls= out, or use its tls-port"

// advice says what to check.
func (c Config) advice(err error) string {
	s := err.Error()
	user := c.User
	if user == "" {
		user = "default"
	}
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case strings.Contains(s, "WRONGPASS") && c.Mode == Sentinel:
		return "check the password of user " + user + " at the servers, and the user and the password at the sentinels"
	case strings.Contains(s, "WRONGPASS"):
		return "check the password of user " + user + ", and that ACL LIST shows the user as on"
	case strings.Contains(s, "NOAUTH"):
		return "the server wants a password and none was given"
	case strings.Contains(s, "NOPERM"), strings.Contains(s, "The user executing the script can't"):
		return "check the ACL rules of user " + user + "; they should be: " + c.rules()
	case strings.Contains(s, "DB index is out of range"):
		return "check the database number at the end of the URL against `databases` in the server's configuration"
	case strings.Contains(s, "cluster support disabled"):
		return "the server is no member of a cluster; use redis://"
	case strings.Contains(s, "MOVED"):
		return "the server is a member of a cluster; use redis+cluster://"
	case strings.Contains(s, "READONLY"):
		return "the server is a replica; name the primary, or the sentinels with redis+sentinel://"
	case strings.Contains(s, "CLUSTERDOWN"), errors.Is(err, rueidis.ErrNoSlot):
		return "some slots have no primary; see CLUSTER INFO"
	case strings.Contains(s, "MISCONF"):
		return "the server cannot save to its disk; see its log"
	case strings.HasPrefix(s, "OOM"):
		return "the server's memory is full; see maxmemory and maxmemory-policy"
	case strings.Contains(s, "LOADING"):
		return "the server is reading its data"
	case strings.Contains(s, "unknown command") && !strings.Contains(strings.ToLower(s), "sentinel"):
		return "the server must be Redis 7 or later"
	case errors.As(err, &authority):
		return "the server's certificate is not signed by the authority in tls=" + c.TLSCA
	case errors.As(err, &name):
		return "say the name in the server's certificate with tls-name="
	case strings.Contains(s, "first record does not look like a TLS handshake"):
		return noTLS
	case strings.Contains(s, "certificate required"), strings.Contains(s, "handshake failure"):
		return "the server wants a certificate; give tls-cert= and tls-key="
	case c.TLSCA != "" && c.TLSCert == "" && hungUp(err):
		return "it closed the connection; does it want a certificate? then give tls-cert= and tls-key="
	case strings.Contains(s, "No such master"), strings.Contains(s, "nil message") && c.Mode == Sentinel:
		return "the sentinels know no primary named " + c.Master + "; see `sentinel monitor` in their configuration"
	case strings.Contains(s, "unknown command") && strings.Contains(strings.ToLower(s), "sentinel"):
		return "that is no sentinel; use redis://"
	case strings.Contains(s, "connection refused"):
		return "nothing listens there"
	case c.TLSCA == "" && hungUp(err):
		return "it closed the connection; does it want TLS? then give tls="
	}
	return ""
}

// hungUp reports whether the server closed the connection without a word.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// rules are the ACL rules of a user that may do all that this package does.
func (c Config) rules() string {
	s := "~" + c.Prefix + "* &" + c.Prefix + "* " +
		"+ping +select +info +eval +evalsha " +
		"+get +set +getdel +exists +del +unlink +incr +pttl +pexpire +rename " +
		"+zadd +zrem +zscore +zcount +zrange +hget +hset +hdel +hkeys +sadd +srem +scard +smismember " +
		"+publish +subscribe +unsubscribe"
	switch c.Mode {
	case Sentinel:
		s += " +role"
	case Cluster:
		s += " +cluster|slots +spublish +ssubscribe +sunsubscribe +asking"
	case Standalone:
	}
	return s
}
