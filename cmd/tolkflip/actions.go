package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// actOnUser is `tolkflip user`: who is a user id or a phone number.
func (s *server) actOnUser(ctx context.Context, do, who string) (string, error) {
	u, err := s.findUser(ctx, who)
	if err != nil {
		return "", err
	}
	if do == "block" || do == "unblock" {
		blocked := do == "block"
		if _, err := s.stores.users.Update(ctx, u, store.UserPatch{Blocked: &blocked}); err != nil {
			return "", err
		}
		s.chat.UserChanged(u)
	}
	if do == "unblock" {
		if err := s.gate.Unblock(ctx, u); err != nil {
			return "", err
		}
		return fmt.Sprintf("user %s may log in again", u), nil
	}
	if do != "kick" && do != "block" {
		return "", fmt.Errorf("%q is neither kick, block nor unblock", do)
	}
	now := time.Now()
	over := now.Add(s.cfg.SessionTTL).UnixMilli()
	if do == "block" {
		err = s.gate.Block(ctx, u, over)
	} else {
		err = s.gate.Revoke(ctx, store.Revocation{User: u, At: now.UnixMilli(), Expires: over})
	}
	if err != nil {
		return "", fmt.Errorf("revoke: %w", err)
	}
	return fmt.Sprintf("user %s %sed: its sessions are over", u, do), nil
}

// blocked is what `tolkflip token` asks: whether the tokens of a user would be refused.
func (s *server) blocked(who string) (bool, error) {
	v, err := id.Parse(who)
	if err != nil {
		return false, fmt.Errorf("%q is %w", who, err)
	}
	return s.gate.Blocked(id.User{ID: v}), nil
}

func (s *server) findUser(ctx context.Context, who string) (id.User, error) {
	var found store.User
	var err error
	if strings.HasPrefix(who, "+") {
		found, err = s.stores.users.ByPhone(ctx, who)
	} else {
		v, parseErr := id.Parse(who)
		if parseErr != nil {
			return id.User{}, errors.New("a user id or a phone number with + is wanted")
		}
		found, err = s.stores.users.Get(ctx, id.User{ID: v})
	}
	if errors.Is(err, store.ErrNotFound) {
		return id.User{}, errors.New("there is no such user")
	}
	return found.ID, err
}

// backup is `tolkflip backup`: a data directory at dir, which must not exist. It appears whole or not at all.
func (s *server) backup(_ context.Context, dir string) (err error) {
	if s.stores.checkpoint == nil {
		return fmt.Errorf("--store %s keeps nothing on disk that could be copied", s.cfg.Store)
	}
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("%s exists already", dir)
	}
	part, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-*")
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(part))
		}
	}()
	if err := s.stores.checkpoint(filepath.Join(part, "store")); err != nil {
		return fmt.Errorf("copy the store: %w", err)
	}
	if files, ok := s.stores.blobs.(interface{ Checkpoint(dir string) error }); ok {
		if err := files.Checkpoint(filepath.Join(part, "blob")); err != nil {
			return err
		}
	}
	if secret, err := os.ReadFile(s.data.in("jwt-secret")); err == nil {
		if err := writeDurably(filepath.Join(part, "jwt-secret"), secret, 0o600); err != nil {
			return err
		}
	}
	if err := os.Rename(part, dir); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return syncDirectory(filepath.Dir(dir))
}
