package token

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"strings"
	"time"
	"unsafe"

	"github.com/bytedance/sonic/decoder"
	"github.com/bytedance/sonic/utf8"

	"github.com/tolkflip/tolkflip/proto/id"
)

const (
	maxToken = 4 << 10 // bytes; ours have about 330
	maxTime  = 1 << 40 // Unix seconds: some 34,000 years
	skew     = 60      // seconds that the clock of another node may be ahead

	// ordinary is the header that we and nearly everybody else write: {"alg":"HS256","typ":"JWT"}.
	ordinary = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
)

// encoding refuses what decodes to the same bytes as something else.
//
//nolint:gochecknoglobals // a constant that Go has no constant form for
var encoding = base64.RawURLEncoding.Strict()

// header is a token's JOSE header.
type header struct {
	Alg  string `json:"alg"`
	Crit any    `json:"crit"`
}

// payload is a token's claims as JSON. Times are numbers that may have a fraction (RFC 7519, section 2).
type payload struct {
	User    string  `json:"userId"`
	Phone   string  `json:"phoneNumber"`
	Type    string  `json:"type"`
	Session string  `json:"sid"`
	ID      string  `json:"jti"`
	Issued  float64 `json:"iat"`
	Expires float64 `json:"exp"`
}

// scratch is what one Verify needs: a part decoded from base64, and what sonic reads out of it, which aliases
// that part.
type scratch struct {
	json    *decoder.Decoder
	mac     hash.Hash // of the signer's secret
	sum     [sha256.Size]byte
	part    [maxToken]byte
	header  header
	payload payload
}

func newScratch(secret []byte) *scratch {
	d := decoder.NewDecoder("")
	d.SetOptions(decoder.OptionCaseSensitive)
	return &scratch{json: d, mac: hmac.New(sha256.New, secret)}
}

// Verify reads a token that this signer's secret signed. It reports ErrExpired for one that was good until
// its time was over, and ErrInvalid for every other that is not a token of the wanted type. Nothing of tok
// is kept.
func (s *Signer) Verify(tok []byte, want Type, now time.Time) (Claims, error) {
	head, body, signature, ok := split(tok)
	if !ok {
		return Claims{}, ErrInvalid
	}
	w := s.scratch.Get().(*scratch)
	defer func() {
		w.header, w.payload = header{}, payload{}
		w.json.Reset("")
		s.scratch.Put(w)
	}()
	if !w.hs256(head) || !w.signed(tok[:len(head)+1+len(body)], signature) {
		return Claims{}, ErrInvalid
	}
	if !w.decode(body, &w.payload) {
		return Claims{}, ErrInvalid
	}
	c, ok := w.payload.claims()
	if !ok || c.Type != want || c.IssuedAt > now.Unix()+skew {
		return Claims{}, ErrInvalid
	}
	if now.Unix() >= c.Expires {
		return Claims{}, ErrExpired
	}
	return c, nil
}

// split cuts a token at its two dots. Every other byte is of base64url: Go's decoder would pass over line
// breaks.
func split(tok []byte) (head, body, signature []byte, ok bool) {
	if len(tok) > maxToken {
		return nil, nil, nil, false
	}
	dots := 0
	for _, c := range tok {
		switch {
		case c == '.':
			dots++
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_':
		default:
			return nil, nil, nil, false
		}
	}
	if dots != 2 {
		return nil, nil, nil, false
	}
	head, rest, _ := bytes.Cut(tok, []byte("."))
	body, signature, _ = bytes.Cut(rest, []byte("."))
	return head, body, signature, len(head) > 0 && len(body) > 0
}

// hs256 reports whether the header asks for HS256 and for no extension that has to be understood.
func (w *scratch) hs256(head []byte) bool {
	if string(head) == ordinary {
		return true
	}
	return w.decode(head, &w.header) && w.header.Alg == "HS256" && w.header.Crit == nil
}

// signed reports whether signature is that of text.
func (w *scratch) signed(text, signature []byte) bool {
	if len(signature) != encoding.EncodedLen(sha256.Size) {
		return false
	}
	n, err := encoding.Decode(w.part[:], signature)
	if err != nil {
		return false
	}
	w.mac.Reset()
	w.mac.Write(text) // a hash never fails
	return hmac.Equal(w.mac.Sum(w.sum[:0]), w.part[:n])
}

// decode reads one part of a token, which is a JSON object in base64url, into v, whose strings alias w.part.
func (w *scratch) decode(part []byte, v any) bool {
	n, err := encoding.Decode(w.part[:], part)
	if err != nil || n == 0 || w.part[0] != '{' || !utf8.Validate(w.part[:n]) {
		return false
	}
	w.json.Reset(unsafe.String(&w.part[0], n))
	return w.json.Decode(v) == nil && w.json.CheckTrailings() == nil
}

// claims checks and converts what the JSON said.
func (p *payload) claims() (c Claims, ok bool) {
	if !(p.Issued >= 1 && p.Issued <= maxTime && p.Expires >= 1 && p.Expires <= maxTime) {
		return c, false
	}
	c = Claims{Phone: strings.Clone(p.Phone), IssuedAt: int64(p.Issued), Expires: int64(p.Expires)}
	var err error
	if c.User.ID, err = id.Parse(p.User); err != nil || c.User.IsZero() {
		return c, false
	}
	switch p.Type {
	case "", string(Access):
		c.Type = Access
	case string(Refresh):
		c.Type = Refresh
	default:
		return c, false
	}
	if p.Session == "" {
		c.Session = id.LegacySession(c.User, c.IssuedAt)
	} else if c.Session.ID, err = id.Parse(p.Session); err != nil || c.Session.IsZero() {
		return c, false
	}
	if p.ID != "" && c.Type == Refresh {
		v, err := id.Parse(p.ID)
		if err != nil {
			return c, false
		}
		c.ID = v
	}
	return c, true
}
