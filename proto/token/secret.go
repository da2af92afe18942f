package token

import (
	"bytes"
	"errors"
)

// MinSecret is the least length of a secret in bytes: that of the hash (RFC 7518, section 3.2).
const MinSecret = 32

// What is wrong with a secret that CheckSecret and NewSigner refuse.
var (
	ErrPublishedSecret = errors.New("this secret was published with the original backend, so anybody can sign tokens with it; make a new one")
	ErrShortSecret     = errors.New("the secret is shorter than 32 bytes")
)

// published are the values that the Node, Erlang and Java backends have in their source code, compose files
// and examples.
//
//nolint:gochecknoglobals // a table that never changes
var published = [...]string{
	"your-secret-key",
	"your-refresh-secret",
	"your-jwt-secret-change-in-production",
	"your-refresh-secret-change-in-production",
}

// CheckSecret reports why a secret must not be used: ErrPublishedSecret, also when it stands in white space
// or quotes, as it does in a file that was copied, or ErrShortSecret.
func CheckSecret(secret []byte) error {
	bare := bytes.Trim(secret, " \t\r\n\v\f\x00\"'`")
	for _, p := range published {
		if string(bare) == p {
			return ErrPublishedSecret
		}
	}
	if len(secret) < MinSecret {
		return ErrShortSecret
	}
	return nil
}
