package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/tolkflip/tolkflip/store"
)

// told is a store of sessions that tells the other nodes what it revoked, once that is durable. A node that
// could not be told reads the store later (see store.Fanout), so a failure to tell fails nothing.
type told struct {
	store.Sessions
	fanout store.Fanout
	log    *slog.Logger
	now    func() time.Time
}

// Open tells of the sessions that had to go.
func (s told) Open(ctx context.Context, opened store.Session, limit int) ([]store.Session, error) {
	removed, err := s.Sessions.Open(ctx, opened, limit)
	for _, old := range removed {
		s.tell(ctx, store.Revocation{User: old.User, Session: old.ID, At: s.now().UnixMilli(), Expires: old.Expires})
	}
	return removed, err
}

// Revoke tells of r.
func (s told) Revoke(ctx context.Context, r store.Revocation) error {
	if err := s.Sessions.Revoke(ctx, r); err != nil {
		return err
	}
	s.tell(ctx, r)
	return nil
}

func (s told) tell(ctx context.Context, r store.Revocation) {
	if err := s.fanout.Publish(ctx, r); err != nil {
		s.log.Warn("other nodes learn of a revocation late", "err", err)
	}
}
