package blob

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
)

// janitor removes parts from the server that belong to no file: those of uploads that failed while the
// server could not be told so, and those of processes that died, once they are StaleAfter old.
type janitor struct {
	done sync.WaitGroup

	mu   sync.Mutex
	list []leftover
}

// leftover is an upload on the server that will not be completed.
type leftover struct{ key, upload string }

const (
	maxLeftovers = 4096 // more are left to the removal of what is stale
	maxPages     = 100  // of 1000 unfinished uploads, in one look
)

func (j *janitor) start(s *S3) {
	j.done.Add(1)
	go func() {
		defer j.done.Done()
		j.run(s)
	}()
}

func (j *janitor) run(s *S3) {
	stale := time.NewTimer(0)
	defer stale.Stop()
	retry := time.NewTicker(s.cfg.RetryEvery)
	defer retry.Stop()
	for {
		select {
		case <-s.base.Done():
			return
		case <-stale.C:
			s.sweep(s.base)
			stale.Reset(s.cfg.StaleAfter / 4)
		case <-retry.C:
			j.clear(s)
		}
	}
}

func (j *janitor) waiting() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.list)
}

func (j *janitor) add(s *S3, l leftover) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.list) >= maxLeftovers {
		s.metrics.unaborts.Inc()
		return
	}
	j.list = append(j.list, l)
}

// clear removes what waits, the latest first. The first failure ends it: the server is still away.
func (j *janitor) clear(s *S3) {
	for {
		j.mu.Lock()
		if len(j.list) == 0 {
			j.list = nil
			j.mu.Unlock()
			return
		}
		l := j.list[len(j.list)-1]
		j.mu.Unlock()
		ctx, cancel := context.WithTimeout(s.base, abortTime)
		err := s.remove(ctx, l)
		cancel()
		if err != nil {
			return
		}
		j.mu.Lock()
		j.list = slices.DeleteFunc(j.list, func(o leftover) bool { return o == l })
		j.mu.Unlock()
	}
}

// remove ends an upload. One that is not there any more is no failure.
func (s *S3) remove(ctx context.Context, l leftover) error {
	err := s.server.AbortMultipartUpload(ctx, s.cfg.Bucket, l.key, l.upload)
	if minio.ToErrorResponse(err).Code == minio.NoSuchUpload {
		return nil
	}
	return err
}

// sweep removes uploads of dead processes. A failure is left to the next time.
func (s *S3) sweep(ctx context.Context) {
	var key, upload string
	before, removed := time.Now().Add(-s.cfg.StaleAfter), 0
	for range maxPages {
		page, err := s.server.ListMultipartUploads(ctx, s.cfg.Bucket, "", key, upload, "", 1000)
		if err != nil {
			s.log.Warn("unfinished uploads cannot be listed", slog.Any("error", s.explain(ctx, "list unfinished uploads", err)))
			break
		}
		for _, u := range page.Uploads {
			if u.Initiated.Before(before) && s.remove(ctx, leftover{u.Key, u.UploadID}) == nil {
				removed++
			}
		}
		if !page.IsTruncated {
			break
		}
		key, upload = page.NextKeyMarker, page.NextUploadIDMarker
	}
	s.metrics.removed.Add(float64(removed))
	if removed > 0 {
		s.log.Info("removed unfinished uploads of dead processes", slog.Int("uploads", removed))
	}
}
