package token

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tolkflip/tolkflip/proto/id"
)

// Type is what a token may be used for.
type Type string

// The types. A token that does not say is an access token.
const (
	Access  Type = "access"
	Refresh Type = "refresh"
)

// Claims are what a token says.
type Claims struct {
	User     id.User
	Session  id.Session
	Phone    string // E.164; may be empty
	Type     Type
	IssuedAt int64    // Unix seconds
	Expires  int64    // Unix seconds: from then on the token is no longer accepted
	ID       [16]byte // jti of a refresh token; zero when it has none
}

// What Verify reports.
var (
	ErrExpired = errors.New("token expired") // signed by us, and its time is over
	ErrInvalid = errors.New("invalid token") // anything else
)

// Signer makes and reads tokens with one secret. It may be used by many goroutines at once.
type Signer struct {
	secret  []byte
	scratch sync.Pool // of *scratch
}

// NewSigner keeps a copy of the secret. It refuses what CheckSecret refuses.
func NewSigner(secret []byte) (*Signer, error) {
	if err := CheckSecret(secret); err != nil {
		return nil, err
	}
	own := bytes.Clone(secret)
	return &Signer{secret: own, scratch: sync.Pool{New: func() any { return newScratch(own) }}}, nil
}

// Sign makes the token that says c. User, Session, IssuedAt and Expires must be set, and in a refresh token
// ID; an empty Type is Access. Its errors are about c's completeness, not about secrets.
func (s *Signer) Sign(c Claims) (string, error) {
	if c.Type == "" {
		c.Type = Access
	}
	switch {
	case c.User.IsZero() || c.Session.IsZero():
		return "", errors.New("sign token: no user or session")
	case c.IssuedAt <= 0 || c.Expires <= c.IssuedAt || c.Expires > maxTime:
		return "", errors.New("sign token: expires before it is issued")
	case c.Type != Access && c.Type != Refresh:
		return "", errors.New("sign token: unknown type")
	case c.Type == Refresh && c.ID == [16]byte{}:
		return "", errors.New("sign token: refresh token without an id")
	}
	claims := jwt.MapClaims{
		"userId": c.User.String(),
		"sid":    c.Session.String(),
		"type":   string(c.Type),
		"iat":    c.IssuedAt,
		"exp":    c.Expires,
	}
	if c.Phone != "" {
		claims["phoneNumber"] = c.Phone
	}
	if c.Type == Refresh {
		claims["jti"] = id.ID(c.ID).String()
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(s.secret)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return token, nil
}
