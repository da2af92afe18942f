package users

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tolkflip/tolkflip/proto/id"
)

// Mint signs access tokens with the server's secret.
type Mint struct {
	secret []byte
	expiry time.Duration
}

// NewMint signs with the secret.
func NewMint(secret []byte) *Mint { return &Mint{secret: secret, expiry: 12 * time.Hour} }

// ReadMint signs with the secret in a file; white space around it does not count.
func ReadMint(path string) (*Mint, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the token secret: %w", err)
	}
	return NewMint(bytes.TrimSpace(b)), nil
}

// Token is an access token of the user, of a session of its own.
func (m *Mint) Token(u id.User, phone string) (string, error) {
	now := time.Now()
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"userId": u.String(), "phoneNumber": phone, "type": "access", "sid": id.NewSession().String(),
		"iat": now.Unix(), "exp": now.Add(m.expiry).Unix(),
	})
	s, err := t.SignedString(m.secret)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return s, nil
}

// Nobody makes n users that no store knows. They can connect, and nobody can write to them.
func (m *Mint) Nobody(n int) ([]User, error) {
	all := make([]User, n)
	for i := range all {
		u := id.NewUser()
		t, err := m.Token(u, phone(i))
		if err != nil {
			return nil, err
		}
		all[i] = User{ID: u, Token: t}
	}
	return all, nil
}

// Renew gives each user a fresh token.
func (m *Mint) Renew(all []User) error {
	for i := range all {
		t, err := m.Token(all[i].ID, all[i].Phone)
		if err != nil {
			return err
		}
		all[i].Token = t
	}
	return nil
}

// Stranger is a token of a new user that no store knows.
func (m *Mint) Stranger() []byte {
	t, err := m.Token(id.NewUser(), phone(0))
	if err != nil {
		return nil // refused by the server, which says so
	}
	return []byte(t)
}

// Secret is what it signs with, for processes of this program.
func (m *Mint) Secret() []byte { return m.secret }
