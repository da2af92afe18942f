package blob

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/tolkflip/tolkflip/store"
)

var errNoBucket = errors.New("there is no such bucket")

func noBucket(err error) bool {
	return errors.Is(err, errNoBucket) || minio.ToErrorResponse(err).Code == minio.NoSuchBucket
}

// explain turns a failure of the server into one of ours: which server, what was done, why it failed, and
// what to check. A missing file is store.ErrNotFound; the caller's own context is passed through; anything
// else is store.ErrBusy, as nothing that a client did makes it fail. No type of the driver leaves, no key
// of a file, and nothing of the credentials.
func (s *S3) explain(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	}
	r := minio.ToErrorResponse(err)
	if r.Code == minio.NoSuchKey {
		return store.ErrNotFound
	}
	return &unavailable{where: s.cfg.Endpoint, bucket: s.cfg.Bucket, doing: doing, why: why(err), check: s.advise(r, err)}
}

// unavailable is why an S3 server could not do what was asked.
type unavailable struct{ where, bucket, doing, why, check string }

func (u *unavailable) Error() string {
	text := fmt.Sprintf("s3 at %s, bucket %s: %s: %s", u.where, u.bucket, u.doing, u.why)
	if u.check != "" {
		text += "; check " + u.check
	}
	return text
}

func (u *unavailable) Is(target error) bool { return target == store.ErrBusy }

// why says what happened without the URL, which holds a key.
func why(err error) string {
	r := minio.ToErrorResponse(err)
	switch {
	case noBucket(err):
		return errNoBucket.Error()
	case r.Code != "" && r.Message != "" && r.Message != r.Code:
		return r.Code + ": " + strings.TrimSuffix(r.Message, ".")
	case r.Code != "":
		return r.Code
	}
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	if text := err.Error(); !strings.HasPrefix(text, "Connection closed by foreign host") {
		return text
	}
	return "the connection was closed"
}

// advise names what an operator should look at.
func (s *S3) advise(r minio.ErrorResponse, err error) string {
	switch r.Code {
	case "InvalidAccessKeyId":
		return "the access key"
	case "SignatureDoesNotMatch":
		return "the secret of the access key"
	case "AccessDenied":
		return "the access key, its secret, and that its policy allows to get, put, list and delete in the bucket"
	case "AuthorizationHeaderMalformed", "InvalidRegion", "PermanentRedirect":
		return "region= in the URL"
	case "RequestTimeTooSkewed":
		return "the clocks of both machines"
	case "XMinioStorageFull":
		return "the free space of the server's disks"
	case "MethodNotAllowed":
		return "that this is the port of the S3 interface and not of a console"
	}
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var dns *net.DNSError
	var op *net.OpError
	text := err.Error()
	switch {
	case noBucket(err):
		return "its name, or make it"
	case r.StatusCode == http.StatusBadRequest && strings.Contains(r.Message, "HTTPS server"):
		return "tls= in the URL: the server speaks TLS"
	case errors.As(err, &unknown):
		return "tls= in the URL: it may name a PEM file of the authority to trust"
	case errors.As(err, &host):
		return "the host name: the server's certificate is for another"
	case strings.Contains(text, "HTTP response to HTTPS client"), strings.Contains(text, "first record does not look like a TLS handshake"):
		return "tls= in the URL: the server does not speak TLS"
	case errors.As(err, &dns):
		return "the host name"
	case errors.As(err, &op) && op.Op == "dial", errors.Is(err, context.DeadlineExceeded):
		return "that the server runs, and the host and the port"
	}
	return ""
}
