package token

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tolkflip/tolkflip/proto/id"
)

const (
	issued  = int64(1764000000)
	expires = issued + 3600
	user    = "11111111-2222-4333-8444-555555555555"
	session = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
)

func secret() []byte { return []byte("0123456789abcdef0123456789abcdef") }

func signer(t testing.TB) *Signer {
	t.Helper()
	s, err := NewSigner(secret())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func parsed(t testing.TB, s string) id.ID {
	t.Helper()
	v, err := id.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func claims(t testing.TB, kind Type) Claims {
	t.Helper()
	c := Claims{
		User: id.User{ID: parsed(t, user)}, Session: id.Session{ID: parsed(t, session)}, Phone: "+15550100", Type: kind,
		IssuedAt: issued, Expires: expires,
	}
	if kind == Refresh {
		c.ID = parsed(t, "99999999-2222-4333-8444-555555555555")
	}
	return c
}

// sign makes a token of any header and claims, as JSON, with the signature that the signer's secret gives.
func sign(t testing.TB, header, payload string) string {
	t.Helper()
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	signature, err := jwt.SigningMethodHS256.Sign(text, secret())
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

const hs256 = `{"alg":"HS256","typ":"JWT"}`

func now() time.Time { return time.Unix(issued+10, 0) }

func TestSignAndVerify(t *testing.T) {
	s := signer(t)
	for _, kind := range []Type{Access, Refresh} {
		want := claims(t, kind)
		tok, err := s.Sign(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Verify([]byte(tok), kind, now())
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", kind, got, err, want)
		}
		other := map[Type]Type{Access: Refresh, Refresh: Access}[kind]
		if _, err = s.Verify([]byte(tok), other, now()); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s token taken for %s: %v", kind, other, err)
		}
	}
	c := claims(t, "")
	tok, err := s.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Verify([]byte(tok), Access, now()); err != nil || got.Type != Access {
		t.Errorf("no type: %+v, %v", got, err)
	}
}

func TestSignWritesWhatOthersRead(t *testing.T) {
	tok, err := signer(t).Sign(claims(t, Refresh))
	if err != nil {
		t.Fatal(err)
	}
	got := jwt.MapClaims{}
	if _, err = jwt.ParseWithClaims(tok, got, func(*jwt.Token) (any, error) { return secret(), nil },
		jwt.WithTimeFunc(now), jwt.WithExpirationRequired(), jwt.WithValidMethods([]string{"HS256"})); err != nil {
		t.Fatal(err)
	}
	want := "map[exp:1.7640036e+09 iat:1.764e+09 jti:99999999-2222-4333-8444-555555555555 phoneNumber:+15550100 " +
		"sid:" + session + " type:refresh userId:" + user + "]"
	if fmt.Sprint(map[string]any(got)) != want {
		t.Errorf("%v, want %s", got, want)
	}
	if !strings.HasPrefix(tok, ordinary+".") {
		t.Error("our own header is not the one that is known by sight")
	}
}

func TestSignRefusesHalfAToken(t *testing.T) {
	for name, edit := range map[string]func(*Claims){
		"no user":             func(c *Claims) { c.User = id.User{} },
		"no session":          func(c *Claims) { c.Session = id.Session{} },
		"no issue time":       func(c *Claims) { c.IssuedAt = 0 },
		"expires at once":     func(c *Claims) { c.Expires = c.IssuedAt },
		"unknown type":        func(c *Claims) { c.Type = "id" },
		"refresh without jti": func(c *Claims) { c.ID = [16]byte{} },
		"beyond time":         func(c *Claims) { c.Expires = maxTime + 1 },
	} {
		c := claims(t, Refresh)
		edit(&c)
		if tok, err := signer(t).Sign(c); err == nil || tok != "" {
			t.Errorf("%s: signed", name)
		}
	}
}

func TestVerifyTime(t *testing.T) {
	s := signer(t)
	tok, err := s.Sign(claims(t, Access))
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[int64]error{
		issued - 61: ErrInvalid, issued - 60: nil, issued: nil, expires - 1: nil, expires: ErrExpired, expires + 1e6: ErrExpired,
	} {
		if _, err := s.Verify([]byte(tok), Access, time.Unix(at, 999)); !errors.Is(err, want) {
			t.Errorf("at issue %+d: %v, want %v", at-issued, err, want)
		}
	}
	broken := tok[:len(tok)-2] + "AA"
	if _, err := s.Verify([]byte(broken), Access, time.Unix(expires, 0)); !errors.Is(err, ErrInvalid) {
		t.Errorf("expired and badly signed: %v", err)
	}
}

func TestVerifyClaims(t *testing.T) {
	const times = `"iat":1764000000,"exp":1764003600`
	tests := []struct {
		name, payload string
		want          error
	}{
		{"least", `{"userId":"` + user + `",` + times + `}`, nil},
		{"unknown claims", `{"userId":"` + user + `","nbf":9999999999,"aud":[1],"x":{"y":null},` + times + `}`, nil},
		{"access", `{"userId":"` + user + `","type":"access",` + times + `}`, nil},
		{"empty type", `{"userId":"` + user + `","type":"",` + times + `}`, nil},
		{"null type", `{"userId":"` + user + `","type":null,` + times + `}`, nil},
		{"upper-case user", `{"userId":"` + strings.ToUpper(user) + `",` + times + `}`, nil},
		{"times with fractions", `{"userId":"` + user + `","iat":1764000000.5,"exp":1764003600.25}`, nil},
		{"times with exponents", `{"userId":"` + user + `","iat":1.764e9,"exp":1.7640036e9}`, nil},
		{"refresh", `{"userId":"` + user + `","type":"refresh",` + times + `}`, ErrInvalid},
		{"other type", `{"userId":"` + user + `","type":"id",` + times + `}`, ErrInvalid},
		{"type in other case", `{"userId":"` + user + `","type":"Access",` + times + `}`, ErrInvalid},
		{"no user", `{` + times + `}`, ErrInvalid},
		{"null user", `{"userId":null,` + times + `}`, ErrInvalid},
		{"user in other case", `{"userid":"` + user + `",` + times + `}`, ErrInvalid},
		{"user is no UUID", `{"userId":"7",` + times + `}`, ErrInvalid},
		{"user is a number", `{"userId":7,` + times + `}`, ErrInvalid},
		{"nil user", `{"userId":"00000000-0000-0000-0000-000000000000",` + times + `}`, ErrInvalid},
		{"session is no UUID", `{"userId":"` + user + `","sid":"7",` + times + `}`, ErrInvalid},
		{"nil session", `{"userId":"` + user + `","sid":"00000000-0000-0000-0000-000000000000",` + times + `}`, ErrInvalid},
		{"no exp", `{"userId":"` + user + `","iat":1764000000}`, ErrInvalid},
		{"no iat", `{"userId":"` + user + `","exp":1764003600}`, ErrInvalid},
		{"null exp", `{"userId":"` + user + `","iat":1764000000,"exp":null}`, ErrInvalid},
		{"exp is a string", `{"userId":"` + user + `","iat":1764000000,"exp":"1764003600"}`, ErrInvalid},
		{"exp is 0", `{"userId":"` + user + `","iat":1764000000,"exp":0}`, ErrInvalid},
		{"exp beyond time", `{"userId":"` + user + `","iat":1764000000,"exp":1e300}`, ErrInvalid},
		{"iat is negative", `{"userId":"` + user + `","iat":-1,"exp":1764003600}`, ErrInvalid},
		{"expired", `{"userId":"` + user + `","iat":1763000000,"exp":1763000001}`, ErrExpired},
		{"phone is a number", `{"userId":"` + user + `","phoneNumber":7,` + times + `}`, ErrInvalid},
		{"not an object", `["` + user + `"]`, ErrInvalid},
		{"null", `null`, ErrInvalid},
		{"more than an object", `{"userId":"` + user + `",` + times + `}{}`, ErrInvalid},
		{"cut", `{"userId":"` + user + `",` + times, ErrInvalid},
		{"not UTF-8", `{"userId":"` + user + `","x":"` + "\xff" + `",` + times + `}`, ErrInvalid},
		{"nested", `{"userId":"` + user + `",` + times + `,"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`, nil},
		{"too long", `{"userId":"` + user + `",` + times + `,"x":"` + strings.Repeat("x", maxToken) + `"}`, ErrInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := signer(t).Verify([]byte(sign(t, hs256, test.payload)), Access, now()); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

func TestVerifyWithoutSession(t *testing.T) {
	for _, sid := range []string{``, `"sid":"",`, `"sid":null,`} {
		c, err := signer(t).Verify([]byte(sign(t, hs256, `{"userId":"`+user+`",`+sid+`"iat":1764000000,"exp":1764003600}`)), Access, now())
		if err != nil || c.Session != id.LegacySession(id.User{ID: parsed(t, user)}, issued) {
			t.Errorf("%q: %v, %v", sid, c.Session, err)
		}
	}
}

func TestVerifyRefreshWithoutAnID(t *testing.T) {
	const rest = `{"userId":"` + user + `","type":"refresh","iat":1764000000,"exp":1764003600`
	c, err := signer(t).Verify([]byte(sign(t, hs256, rest+`}`)), Refresh, now())
	if err != nil || c.ID != [16]byte{} {
		t.Errorf("%v, %v", c.ID, err)
	}
	if _, err = signer(t).Verify([]byte(sign(t, hs256, rest+`,"jti":"7"}`)), Refresh, now()); !errors.Is(err, ErrInvalid) {
		t.Errorf("jti is no UUID: %v", err)
	}
}

func TestVerifyHeader(t *testing.T) {
	const payload = `{"userId":"` + user + `","iat":1764000000,"exp":1764003600}`
	for header, want := range map[string]error{
		hs256:                                    nil,
		`{"typ":"JWT","alg":"HS256"}`:            nil,
		`{"alg":"HS256"}`:                        nil,
		`{"alg":"HS256","kid":"1","x":{}}`:       nil,
		`{"alg":"HS256","crit":null}`:            nil,
		`{"alg":"HS256","crit":["b64"]}`:         ErrInvalid,
		`{"alg":"none"}`:                         ErrInvalid,
		`{"alg":"None"}`:                         ErrInvalid,
		`{"alg":"hs256"}`:                        ErrInvalid,
		`{"alg":"HS384"}`:                        ErrInvalid,
		`{"alg":"HS512"}`:                        ErrInvalid,
		`{"alg":"RS256"}`:                        ErrInvalid,
		`{"alg":"ES256"}`:                        ErrInvalid,
		`{"alg":["HS256"]}`:                      ErrInvalid,
		`{"alg":null}`:                           ErrInvalid,
		`{"ALG":"HS256"}`:                        ErrInvalid,
		`{"typ":"JWT"}`:                          ErrInvalid,
		`{}`:                                     ErrInvalid,
		`[]`:                                     ErrInvalid,
		`null`:                                   ErrInvalid,
		`HS256`:                                  ErrInvalid,
		`{"alg":"none","alg":"HS256"}`:           nil, // as everywhere the last counts, and it is HS256 that is checked
		`{"alg":"HS256","alg":"none"}`:           ErrInvalid,
		`{"alg":"HS256","typ":"JWT"}{"alg":"x"}`: ErrInvalid,
	} {
		if _, err := signer(t).Verify([]byte(sign(t, header, payload)), Access, now()); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", header, err, want)
		}
	}
}

func TestVerifyRefusesOtherAlgorithms(t *testing.T) {
	c := jwt.MapClaims{"userId": user, "iat": issued, "exp": expires}
	for _, method := range []*jwt.SigningMethodHMAC{jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
		tok, err := jwt.NewWithClaims(method, c).SignedString(secret())
		if err != nil {
			t.Fatal(err)
		}
		if _, err = signer(t).Verify([]byte(tok), Access, now()); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", method.Alg(), err)
		}
	}
	tok, err := jwt.NewWithClaims(jwt.SigningMethodNone, c).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = signer(t).Verify([]byte(tok), Access, now()); !errors.Is(err, ErrInvalid) {
		t.Errorf("none: %v", err)
	}
}

func TestVerifyForm(t *testing.T) {
	s := signer(t)
	tok, err := s.Sign(claims(t, Access))
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(tok, ".")
	for name, bad := range map[string]string{
		"empty": "", "dots": "..", "one part": parts[0], "two parts": parts[0] + "." + parts[1], "four parts": tok + ".",
		"no signature": parts[0] + "." + parts[1] + ".", "no header": "." + parts[1] + "." + parts[2],
		"padding": tok + "=", "line break in the signature": tok[:len(tok)-4] + "\n" + tok[len(tok)-4:],
		"line break in the header": tok[:4] + "\r\n" + tok[4:], "space around": " " + tok, "Bearer": "Bearer " + tok,
		"standard alphabet": tok[:len(tok)-1] + "+", "signature cut": tok[:len(tok)-3], "signature longer": tok + "AAAA",
		"long signature": tok + strings.Repeat("A", 200), "NUL": tok + "\x00", "very long": strings.Repeat("A", 1<<20),
	} {
		if _, err := s.Verify([]byte(bad), Access, now()); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := alphabet[strings.IndexByte(alphabet, tok[len(tok)-1])^1] // decodes to the same bytes
	if _, err := s.Verify([]byte(tok[:len(tok)-1]+string(last)), Access, now()); !errors.Is(err, ErrInvalid) {
		t.Errorf("a second spelling of the signature: %v", err)
	}
	for i := range tok {
		for _, c := range []byte{'A', 'B', 'w', '_', '.'} {
			if b := []byte(tok); b[i] != c {
				b[i] = c
				if _, err := s.Verify(b, Access, now()); !errors.Is(err, ErrInvalid) {
					t.Fatalf("byte %d changed to %c: %v", i, c, err)
				}
			}
		}
	}
}

func TestVerifyKeepsNothing(t *testing.T) {
	s := signer(t)
	tok, err := s.Sign(claims(t, Access))
	if err != nil {
		t.Fatal(err)
	}
	b := []byte(tok)
	c, err := s.Verify(b, Access, now())
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if _, err = s.Verify([]byte(sign(t, hs256, `{"userId":"`+user+`","phoneNumber":"+9999999999","iat":1764000000,"exp":1764003600}`)), Access, now()); err != nil {
		t.Fatal(err)
	}
	if c.Phone != "+15550100" {
		t.Errorf("phone became %q", c.Phone)
	}
}

func TestVerifyWithAnotherSecret(t *testing.T) {
	key := secret()
	s, err := NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := s.Sign(claims(t, Access))
	if err != nil {
		t.Fatal(err)
	}
	clear(key) // the signer has its own copy
	if _, err = s.Verify([]byte(tok), Access, now()); err != nil {
		t.Errorf("after the caller cleared its secret: %v", err)
	}
	other, err := NewSigner([]byte(strings.Repeat("z", 32)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = other.Verify([]byte(tok), Access, now()); !errors.Is(err, ErrInvalid) {
		t.Errorf("another secret: %v", err)
	}
}

func TestCheckSecret(t *testing.T) {
	for s, want := range map[string]error{
		"your-secret-key":                            ErrPublishedSecret,
		"your-refresh-secret":                        ErrPublishedSecret,
		"your-jwt-secret-change-in-production":       ErrPublishedSecret,
		"your-refresh-secret-change-in-production":   ErrPublishedSecret,
		"  your-jwt-secret-change-in-production\r\n": ErrPublishedSecret,
		"\"your-jwt-secret-change-in-production\"\n": ErrPublishedSecret,
		"your-secret-key" + strings.Repeat(" ", 40):  ErrPublishedSecret,
		"":                      ErrShortSecret,
		strings.Repeat("x", 31): ErrShortSecret,
		strings.Repeat("x", 32): nil,
		"your-secret-key-your-secret-key-your-own": nil,
		"\n" + strings.Repeat("\xff", 31):          nil, // a random secret may begin with a byte that is white space
	} {
		if err := CheckSecret([]byte(s)); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", s, err, want)
		}
		if got, err := NewSigner([]byte(s)); !errors.Is(err, want) || (got == nil) != (want != nil) {
			t.Errorf("%q: signer %v, %v", s, got != nil, err)
		}
		if err := CheckSecret([]byte(s)); err != nil && s != "" && strings.Contains(err.Error(), strings.TrimSpace(s)) {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
}

// The scratch memory is pooled: what many verify at once must not mix.
func TestVerifyByMany(t *testing.T) {
	s := signer(t)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 200 {
				c := Claims{
					User: id.User{ID: id.ID{byte(g + 1), byte(i)}}, Session: id.Session{ID: id.ID{byte(i + 1)}},
					Phone: fmt.Sprintf("+1555%04d%03d", g, i), Type: Access, IssuedAt: issued, Expires: expires + int64(i),
				}
				tok, err := s.Sign(c)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := s.Verify([]byte(tok), Access, now()); err != nil || got != c {
					t.Errorf("%+v, %v; want %+v", got, err, c)
					return
				}
			}
		})
	}
	all.Wait()
}
