package blob

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/s3utils"
)

// DiskConfig is how a directory of files is opened.
type DiskConfig struct {
	Dir string // made where it is not there

	// With less free space, or less than that part of the file system's size, files are refused and the
	// store is unhealthy. The defaults are above those of the embedded store: files stop before messages do.
	MinFreeBytes   uint64
	MinFreePercent uint64

	// FreeBytes measures the file system. nil = statfs of Dir.
	FreeBytes func() (free, total uint64, err error)
}

// DefaultDisk is the configuration of a server that keeps files in dir.
func DefaultDisk(dir string) DiskConfig {
	return DiskConfig{Dir: dir, MinFreeBytes: 512 << 20, MinFreePercent: 3}
}

// Validate names what is wrong with c.
func (c DiskConfig) Validate() error {
	switch {
	case c.Dir == "":
		return errors.New("blob: no directory")
	case c.MinFreePercent > 99:
		return errors.New("blob: the free percentage must be below 100")
	}
	return nil
}

// S3Config is how a bucket of an S3 server is opened.
type S3Config struct {
	Endpoint string // host or host:port
	Bucket   string
	Region   string // "" = ask the server
	Secure   bool   // speak TLS
	CAFile   string // PEM of whom to trust instead of the system's authorities; "" = those

	Key    string // access key
	Secret string // never in an error or a log

	// PublicURL is where clients reach the server, http(s)://host[:port][/prefix]; "" = they do not, and
	// Signed gives none. A proxy there keeps the Host header, and takes the prefix off.
	PublicURL string

	MakeBucket bool // make the bucket where there is none

	PartBytes   int // a part of an upload, at least 5 MiB; 10,000 parts are the largest file
	BufferBytes int // for the parts of all uploads together; an upload waits for room

	// PartTime is how long an upload may take to bring a part while others wait for its buffer; slower
	// ones are refused with ErrBusy.
	PartTime time.Duration

	ConnectTimeout  time.Duration // for TCP, and for TLS
	ResponseTimeout time.Duration // from the last byte of a request to the head of its answer
	IdleTimeout     time.Duration // a connection on which nothing moves is given up
	HealthTimeout   time.Duration // of Healthy
	HealthEvery     time.Duration // how long an outcome of Healthy stands
	RetryEvery      time.Duration // between attempts to remove what failed uploads left on the server
	StaleAfter      time.Duration // an unfinished upload that is as old as that belongs to a dead process
}

// DefaultS3 is a configuration that lacks a server, a bucket and credentials.
func DefaultS3() S3Config {
	return S3Config{
		MakeBucket: true, PartBytes: minPart, BufferBytes: 60 << 20, PartTime: 2 * time.Minute,
		ConnectTimeout: 5 * time.Second, ResponseTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		HealthTimeout: 2 * time.Second, HealthEvery: 2 * time.Second, RetryEvery: 10 * time.Second,
		StaleAfter: 24 * time.Hour,
	}
}

const (
	minPart  = 5 << 20 // of S3, save for the last one
	maxParts = 10_000  // of S3
)

// Validate names what is wrong with c.
func (c S3Config) Validate() error {
	switch {
	case c.Endpoint == "":
		return errors.New("blob: s3: no host")
	case c.Key == "" || c.Secret == "":
		return errors.New("blob: s3: an access key and its secret are needed")
	case c.PartBytes < minPart:
		return errors.New("blob: s3: a part has at least 5 MiB")
	case c.PartBytes%blockBytes != 0:
		return errors.New("blob: s3: a part is a multiple of 256 KiB")
	case c.BufferBytes < c.PartBytes:
		return errors.New("blob: s3: the buffer must hold a part")
	case c.CAFile != "" && !c.Secure:
		return errors.New("blob: s3: authorities to trust, but no TLS")
	}
	for _, d := range []time.Duration{
		c.PartTime, c.ConnectTimeout, c.ResponseTimeout, c.IdleTimeout, c.HealthTimeout, c.HealthEvery, c.RetryEvery,
		c.StaleAfter,
	} {
		if d <= 0 {
			return errors.New("blob: s3: times must be positive")
		}
	}
	if err := s3utils.CheckValidBucketNameStrict(c.Bucket); err != nil {
		return fmt.Errorf("blob: s3: bucket %q: %w", c.Bucket, err)
	}
	if c.PublicURL != "" {
		if _, err := parsePublic(c.PublicURL); err != nil {
			return err
		}
	}
	return nil
}

// ParseURL reads s3://host[:port]/bucket?tls=&region= into a configuration with the defaults. tls is true,
// false, or a PEM file of the authorities to trust; where it is not given, TLS is spoken to a host without a
// port or with port 443. Credentials are not part of it, and one with them is refused without quoting it.
func ParseURL(s string) (S3Config, error) {
	c := DefaultS3()
	u, err := url.Parse(s)
	if err != nil {
		return c, errors.New("blob: not a URL: s3://host:port/bucket is wanted")
	}
	bucket := strings.TrimSuffix(strings.TrimPrefix(u.Path, "/"), "/")
	switch {
	case u.User != nil:
		return c, errors.New("blob: the access key and its secret do not belong into the URL")
	case u.Scheme != "s3" || u.Hostname() == "" || bucket == "" || strings.Contains(bucket, "/") || u.Fragment != "":
		return c, errors.New("blob: s3://host:port/bucket is wanted")
	}
	c.Endpoint, c.Bucket = u.Host, bucket
	c.Secure = u.Port() == "" || u.Port() == "443"
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return c, errors.New("blob: what follows ? in the URL cannot be read")
	}
	for name, values := range query {
		v := values[len(values)-1]
		switch {
		case len(values) > 1:
			return c, fmt.Errorf("blob: %s is twice in the URL", name)
		case name == "region":
			c.Region = v
		case name == "tls" && (v == "true" || v == "false"):
			c.Secure = v == "true"
		case name == "tls" && v != "":
			c.Secure, c.CAFile = true, v
		default:
			return c, fmt.Errorf("blob: unknown parameter %s=%s in the URL; tls and region are known", name, v)
		}
	}
	if err := s3utils.CheckValidBucketNameStrict(c.Bucket); err != nil {
		return c, fmt.Errorf("blob: bucket %q: %w", c.Bucket, err)
	}
	return c, nil
}

// parsePublic reads the base URL that clients reach the server at.
func parsePublic(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil ||
		u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("blob: the public URL of files is http(s)://host[:port][/prefix]")
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}
