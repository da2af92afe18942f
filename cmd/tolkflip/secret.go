package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tolkflip/tolkflip/proto/token"
)

// tokenSecret is what signs tokens.
type tokenSecret struct {
	*token.Signer
	from  string // where it was found
	key   []byte // of what caches hold: tells nothing of the secret
	links []byte // of links to files: likewise
}

// jwtSigner finds the secret that signs tokens: --jwt-secret-file, then TOLKFLIP_JWT_SECRET or the file's
// key, then <data>/jwt-secret, which create makes when there is none.
func jwtSigner(file, given, givenFrom, data string, create bool) (s tokenSecret, err error) {
	var secret []byte
	switch {
	case file != "":
		s.from = file
		if secret, err = os.ReadFile(file); err != nil {
			return s, usageError{fmt.Errorf("--jwt-secret-file: %w", err)}
		}
	case given != "":
		secret, s.from = []byte(given), givenFrom
	default:
		s.from = filepath.Join(data, "jwt-secret")
		if secret, err = keptSecret(s.from, create); err != nil {
			return s, err
		}
	}
	secret = bytes.TrimSpace(secret)
	if s.Signer, err = token.NewSigner(secret); err != nil {
		return s, usageError{fmt.Errorf("token secret from %s: %w", s.from, err)}
	}
	s.key, s.links = derived(secret, "tolkflip cache keys"), derived(secret, "tolkflip links to files")
	return s, nil
}

// derived is a key for another use of the same secret: the same on all nodes.
func derived(secret []byte, use string) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(use))
	return mac.Sum(nil)
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
