package redis

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"time"
)

// The names of keys, after the prefix.
const (
	codeKeys     = "code:"
	grantKeys    = "grant:"
	limitKeys    = "limit:"
	recencyKeys  = "recent:"
	leaseKeys    = "lease:"
	responseKeys = "response:"
	healthKeys   = "health:"
	fanoutName   = "revoked" // a channel
)

// sealed hashes parts under the secret, so that neither keys nor MONITOR nor a dump shows a phone number,
// an address or a code. It is 32 bytes.
func (c *client) sealed(kind string, parts ...string) []byte {
	h := hmac.New(sha256.New, c.cfg.Secret)
	h.Write([]byte(kind))
	var n [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p))) // so that no two lists of parts are the same bytes
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}

// sealedKey is the key of something that must not be read in it.
func (c *client) sealedKey(kind string, parts ...string) string {
	return c.cfg.Prefix + kind + base64.RawURLEncoding.EncodeToString(c.sealed(kind, parts...)[:18])
}

// millis is a time to live as Redis takes it; it knows none shorter than a millisecond.
func millis(d time.Duration) string {
	return strconv.FormatInt(max(1, d.Milliseconds()), 10)
}
