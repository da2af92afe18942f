package token

import (
	"errors"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// FuzzVerify: it never panics, its errors are the two, and what it takes golang-jwt takes as well.
func FuzzVerify(f *testing.F) {
	s := signer(f)
	tok, err := s.Sign(claims(f, Access))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(tok))
	f.Add([]byte("eyJhbGciOiJub25lIn0.e30."))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := s.Verify(b, Access, now())
		if err == nil {
			_, err = jwt.Parse(string(b), func(*jwt.Token) (any, error) { return secret(), nil }, jwt.WithTimeFunc(now))
			if err != nil {
				t.Fatalf("golang-jwt refuses %q: %v", b, err)
			}
			return
		}
		if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrExpired) {
			t.Fatal(err)
		}
	})
}

// FuzzClaims signs any claims: what is then taken has all that the rules rely on.
func FuzzClaims(f *testing.F) {
	s := signer(f)
	f.Add(hs256, `{"userId":"`+user+`","sid":"`+session+`","type":"access","iat":1764000000,"exp":1764003600}`)
	f.Add(`{"alg":"HS256","crit":[]}`, `{"userId":"`+user+`","iat":1e9,"exp":1e10}`)
	f.Fuzz(func(t *testing.T, header, payload string) {
		c, err := s.Verify([]byte(sign(t, header, payload)), Access, now())
		if err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrExpired) {
				t.Fatal(err)
			}
			return
		}
		if c.User.IsZero() || c.Session.IsZero() || c.Type != Access || c.Expires <= now().Unix() || c.IssuedAt < 1 || c.ID != [16]byte{} {
			t.Fatalf("%s: %+v", payload, c)
		}
	})
}
