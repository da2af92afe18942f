package blob

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/store"
)

// S3 keeps files in a bucket.
type S3 struct {
	// Fixed after OpenS3.
	cfg       S3Config
	log       *slog.Logger
	metrics   *metrics
	transport *http.Transport
	server    *minio.Core
	public    *minio.Client // signs for PublicURL; nil without one
	prefix    string        // of PublicURL's path
	pool      *pool

	base     context.Context //nolint:containedctx // ends with Close, and with it what is under way
	end      context.CancelFunc
	janitor  janitor
	checking chan struct{} // holds a token while Healthy asks the server; guards health
	health   health
}

// health is the last outcome of Healthy.
type health struct {
	at  time.Time
	err error
}

// retries is how often a request is tried, a fraction of a second apart: enough for a server that
// restarts.
const retries = 4

// OpenS3 opens a bucket, makes it where that is allowed and it is missing, and stores and removes an empty
// file to see that it may. What it fails with says which server, why, and what to check.
func OpenS3(ctx context.Context, cfg S3Config, log *slog.Logger, reg prometheus.Registerer) (*S3, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &S3{cfg: cfg, log: log, checking: make(chan struct{}, 1)}
	var err error
	if s.transport, err = newTransport(cfg); err != nil {
		return nil, fmt.Errorf("s3 at %s: %w", cfg.Endpoint, err)
	}
	s.server, err = minio.NewCore(cfg.Endpoint, s.options(cfg.Secure, cfg.Region))
	if err != nil {
		return nil, fmt.Errorf("s3 at %s: %w", cfg.Endpoint, err)
	}
	if err := s.connect(ctx); err != nil {
		s.transport.CloseIdleConnections()
		return nil, err
	}
	s.metrics = newMetrics(reg)
	if s.pool, err = newPool(cfg.BufferBytes, cfg.PartBytes, s.metrics.waits); err != nil {
		s.transport.CloseIdleConnections()
		return nil, err
	}
	gauge(reg, "buffer_bytes", "Memory that uploads hold for their parts.", func() float64 {
		now, _ := s.pool.lent()
		return float64(now)
	})
	gauge(reg, "leftovers", "Failed uploads that are still to be removed from the server.", func() float64 {
		return float64(s.janitor.waiting())
	})
	s.base, s.end = context.WithCancel(context.Background())
	s.janitor.start(s)
	return s, nil
}

func (s *S3) options(secure bool, region string) *minio.Options {
	return &minio.Options{
		Creds:      credentials.NewStaticV4(s.cfg.Key, s.cfg.Secret, ""),
		Secure:     secure,
		Region:     region,
		Transport:  detaching{s.transport},
		MaxRetries: retries,
	}
}

// connect finds the bucket, tries it, and makes it where that is allowed and it is missing.
func (s *S3) connect(ctx context.Context) error {
	region, err := s.try(ctx)
	if noBucket(err) && s.cfg.MakeBucket {
		err = s.server.MakeBucket(ctx, s.cfg.Bucket, minio.MakeBucketOptions{Region: s.cfg.Region})
		if minio.ToErrorResponse(err).Code == minio.BucketAlreadyOwnedByYou {
			err = nil // another node was first
		}
		if err == nil {
			s.log.Info("made the bucket of files", slog.String("bucket", s.cfg.Bucket))
			region, err = s.try(ctx)
		}
	}
	if err != nil {
		return s.explain(ctx, "open", err)
	}
	if s.cfg.PublicURL == "" {
		return nil
	}
	u, err := parsePublic(s.cfg.PublicURL)
	if err == nil {
		s.prefix = u.Path
		s.public, err = minio.New(u.Host, s.options(u.Scheme == "https", region))
	}
	if err != nil {
		return fmt.Errorf("public URL of files: %w", err)
	}
	return nil
}

// try gives the bucket's region, and stores and removes an empty file: unlike a HEAD, its refusal says why.
func (s *S3) try(ctx context.Context) (region string, err error) {
	const probe = "PROBE" // no key of a file has capitals
	region, err = s.server.GetBucketLocation(ctx, s.cfg.Bucket)
	if err == nil {
		opts := minio.PutObjectOptions{DisableContentSha256: true}
		_, err = s.server.PutObject(ctx, s.cfg.Bucket, probe, nil, 0, "", emptySHA256, opts)
	}
	if err == nil {
		err = s.server.RemoveObject(ctx, s.cfg.Bucket, probe, minio.RemoveObjectOptions{})
	}
	return region, err
}

// Close ends what is under way, and what comes later fails with store.ErrClosed.
func (s *S3) Close() error {
	s.end()
	s.janitor.done.Wait()
	s.pool.close()
	s.transport.CloseIdleConnections()
	return nil
}

// begin gives a context that ends with the caller's and with Close.
func (s *S3) begin(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if s.base.Err() != nil {
		return nil, nil, store.ErrClosed
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.base, func() { cancel(store.ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
	}, nil
}

// Open gives a part of a file.
func (s *S3) Open(ctx context.Context, key string, offset, length int64) (r io.ReadCloser, o store.Object, err error) {
	defer func() { s.metrics.count(opOpen, err) }()
	if err := store.CheckBlobKey(key); err != nil {
		return nil, o, err
	}
	if _, _, err := store.BlobRange(offset, length, 0); err != nil {
		return nil, o, err
	}
	if length == 0 { // there is no such range in HTTP
		return s.nothing(ctx, key)
	}
	limited, done, err := s.begin(ctx)
	if err != nil {
		return nil, o, err
	}
	body, info, header, err := s.server.GetObject(limited, s.cfg.Bucket, key, ranged(offset, length))
	if err != nil {
		if minio.ToErrorResponse(err).Code == minio.InvalidRange { // it begins at the end, or after it
			done()
			return s.nothing(ctx, key)
		}
		err = s.explain(limited, "open a file", err)
		done()
		return nil, o, err
	}
	o = object(info)
	if of := header.Get("Content-Range"); of != "" { // bytes 0-9/100
		_, total, _ := strings.Cut(of, "/")
		if o.Size, err = strconv.ParseInt(total, 10, 64); err != nil {
			done()
			_ = body.Close() // nothing of it is wanted
			return nil, o, fmt.Errorf("s3 at %s: a range of unknown size", s.cfg.Endpoint)
		}
	}
	return &download{s, limited, done, body}, o, nil
}

// nothing opens no bytes of a file.
func (s *S3) nothing(ctx context.Context, key string) (io.ReadCloser, store.Object, error) {
	o, err := s.stat(ctx, key)
	if err != nil {
		return nil, o, err
	}
	return http.NoBody, o, nil
}

func ranged(offset, length int64) (o minio.GetObjectOptions) {
	switch {
	case length > 0:
		o.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, offset+min(length, math.MaxInt64-offset)-1))
	case offset > 0:
		o.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	return o
}

// download is a body that says what ended it.
type download struct {
	s    *S3
	ctx  context.Context //nolint:containedctx // of the request that it belongs to
	done context.CancelFunc
	body io.ReadCloser
}

func (d *download) Read(b []byte) (int, error) {
	n, err := d.body.Read(b)
	if err != nil && err != io.EOF { //nolint:errorlint // readers give it bare
		err = d.s.explain(d.ctx, "read a file", err)
	}
	return n, err
}

func (d *download) Close() error {
	d.done() // first: what is left of the body is not waited for
	return d.body.Close()
}

func object(i minio.ObjectInfo) store.Object {
	return store.Object{Size: i.Size, Type: i.ContentType, Modified: i.LastModified.UnixMilli()}
}

// Stat says what is known of a file.
func (s *S3) Stat(ctx context.Context, key string) (o store.Object, err error) {
	defer func() { s.metrics.count(opStat, err) }()
	if err := store.CheckBlobKey(key); err != nil {
		return o, err
	}
	return s.stat(ctx, key)
}

func (s *S3) stat(ctx context.Context, key string) (store.Object, error) {
	ctx, done, err := s.begin(ctx)
	if err != nil {
		return store.Object{}, err
	}
	defer done()
	info, err := s.server.StatObject(ctx, s.cfg.Bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return store.Object{}, s.explain(ctx, "look a file up", err)
	}
	return object(info), nil
}

// Delete removes a file.
func (s *S3) Delete(ctx context.Context, key string) (err error) {
	defer func() { s.metrics.count(opDelete, err) }()
	if err := store.CheckBlobKey(key); err != nil {
		return err
	}
	ctx, done, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	err = s.server.RemoveObject(ctx, s.cfg.Bucket, key, minio.RemoveObjectOptions{})
	if err != nil && minio.ToErrorResponse(err).Code != minio.NoSuchKey {
		return s.explain(ctx, "delete a file", err)
	}
	return nil
}

// Signed gives a URL below PublicURL. It is made here, without the server.
func (s *S3) Signed(ctx context.Context, key, attachment string, ttl time.Duration) (string, error) {
	if err := store.CheckBlobKey(key); err != nil || s.public == nil {
		return "", err
	}
	query := url.Values{}
	if attachment != "" {
		query.Set("response-content-disposition", mime.FormatMediaType("attachment", map[string]string{"filename": attachment}))
	}
	u, err := s.public.PresignedGetObject(ctx, s.cfg.Bucket, key, min(max(ttl, time.Second), 7*24*time.Hour), query)
	if err != nil {
		return "", fmt.Errorf("sign a URL: %w", err)
	}
	u.Path = s.prefix + u.Path
	return u.String(), nil
}

// Healthy asks for the bucket, at most once in HealthEvery, whoever asks.
func (s *S3) Healthy(ctx context.Context) error {
	select {
	case s.checking <- struct{}{}:
		defer func() { <-s.checking }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if now := time.Now(); s.health.at.IsZero() || now.Sub(s.health.at) >= s.cfg.HealthEvery {
		err := s.ask(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx) // says nothing of the server
		}
		s.health = health{now, err}
	}
	return s.health.err
}

func (s *S3) ask(ctx context.Context) error {
	ctx, done, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	limited, cancel := context.WithTimeout(ctx, s.cfg.HealthTimeout)
	defer cancel()
	there, err := s.server.BucketExists(limited, s.cfg.Bucket)
	if err == nil && !there {
		err = errNoBucket
	}
	if err != nil {
		return s.explain(ctx, "look for the bucket", err)
	}
	return nil
}
