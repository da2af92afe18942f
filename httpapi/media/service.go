package media

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

type (
	// Threads says who belongs to a thread: nil, or NotFound or Forbidden. router/chat's Service does.
	Threads interface {
		Member(ctx context.Context, t id.Thread, u id.User) error
	}
	// Messages are the durable messages. store.Log is one.
	Messages interface {
		Before(ctx context.Context, t id.Thread, before uint64, limit int) ([]store.Message, error)
		Find(ctx context.Context, m id.Message) (store.Message, error)
	}
)

// Config are the limits of files.
type Config struct {
	MaxFile   int64         // bytes of one file
	Uploads   int           // at once, of everybody; one more is told to come again
	PerUser   int           // at once, of one user
	PerHour   int           // of one user
	Downloads int           // at once
	Timeout   time.Duration // for the stores' work around a body; over it the client reads 503
	LinkLife  time.Duration // of a signed link
	// Allowed are the media types that are taken, as sniffed: image/png, or image/* for all of a kind, or
	// */* for any. Files that clients encrypted are application/octet-stream.
	Allowed []string

	Pictures Pictures
}

// Pictures bound what is decoded.
type Pictures struct {
	MaxBytes  int64         // of the file
	MaxSide   int           // pixels
	MaxPixels int64         // width times height
	Memory    int64         // bytes that all decoders at work may take
	Wait      time.Duration // for a share of it; over it there is no thumbnail
}

// Default gives the limits that clients are promised.
func Default() Config {
	return Config{
		MaxFile:   100 << 20,
		Uploads:   256,
		PerUser:   128,
		PerHour:   2000,
		Downloads: 1024,
		Timeout:   15 * time.Second,
		LinkLife:  24 * time.Hour,
		Allowed:   []string{"*/*"},
		Pictures:  Pictures{MaxBytes: 32 << 20, MaxSide: 20_000, MaxPixels: 60_000_000, Memory: 64 << 20, Wait: 10 * time.Second},
	}
}

// Validate says what cannot be served with.
func (c Config) Validate() error {
	p := c.Pictures
	switch {
	case c.MaxFile < 1, c.Uploads < 1, c.PerUser < 1, c.PerHour < 1, c.Downloads < 1,
		p.MaxBytes < 0, p.MaxSide < 0, p.MaxPixels < 0, p.Memory < 0:
		return errors.New("media: a limit is out of range")
	case c.Timeout <= 0, c.LinkLife < time.Second, c.LinkLife > 7*24*time.Hour, p.Wait < 0:
		return errors.New("media: a time is out of range; links live from a second to seven days")
	case len(c.Allowed) == 0:
		return errors.New("media: no type is allowed")
	}
	return nil
}

// Deps are the parts that the service works with. All are needed.
type Deps struct {
	Blobs    store.Blobs
	Records  store.MediaRecords
	Threads  Threads
	Messages Messages
	Limits   store.Limits
	// LinkKey signs links: a secret of at least 32 bytes, the same on every node.
	LinkKey []byte
	Now     func() time.Time
}

// Service holds the rules of files.
type Service struct {
	cfg      Config
	blobs    store.Blobs
	records  store.MediaRecords
	threads  Threads
	messages Messages
	limits   store.Limits
	links    links
	places   *places
	reading  *semaphore.Weighted // downloads at once
	decoding *semaphore.Weighted // bytes of decoders
	log      *slog.Logger
	metrics  *Metrics

	now func() time.Time
	new func() id.Media
}

// New makes the service.
func New(cfg Config, d Deps, log *slog.Logger, reg prometheus.Registerer) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if d.Blobs == nil || d.Records == nil || d.Threads == nil || d.Messages == nil || d.Limits == nil || d.Now == nil || len(d.LinkKey) < 32 {
		return nil, errors.New("media: Deps is incomplete")
	}
	return &Service{
		cfg: cfg, blobs: d.Blobs, records: d.Records, threads: d.Threads, messages: d.Messages, limits: d.Limits,
		links:    links{key: d.LinkKey, life: cfg.LinkLife, now: d.Now},
		places:   newPlaces(cfg.Uploads, cfg.PerUser),
		reading:  semaphore.NewWeighted(int64(cfg.Downloads)),
		decoding: semaphore.NewWeighted(cfg.Pictures.Memory),
		log:      log, metrics: newMetrics(reg), now: d.Now, new: id.NewMedia,
	}, nil
}

// API is the service as the kit serves it.
func (s *Service) API() httpapi.Service {
	upload := httpapi.Route{
		Method: http.MethodPost, Path: "/upload", Gateway: []string{"/api/media/upload", "/api/v1/media/upload"},
		Auth: httpapi.Bearer, Failed: "Upload failed", Handle: httpapi.Raw(s.upload),
		// Base64 takes a third more, and some escape its slashes; the file itself is counted apart.
		Stream: s.cfg.MaxFile/2*3 + 1<<20, TooLarge: textTooLarge,
	}
	get := httpapi.Route{
		Method: http.MethodGet, Path: "/media/{mediaId}", Gateway: []string{"/api/media/media/{mediaId}", "/api/media/{mediaId}"},
		Auth: httpapi.Bearer, Failed: "Failed to get media URL", Handle: httpapi.Handle(http.StatusOK, s.get),
	}
	remove := httpapi.Route{
		Method: http.MethodDelete, Path: get.Path, Gateway: get.Gateway,
		Auth: httpapi.Bearer, Failed: "Failed to delete media", Handle: httpapi.Handle(http.StatusOK, s.remove),
	}
	content := httpapi.Route{
		Method: http.MethodGet, Path: "/media/{mediaId}/content",
		Gateway: []string{"/api/media/media/{mediaId}/content", "/api/media/{mediaId}/content"},
		// A page of pictures is many requests without a token. The signature is checked before anything is read.
		Auth: httpapi.Optional, Unlimited: true, Failed: "Failed to read media", Handle: httpapi.Raw(s.content),
	}
	// The other backends' paths on the service's own port.
	own := func(r httpapi.Route, path string) httpapi.Route {
		r.Path, r.Gateway = path, nil
		return r
	}
	return httpapi.Service{
		Name:   "media",
		Health: httpapi.Health{Name: "media", Status: "healthy"},
		Routes: []httpapi.Route{
			upload, get, remove, content,
			own(upload, "/api/media/upload"), own(get, "/api/media/{mediaId}"), own(remove, "/api/media/{mediaId}"),
			own(content, "/api/media/{mediaId}/content"),
		},
	}
}
