package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tolkflip/tolkflip/proto/token"
)

// jwtSigner finds the secret that signs tokens: --jwt-secret-file, then TOLKFLIP_JWT_SECRET or the file's
// key, then <data>/jwt-secret, which create makes when there is none. from says which it was.
func jwtSigner(file, given, givenFrom, data string, create bool) (s *token.Signer, from string, err error) {
	var secret []byte
	switch {
	case file != "":
		from = file
		if secret, err = os.ReadFile(file); err != nil {
			return nil, from, usageError{fmt.Errorf("--jwt-secret-file: %w", err)}
		}
	case given != "":
		secret, from = []byte(given), givenFrom
	default:
		from = filepath.Join(data, "jwt-secret")
		if secret, err = keptSecret(from, create); err != nil {
			return nil, from, err
		}
	}
	s, err = token.NewSigner(bytes.TrimSpace(secret))
	if err != nil {
		return nil, from, usageError{fmt.Errorf("token secret from %s: %w", from, err)}
	}
	return s, from, nil
}

// keptSecret reads the secret that an earlier run kept, or makes one of 32 random bytes.
func keptSecret(path string, create bool) ([]byte, error) {
	secret, err := os.ReadFile(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) || !create {
		return secret, err
	}
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		return nil, fmt.Errorf("make a token secret: %w", err)
	}
	secret = []byte(hex.EncodeToString(b[:]))
	return secret, writeDurably(path, secret, 0o600)
}

// writeDurably writes a whole file or none of it, also across a crash.
func writeDurably(path string, b []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // after the rename there is nothing to remove
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(path))
}

func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
