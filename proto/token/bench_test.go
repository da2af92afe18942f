package token

import (
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

func BenchmarkVerify(b *testing.B) {
	s := signer(b)
	signed, err := s.Sign(claims(b, Access))
	if err != nil {
		b.Fatal(err)
	}
	tok := []byte(signed)
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Verify(tok, Access, now()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := s.Verify(tok, Access, now()); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
	b.Run("jwt parser", func(b *testing.B) {
		key := secret()
		p := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithTimeFunc(now))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := p.Parse(string(tok), func(*jwt.Token) (any, error) { return key, nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSign(b *testing.B) {
	s := signer(b)
	c := claims(b, Access)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Sign(c); err != nil {
			b.Fatal(err)
		}
	}
}
